//! Webhook endpoint that the environment configures, and rules for all endpoints.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::parse;
use super::reader::Reader;
use super::secret::{Secret, Uri};
use super::variable::{Kind, Variable};

pub(super) const VARIABLES: &[Variable] = &[
    Variable::uri("WEBHOOK_URL", Kind::Text),
    Variable::secret("WEBHOOK_SECRET"),
    Variable::switch("WEBHOOK_ENABLED", "false"),
    Variable::number("WEBHOOK_TIMEOUT_MS", "5000"),
    Variable::number("WEBHOOK_RETRY_ATTEMPTS", "3"),
    Variable::list(
        "WEBHOOK_RETRY_SCHEDULE",
        Some("5s,30s,2m,10m,30m,2h,6h,24h"),
    ),
    Variable::list("WEBHOOK_EVENTS", Some("all")),
    Variable::switch("WEBHOOK_ALLOW_PRIVATE", "false"),
];

/// Endpoint that the environment configures, and rules for all endpoints.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// `WEBHOOK_URL`: http or https; default: no endpoint from the environment.
    pub url: Option<Uri>,
    /// `WEBHOOK_SECRET`: signs the deliveries, at least 32 bytes; required with `WEBHOOK_URL`.
    pub secret: Option<Secret>,
    /// `WEBHOOK_ENABLED`: true if the environment's endpoint is served; default false.
    pub enabled: bool,
    /// `WEBHOOK_TIMEOUT_MS`: milliseconds for one attempt, 100-60000; default 5000.
    pub timeout: Duration,
    /// `WEBHOOK_RETRY_ATTEMPTS`: retries after the first attempt, 0-20; default 3.
    pub retry_attempts: u32,
    /// `WEBHOOK_RETRY_SCHEDULE`: pauses between attempts, each at most a day.
    ///
    /// They are separated by commas (`ms`, `s`, `m`, `h`).
    ///
    /// The last one repeats if there are more retries than pauses.
    pub retry_schedule: Vec<Duration>,
    /// `WEBHOOK_EVENTS`: names of events, separated by commas; `None` is the default, all.
    ///
    /// A last `*` is allowed (`message.*`).
    pub events: Option<Vec<String>>,
    /// `WEBHOOK_ALLOW_PRIVATE`: true if private addresses may be called; default false.
    pub allow_private: bool,
}

impl Webhooks {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url = reader.optional("WEBHOOK_URL", webhook_url);
        let secret = reader.optional("WEBHOOK_SECRET", webhook_secret);
        let enabled = reader.read("WEBHOOK_ENABLED", parse::switch);
        let timeout = reader
            .read("WEBHOOK_TIMEOUT_MS", |text| {
                parse::number(text, 100..=60_000, "milliseconds")
            })
            .map(Duration::from_millis);
        let retry_attempts = reader.read("WEBHOOK_RETRY_ATTEMPTS", |text| {
            parse::small(text, 0..=20, "retries")
        });
        let retry_schedule = reader.read("WEBHOOK_RETRY_SCHEDULE", schedule);
        let events = reader.read("WEBHOOK_EVENTS", events);
        let allow_private = reader.read("WEBHOOK_ALLOW_PRIVATE", parse::switch);
        let has_url = reader.is_set("WEBHOOK_URL");
        if has_url && secret == Some(None) {
            reader.fault(
                "WEBHOOK_SECRET",
                "is required with WEBHOOK_URL; make one with: openssl rand -hex 32",
            );
        }
        if !has_url && enabled == Some(true) {
            reader.fault(
                "WEBHOOK_URL",
                "is required with WEBHOOK_ENABLED=true; set it, or turn WEBHOOK_ENABLED off",
            );
        }
        if has_url && enabled == Some(false) {
            reader.warn(
                "WEBHOOK_URL",
                "is set but WEBHOOK_ENABLED is false: nothing is sent there",
            );
        }
        Some(Self {
            url: url?,
            secret: secret?,
            enabled: enabled?,
            timeout: timeout?,
            retry_attempts: retry_attempts?,
            retry_schedule: retry_schedule?,
            events: events?,
            allow_private: allow_private?,
        })
    }
}

fn webhook_url(text: &str) -> Result<Uri, String> {
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Err("must start with https:// or http://".to_owned())
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Err(
            "must not hold a user name or a password; deliveries are proven by their signature"
                .to_owned(),
        ),
        Ok(_) => Ok(Uri::new(text)),
        Err(_) => Err("is not a URL; write https://host/path".to_owned()),
    }
}

/// Checks a secret. A `whsec_` secret must decode, because the receiver's library will decode it.
fn webhook_secret(text: &str) -> Result<Secret, String> {
    if let Some(encoded) = text.strip_prefix("whsec_") {
        match STANDARD.decode(encoded) {
            Ok(bytes) if bytes.len() >= 24 => {}
            Ok(_) => {
                return Err(
                    "holds less than 24 bytes after whsec_; use 32 (openssl rand -base64 32)"
                        .to_owned(),
                );
            }
            Err(_) => {
                return Err(
                    "is not base64 after whsec_; make one with: openssl rand -base64 32".to_owned(),
                );
            }
        }
    }
    Secret::strong(text)
}

/// Maximum number of pauses in a schedule.
const MAX_PAUSES: usize = 20;

fn schedule(text: &str) -> Result<Vec<Duration>, String> {
    let pause = |item: &str| {
        let unit = item.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = item.split_at(unit);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let pause = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(millis)?);
        (Duration::from_millis(1)..=Duration::from_secs(86_400))
            .contains(&pause)
            .then_some(pause)
    };
    let items = parse::list(text);
    if items.is_empty() || items.len() > MAX_PAUSES {
        return Err(format!(
            "holds {} pauses; write 1 to {MAX_PAUSES}, such as 5s,30s,2m",
            items.len()
        ));
    }
    items
        .into_iter()
        .map(|item| {
            pause(item).ok_or_else(|| {
                format!(
                    "holds \"{}\"; write pauses such as 500ms, 5s, 2m or 24h, each at most a day",
                    parse::short(item)
                )
            })
        })
        .collect()
}

fn events(text: &str) -> Result<Option<Vec<String>>, String> {
    if text == "*" || text.eq_ignore_ascii_case("all") {
        return Ok(None);
    }
    let names = parse::list(text);
    if names.is_empty() {
        return Err("names no event; write all, or names with commas".to_owned());
    }
    let is_name = |name: &str| {
        let (noun, verb) = name.split_once('.').unwrap_or_default();
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        word(noun) && (verb == "*" || word(verb))
    };
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!(
            "holds \"{}\"; write names such as message.created or message.*",
            parse::short(name)
        )),
        None => Ok(Some(names.into_iter().map(str::to_owned).collect())),
    }
}

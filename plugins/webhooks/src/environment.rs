//! Variables of the environment: an endpoint, and rules for all endpoints.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chat_sdk::{
    plugin::PluginSettings,
    settings::{Kind, Secret, Uri, Variable, parse},
};
use url::Url;

/// Declarations of the variables.
pub const VARIABLES: &[Variable] = &[
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

/// Checked variables: an endpoint, and rules for all endpoints.
#[derive(Debug, Clone)]
pub struct Environment {
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

impl Environment {
    /// Reads and checks the variables; `None` comes with a fault.
    pub fn read(settings: &mut PluginSettings<'_>) -> Option<Self> {
        let url = settings.optional("WEBHOOK_URL", webhook_url);
        let secret = settings.optional("WEBHOOK_SECRET", webhook_secret);
        let enabled = settings.read("WEBHOOK_ENABLED", parse::switch);
        let timeout = settings
            .read("WEBHOOK_TIMEOUT_MS", |text| {
                parse::number(text, 100..=60_000, "milliseconds")
            })
            .map(Duration::from_millis);
        let retry_attempts = settings.read("WEBHOOK_RETRY_ATTEMPTS", |text| {
            parse::small(text, 0..=20, "retries")
        });
        let retry_schedule = settings.read("WEBHOOK_RETRY_SCHEDULE", schedule);
        let events = settings.read("WEBHOOK_EVENTS", events);
        let allow_private = settings.read("WEBHOOK_ALLOW_PRIVATE", parse::switch);
        let has_url = settings.text("WEBHOOK_URL").is_some();
        if has_url && secret == Some(None) {
            settings.fault(
                "WEBHOOK_SECRET",
                "is required with WEBHOOK_URL; make one with: openssl rand -hex 32",
            );
        }
        if !has_url && enabled == Some(true) {
            settings.fault(
                "WEBHOOK_URL",
                "is required with WEBHOOK_ENABLED=true; set it, or turn WEBHOOK_ENABLED off",
            );
        }
        if has_url && enabled == Some(false) {
            settings.warn(
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

#[cfg(test)]
mod tests {
    use chat_sdk::settings::Texts;

    use super::*;
    use crate::{PLUGIN, settings::Settings};

    const URL: (&str, &str) = ("WEBHOOK_URL", "https://host/hook");
    const SECRET: (&str, &str) = ("WEBHOOK_SECRET", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");

    /// Reads `pairs` and the defaults; returns the settings, the faults and the warnings.
    fn read(pairs: &[(&'static str, &str)]) -> (Option<Settings>, Vec<String>, Vec<String>) {
        let defaults = VARIABLES.iter();
        let defaults = defaults.filter_map(|variable| Some((variable.name, variable.default?)));
        let all = defaults.chain(pairs.iter().copied());
        let texts = Texts(all.map(|(name, text)| (name, text.to_owned())).collect());
        let mut settings = PluginSettings::new(PLUGIN, None, &texts, false);
        let read = Settings::read(&mut settings);
        let (faults, warnings) = settings.into_findings();
        let faults = faults.iter().map(ToString::to_string).collect();
        (read, faults, warnings)
    }

    fn fault(pairs: &[(&'static str, &str)]) -> String {
        let (_, faults, _) = read(pairs);
        assert_eq!(faults.len(), 1, "{pairs:?} gives {faults:#?}");
        faults[0].clone()
    }

    #[test]
    fn defaults_are_valid_and_have_no_endpoint() {
        let (settings, faults, warnings) = read(&[]);
        assert!(faults.is_empty() && warnings.is_empty());
        let settings = settings.expect("valid");
        assert!(settings.own.is_none());
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert_eq!(settings.schedule.len(), 8);
    }

    #[test]
    fn url_and_secret_belong_together() {
        assert!(fault(&[URL]).starts_with("WEBHOOK_SECRET: is required with WEBHOOK_URL"));
        assert!(
            fault(&[("WEBHOOK_ENABLED", "true")])
                .starts_with("WEBHOOK_URL: is required with WEBHOOK_ENABLED=true")
        );
        let (_, _, warnings) = read(&[URL, SECRET]);
        assert_eq!(warnings.len(), 1, "a URL without WEBHOOK_ENABLED warns");
        let enabled = ("WEBHOOK_ENABLED", "Yes");
        let (settings, ..) = read(&[URL, SECRET, enabled, ("WEBHOOK_EVENTS", "*")]);
        let own = settings.expect("valid").own.expect("enabled");
        assert_eq!(own.patterns, None);
        let (settings, ..) = read(&[
            URL,
            SECRET,
            enabled,
            ("WEBHOOK_EVENTS", "message.*,user.synced"),
        ]);
        let own = settings.expect("valid").own.expect("enabled");
        assert_eq!(own.patterns.expect("some"), ["message.*", "user.synced"]);
    }

    #[test]
    fn faulty_values_are_named() {
        for (name, text, said) in [
            ("WEBHOOK_SECRET", "whsec_short", "after whsec_"),
            ("WEBHOOK_SECRET", "hunter2", "at least 32"),
            ("WEBHOOK_ENABLED", "maybe", "must be true or false"),
            ("WEBHOOK_TIMEOUT_MS", "99", "milliseconds from 100"),
            ("WEBHOOK_RETRY_ATTEMPTS", "21", "retries from 0 to 20"),
            ("WEBHOOK_EVENTS", "message", "holds \"message\""),
            (
                "WEBHOOK_EVENTS",
                "message.*,Message.created",
                "holds \"Message.created\"",
            ),
            ("WEBHOOK_ALLOW_PRIVATE", "2", "must be true or false"),
        ] {
            let fault = fault(&[(name, text)]);
            assert!(
                fault.starts_with(&format!("{name}: ")) && fault.contains(said),
                "{fault}"
            );
        }
        let url = |text| fault(&[("WEBHOOK_URL", text), SECRET]);
        assert!(url("ftp://h").contains("must start with https://"));
        assert!(url("https://u:p@h").contains("must not hold a user name"));
        let made = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        assert!(read(&[("WEBHOOK_SECRET", made)]).1.is_empty());
    }
}

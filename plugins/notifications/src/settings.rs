//! Settings of the plugin, from its variables and `chat.toml`.

use std::time::Duration;

use chat_sdk::{
    outbound::{address::AddressPolicy, sign::Key},
    plugin::PluginSettings,
    settings::{Kind, Secret, Variable, parse},
};
use serde::Deserialize;
use url::{Host, Url};

use crate::push::keys::VapidKey;

/// Declarations of the variables.
pub const VARIABLES: &[Variable] = &[
    Variable::switch("PUSH_ENABLED", "true"),
    Variable::text("PUSH_SUBJECT", None),
    Variable::secret("PUSH_VAPID_PRIVATE_KEY"),
    Variable::switch("PUSH_ALLOW_PRIVATE", "false"),
    Variable::number("PUSH_TIMEOUT_MS", "10000"),
    Variable::uri("PUSH_GATEWAY_URL", Kind::Text),
    Variable::secret("PUSH_GATEWAY_SECRET"),
];

/// The table `[plugins.notifications]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Seconds for which messages of a conversation are gathered into one digest, 0 to 300; default 3.
    pub digest_seconds: u32,
    /// Age in seconds from which a message notifies nobody any more, 1 to 86,400; default 3,600.
    pub max_age_seconds: u32,
    /// Number of members from which only members are notified whom a message mentions by id, 2 to 10,000; default 1,000.
    pub large_conversation: u32,
    /// Days for which a notification is kept if the host gives no time, 1 to 365; default 30.
    pub keep_days: u32,
    /// Seconds for which a push service keeps a push for a device that is offline, 60 to 2,419,200; default 86,400.
    pub push_ttl_seconds: u32,
    /// Number of pushes that a worker sends at once, 1 to 1,000; default 64.
    pub push_concurrency: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            digest_seconds: 3,
            max_age_seconds: 3600,
            large_conversation: 1000,
            keep_days: 30,
            push_ttl_seconds: 86_400,
            push_concurrency: 64,
        }
    }
}

/// Gateway of the host that sends pushes to FCM and APNs.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// URL of the gateway.
    pub url: String,
    /// Key that signs the requests to it.
    pub key: Key,
}

/// Settings of pushes to devices.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// Contact of the operator, which push services require: `mailto:` or `https:`.
    pub subject: String,
    /// Configured key; `None` for a generated one.
    pub key: Option<VapidKey>,
    /// Addresses of push services that may be reached.
    pub reach: AddressPolicy,
    /// Addresses of the gateway that may be reached.
    pub gateway_reach: AddressPolicy,
    /// Maximum duration of one request.
    pub timeout: Duration,
    /// Gateway for FCM and APNs, if any.
    pub gateway: Option<Gateway>,
}

/// All settings of the plugin, validated.
#[derive(Debug)]
pub struct Settings {
    /// Settings of pushes; `None` if they are off.
    pub push: Option<PushSettings>,
    /// Settings of the table in `chat.toml`.
    pub table: Table,
}

impl Settings {
    /// Reads and validates all settings; `None` comes with a fault.
    pub fn read(settings: &mut PluginSettings<'_>) -> Option<Self> {
        let table = read_table(settings);
        let enabled = settings.read("PUSH_ENABLED", parse::switch)?;
        let push = if enabled {
            Some(read_push(settings)?)
        } else {
            None
        };
        Some(Self {
            push,
            table: table?,
        })
    }
}

fn read_push(settings: &mut PluginSettings<'_>) -> Option<PushSettings> {
    let subject = settings.optional("PUSH_SUBJECT", subject);
    if subject == Some(None) {
        settings.fault(
            "PUSH_SUBJECT",
            "is required for pushes; set it to the operator's contact, such as mailto:ops@shop.example, or turn PUSH_ENABLED off",
        );
    }
    let key = settings.optional("PUSH_VAPID_PRIVATE_KEY", VapidKey::from_text);
    let allow_private = settings.read("PUSH_ALLOW_PRIVATE", parse::switch);
    let timeout = settings.read("PUSH_TIMEOUT_MS", |text| {
        parse::number(text, 100..=60_000, "milliseconds")
    });
    let is_private_allowed = allow_private?;
    let reach = AddressPolicy {
        setting: "PUSH_ALLOW_PRIVATE",
        is_private_allowed,
        is_loopback_allowed: is_private_allowed,
    };
    let gateway_reach = AddressPolicy {
        is_loopback_allowed: is_private_allowed || !settings.is_production(),
        ..reach
    };
    let gateway = read_gateway(settings, gateway_reach)?;
    Some(PushSettings {
        subject: subject??,
        key: key?,
        reach,
        gateway_reach,
        timeout: Duration::from_millis(timeout?),
        gateway,
    })
}

/// Reads the gateway; the outer `None` comes with a fault.
fn read_gateway(
    settings: &mut PluginSettings<'_>,
    reach: AddressPolicy,
) -> Option<Option<Gateway>> {
    let url = settings.optional("PUSH_GATEWAY_URL", |text| {
        reach.check_url(text).map(|_| text.to_owned())
    })?;
    let secret = settings.optional("PUSH_GATEWAY_SECRET", Secret::strong)?;
    match (url, secret) {
        (None, _) => Some(None),
        (Some(_), None) => {
            settings.fault(
                "PUSH_GATEWAY_SECRET",
                "is required with PUSH_GATEWAY_URL; make one with: openssl rand -hex 32",
            );
            None
        }
        (Some(url), Some(secret)) => Some(Some(Gateway {
            url,
            key: Key::new(secret.expose_text()),
        })),
    }
}

/// Checks the contact of the operator as strictly as the strictest push service does.
fn subject(text: &str) -> Result<String, String> {
    const FORM: &str =
        "must be mailto: and an e-mail address, or an https:// URL, of a public domain";
    let is_public = |domain: &str| {
        domain.contains('.') && !domain.ends_with(".localhost") && !domain.ends_with('.')
    };
    let url = Url::parse(text).map_err(|_| FORM.to_owned())?;
    let is_valid = match url.scheme() {
        "mailto" => match url.path().rsplit_once('@') {
            Some((name, domain)) => !name.is_empty() && is_public(domain),
            None => false,
        },
        "https" => matches!(url.host(), Some(Host::Domain(domain)) if is_public(domain)),
        _ => false,
    };
    if is_valid && text.len() <= 200 {
        Ok(text.to_owned())
    } else {
        Err(FORM.to_owned())
    }
}

fn read_table(settings: &mut PluginSettings<'_>) -> Option<Table> {
    let table: Table = settings.table()?;
    let mut is_valid = true;
    for (name, value, range) in [
        ("digest_seconds", table.digest_seconds, 0..=300),
        ("max_age_seconds", table.max_age_seconds, 1..=86_400),
        ("large_conversation", table.large_conversation, 2..=10_000),
        ("keep_days", table.keep_days, 1..=365),
        ("push_ttl_seconds", table.push_ttl_seconds, 60..=2_419_200),
        ("push_concurrency", table.push_concurrency, 1..=1000),
    ] {
        if !range.contains(&value) {
            is_valid = false;
            let (least, most) = range.into_inner();
            settings.table_fault(format!(
                "{name} is {value}; it must be from {least} to {most}"
            ));
        }
    }
    is_valid.then_some(table)
}

#[cfg(test)]
mod tests {
    use super::subject;

    #[test]
    fn subjects_have_a_public_domain() {
        for text in ["mailto:ops@shop.example", "https://shop.example/contact"] {
            assert_eq!(subject(text), Ok(text.to_owned()));
        }
        for text in [
            "admin@x",
            "admin@shop.example",
            "mailto:x@localhost",
            "mailto:shop.example",
            "mailto:@shop.example",
            "http://shop.example",
            "https://localhost",
            "https://10.0.0.1/",
            "",
        ] {
            assert!(subject(text).is_err(), "{text}");
        }
    }
}

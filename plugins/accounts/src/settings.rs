//! Settings of the plugin.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use chat_sdk::{
    plugin::PluginSettings,
    settings::{Kind, Secret, Uri, Variable, parse},
};
use url::{Host, Url};

use crate::smtp;

/// Declarations of the variables.
pub const VARIABLES: &[Variable] = &[
    Variable::text("ACCOUNTS_PUBLIC_URL", None),
    Variable::uri("ACCOUNTS_MAIL_URL", Kind::Text),
    Variable::text("ACCOUNTS_MAIL_FROM", None),
    Variable::secret("ACCOUNTS_MAIL_SECRET"),
    Variable::number("ACCOUNTS_MAX_HASHES", "4"),
    Variable::number("ACCOUNTS_RATE_LIMIT", "60"),
    Variable::number("ACCOUNTS_MAX_FAILED_LOGINS", "10"),
    Variable::number("ACCOUNTS_REFRESH_GRACE_SECONDS", "10"),
];

/// Way in which e-mails leave the service.
#[derive(Debug, Clone)]
pub enum Mail {
    /// By SMTP, from this sender.
    Smtp {
        /// URL of the server, with its login.
        url: Uri,
        /// Sender of all e-mails.
        from: String,
    },
    /// By a signed request to the host, which sends the e-mail itself.
    Webhook {
        /// URL of the host.
        url: Uri,
        /// Key of the signatures.
        secret: Secret,
    },
}

/// All settings of the plugin, validated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ACCOUNTS_PUBLIC_URL`, required: beginning of all links in e-mails, without a trailing slash.
    pub public_url: String,
    /// `ACCOUNTS_MAIL_URL` and its companions; `None` if no e-mail is sent.
    pub mail: Option<Mail>,
    /// `ACCOUNTS_MAX_HASHES`: maximum number of password hashes that a process computes at once, 1-64; each takes 19 MiB.
    pub max_hashes: usize,
    /// `ACCOUNTS_RATE_LIMIT`: requests per minute and address to operations without a token, 1-100,000.
    pub rate_limit: NonZeroU32,
    /// `ACCOUNTS_MAX_FAILED_LOGINS`: failed logins of an account and an address in 15 minutes, 3-1000.
    pub max_failed_logins: i64,
    /// `ACCOUNTS_REFRESH_GRACE_SECONDS`: time in which a spent refresh token gets its successor again, 1-60.
    pub grace: Duration,
}

impl Settings {
    /// Reads and validates all settings; `None` comes with a fault.
    pub fn read(settings: &mut PluginSettings<'_>) -> Option<Self> {
        let is_production = settings.is_production();
        if !settings.can_issue_tokens() {
            let problem = "is required by the plugin accounts, which signs tokens with it; it cannot sign with a public key or a key set";
            settings.fault("AUTH_JWT_SECRET", problem);
        }
        let public_url = settings.read("ACCOUNTS_PUBLIC_URL", |text| {
            public_url(text, is_production)
        });
        let mail = mail(settings, is_production);
        let max_hashes = settings.read("ACCOUNTS_MAX_HASHES", |text| {
            parse::size(text, 1..=64, "hashes")
        });
        let rate_limit = settings.read("ACCOUNTS_RATE_LIMIT", |text| {
            parse::small(text, 1..=100_000, "requests")
        });
        let max_failed_logins = settings.read("ACCOUNTS_MAX_FAILED_LOGINS", |text| {
            parse::small(text, 3..=1000, "logins")
        });
        let grace = settings.read("ACCOUNTS_REFRESH_GRACE_SECONDS", |text| {
            parse::seconds(text, 1..=60)
        });
        Some(Self {
            public_url: public_url?,
            mail: mail?,
            max_hashes: max_hashes?,
            rate_limit: NonZeroU32::new(rate_limit?)?,
            max_failed_logins: i64::from(max_failed_logins?),
            grace: grace?,
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // The host of a scheme such as smtp is a name, also if it is an address.
        Some(Host::Domain(name)) => {
            let address = name.parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn public_url(text: &str, is_production: bool) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| "is not a URL; write https://shop.example")?;
    match url.scheme() {
        "https" => {}
        "http" if !is_production || is_loopback(&url) => {}
        _ => return Err("must start with https:// (http:// outside production)".to_owned()),
    }
    if url.host().is_none() || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must have a host, and neither a query nor a fragment; write https://shop.example"
                .to_owned(),
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Reads how e-mails leave; the outer `None` comes with a fault.
fn mail(settings: &mut PluginSettings<'_>, is_production: bool) -> Option<Option<Mail>> {
    let url = settings.optional("ACCOUNTS_MAIL_URL", |text| mail_url(text, is_production))?;
    let from = settings.optional("ACCOUNTS_MAIL_FROM", |text| {
        if smtp::is_sender(text) {
            return Ok(text.to_owned());
        }
        Err("is not an e-mail address; write Shop <no-reply@shop.example>".to_owned())
    })?;
    let secret = settings.optional("ACCOUNTS_MAIL_SECRET", Secret::strong)?;
    let Some(url) = url else {
        settings.warn(
            "ACCOUNTS_MAIL_URL",
            "is not set: no e-mail is sent, so addresses are not verified and passwords cannot be reset",
        );
        return Some(None);
    };
    if url.expose().starts_with("smtp") {
        if !smtp::IS_BUILT_IN {
            let problem = "names an SMTP server, but this program was built without SMTP (the feature smtp); use the https:// URL of the host";
            settings.fault("ACCOUNTS_MAIL_URL", problem);
            return None;
        }
        let Some(from) = from else {
            let problem = "is required with an SMTP server in ACCOUNTS_MAIL_URL; write Shop <no-reply@shop.example>";
            settings.fault("ACCOUNTS_MAIL_FROM", problem);
            return None;
        };
        return Some(Some(Mail::Smtp { url, from }));
    }
    let Some(secret) = secret else {
        let problem =
            "is required with a webhook in ACCOUNTS_MAIL_URL; make one with: openssl rand -hex 32";
        settings.fault("ACCOUNTS_MAIL_SECRET", problem);
        return None;
    };
    Some(Some(Mail::Webhook { url, secret }))
}

/// An e-mail holds a link that gives access to an account, so it must not travel in clear text beyond this machine.
fn mail_url(text: &str, is_production: bool) -> Result<Uri, String> {
    const FORM: &str = "is not a URL; write smtps://user:password@host or https://host/path";
    let url = Url::parse(text).map_err(|_| FORM)?;
    if url.host().is_none() {
        return Err(FORM.to_owned());
    }
    let is_encrypted = match url.scheme() {
        "https" | "smtps" => true,
        "smtp" => url
            .query_pairs()
            .any(|(key, value)| key == "tls" && value == "required"),
        "http" => false,
        _ => return Err("must start with smtps://, smtp:// or https://".to_owned()),
    };
    if is_encrypted || (is_loopback(&url) && !is_production) {
        return Ok(Uri::new(text));
    }
    Err(
        "must be encrypted: smtps://, smtp:// with ?tls=required, or https:// (others only on loopback, outside production)"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_begin_with_an_absolute_url_without_credentials() {
        for (text, is_production, expected) in [
            ("https://shop.example/", true, Some("https://shop.example")),
            (
                "https://shop.example/chat/",
                true,
                Some("https://shop.example/chat"),
            ),
            ("http://shop.example", false, Some("http://shop.example")),
            ("http://shop.example", true, None),
            ("http://127.0.0.1:8080", true, Some("http://127.0.0.1:8080")),
            ("shop.example", false, None),
            ("https://shop.example?x=1", false, None),
            ("https://ann:secret@shop.example", false, None),
            ("javascript:alert(1)", false, None),
        ] {
            assert_eq!(
                public_url(text, is_production).ok().as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn links_leave_the_machine_only_encrypted() {
        for (text, is_production, is_valid) in [
            ("smtps://a:b@mail.example", true, true),
            ("smtp://a:b@mail.example:587?tls=required", true, true),
            ("smtp://a:b@mail.example:587?tls=opportunistic", true, false),
            ("smtp://mail.example", false, false),
            ("smtp://127.0.0.1:2525", false, true),
            ("smtp://127.0.0.1:2525", true, false),
            ("https://shop.example/mail", true, true),
            ("http://shop.example/mail", false, false),
            ("http://127.0.0.1:9/mail", false, true),
            ("ftp://shop.example", false, false),
        ] {
            assert_eq!(mail_url(text, is_production).is_ok(), is_valid, "{text}");
        }
    }
}

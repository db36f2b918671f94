//! Sending of e-mails: by SMTP, or by a signed request to the host, which sends them itself.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use chat_sdk::{Timestamp, plugin::HostError, settings::Uri};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::{links::Purpose, settings::Mail, smtp::SmtpServer};

/// Maximum duration of one attempt.
const TIMEOUT: Duration = Duration::from_secs(15);

/// E-mail to send.
pub struct Letter {
    /// Id of the e-mail, the same in every attempt.
    pub id: String,
    /// Address of the recipient.
    pub to: String,
    /// Purpose, token and end of the link; `None` for the notice that the address has an account already.
    pub link: Option<(Purpose, String, Timestamp)>,
}

/// Sender of e-mails.
pub struct Mailer {
    public_url: String,
    transport: Transport,
}

enum Transport {
    Smtp(Box<SmtpServer>),
    Webhook(reqwest::Client, Uri, Vec<u8>),
}

fn unusable(problem: &str) -> HostError {
    HostError::Unavailable(format!("e-mails cannot be sent: {problem}"))
}

impl Mailer {
    /// Creates the sender of the settings. Links begin with `public_url`.
    ///
    /// # Errors
    /// Fails if the settings name a server that cannot be used.
    pub fn new(mail: &Mail, public_url: &str) -> Result<Self, HostError> {
        let transport = match mail {
            Mail::Smtp { url, from } => {
                let server = SmtpServer::new(url, from, TIMEOUT).map_err(unusable)?;
                Transport::Smtp(Box::new(server))
            }
            Mail::Webhook { url, secret } => {
                let client = reqwest::Client::builder()
                    .user_agent(concat!("chat-service-accounts/", env!("CARGO_PKG_VERSION")))
                    .timeout(TIMEOUT)
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
                    .map_err(|_| unusable("the HTTP client cannot be created"))?;
                Transport::Webhook(client, url.clone(), secret.expose().to_vec())
            }
        };
        Ok(Self {
            public_url: public_url.to_owned(),
            transport,
        })
    }

    /// Returns the link of an e-mail. The token is in the fragment, which browsers send to no server.
    fn link(&self, purpose: Purpose, token: &str) -> String {
        let page = match purpose {
            Purpose::Verify => "verify-email",
            Purpose::Reset => "reset-password",
        };
        format!("{}/{page}#token={token}", self.public_url)
    }

    /// Makes one attempt to send an e-mail.
    ///
    /// # Errors
    /// The reason, without content of the e-mail.
    pub async fn send(&self, letter: &Letter) -> Result<(), String> {
        let link = letter.link.as_ref();
        let link =
            link.map(|(purpose, token, until)| (*purpose, self.link(*purpose, token), *until));
        match &self.transport {
            Transport::Smtp(server) => {
                let (subject, text) = words(link.as_ref());
                server.send(&letter.id, &letter.to, subject, text).await
            }
            Transport::Webhook(client, url, secret) => {
                let body = json!({
                    "type": match link.as_ref().map(|(purpose, ..)| purpose) {
                        Some(Purpose::Verify) => "account.verification",
                        Some(Purpose::Reset) => "account.passwordReset",
                        None => "account.registeredAgain",
                    },
                    "email": letter.to,
                    "link": link.as_ref().map(|(_, link, _)| link),
                    "expiresAt": link.as_ref().map(|(.., until)| until),
                });
                let body = body.to_string();
                let seconds = (Timestamp::now().as_millis() / 1000).to_string();
                let request = client
                    .post(url.expose())
                    .header("content-type", "application/json")
                    .header("webhook-id", &letter.id)
                    .header("webhook-timestamp", &seconds)
                    .header(
                        "webhook-signature",
                        sign(secret, &letter.id, &seconds, &body),
                    );
                match request.body(body).send().await {
                    Ok(response) if response.status().is_success() => Ok(()),
                    Ok(response) => Err(format!("the host answered {}", response.status())),
                    Err(error) if error.is_timeout() => {
                        Err("the host did not answer in time".to_owned())
                    }
                    Err(_) => Err("the host could not be reached".to_owned()),
                }
            }
        }
    }
}

/// Returns the signature of Standard Webhooks.
fn sign(secret: &[u8], id: &str, seconds: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC accepts keys of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// Returns subject and text of an e-mail.
fn words(link: Option<&(Purpose, String, Timestamp)>) -> (&'static str, String) {
    match link {
        Some((Purpose::Verify, link, _)) => (
            "Confirm your e-mail address",
            format!(
                "Somebody registered an account with this e-mail address. If it was you, confirm the address within 24 hours:\r\n\r\n{link}\r\n\r\n\
                 The page asks for the password of the registration. If it was not you, ignore this e-mail.\r\n"
            ),
        ),
        Some((Purpose::Reset, link, _)) => (
            "Set a new password",
            format!(
                "Somebody asked for a new password for the account with this e-mail address. If it was you, set it within an hour:\r\n\r\n{link}\r\n\r\n\
                 If it was not you, ignore this e-mail; the password stays as it is.\r\n"
            ),
        ),
        None => (
            "You have an account already",
            "Somebody tried to register an account with this e-mail address, which has one already. If it was you, log in, or ask for a new password. \
             If it was not you, ignore this e-mail; nothing has changed.\r\n"
                .to_owned(),
        ),
    }
}

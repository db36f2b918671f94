//! Secrets and signatures of requests to the host: webhooks and others in their form.
//!
//! Each request has two kinds of signatures. `webhook-signature` of Standard Webhooks signs `id.timestamp.body` with the decoded bytes of a `whsec_` secret;
//! `X-Webhook-Signature` signs the body with the text of the whole secret. For a secret of another form both use its text.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Timestamp;

/// Prefix of generated secrets.
pub const PREFIX: &str = "whsec_";

/// Names of a signed request: what the headers of webhooks say beside the signatures.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Id of the event; repetitions have the same id.
    pub id: &'a str,
    /// Type of the event.
    pub kind: &'a str,
    /// Time of the attempt.
    pub at: Timestamp,
}

/// A secret in the form that signing needs. Its `Debug` output hides it.
#[derive(Clone)]
pub struct Key {
    text: Vec<u8>,
    decoded: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Generates a secret: `whsec_` and base64 of 32 random bytes.
pub fn new_secret() -> String {
    format!(
        "{PREFIX}{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 32]>())
    )
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

impl Key {
    /// Creates the key of a secret.
    pub fn new(secret: &str) -> Self {
        let decoded = secret
            .strip_prefix(PREFIX)
            .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
            .unwrap_or_else(|| secret.as_bytes().to_vec());
        Self {
            text: secret.as_bytes().to_vec(),
            decoded,
        }
    }

    /// Returns the value of `X-Webhook-Signature`.
    pub fn sign_body(&self, body: &[u8]) -> String {
        use std::fmt::Write;
        let mut header = String::from("sha256=");
        for byte in mac(&self.text, &[body]) {
            let _ = write!(header, "{byte:02x}");
        }
        header
    }

    /// Returns one signature of `webhook-signature`.
    fn sign_standard(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        format!("v1,{}", BASE64_STANDARD.encode(mac(&self.decoded, &parts)))
    }
}

/// Keys of a receiver. After a rotation the previous key signs too for a while.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Key of the current secret.
    pub newest: Key,
    /// Key of the previous secret, while it is still valid.
    pub previous: Option<Key>,
}

impl Keys {
    /// Returns the value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut header = self.newest.sign_standard(id, timestamp, body);
        if let Some(previous) = &self.previous {
            header.push(' ');
            header.push_str(&previous.sign_standard(id, timestamp, body));
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_matches_the_standard_webhooks_vector() {
        // Test vector of the specification.
        let key = Key::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let keys = Keys {
            newest: key,
            previous: None,
        };
        assert_eq!(
            keys.sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn secrets_are_random_and_long() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one, other);
        assert_eq!(Key::new(&one).decoded.len(), 32);
        assert_eq!(Key::new(&one).text, one.as_bytes());
        let plain = Key::new("a secret of another form");
        assert_eq!(plain.text, plain.decoded);
        assert!(!format!("{plain:?}").contains("secret"));
    }

    #[test]
    fn both_keys_sign_while_a_secret_is_rotated() {
        let keys = Keys {
            newest: Key::new(&new_secret()),
            previous: Some(Key::new(&new_secret())),
        };
        let header = keys.sign("evt_1", 1, b"{}");
        let signatures: Vec<&str> = header.split(' ').collect();
        assert_eq!(signatures.len(), 2);
        assert_eq!(signatures[0], keys.newest.sign_standard("evt_1", 1, b"{}"));
        assert_ne!(signatures[0], signatures[1]);
    }
}

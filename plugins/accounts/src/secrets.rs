//! Random secrets of clients, and the forms in which the plugin stores and compares them.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Returns 256 random bits as text: 43 characters of URL-safe base64.
pub fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Returns the SHA-256 of a secret as hexadecimal text. A secret of 256 random bits needs no slow hash.
pub fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Returns the secret that follows `secret` with the stored `seed`.
///
/// It is derived and not stored, so that it can be returned again to a client that lost the answer. Neither a stolen database nor a stolen secret alone gives it.
pub fn successor(seed: &str, secret: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(seed.as_bytes()).expect("HMAC accepts keys of any length");
    mac.update(secret.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Returns bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns a new id with a prefix.
pub fn new_id(prefix: &str) -> String {
    format!(
        "{prefix}{}",
        ulid::Ulid::generate().to_string().to_ascii_lowercase()
    )
}

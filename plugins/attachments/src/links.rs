//! Signed links to the bytes of files. A link proves that its holder was allowed to read the file a few minutes ago. This module knows no users.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::settings::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{access::PATH, files};

/// Bytes that a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The file.
    File,
    /// The thumbnail of a picture.
    Thumbnail,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::File => "content",
            Self::Thumbnail => "thumbnail",
        }
    }
}

/// Signer of links.
pub struct Links {
    secret: Secret,
    seconds: u32,
}

impl Links {
    /// Signs with `secret`; a link is valid for `seconds`.
    pub fn new(secret: Secret, seconds: u32) -> Self {
        Self { secret, seconds }
    }

    /// Returns the time at which a link of now expires, in seconds since 1970.
    pub fn expiry(&self) -> i64 {
        files::now() / 1000 + i64::from(self.seconds)
    }

    fn signature(&self, id: &str, variant: Variant, expires: i64) -> String {
        let text = format!("attachment\n{id}\n{}\n{expires}", variant.name());
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.expose());
        let mut mac = mac.expect("HMAC accepts keys of any length");
        mac.update(text.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Returns a link that is valid until `expires`.
    pub fn sign(&self, id: &str, variant: Variant, expires: i64) -> String {
        let signature = self.signature(id, variant, expires);
        let name = variant.name();
        format!("{PATH}{id}/{name}?expires={expires}&signature={signature}")
    }

    /// Returns the number of seconds for which a link is still valid; `None` if it is not.
    pub fn check(&self, id: &str, variant: Variant, expires: i64, signature: &str) -> Option<i64> {
        let expected = self.signature(id, variant, expires);
        let is_ours: bool = expected.as_bytes().ct_eq(signature.as_bytes()).into();
        let rest = expires - files::now() / 1000;
        (is_ours && rest > 0).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_valid_for_its_own_file_variant_and_time() {
        let links = Links::new(Secret::new("3f1c9a7e5b2d4860f1e2d3c4b5a69788"), 60);
        let expires = links.expiry();
        let url = links.sign("att_a", Variant::File, expires);
        let signature = url.split("signature=").nth(1).expect("a signature");
        let check = |id, variant, expires| links.check(id, variant, expires, signature).is_some();
        assert!(check("att_a", Variant::File, expires));
        assert!(!check("att_b", Variant::File, expires));
        assert!(!check("att_a", Variant::Thumbnail, expires));
        assert!(!check("att_a", Variant::File, expires + 1));
        let past = files::now() / 1000 - 1;
        let url = links.sign("att_a", Variant::File, past);
        let signature = url.split("signature=").nth(1).expect("a signature");
        assert!(
            links
                .check("att_a", Variant::File, past, signature)
                .is_none()
        );
    }
}

//! The host's backend shows a shared secret instead of a token.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether `given` is the configured secret, in a time that tells nothing about either.
///
/// Digests are compared, because comparing the texts themselves would show whether their lengths agree.
/// An empty configured secret matches nothing.
pub fn internal_secret_matches(config_secret: &[u8], given: &[u8]) -> bool {
    let (expected, given) = (Sha256::digest(config_secret), Sha256::digest(given));
    bool::from(expected.as_slice().ct_eq(given.as_slice())) && !config_secret.is_empty()
}

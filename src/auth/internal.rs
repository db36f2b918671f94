//! Internal secret: the host's backend sends it instead of a token.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// True if `given` is the configured secret, compared in a time that reveals nothing about either.
///
/// Digests are compared, because comparing the texts themselves would reveal whether their lengths are equal. An empty configured secret matches
/// nothing.
pub fn internal_secret_matches(config_secret: &[u8], given: &[u8]) -> bool {
    let (expected, given) = (Sha256::digest(config_secret), Sha256::digest(given));
    bool::from(expected.as_slice().ct_eq(given.as_slice())) && !config_secret.is_empty()
}

//! Ids of the plugin. Those with a cause are derived from it, so that repeated work makes nothing twice.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::UserId;
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// Prefix of the ids of batches.
pub const BATCH: &str = "ntb_";
/// Prefix of the ids of notifications.
pub const NOTIFICATION: &str = "ntf_";
/// Prefix of the ids of subscriptions.
pub const SUBSCRIPTION: &str = "psh_";
/// Number of random bits at the end of a ULID.
const RANDOM_BITS: u32 = 80;

fn text(prefix: &str, ulid: Ulid) -> String {
    format!("{prefix}{}", ulid.to_string().to_ascii_lowercase())
}

/// Returns the hash of `parts`; their boundaries count.
pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Returns `hash` as text.
pub fn hash_text(parts: &[&[u8]]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash(parts))
}

/// Returns the number that the first 16 bytes of a hash hold.
fn number(parts: &[&[u8]]) -> u128 {
    let hash = hash(parts);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(bytes)
}

/// Returns a new id of a batch; ids sort by the time of their creation.
pub fn new_batch() -> String {
    text(BATCH, Ulid::generate())
}

/// Returns the id of the notification of `user` in a batch. It has the time of the batch, so that a user's notifications sort by time.
pub fn notification(batch: &str, user: &UserId) -> String {
    let suffix = batch.trim_start_matches(BATCH).to_ascii_uppercase();
    let time = Ulid::from_string(&suffix).map_or(0, |ulid| ulid.0 >> RANDOM_BITS);
    let low = number(&[batch.as_bytes(), user.as_str().as_bytes()]) & ((1 << RANDOM_BITS) - 1);
    text(NOTIFICATION, Ulid(time << RANDOM_BITS | low))
}

/// Returns the id of the subscription with this address (an endpoint, or a platform and a token).
pub fn subscription(address: &str) -> String {
    // The highest bits of a ULID must not exceed its 128 bits as text, which they never do.
    text(SUBSCRIPTION, Ulid(number(&[address.as_bytes()])))
}

/// Returns the 26 characters of an event's id for its cause.
pub fn event_suffix(cause: &[&str]) -> String {
    let parts: Vec<&[u8]> = cause.iter().map(|part| part.as_bytes()).collect();
    text("", Ulid(number(&parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_batch_differ_by_user_and_keep_its_time() {
        let batch = new_batch();
        let of = |user: &str| notification(&batch, &user.parse().expect("an id"));
        assert_eq!(of("alice"), of("alice"));
        assert_ne!(of("alice"), of("bob"));
        assert_eq!(of("alice")[4..14], batch[4..14]);
        assert_eq!(of("alice").len(), NOTIFICATION.len() + 26);
    }

    #[test]
    fn boundaries_of_hashed_parts_count() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_eq!(event_suffix(&["a", "b"]).len(), 26);
    }
}

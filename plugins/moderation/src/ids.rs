//! Ids of the plugin. Those with a cause are derived from it, so that repeated work makes nothing twice.

use chat_sdk::{ConversationId, UserId};
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// Prefix of the ids of restrictions.
pub const RESTRICTION: &str = "rst_";
/// Prefix of the ids of reports.
pub const REPORT: &str = "rep_";
/// Prefix of the ids of decisions.
pub const DECISION: &str = "dec_";

fn text(prefix: &str, ulid: Ulid) -> String {
    format!("{prefix}{}", ulid.to_string().to_ascii_lowercase())
}

/// Returns a new id; ids with one prefix sort by the time of their creation.
pub fn new(prefix: &str) -> String {
    text(prefix, Ulid::generate())
}

/// Returns the id of the restriction of this kind for this user and conversation.
pub fn restriction(
    kind: &str,
    user: Option<&UserId>,
    conversation: Option<&ConversationId>,
) -> String {
    let mut digest = Sha256::new();
    let parts = [
        kind,
        user.map_or("", UserId::as_str),
        conversation.map_or("", ConversationId::as_str),
    ];
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let hash: [u8; 32] = digest.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    text(RESTRICTION, Ulid(u128::from_be_bytes(bytes)))
}

/// Returns true if `text` has the form of an id with this prefix.
pub fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == 26
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrictions_of_one_target_have_one_id() {
        let user: UserId = "alice".parse().expect("an id");
        let one = restriction("mute", Some(&user), None);
        assert_eq!(one, restriction("mute", Some(&user), None));
        assert_ne!(one, restriction("ban", Some(&user), None));
        assert!(is_id(&one, RESTRICTION) && is_id(&new(REPORT), REPORT));
        assert!(!is_id("rep_x", REPORT) && !is_id("rst_$", RESTRICTION));
    }
}

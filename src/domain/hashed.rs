//! Ids that follow from something, so that whoever makes them makes the same.

use chat_sdk::{ConversationId, EventId, MessageId, ScheduledId, UserId};
use ring::hmac;
use sha2::{Digest, Sha256};

/// The characters of ids, in the order of their values.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The 26 characters that belong to two texts, in this order.
fn suffix(first: &str, second: &str) -> String {
    let mut digest = Sha256::new();
    // With its length, so that nothing can pass from one text to the other.
    digest.update((first.len() as u64).to_le_bytes());
    digest.update(first);
    digest.update(second);
    characters(&digest.finalize())
}

/// 26 characters of 5 bits: the first 130 bits of `digest`.
fn characters(digest: &[u8]) -> String {
    (0..26)
        .map(|index| {
            let bit = index * 5;
            let pair = u16::from_be_bytes([digest[bit / 8], digest[bit / 8 + 1]]);
            ALPHABET[usize::from((pair >> (11 - bit % 8)) & 31)] as char
        })
        .collect()
}

/// The key of the ids of direct conversations: a secret of the deployment, made once and kept in its database.
///
/// Without it anybody could compute the id of two users' conversation, and recognise it wherever an id is shown. It is no secret of the configuration,
/// because those are rotated, and a direct conversation is found by its id alone.
#[derive(Debug, Clone)]
pub struct PairKey(hmac::Key);

/// A user and the incarnation of their id: see [`super::state::UserFields::incarnation`].
pub type Incarnation<'a> = (&'a UserId, u64);

impl PairKey {
    /// The key of these bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The id of the direct conversation of two users, whoever comes first.
    pub fn direct_id(&self, one: Incarnation<'_>, other: Incarnation<'_>) -> ConversationId {
        let mut context = hmac::Context::with_key(&self.0);
        for (user, incarnation) in [one.min(other), one.max(other)] {
            // With its length, so that nothing can pass from one id to the other.
            context.update(&(user.as_str().len() as u64).to_le_bytes());
            context.update(user.as_str().as_bytes());
            context.update(&incarnation.to_le_bytes());
        }
        conversation(&characters(context.sign().as_ref()))
    }
}

/// The id that an earlier version gave the direct conversation of two users: without a key.
pub fn former_direct_id(one: &UserId, other: &UserId) -> ConversationId {
    conversation(&suffix(one.min(other).as_str(), one.max(other).as_str()))
}

fn conversation(suffix: &str) -> ConversationId {
    ConversationId::from_hash(suffix).expect("26 characters of the alphabet are an id")
}

fn event(kind: &str, cause: &str) -> EventId {
    EventId::from_hash(&suffix(kind, cause)).expect("26 characters of the alphabet are an id")
}

/// The event of sending what was scheduled: the same however often it is tried, so that it is sent once.
pub fn sending_of(scheduled: &ScheduledId) -> EventId {
    event("scheduled", scheduled.as_str())
}

/// The event of a message's end, whether its own time or its conversation's is over.
pub fn expiry_of(message: &MessageId) -> EventId {
    event("expired", message.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_direct_conversation_under_each_key_and_incarnation() {
        let [a, b, ab, bx, x]: [UserId; 5] =
            ["a", "b", "ab", "bx", "x"].map(|id| id.parse().expect("an id"));
        let key = PairKey::new(&[7; 32]);
        let id = key.direct_id((&a, 0), (&b, 0));
        assert_eq!(id, key.direct_id((&b, 0), (&a, 0)));
        assert_ne!(id, key.direct_id((&a, 0), (&x, 0)));
        assert_ne!(
            id,
            key.direct_id((&a, 5), (&b, 0)),
            "another holder of the id"
        );
        assert_ne!(id, PairKey::new(&[8; 32]).direct_id((&a, 0), (&b, 0)));
        assert_ne!(id, former_direct_id(&a, &b));
        assert_ne!(
            key.direct_id((&ab, 0), (&x, 0)),
            key.direct_id((&a, 0), (&bx, 0))
        );
        assert_eq!(former_direct_id(&a, &b), former_direct_id(&b, &a));
        assert_ne!(former_direct_id(&ab, &x), former_direct_id(&a, &bx));
    }

    #[test]
    fn a_cause_has_one_event_and_no_other_cause_has_it() {
        let scheduled = ScheduledId::generate();
        assert_eq!(sending_of(&scheduled), sending_of(&scheduled.clone()));
        assert_ne!(sending_of(&scheduled), sending_of(&ScheduledId::generate()));
        let message = MessageId::generate();
        assert_ne!(expiry_of(&message), message.to_event_id());
        assert_ne!(suffix("a", "bc"), suffix("ab", "c"));
    }
}

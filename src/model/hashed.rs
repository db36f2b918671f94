//! Ids derived from other data, so that every process derives the same one.

use chat_sdk::{ConversationId, EventId, MessageId, ScheduledId, UserId};
use ring::hmac;
use sha2::{Digest, Sha256};

/// Characters of ids, ordered by value.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Returns 26 characters derived from two texts, in this order.
fn suffix(first: &str, second: &str) -> String {
    let mut digest = Sha256::new();
    // The length goes in too, so that no character can move from one text to the other.
    digest.update((first.len() as u64).to_le_bytes());
    digest.update(first);
    digest.update(second);
    characters(&digest.finalize())
}

/// Returns 26 characters of 5 bits each: the first 130 bits of `digest`.
fn characters(digest: &[u8]) -> String {
    (0..26)
        .map(|index| {
            let bit = index * 5;
            let pair = u16::from_be_bytes([digest[bit / 8], digest[bit / 8 + 1]]);
            ALPHABET[usize::from((pair >> (11 - bit % 8)) & 31)] as char
        })
        .collect()
}

/// Key of the ids of direct conversations.
///
/// It is a secret of the deployment, generated once and kept in its database.
///
/// Without it anybody could compute the id of two users' conversation, and recognise it wherever an id is shown. It is not a secret of the
/// configuration: those are rotated, and a direct conversation is found by its id alone.
#[derive(Debug, Clone)]
pub struct PairKey(hmac::Key);

/// A user id and its incarnation: see [`super::state::UserFields::incarnation`].
pub type Incarnation<'a> = (&'a UserId, u64);

impl PairKey {
    /// Returns the key with these bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns the id of the direct conversation of two users, in either order.
    pub fn direct_id(&self, one: Incarnation<'_>, other: Incarnation<'_>) -> ConversationId {
        let mut context = hmac::Context::with_key(&self.0);
        for (user, incarnation) in [one.min(other), one.max(other)] {
            // The length goes in too, so that no character can move from one id to the other.
            context.update(&(user.as_str().len() as u64).to_le_bytes());
            context.update(user.as_str().as_bytes());
            context.update(&incarnation.to_le_bytes());
        }
        conversation(&characters(context.sign().as_ref()))
    }
}

/// Returns the id that an earlier version, which had no key, gave the direct conversation of two users.
pub fn former_direct_id(one: &UserId, other: &UserId) -> ConversationId {
    conversation(&suffix(one.min(other).as_str(), one.max(other).as_str()))
}

fn conversation(suffix: &str) -> ConversationId {
    ConversationId::from_hash(suffix).expect("26 characters of the alphabet are an id")
}

fn event(kind: &str, cause: &str) -> EventId {
    EventId::from_hash(&suffix(kind, cause)).expect("26 characters of the alphabet are an id")
}

/// Returns the id of the event that sends a scheduled message.
///
/// It is the same for every attempt, so that the message is sent once.
pub fn sending_of(scheduled: &ScheduledId) -> EventId {
    event("scheduled", scheduled.as_str())
}

/// Returns the id of the event by which a message expires, for either cause.
///
/// The cause is the message's own lifetime or its conversation's retention.
pub fn expiry_of(message: &MessageId) -> EventId {
    event("expired", message.as_str())
}

/// Returns the id of the event that the plugin `plugin` publishes in the log of `owner` for the cause `key`.
pub fn published_by(plugin: &str, owner: &str, key: &str) -> EventId {
    // The lengths go in too, so that no character can move from one text to another.
    let cause = format!("{}:{owner}{key}", owner.len());
    event(&format!("plugin {plugin}"), &cause)
}

/// Returns the key under which the verdict about a send is stored: by conversation, sender and `clientMessageId`.
pub fn verdict_of_send(
    conversation: &ConversationId,
    sender: &UserId,
    client_message_id: &str,
) -> String {
    let sender = suffix(conversation.as_str(), sender.as_str());
    suffix(&sender, client_message_id)
}

/// Returns the key under which the verdict about a scheduled message is stored.
pub fn verdict_of_scheduled(scheduled: &ScheduledId) -> String {
    suffix("scheduled", scheduled.as_str())
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
    fn each_cause_has_one_event_id_of_its_own() {
        let scheduled = ScheduledId::generate();
        assert_eq!(sending_of(&scheduled), sending_of(&scheduled.clone()));
        assert_ne!(sending_of(&scheduled), sending_of(&ScheduledId::generate()));
        let message = MessageId::generate();
        assert_ne!(expiry_of(&message), message.to_event_id());
        assert_ne!(suffix("a", "bc"), suffix("ab", "c"));
    }
}

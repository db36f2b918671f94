//! Ids that follow from something, so that whoever makes them makes the same.

use chat_sdk::{EventId, MessageId, ScheduledId};
use sha2::{Digest, Sha256};

/// The characters of ids, in the order of their values.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The 26 characters that belong to two texts, in this order.
pub(super) fn suffix(first: &str, second: &str) -> String {
    let mut digest = Sha256::new();
    // With its length, so that nothing can pass from one text to the other.
    digest.update((first.len() as u64).to_le_bytes());
    digest.update(first);
    digest.update(second);
    let digest = digest.finalize();
    // 26 characters of 5 bits: 130 bits of the digest.
    (0..26)
        .map(|index| {
            let bit = index * 5;
            let pair = u16::from_be_bytes([digest[bit / 8], digest[bit / 8 + 1]]);
            ALPHABET[usize::from((pair >> (11 - bit % 8)) & 31)] as char
        })
        .collect()
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
    fn a_cause_has_one_event_and_no_other_cause_has_it() {
        let scheduled = ScheduledId::generate();
        assert_eq!(sending_of(&scheduled), sending_of(&scheduled.clone()));
        assert_ne!(sending_of(&scheduled), sending_of(&ScheduledId::generate()));
        let message = MessageId::generate();
        assert_ne!(expiry_of(&message), message.to_event_id());
        assert_ne!(suffix("a", "bc"), suffix("ab", "c"));
    }
}

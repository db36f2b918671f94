//! Which users exist and which of their tokens count, as far as this process has seen: spares the hot path a look-up.
//!
//! That a user exists says nothing about their tokens. So both facts come from one read of the user's document, whatever the read was for: a request
//! that names a user must not make a revoked token count again.

use std::collections::HashMap;

use chat_sdk::{EventType, Timestamp, UserId};
use parking_lot::Mutex;
use serde::Deserialize;

/// How many users are remembered; then the memory starts anew.
const CAPACITY: usize = 200_000;

/// The parts of a user's document that are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserFacts {
    /// Tokens issued before are refused (milliseconds since 1970); 0 if none was revoked.
    pub tokens_valid_from: i64,
    /// Which holder of the id this is; see [`super::state::UserFields::incarnation`].
    pub incarnation: u64,
    /// When the document was written (milliseconds since 1970).
    pub updated_at: i64,
}

/// What is known of one user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    exists: bool,
    /// Tokens issued before are refused (milliseconds since 1970).
    tokens_valid_from: i64,
    incarnation: u64,
    /// When the user was deleted last (milliseconds since 1970); 0 for never. What was read of an earlier state does not count.
    deleted_at: i64,
}

/// A bounded memory of users. The stream tells it of deletions and revoked tokens, so that it need not be asked for.
#[derive(Debug, Default)]
pub struct KnownUsers(Mutex<HashMap<UserId, Known>>);

impl KnownUsers {
    /// Whether `user` is remembered as one who exists.
    pub fn contains(&self, user: &UserId) -> bool {
        self.0.lock().get(user).is_some_and(|known| known.exists)
    }

    /// Which holder of the id `user` is, if they are remembered as one who exists.
    pub fn incarnation(&self, user: &UserId) -> Option<u64> {
        let users = self.0.lock();
        let known = users.get(user).filter(|known| known.exists)?;
        Some(known.incarnation)
    }

    /// Whether a token of `user` counts that was issued at `issued_at` (seconds since 1970); `None` when nothing is remembered of the user.
    ///
    /// Once tokens of a user were revoked, one that does not say when it was issued counts no more, and one of the same second as before it.
    pub fn accepts(&self, user: &UserId, issued_at: Option<i64>) -> Option<bool> {
        let users = self.0.lock();
        let known = users.get(user).filter(|known| known.exists)?;
        Some(is_valid(issued_at, known.tokens_valid_from))
    }

    /// Whether something that is remembered speaks against a token of `user` that was issued at `issued_at`.
    pub fn refuses(&self, user: &UserId, issued_at: Option<i64>) -> bool {
        let users = self.0.lock();
        users.get(user).is_some_and(|known| {
            let is_deleted = known.deleted_at > 0 && !known.exists;
            is_deleted || !is_valid(issued_at, known.tokens_valid_from)
        })
    }

    /// Remembers what the document of `user`, who exists, said.
    pub fn learn(&self, user: UserId, facts: UserFacts) {
        self.change(user, |known| {
            known.exists |= facts.updated_at >= known.deleted_at;
            known.incarnation = known.incarnation.max(facts.incarnation);
            known.tokens_valid_from = known.tokens_valid_from.max(facts.tokens_valid_from);
        });
    }

    /// Remembers that tokens of `user` from before `valid_from` (milliseconds since 1970) count no more.
    pub fn revoke(&self, user: &UserId, valid_from: i64) {
        self.change(user.clone(), |known| {
            known.tokens_valid_from = known.tokens_valid_from.max(valid_from);
        });
    }

    /// Remembers that `user` was deleted at `at` (milliseconds since 1970).
    pub fn forget(&self, user: &UserId, at: i64) {
        self.change(user.clone(), |known| {
            // The stream may tell of it again, long after the host made the user anew.
            if at > known.deleted_at {
                known.exists = false;
                known.deleted_at = at;
                known.tokens_valid_from = known.tokens_valid_from.max(at);
            }
        });
    }

    fn change(&self, user: UserId, change: impl FnOnce(&mut Known)) {
        let mut users = self.0.lock();
        if users.len() >= CAPACITY && !users.contains_key(&user) {
            users.clear();
        }
        change(users.entry(user).or_default());
    }
}

/// Whether a token counts that was issued at `issued_at` (seconds since 1970) where earlier ones than `valid_from` (milliseconds) are refused.
pub fn is_valid(issued_at: Option<i64>, valid_from: i64) -> bool {
    valid_from == 0 || issued_at.is_some_and(|at| at.saturating_mul(1000) >= valid_from)
}

/// From when on tokens count, as an event of a user's log says (milliseconds since 1970); `None` for an event that says nothing of it.
pub fn revoked_by(kind: EventType, payload: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        tokens_valid_from: Option<Timestamp>,
        timestamp: Timestamp,
    }
    if !matches!(kind, EventType::UserDeleted | EventType::UserDisconnected) {
        return None;
    }
    let data = serde_json::from_slice::<Envelope>(payload).ok()?.data;
    Some(data.tokens_valid_from.unwrap_or(data.timestamp).as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_an_event_does_not_undo_it() {
        let users = KnownUsers::default();
        let alice: UserId = "alice".parse().expect("an id");
        let facts = |updated_at| UserFacts {
            tokens_valid_from: 0,
            incarnation: 0,
            updated_at,
        };
        assert_eq!(users.accepts(&alice, None), None);
        users.revoke(&alice, 5_500);
        users.learn(alice.clone(), facts(1_000));
        assert_eq!(users.accepts(&alice, Some(5)), Some(false), "same second");
        assert_eq!(users.accepts(&alice, Some(6)), Some(true));
        assert_eq!(users.accepts(&alice, None), Some(false));
        users.forget(&alice, 7_000);
        users.learn(alice.clone(), facts(6_000));
        assert!(!users.contains(&alice), "the document was an older one");
        users.learn(alice.clone(), facts(8_000));
        users.forget(&alice, 7_000);
        assert!(users.contains(&alice), "the event came a second time");
        assert!(users.refuses(&alice, Some(6)) && !users.refuses(&alice, Some(7)));
    }
}

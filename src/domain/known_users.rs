//! Which users exist and which of their tokens count, as far as this process has seen: spares the hot path a look-up.

use std::collections::HashMap;

use chat_sdk::{EventType, Timestamp, UserId};
use parking_lot::Mutex;
use serde::Deserialize;

/// How many users are remembered; then the memory starts anew.
const CAPACITY: usize = 200_000;

/// What is known of one user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    exists: bool,
    /// Tokens issued before are refused (milliseconds since 1970).
    tokens_valid_from: i64,
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

    /// Remembers `user`, who exists.
    pub fn insert(&self, user: UserId) {
        self.learn(user, 0, i64::MAX);
    }

    /// Remembers what a document said of `user`, who exists, and which was written at `updated_at` (milliseconds since 1970).
    pub fn learn(&self, user: UserId, tokens_valid_from: i64, updated_at: i64) {
        let mut users = self.0.lock();
        if users.len() >= CAPACITY {
            users.clear();
        }
        let known = users.entry(user).or_default();
        known.exists |= updated_at >= known.deleted_at;
        known.tokens_valid_from = known.tokens_valid_from.max(tokens_valid_from);
    }

    /// Remembers that tokens of `user` from before `valid_from` (milliseconds since 1970) count no more.
    pub fn revoke(&self, user: &UserId, valid_from: i64) {
        let mut users = self.0.lock();
        let known = users.entry(user.clone()).or_default();
        known.tokens_valid_from = known.tokens_valid_from.max(valid_from);
    }

    /// Remembers that `user` was deleted at `at` (milliseconds since 1970).
    pub fn forget(&self, user: &UserId, at: i64) {
        let mut users = self.0.lock();
        let known = users.entry(user.clone()).or_default();
        // The stream may tell of it again, long after the host made the user anew.
        if at > known.deleted_at {
            known.exists = false;
            known.deleted_at = at;
            known.tokens_valid_from = known.tokens_valid_from.max(at);
        }
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
        assert_eq!(users.accepts(&alice, None), None);
        users.revoke(&alice, 5_500);
        users.learn(alice.clone(), 0, 1_000);
        assert_eq!(users.accepts(&alice, Some(5)), Some(false), "same second");
        assert_eq!(users.accepts(&alice, Some(6)), Some(true));
        assert_eq!(users.accepts(&alice, None), Some(false));
        users.forget(&alice, 7_000);
        users.learn(alice.clone(), 0, 6_000);
        assert!(!users.contains(&alice), "the document was an older one");
        users.learn(alice.clone(), 0, 8_000);
        users.forget(&alice, 7_000);
        assert!(users.contains(&alice), "the event came a second time");
        assert!(users.refuses(&alice, Some(6)) && !users.refuses(&alice, Some(7)));
    }
}

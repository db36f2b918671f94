//! Cache of users that exist and of the time from which their tokens are valid. Spares the hot path a query.
//!
//! The existence of a user says nothing about their tokens. Both facts therefore come from one read of the user's document, whatever the read was
//! for: a request that names a user must not make a revoked token valid again.

use std::collections::HashMap;

use chat_sdk::{EventType, Timestamp, UserId};
use parking_lot::Mutex;
use serde::Deserialize;

/// Maximum number of cached users; the cache is cleared when it is full.
const CAPACITY: usize = 200_000;

/// Facts of a user's document that are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserFacts {
    /// Tokens issued before this time are refused (milliseconds since 1970); 0 if none was revoked.
    pub tokens_valid_from: i64,
    /// Incarnation of the id's present holder; see [`super::state::UserFields::incarnation`].
    pub incarnation: u64,
    /// Time at which the document was written (milliseconds since 1970).
    pub updated_at: i64,
}

/// Cached facts of one user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    exists: bool,
    /// Tokens issued before this time are refused (milliseconds since 1970).
    tokens_valid_from: i64,
    incarnation: u64,
    /// Time of the user's last deletion (milliseconds since 1970); 0 if never deleted.
    ///
    /// An older document is ignored.
    deleted_at: i64,
}

/// Bounded cache of users.
///
/// The stream updates it on deletions and revocations, so it need not query for them.
#[derive(Debug, Default)]
pub struct KnownUsers(Mutex<HashMap<UserId, Known>>);

impl KnownUsers {
    /// Returns true if `user` is cached as an existing user.
    pub fn contains(&self, user: &UserId) -> bool {
        self.0.lock().get(user).is_some_and(|known| known.exists)
    }

    /// Returns the incarnation of `user` if the user is cached as existing.
    pub fn incarnation(&self, user: &UserId) -> Option<u64> {
        let users = self.0.lock();
        let known = users.get(user).filter(|known| known.exists)?;
        Some(known.incarnation)
    }

    /// Returns true if a token of `user` that was issued at `issued_at` (seconds since 1970) is valid.
    ///
    /// Returns `None` if nothing is cached for the user.
    ///
    /// Once tokens of a user were revoked, a token without an issue time is invalid, and so is one issued in the same second before the revocation.
    pub fn accepts(&self, user: &UserId, issued_at: Option<i64>) -> Option<bool> {
        let users = self.0.lock();
        let known = users.get(user).filter(|known| known.exists)?;
        Some(is_valid(issued_at, known.tokens_valid_from))
    }

    /// Returns true if a cached fact invalidates a token of `user` that was issued at `issued_at`.
    pub fn refuses(&self, user: &UserId, issued_at: Option<i64>) -> bool {
        let users = self.0.lock();
        users.get(user).is_some_and(|known| {
            let is_deleted = known.deleted_at > 0 && !known.exists;
            is_deleted || !is_valid(issued_at, known.tokens_valid_from)
        })
    }

    /// Caches the facts read from the document of `user`, who exists.
    pub fn learn(&self, user: UserId, facts: UserFacts) {
        self.change(user, |known| {
            known.exists |= facts.updated_at >= known.deleted_at;
            known.incarnation = known.incarnation.max(facts.incarnation);
            known.tokens_valid_from = known.tokens_valid_from.max(facts.tokens_valid_from);
        });
    }

    /// Caches that tokens of `user` issued before `valid_from` (milliseconds since 1970) are revoked.
    pub fn revoke(&self, user: &UserId, valid_from: i64) {
        self.change(user.clone(), |known| {
            known.tokens_valid_from = known.tokens_valid_from.max(valid_from);
        });
    }

    /// Caches that `user` was deleted at `at` (milliseconds since 1970).
    pub fn forget(&self, user: &UserId, at: i64) {
        self.change(user.clone(), |known| {
            // The stream may deliver the deletion again, long after the host created the user anew.
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

/// Returns true if a token that was issued at `issued_at` (seconds since 1970) is valid.
///
/// Tokens issued before `valid_from` (milliseconds since 1970; 0 for no limit) are not.
pub fn is_valid(issued_at: Option<i64>, valid_from: i64) -> bool {
    valid_from == 0 || issued_at.is_some_and(|at| at.saturating_mul(1000) >= valid_from)
}

/// Returns the time from which tokens are valid (milliseconds since 1970), from a user's event.
///
/// Returns `None` if the event does not change it.
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
    fn an_older_document_does_not_undo_a_newer_event() {
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

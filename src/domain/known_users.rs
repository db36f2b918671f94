//! Cache of users that exist and of the time from which their tokens are valid. Spares the hot path a query.
//!
//! The existence of a user says nothing about their tokens. Both facts therefore come from one read of the user's document, whatever the read was
//! for: a request that names a user must not make a revoked token valid again.

use std::collections::HashMap;

use chat_sdk::{EventType, Timestamp, UserId};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::model::{bounds::MAX_ENDED_SESSIONS, state::UserFacts};

/// Maximum number of cached users; the cache is cleared when it is full.
const CAPACITY: usize = 200_000;

/// Facts about the issue of a token, by which it can be revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenIssue {
    /// Time of the issue, in seconds since 1970; `None` if the token does not say.
    pub at: Option<i64>,
    /// Id of the session that the token belongs to; `None` if the token does not say.
    pub session_id: Option<Box<str>>,
}

/// Revocation of a user's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// All tokens issued before this time (milliseconds since 1970).
    Before(i64),
    /// The tokens of the session with this id.
    Session(String),
}

impl Revocation {
    /// Returns true if it leaves the token valid.
    ///
    /// A revocation of all tokens also covers a token without an issue time, and one issued in the same second before it.
    pub fn spares(&self, token: &TokenIssue) -> bool {
        match self {
            Self::Before(valid_from) => is_valid(token.at, *valid_from),
            Self::Session(id) => token.session_id.as_deref() != Some(id),
        }
    }
}

/// Cached facts of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    exists: bool,
    /// Tokens issued before this time are refused (milliseconds since 1970).
    tokens_valid_from: i64,
    /// Ids of the sessions whose tokens are refused.
    ended_sessions: Vec<String>,
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

impl Known {
    fn accepts(&self, token: &TokenIssue) -> bool {
        let session = token.session_id.as_deref();
        is_valid(token.at, self.tokens_valid_from)
            && session.is_none_or(|id| self.ended_sessions.iter().all(|ended| ended != id))
    }

    /// Revokes all tokens issued before `valid_from`, which include those of the ended sessions.
    fn revoke_all(&mut self, valid_from: i64) {
        if valid_from > self.tokens_valid_from {
            self.tokens_valid_from = valid_from;
            self.ended_sessions.clear();
        }
    }

    fn end_session(&mut self, id: String) {
        if self.ended_sessions.contains(&id) {
            return;
        }
        // More can be known here than in the document only after repeated events; then all tokens are revoked.
        if self.ended_sessions.len() >= 2 * MAX_ENDED_SESSIONS {
            // The list is emptied even if the last revocation was in this millisecond.
            let now = Timestamp::now().as_millis();
            self.revoke_all(now.max(self.tokens_valid_from.saturating_add(1)));
        }
        self.ended_sessions.push(id);
    }
}

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

    /// Returns true if a token of `user` is valid.
    ///
    /// Returns `None` if nothing is cached for the user.
    ///
    /// Once tokens of a user were revoked, a token without an issue time is invalid, and so is one issued in the same second before the revocation.
    pub fn accepts(&self, user: &UserId, token: &TokenIssue) -> Option<bool> {
        let users = self.0.lock();
        let known = users.get(user).filter(|known| known.exists)?;
        Some(known.accepts(token))
    }

    /// Returns true if a cached fact invalidates a token of `user`.
    pub fn refuses(&self, user: &UserId, token: &TokenIssue) -> bool {
        let users = self.0.lock();
        users.get(user).is_some_and(|known| {
            let is_deleted = known.deleted_at > 0 && !known.exists;
            is_deleted || !known.accepts(token)
        })
    }

    /// Caches the facts read from the document of `user`, who exists.
    pub fn learn(&self, user: UserId, facts: UserFacts) {
        self.change(user, |known| {
            known.exists |= facts.updated_at >= known.deleted_at;
            known.incarnation = known.incarnation.max(facts.incarnation);
            known.revoke_all(facts.tokens_valid_from);
            for id in facts.ended_sessions {
                known.end_session(id);
            }
        });
    }

    /// Caches that tokens of `user` are revoked.
    pub fn revoke(&self, user: &UserId, revocation: Revocation) {
        self.change(user.clone(), |known| match revocation {
            Revocation::Before(valid_from) => known.revoke_all(valid_from),
            Revocation::Session(id) => known.end_session(id),
        });
    }

    /// Caches that `user` was deleted at `at` (milliseconds since 1970).
    pub fn forget(&self, user: &UserId, at: i64) {
        self.change(user.clone(), |known| {
            // The stream may deliver the deletion again, long after the host created the user anew.
            if at > known.deleted_at {
                known.exists = false;
                known.deleted_at = at;
                known.revoke_all(at);
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

/// Returns the revocation in a user's event; `None` if the event revokes nothing.
pub fn revoked_by(kind: EventType, payload: &[u8]) -> Option<Revocation> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        tokens_valid_from: Option<Timestamp>,
        session_id: Option<String>,
        timestamp: Timestamp,
    }
    if !matches!(kind, EventType::UserDeleted | EventType::UserDisconnected) {
        return None;
    }
    let data = serde_json::from_slice::<Envelope>(payload).ok()?.data;
    Some(match data.session_id {
        Some(id) => Revocation::Session(id),
        None => Revocation::Before(data.tokens_valid_from.unwrap_or(data.timestamp).as_millis()),
    })
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
            ended_sessions: Vec::new(),
            incarnation: 0,
            updated_at,
        };
        let issued = |at| TokenIssue {
            at,
            session_id: None,
        };
        assert_eq!(users.accepts(&alice, &issued(None)), None);
        users.revoke(&alice, Revocation::Before(5_500));
        users.learn(alice.clone(), facts(1_000));
        let accepts = |at| users.accepts(&alice, &issued(at));
        assert_eq!(accepts(Some(5)), Some(false), "same second");
        assert_eq!(accepts(Some(6)), Some(true));
        assert_eq!(accepts(None), Some(false));
        users.forget(&alice, 7_000);
        users.learn(alice.clone(), facts(6_000));
        assert!(!users.contains(&alice), "the document was an older one");
        users.learn(alice.clone(), facts(8_000));
        users.forget(&alice, 7_000);
        assert!(users.contains(&alice), "the event came a second time");
        let refuses = |at| users.refuses(&alice, &issued(Some(at)));
        assert!(refuses(6) && !refuses(7));
    }

    #[test]
    fn an_ended_session_stays_ended_until_all_tokens_are_revoked() {
        let users = KnownUsers::default();
        let alice: UserId = "alice".parse().expect("an id");
        let token = |at, session: &str| TokenIssue {
            at: Some(at),
            session_id: Some(session.into()),
        };
        users.learn(
            alice.clone(),
            UserFacts {
                tokens_valid_from: 0,
                ended_sessions: vec!["phone".to_owned()],
                incarnation: 0,
                updated_at: 1,
            },
        );
        users.revoke(&alice, Revocation::Session("tablet".to_owned()));
        for (session, is_refused) in [("phone", true), ("tablet", true), ("desk", false)] {
            assert_eq!(users.refuses(&alice, &token(9, session)), is_refused);
        }
        assert!(
            !users.refuses(&alice, &TokenIssue::default()),
            "without sid"
        );
        users.revoke(&alice, Revocation::Before(10_000));
        assert!(users.refuses(&alice, &token(9, "desk")));
        for n in 0..1000 {
            users.revoke(&alice, Revocation::Session(format!("session {n}")));
        }
        let ended = users.0.lock()[&alice].ended_sessions.len();
        assert!(ended <= 2 * MAX_ENDED_SESSIONS, "{ended} are cached");
        assert!(users.refuses(&alice, &token(10, "session 1")));
    }
}

//! Sessions: one per login, with the rotation of its refresh tokens.
//!
//! A refresh token is valid once. Its use stores, in one atomic update, the hash of its successor; a second use of it is either a repetition by a client that
//! lost the answer (the direct predecessor, within the grace time), which gets the same successor, or a replay, which ends the session.

use std::time::Duration;

use chat_sdk::{
    Timestamp,
    plugin::{Collection, Filter, Host, HostError, Index, Order, Query, StoredDate, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::secrets;

/// Lifetime of a refresh token.
pub const LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Maximum number of sessions of an account; a further login ends the one that was unused for the longest time.
pub const MAX_SESSIONS: usize = 50;
/// Prefix of refresh tokens.
const PREFIX: &str = "rt_";

/// Session as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Id of the session; the claim `sid` of its access tokens.
    #[serde(rename = "_id")]
    pub id: String,
    /// Account of the session.
    pub account_id: String,
    /// Hash of the valid refresh token.
    current: String,
    /// Hash of the token before it.
    parent: Option<String>,
    /// Seed from which the valid token was derived.
    seed: Option<String>,
    /// Time of the last rotation, in milliseconds since 1970.
    rotated_at: i64,
    /// Time after which the session ends by itself, in milliseconds since 1970.
    expires_at: i64,
    /// The same time, in the form by which the database removes the session.
    expires: StoredDate,
    is_ended: bool,
}

/// Hash of a token that was used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spent {
    #[serde(rename = "_id")]
    digest: String,
    session_id: String,
    expires: StoredDate,
}

/// Refresh token as a client sends it. Its `Debug` output hides it.
pub struct RefreshToken {
    /// Id of its session.
    pub session_id: String,
    secret: String,
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl RefreshToken {
    /// Reads a token: `rt_`, the 26 characters of the session's id, `_`, and 43 of the secret.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (session, secret) = rest.split_once('_')?;
        let is_id = session.len() == 26 && session.bytes().all(|b| b.is_ascii_alphanumeric());
        let is_secret = secret.len() == 43
            && secret
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (is_id && is_secret).then(|| Self {
            session_id: format!("ses_{session}"),
            secret: secret.to_owned(),
        })
    }

    fn text(session_id: &str, secret: &str) -> String {
        let session = session_id.strip_prefix("ses_").unwrap_or(session_id);
        format!("{PREFIX}{session}_{secret}")
    }
}

/// Result of the use of a refresh token.
#[derive(Debug)]
pub enum Refreshed {
    /// The successor, new or repeated.
    Next(String),
    /// The token was used before: somebody else may have it.
    Replayed,
    /// The token is unknown, or its session has ended.
    Unknown,
}

/// Collections of sessions and of used tokens.
pub struct Sessions {
    sessions: Collection<Session>,
    spent: Collection<Spent>,
}

fn end_of_life() -> Timestamp {
    let lifetime = i64::try_from(LIFETIME.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(lifetime))
}

fn live(filter: Filter) -> Filter {
    filter
        .is("isEnded", false)
        .at_least("expiresAt", Timestamp::now().as_millis())
}

impl Sessions {
    /// Uses the plugin's collections.
    pub fn new(host: &Host) -> Self {
        Self {
            sessions: host.collection("sessions"),
            spent: host.collection("spent_tokens"),
        }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let of_account = [
            ("accountId", Order::Ascending),
            ("isEnded", Order::Ascending),
            ("rotatedAt", Order::Ascending),
        ];
        let expiry = || Index::expiry("expiry", "expires", Duration::ZERO);
        let indexes = [Index::new("account", &of_account), expiry()];
        self.sessions.create_indexes(indexes).await?;
        self.spent.create_indexes([expiry()]).await
    }

    /// Opens a session with the id `id` and returns its refresh token.
    pub async fn open(&self, id: &str, account_id: &str) -> Result<String, HostError> {
        let secret = secrets::random();
        let expires = end_of_life();
        let session = Session {
            id: id.to_owned(),
            account_id: account_id.to_owned(),
            current: secrets::digest(&secret),
            parent: None,
            seed: None,
            rotated_at: Timestamp::now().as_millis(),
            expires_at: expires.as_millis(),
            expires: StoredDate(expires),
            is_ended: false,
        };
        self.sessions.insert(&session).await?;
        Ok(RefreshToken::text(id, &secret))
    }

    /// Finds a session that has not ended.
    pub async fn find(&self, id: &str) -> Result<Option<Session>, HostError> {
        self.sessions.first(live(Filter::id(id))).await
    }

    /// Returns the sessions of an account that have not ended, the one that was unused for the longest time first.
    pub async fn of_account(&self, account_id: &str) -> Result<Vec<Session>, HostError> {
        let query = Query::from(live(Filter::all().is("accountId", account_id)))
            .sort("rotatedAt", Order::Ascending)
            .limit(4 * MAX_SESSIONS);
        Ok(self.sessions.find(query).await?.items)
    }

    /// Uses a refresh token. It has one successor, also if it is used several times in parallel.
    pub async fn refresh(
        &self,
        token: &RefreshToken,
        grace: Duration,
    ) -> Result<Refreshed, HostError> {
        let digest = secrets::digest(&token.secret);
        let session = || Filter::id(token.session_id.as_str());
        let now = Timestamp::now().as_millis();
        let seed = secrets::random();
        let next = secrets::successor(&seed, &token.secret);
        let expires = end_of_life();
        let rotate = Update::one(live(session().is("current", digest.as_str()))).set(json!({
            "current": secrets::digest(&next), "parent": digest, "seed": seed, "rotatedAt": now,
            "expiresAt": expires.as_millis(), "expires": StoredDate(expires),
        }));
        if self.sessions.find_and_update(rotate).await?.is_some() {
            self.spend(digest, &token.session_id).await?;
            return Ok(Refreshed::Next(RefreshToken::text(
                &token.session_id,
                &next,
            )));
        }
        // An update instead of a read, because it sees the newest state.
        let repeat = Update::one(live(session().is("parent", digest.as_str())))
            .set(json!({ "repeatedAt": now }));
        if let Some(session) = self.sessions.find_and_update(repeat).await? {
            let next =
                secrets::successor(session.seed.as_deref().unwrap_or_default(), &token.secret);
            let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
            let is_valid = secrets::digest(&next)
                .as_bytes()
                .ct_eq(session.current.as_bytes());
            if Timestamp::now().as_millis() > session.rotated_at.saturating_add(grace)
                || !bool::from(is_valid)
            {
                return Ok(Refreshed::Replayed);
            }
            self.spend(digest, &token.session_id).await?;
            return Ok(Refreshed::Next(RefreshToken::text(
                &token.session_id,
                &next,
            )));
        }
        Ok(if self.is_spent(digest, &token.session_id).await? {
            Refreshed::Replayed
        } else {
            Refreshed::Unknown
        })
    }

    /// Remembers a used token. Its successor is returned only after that, so that every token with a known successor is remembered.
    async fn spend(&self, digest: String, session_id: &str) -> Result<(), HostError> {
        let spent = Spent {
            digest,
            session_id: session_id.to_owned(),
            expires: StoredDate(end_of_life()),
        };
        self.spent.insert(&spent).await.map(drop)
    }

    async fn is_spent(&self, digest: String, session_id: &str) -> Result<bool, HostError> {
        let spent = self.spent.first(Filter::id(digest)).await?;
        Ok(spent.is_some_and(|spent| spent.session_id == session_id))
    }

    /// Returns the session of a token that is or was valid; `None` if it has ended or never had this token.
    pub async fn owner(&self, token: &RefreshToken) -> Result<Option<Session>, HostError> {
        let digest = secrets::digest(&token.secret);
        let Some(session) = self.find(&token.session_id).await? else {
            return Ok(None);
        };
        let is_own = session.current == digest
            || session.parent.as_ref() == Some(&digest)
            || self.is_spent(digest, &session.id).await?;
        Ok(is_own.then_some(session))
    }

    /// Ends a session. Returns true if it had not ended before.
    pub async fn end(&self, id: &str) -> Result<bool, HostError> {
        let end = Update::one(Filter::id(id).is("isEnded", false)).set(json!({ "isEnded": true }));
        Ok(self.sessions.find_and_update(end).await?.is_some())
    }

    /// Ends all sessions of an account. Each end is acknowledged by a majority of the database, unlike an update of many documents.
    pub async fn end_all(&self, account_id: &str) -> Result<(), HostError> {
        for session in self.of_account(account_id).await? {
            self.end(&session.id).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_tokens_are_read_as_they_are_written_and_nothing_else_is() {
        let secret = secrets::random();
        let id = secrets::new_id("ses_");
        let text = RefreshToken::text(&id, &secret);
        let token = RefreshToken::parse(&text).expect("a token");
        assert_eq!((&token.session_id, &token.secret), (&id, &secret));
        assert_eq!(format!("{token:?}"), "***");
        for text in [
            "",
            "rt_",
            "rt__",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}x"),
        ] {
            assert!(RefreshToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn successor_depends_on_seed_and_token() {
        let next = secrets::successor("seed", "token");
        assert_eq!(next, secrets::successor("seed", "token"));
        assert_eq!(next.len(), 43);
        assert_ne!(next, secrets::successor("other", "token"));
        assert_ne!(next, secrets::successor("seed", "other"));
    }
}

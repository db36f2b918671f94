//! Audit log of accounts: security events, kept for 90 days.

use std::time::Duration;

use chat_sdk::plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate};
use serde::{Deserialize, Serialize};

use crate::secrets;

/// Time for which entries are kept.
const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// Kind of a security event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, poem_openapi::Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename = "AccountsAuditKind", rename_all = "snake_case")]
pub enum Kind {
    /// A login opened a session.
    LoggedIn,
    /// A session ended by logout.
    LoggedOut,
    /// All sessions ended by logout.
    LoggedOutEverywhere,
    /// A used refresh token was used again after the grace time; its session ended.
    TokenReplayed,
    /// The user changed the password.
    PasswordChanged,
    /// The password was reset by a link of an e-mail.
    PasswordReset,
    /// The address was verified.
    EmailVerified,
    /// The host changed the roles, or disabled or enabled the account.
    ChangedByHost,
}

/// Entry of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Id of the entry; later entries have greater ids.
    #[serde(rename = "_id")]
    pub id: String,
    /// Account of the event.
    pub account_id: String,
    /// Kind of the event.
    pub kind: Kind,
    /// Session of the event, if it concerns one.
    pub session_id: Option<String>,
    /// Time of the event.
    pub at: StoredDate,
}

/// Collection of entries.
pub struct Audit(Collection<Entry>);

impl Audit {
    /// Uses `collection` for the entries.
    pub fn new(collection: Collection<Entry>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let newest = [("accountId", Order::Ascending), ("_id", Order::Descending)];
        let indexes = [
            Index::new("newest", &newest),
            Index::expiry("expiry", "at", KEPT),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores an event.
    pub async fn note(
        &self,
        account_id: &str,
        kind: Kind,
        session_id: Option<&str>,
    ) -> Result<(), HostError> {
        let entry = Entry {
            id: secrets::new_id("aud_"),
            account_id: account_id.to_owned(),
            kind,
            session_id: session_id.map(str::to_owned),
            at: StoredDate::now(),
        };
        self.0.insert(&entry).await.map(drop)
    }

    /// Returns at most `limit` entries of an account, newest first, after the one with the id `before`.
    pub async fn page(
        &self,
        account_id: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Found<Entry>, HostError> {
        let mut filter = Filter::all().is("accountId", account_id);
        if let Some(before) = before {
            filter = filter.below("_id", before);
        }
        let query = Query::from(filter).sort("_id", Order::Descending);
        self.0.find(query.limit(limit)).await
    }
}

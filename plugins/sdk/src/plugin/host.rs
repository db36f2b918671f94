//! Interface of the core for plugins.

use std::{fmt, time::Duration};

use super::{BoxFuture, Collection, Durables};
use crate::{EventId, EventType, Timestamp};
use bytes::Bytes;

/// A plugin's access to the service. Each plugin has its own, which adds the plugin's name to all names.
pub trait Host: Send + Sync + 'static {
    /// Returns the plugin's collection `name`; its full name is `<plugin>_<name>`.
    fn collection(&self, name: &str) -> Collection;

    /// Returns the plugin's durables in the event stream.
    fn durables(&self) -> &dyn Durables;

    /// Encrypts a secret with the key of the deployment (`SECRETS_KEY`), so that it can be stored.
    ///
    /// # Errors
    /// [`HostError::NoKey`] if `SECRETS_KEY` is not set.
    fn seal(&self, plain: &[u8]) -> Result<String, HostError>;

    /// Decrypts a secret that [`Host::seal`] encrypted.
    ///
    /// # Errors
    /// [`HostError::NoKey`] if `SECRETS_KEY` is not set, [`HostError::Sealed`] if the secret was sealed with another key or was changed.
    fn unseal(&self, sealed: &str) -> Result<Vec<u8>, HostError>;

    /// Reads events of all logs from the database, in the order in which it inserted them.
    ///
    /// It returns at most about `limit` events with a position above `after` and up to `until` (default: the newest that is safe to read).
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if the database does not answer.
    fn read_log(
        &self,
        after: LogPosition,
        until: Option<LogPosition>,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogPage, HostError>>;

    /// Takes or renews the lease `name` of this plugin for this process. Returns true if this process holds it now.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if the database does not answer.
    fn take_lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<bool, HostError>>;

    /// Releases a lease of this process.
    fn drop_lease(&self, name: &str) -> BoxFuture<'_, ()>;
}

/// Error of a call to the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostError {
    /// The database or the broker is unavailable or too slow.
    Unavailable(String),
    /// `SECRETS_KEY` is not set.
    NoKey,
    /// A stored secret cannot be decrypted with this key.
    Sealed,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(what) => f.write_str(what),
            Self::NoKey => f.write_str("SECRETS_KEY is not set"),
            Self::Sealed => f.write_str("a stored secret does not open with this SECRETS_KEY"),
        }
    }
}

impl std::error::Error for HostError {}

impl From<mongodb::error::Error> for HostError {
    /// Uses the kind of the error, which names codes and addresses but never content.
    fn from(error: mongodb::error::Error) -> Self {
        Self::Unavailable(format!("MongoDB failed: {}", error.kind))
    }
}

impl From<super::DurableError> for HostError {
    fn from(error: super::DurableError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Position in the order in which the database inserted the events of all logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition(pub u64);

impl LogPosition {
    /// Returns the position before all events that were inserted at `moment` or later, by the database's clock, to the second.
    pub fn before(moment: Timestamp) -> Self {
        let seconds = u64::try_from(moment.as_millis() / 1000).unwrap_or_default();
        Self(seconds.saturating_sub(1) << 32 | u64::from(u32::MAX))
    }
}

/// An event of a log, as the database stores it.
#[derive(Debug, Clone)]
pub struct LogEvent {
    /// Id of the event.
    pub id: EventId,
    /// Type of the event.
    pub kind: EventType,
    /// Owner of the log: the id of a conversation, or `user:` and the id of a user.
    pub owner: String,
    /// Seq of the event in that log.
    pub seq: u64,
    /// Time of the event.
    pub at: Timestamp,
    /// Envelope of the event, as JSON.
    pub payload: Bytes,
}

/// Page of events of all logs.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// Events of the page, in the order of their positions.
    pub events: Vec<LogEvent>,
    /// Position after which the next page begins.
    pub next: LogPosition,
    /// True if this is the last page.
    pub is_end: bool,
}

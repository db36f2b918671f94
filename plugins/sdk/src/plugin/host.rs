//! What the core offers a plugin.

use std::{fmt, time::Duration};

use super::{BoxFuture, Collection, Durables};
use crate::{EventId, EventType, Timestamp};
use bytes::Bytes;

/// What a plugin reaches of the service. One per plugin: names are completed with the plugin's own.
pub trait Host: Send + Sync + 'static {
    /// The plugin's collection `name`; its full name is `<plugin>_<name>`.
    fn collection(&self, name: &str) -> Collection;

    /// The plugin's durables in the event stream.
    fn durables(&self) -> &dyn Durables;

    /// Encrypts a secret that is to be stored, with the key of the deployment (`SECRETS_KEY`).
    ///
    /// # Errors
    /// [`HostError::NoKey`] when there is none.
    fn seal(&self, plain: &[u8]) -> Result<String, HostError>;

    /// Decrypts what [`Host::seal`] made.
    ///
    /// # Errors
    /// [`HostError::NoKey`] without a key, [`HostError::Sealed`] when it was sealed with another one, or changed.
    fn unseal(&self, sealed: &str) -> Result<Vec<u8>, HostError>;

    /// Reads events of all logs from the database, in the order in which it took them in: at most about `limit` with a position above `after` and at most
    /// `until` (absent: the newest that are safe to read).
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    fn read_log(
        &self,
        after: LogPosition,
        until: Option<LogPosition>,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogPage, HostError>>;

    /// Takes or renews the lease `name` of this plugin for this process. Answers whether this process has it now.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    fn take_lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<bool, HostError>>;

    /// Gives a lease back.
    fn drop_lease(&self, name: &str) -> BoxFuture<'_, ()>;
}

/// Why the core could not do what a plugin asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostError {
    /// The database or the broker is away, or too slow.
    Unavailable(String),
    /// `SECRETS_KEY` is not set.
    NoKey,
    /// A stored secret does not open with this key.
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
    /// The kind names codes and addresses, never content.
    fn from(error: mongodb::error::Error) -> Self {
        Self::Unavailable(format!("MongoDB failed: {}", error.kind))
    }
}

impl From<super::DurableError> for HostError {
    fn from(error: super::DurableError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A place in the order in which the database took in the events of all logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition(pub u64);

impl LogPosition {
    /// Before everything that was taken in at `moment` or later, by the database's clock and to the second.
    pub fn before(moment: Timestamp) -> Self {
        let seconds = u64::try_from(moment.as_millis() / 1000).unwrap_or_default();
        Self(seconds.saturating_sub(1) << 32 | u64::from(u32::MAX))
    }
}

/// An event as it is in the log.
#[derive(Debug, Clone)]
pub struct LogEvent {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub kind: EventType,
    /// Whose log: a conversation's id, or `user:` and a user's.
    pub owner: String,
    /// Its number there.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Its envelope, as JSON.
    pub payload: Bytes,
}

/// A piece of all logs.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The events.
    pub events: Vec<LogEvent>,
    /// Where to go on.
    pub next: LogPosition,
    /// Whether this was the last piece.
    pub is_end: bool,
}

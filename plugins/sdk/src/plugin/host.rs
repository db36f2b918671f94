//! Parts of the core that a plugin may use. Each part is a trait that names no driver.

use std::{fmt, sync::Arc, time::Duration};

use super::{Audience, BoxFuture, Chat, Collection, Events, Publisher, Storage, Timers, Tokens};
use crate::{EventId, EventType, Timestamp};
use bytes::Bytes;

/// A plugin's access to the service. Each plugin has its own, which adds the plugin's name to all names.
#[derive(Clone)]
pub struct Host {
    /// Operations of the REST API. They are available in routes and in [`Plugin::run`](super::Plugin::run), not before.
    pub chat: Arc<dyn Chat>,
    /// Tokens of users.
    pub tokens: Arc<dyn Tokens>,
    /// The plugin's collections.
    pub storage: Arc<dyn Storage>,
    /// Publication of the plugin's own events.
    pub publisher: Arc<dyn Publisher>,
    /// Durables in the event stream, and past events.
    pub events: Arc<dyn Events>,
    /// Recipients of messages, and the known users.
    pub audience: Arc<dyn Audience>,
    /// Leases, for work that one process does at a time.
    pub leases: Arc<dyn Leases>,
    /// Work at a given time, across restarts.
    pub timers: Arc<dyn Timers>,
    /// Encryption of stored secrets.
    pub secrets: Arc<dyn Secrets>,
}

impl Host {
    /// Returns the plugin's collection `name` with documents of the type `T`; its full name is `<plugin>_<name>`.
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection::new(self.storage.documents(name))
    }
}

/// Leases of one plugin.
pub trait Leases: Send + Sync {
    /// Takes or renews the lease `name` of this plugin for this process. Returns true if this process holds it now.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if the database does not answer.
    fn take(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<bool, HostError>>;

    /// Releases a lease of this process. A lease that is not released expires by itself.
    fn release(&self, name: &str) -> BoxFuture<'_, ()>;
}

/// Encryption of the secrets that one plugin stores, with the key of the deployment (`SECRETS_KEY`).
pub trait Secrets: Send + Sync {
    /// Encrypts a secret, so that it can be stored. Only the same plugin can decrypt it.
    ///
    /// # Errors
    /// [`HostError::NoKey`] if `SECRETS_KEY` is not set.
    fn seal(&self, plain: &[u8]) -> Result<String, HostError>;

    /// Decrypts a secret that [`Secrets::seal`] encrypted.
    ///
    /// # Errors
    /// [`HostError::NoKey`] if `SECRETS_KEY` is not set, [`HostError::Sealed`] if the secret was sealed with another key or was changed.
    fn unseal(&self, sealed: &str) -> Result<Vec<u8>, HostError>;
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

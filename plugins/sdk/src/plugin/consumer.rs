//! Durables, by which a plugin gets every event at least once, even if a process dies.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{BoxFuture, CancellationToken, HostError, LogPage, LogPosition};
use crate::{EventId, EventType, TraceParent};

/// Configuration of a durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Name within the plugin: lower-case letters, digits, `_` and `-`.
    pub name: String,
    /// Types of the events that it gets; `None` for all.
    pub events: Option<Vec<EventType>>,
    /// Maximum number of events that this process handles at once.
    pub concurrency: usize,
    /// Maximum number of events that are delivered and not yet settled, over all processes. Events that wait for a retry count.
    pub max_pending: usize,
    /// Time without a sign of progress after which the broker redelivers an event. Progress is reported while an event is handled.
    pub ack_wait: Duration,
}

/// An event that is delivered to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Id of the event; repetitions of the event have the same id.
    pub event_id: EventId,
    /// Type of the event; it may be unknown to this version.
    pub kind: String,
    /// Owner of the log that holds the event: the id of a conversation, or `user:` and the id of a user.
    pub owner: String,
    /// Seq of the event in that log; absent for latest values.
    pub seq: Option<u64>,
    /// Envelope of the event, as JSON.
    pub payload: Bytes,
    /// Number of deliveries of the event so far, this one included.
    pub attempt: u32,
    /// True if the event was added by [`Events::put`].
    pub is_replay: bool,
    /// Trace of the event; its effects continue this trace.
    pub trace: TraceParent,
}

/// Result of handling an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The event is handled.
    Done,
    /// The event must be redelivered after this time.
    RetryAfter(Duration),
    /// The event must not be redelivered, for this reason.
    Drop(String),
}

/// Handler of the events of a durable. Many events are in flight at once.
pub trait Consumer: Send + Sync + 'static {
    /// Handles one event. Calls are made in the order of the stream, so the work that is done before the future is returned keeps that order. A panic counts
    /// as [`Verdict::RetryAfter`] some seconds.
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict>;
}

/// Progress of a durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Number of events that were not delivered yet.
    pub pending: u64,
    /// Number of events that were delivered and are not settled.
    pub ack_pending: u64,
    /// Number of these events that were delivered more than once.
    pub redelivered: u64,
    /// Position in the stream up to which all events are settled.
    pub ack_floor: u64,
    /// Remaining time of the pause, if the durable is paused.
    pub paused_for: Option<Duration>,
}

/// An event that is published again for one durable.
#[derive(Debug, Clone)]
pub struct ReplayedEvent {
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    pub kind: String,
    /// Owner of the log that holds the event.
    pub owner: String,
    /// Seq of the event in that log; absent for events that are in no log.
    pub seq: Option<u64>,
    /// Envelope of the event, as JSON.
    pub payload: Bytes,
}

/// An event that was pulled and must be acknowledged by its token.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The event and its delivery count.
    pub delivery: Delivery,
    /// Token for [`Events::acknowledge`].
    pub token: String,
}

/// Error of an operation on a durable, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableError(pub String);

impl fmt::Display for DurableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DurableError {}

/// Events for one plugin: its durables, to whose names the plugin's name is added, and the past events of all logs.
///
/// A durable starts at the end of the stream and then gets every event of its types. This holds even if the stream loses data, is recreated, or drops events
/// before they were read: the durable is then moved back to its last settled position, or refilled from the database. So it may get an event more than once,
/// always with the same id.
pub trait Events: Send + Sync {
    /// Reads past events of all logs from the database, in the order in which it inserted them.
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

    /// Creates a durable, or changes it to `spec`. A new durable starts at the current end of the stream.
    fn declare(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Removes a durable and its stored state.
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Delivers the events of a durable to `consumer` until `stop`, then waits for those in flight. Any number of processes may do so at once. It continues
    /// after every fault of the broker.
    fn run(
        &self,
        spec: ConsumerSpec,
        consumer: Arc<dyn Consumer>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()>;

    /// Moves a durable back to its first unsettled event: events that were delivered are delivered again, in order.
    fn rewind(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Pauses delivery to all processes for some time.
    fn pause(&self, name: &str, pause: Duration) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Ends a pause of a durable.
    fn resume(&self, name: &str) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Returns the progress of a durable.
    fn lag(&self, name: &str) -> BoxFuture<'_, Result<Lag, DurableError>>;

    /// Publishes events again for this durable only, and waits until the broker has stored them.
    fn put(
        &self,
        name: &str,
        events: Vec<ReplayedEvent>,
    ) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Pulls at most `limit` events and waits up to `wait` for the first. Each is redelivered after `ack_wait` unless it is acknowledged.
    fn pull(
        &self,
        spec: ConsumerSpec,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Pulled>, DurableError>>;

    /// Settles events by their tokens. Returns the number of tokens that belong to this durable and were accepted by the broker.
    fn acknowledge(
        &self,
        spec: ConsumerSpec,
        tokens: Vec<String>,
    ) -> BoxFuture<'_, Result<usize, DurableError>>;
}

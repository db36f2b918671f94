//! Durables: how a plugin gets every event at least once, whoever dies.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{BoxFuture, CancellationToken};
use crate::{EventId, EventType, TraceParent};

/// What a durable is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its name within the plugin: lower-case letters, digits, `_` and `-`.
    pub name: String,
    /// Which events it gets; `None` for all.
    pub events: Option<Vec<EventType>>,
    /// How many this process handles at once.
    pub concurrency: usize,
    /// How many may be given out and not settled, over all processes. One that waits for its next try counts.
    pub max_pending: usize,
    /// After how long without a word the broker gives an event to somebody else. Words are sent while it is handled.
    pub ack_wait: Duration,
}

/// An event on its way to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event's id, the same at every repetition.
    pub event_id: EventId,
    /// Its type; it may be one that this version does not know.
    pub kind: String,
    /// Whose log it stands in: a conversation's id, or `user:` and a user's.
    pub owner: String,
    /// Its number there; absent for latest values.
    pub seq: Option<u64>,
    /// Its envelope, as JSON.
    pub payload: Bytes,
    /// How often it was given out, this time included.
    pub attempt: u32,
    /// Whether it was put in again by [`Durables::put`].
    pub is_replay: bool,
    /// The trace that it came in; what it leads to goes on in it.
    pub trace: TraceParent,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Done,
    /// It is to be given out again after this time.
    RetryAfter(Duration),
    /// It is not to be given out again, for this reason.
    Drop(String),
}

/// Who handles the events of a durable. Many are under way at once.
pub trait Consumer: Send + Sync + 'static {
    /// Deals with one event. It is called in the order of the stream, so what it does before it answers its future keeps that order. A panic counts as
    /// [`Verdict::RetryAfter`] some seconds.
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict>;
}

/// How far a durable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Events that it has not been given yet.
    pub pending: u64,
    /// Events that were given out and are not settled.
    pub ack_pending: u64,
    /// How many of these were given out more than once.
    pub redelivered: u64,
    /// Everything up to here in the stream is settled.
    pub ack_floor: u64,
    /// How much longer it is paused.
    pub paused_for: Option<Duration>,
}

/// An event that is put in again for one durable.
#[derive(Debug, Clone)]
pub struct ReplayedEvent {
    /// Its id.
    pub event_id: EventId,
    /// Its type.
    pub kind: String,
    /// Whose log it stands in.
    pub owner: String,
    /// Its number there.
    pub seq: Option<u64>,
    /// Its envelope, as JSON.
    pub payload: Bytes,
}

/// An event that was asked for, and must be acknowledged by its token.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The event.
    pub delivery: Delivery,
    /// What [`Durables::acknowledge`] wants.
    pub token: String,
}

/// Why a durable could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableError(pub String);

impl fmt::Display for DurableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DurableError {}

/// The durables of one plugin. Names are completed with the plugin's own.
///
/// A durable starts at the end of the stream, and from then on gets every event of its types, also when the stream loses data, is made anew, or expires
/// before it was read: then it is put back below the last event that it is known to have dealt with, or filled from the database. So it may get an event
/// more than once, always under the same id.
pub trait Durables: Send + Sync {
    /// Makes a durable, or changes it to `spec`. A new one starts here.
    fn declare(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Removes a durable and what is remembered of it.
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Gives the events of a durable to `consumer` until `stop`, then waits for those in flight. Any number of processes may do so at once. It outlasts
    /// every fault of the broker.
    fn run(
        &self,
        spec: ConsumerSpec,
        consumer: Arc<dyn Consumer>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()>;

    /// Puts a durable back to its first event that is not settled: what was given out is given out again, in order.
    fn rewind(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Lets the broker give out nothing for some time, to no process.
    fn pause(&self, name: &str, pause: Duration) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Ends a pause.
    fn resume(&self, name: &str) -> BoxFuture<'_, Result<(), DurableError>>;

    /// How far it is.
    fn lag(&self, name: &str) -> BoxFuture<'_, Result<Lag, DurableError>>;

    /// Puts events in again for this durable alone, and waits until the broker has them.
    fn put(
        &self,
        name: &str,
        events: Vec<ReplayedEvent>,
    ) -> BoxFuture<'_, Result<(), DurableError>>;

    /// Asks for at most `limit` events, waiting `wait` for the first. Each comes again after `ack_wait` unless it is acknowledged.
    fn pull(
        &self,
        spec: ConsumerSpec,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Pulled>, DurableError>>;

    /// Settles events by their tokens. Answers how many tokens were of this durable and taken by the broker.
    fn acknowledge(
        &self,
        spec: ConsumerSpec,
        tokens: Vec<String>,
    ) -> BoxFuture<'_, Result<usize, DurableError>>;
}

//! Stored state of durable consumers, with which they are restored to their position after the broker lost data.

use std::time::Duration;

use chat_sdk::{Timestamp, hosts::is_host_name};

use super::Result;

/// Number of marks kept per durable.
///
/// They are the range in which a loss in the broker is located without starting over.
pub const KEPT_MARKS: usize = 16;

/// Time by which an event must precede the last marker to count as acknowledged.
///
/// It is longer than the lag of the relay's second sweep and than the difference between clocks.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(15 * 60);
/// Age that an event may have at the durable's creation and still be delivered, because clocks differ.
pub const BIRTH_TOLERANCE: Duration = Duration::from_secs(60);

/// A message of the stream up to which a durable had acknowledged everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Sequence number in the stream.
    pub sequence: u64,
    /// Id of the message in the stream.
    pub id: String,
}

/// Stored state of one durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableState {
    /// Name of the durable.
    pub name: String,
    /// Types of events that it reads; `None` for all.
    pub events: Option<Vec<String>>,
    /// Number of times that the durable was created anew after a loss.
    ///
    /// Each time it gets another name in the broker, so that a late acknowledgement for the previous consumer cannot acknowledge what now has the
    /// same sequence number. A host's durable keeps its name, and delivers nothing until no such acknowledgement can arrive any more.
    pub generation: u32,
    /// Time of its creation; it does not receive earlier events.
    pub born: Timestamp,
    /// Creation time of the stream that the marks refer to, in the broker's notation.
    pub stream: String,
    /// Server, and its run, that the newest mark was taken from.
    ///
    /// Another one may have lost what followed the mark.
    pub server: String,
    /// Newest marks, oldest first.
    pub marks: Vec<Mark>,
    /// Time up to which all events that mongod stored are acknowledged.
    ///
    /// They were in the stream before the newest mark.
    pub settled_until: Timestamp,
    /// After a loss: events before this time were acknowledged already and are not delivered again.
    pub skip_before: Option<Timestamp>,
}

impl DurableState {
    /// Returns the name of its consumer in the broker.
    pub fn consumer(&self) -> String {
        match self.generation {
            0 => self.name.clone(),
            _ if self.is_of_a_host() => self.name.clone(),
            generation => format!("{}-g{generation}", self.name),
        }
    }

    /// Returns true for a host's durable, whose name is fixed by the host's permissions in the broker.
    ///
    /// All others are named after a plugin, with a hyphen.
    pub fn is_of_a_host(&self) -> bool {
        is_host_name(&self.name)
    }
}

/// Storage of the states of durables.
pub trait Ledger: Send + Sync {
    /// Returns the state of a durable; `None` if it is new.
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<DurableState>>> + Send;
    /// Stores a whole state.
    fn save(&self, state: &DurableState) -> impl Future<Output = Result<()>> + Send;
    /// Returns the newest relay marker that `stream` had at `sequence` or before, and the time up to which all events were in the stream before it.
    ///
    /// The stream may have lost it since.
    fn marker_before(
        &self,
        stream: &str,
        sequence: u64,
    ) -> impl Future<Output = Result<Option<(Mark, Timestamp)>>> + Send;
    /// Adds a mark, unless a newer one is stored or the state refers to another stream by now.
    ///
    /// `settled_until` is the time of a relay marker before it that the stream has.
    fn mark(
        &self,
        name: &str,
        placed_on: (&str, &str),
        mark: &Mark,
        settled_until: Option<Timestamp>,
    ) -> impl Future<Output = Result<()>> + Send;
    /// Returns the maximum number of events that the stream lacks for a durable.
    ///
    /// Events of any type count that are still to be republished.
    fn missing(&self, name: &str) -> impl Future<Output = Result<u64>> + Send;
    /// Removes the state of a durable.
    fn forget(&self, name: &str) -> impl Future<Output = Result<()>> + Send;
    /// Waits until only this process may decide on the durable's position. Returns `None` on timeout.
    fn lock(&self, name: &str) -> impl Future<Output = Result<Option<String>>> + Send;
    /// Releases the lock that [`Ledger::lock`] took.
    fn unlock(&self, name: &str, holder: &str) -> impl Future<Output = ()> + Send;
}

//! What is remembered of a durable consumer, so that it can be put back where it was when the broker lost data.

use std::time::Duration;

use chat_sdk::{Timestamp, hosts::is_host_name};

use super::Result;

/// How many marks are kept of a durable: how far a loss in the broker is found without starting from the beginning.
pub const KEPT_MARKS: usize = 16;

/// How much earlier than the last marker an event must have happened to count as settled: longer than the relay's second sweep is behind, and than clocks
/// differ.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(15 * 60);
/// How much earlier than the durable itself an event may have happened and still be its business: clocks differ.
pub const BIRTH_TOLERANCE: Duration = Duration::from_secs(60);

/// A message of the stream up to which a durable had settled everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its number in the stream.
    pub sequence: u64,
    /// Its id there.
    pub id: String,
}

/// What is remembered of one durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableState {
    /// Its name.
    pub name: String,
    /// The types of events that it reads; `None` for all.
    pub events: Option<Vec<String>>,
    /// How often it was made anew after a loss. It is another consumer of the broker each time, so that a late acknowledgement for the one before cannot
    /// settle what lies at the same number now; a host's keeps its name, and gives out nothing until no such acknowledgement can come any more.
    pub generation: u32,
    /// When it was made: events from before are none of its business.
    pub born: Timestamp,
    /// When the stream that the marks are of was made, as the broker writes it.
    pub stream: String,
    /// Which run of which server the newest mark was taken from. Another one may have lost what followed it.
    pub server: String,
    /// The newest marks, oldest first.
    pub marks: Vec<Mark>,
    /// Everything that mongod took in until this second was in the stream before the newest mark, and so is settled.
    pub settled_until: Timestamp,
    /// After a loss: what happened before this was settled already, and is not given out again.
    pub skip_before: Option<Timestamp>,
}

impl DurableState {
    /// The name of its consumer in the broker.
    pub fn consumer(&self) -> String {
        match self.generation {
            0 => self.name.clone(),
            _ if self.is_of_a_host() => self.name.clone(),
            generation => format!("{}-g{generation}", self.name),
        }
    }

    /// Whether it is a host's, whose rights in the broker name its consumer. All others are named after a plugin, with a hyphen.
    pub fn is_of_a_host(&self) -> bool {
        is_host_name(&self.name)
    }
}

/// Where the states are kept.
pub trait Ledger: Send + Sync {
    /// The state of a durable; `None` for one that is new.
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<DurableState>>> + Send;
    /// Stores a state as a whole.
    fn save(&self, state: &DurableState) -> impl Future<Output = Result<()>> + Send;
    /// Adds a mark, unless a newer one is there, or the state is of another stream by now.
    fn mark(
        &self,
        name: &str,
        stream: &str,
        server: &str,
        mark: &Mark,
    ) -> impl Future<Output = Result<()>> + Send;
    /// How many events may be missing for a durable in the stream, and are still to be put back: at most so many, of whatever type.
    fn missing(&self, name: &str) -> impl Future<Output = Result<u64>> + Send;
    /// Forgets a durable.
    fn forget(&self, name: &str) -> impl Future<Output = Result<()>> + Send;
    /// Waits until this process alone may decide where the durable stands. `None` when that takes too long.
    fn lock(&self, name: &str) -> impl Future<Output = Result<Option<String>>> + Send;
    /// Ends what [`Ledger::lock`] began.
    fn unlock(&self, name: &str, holder: &str) -> impl Future<Output = ()> + Send;
}

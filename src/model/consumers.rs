//! Hosts that have a durable in the broker.

use std::time::Duration;

use chat_sdk::{Timestamp, patterns, plugin::ConsumerSpec};

/// A host that has a durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConsumer {
    /// Name of the host, and of its account and durable in the broker.
    pub name: String,
    /// Event patterns as they were given; empty for all events.
    pub events: Vec<String>,
    /// Description that the operator gave.
    pub description: Option<String>,
    /// Time after which an unacknowledged event is redelivered, in seconds.
    pub ack_wait_seconds: u32,
    /// Maximum number of delivered events that are not acknowledged.
    pub max_pending: u32,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

impl HostConsumer {
    /// Returns the specification of the host's durable.
    ///
    /// A stored pattern that left the catalogue selects nothing.
    pub fn spec(&self) -> ConsumerSpec {
        ConsumerSpec {
            name: self.name.clone(),
            events: patterns::expand_known(&self.events),
            concurrency: 1,
            max_pending: self.max_pending as usize,
            ack_wait: Duration::from_secs(u64::from(self.ack_wait_seconds)),
        }
    }
}

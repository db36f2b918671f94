//! Hosts that take events from the broker by themselves: each has one durable, made here, of which it may take events and settle them, and nothing else.
//!
//! A host's account in the broker is bound to its name by the broker's configuration: so the durable has the host's name, and keeps it for good, also when
//! it has to be made anew.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    EventType, Timestamp,
    hosts::is_host_name,
    patterns,
    plugin::{BoxFuture, ConsumerSpec, Lag},
    text::Shape,
};

use super::{
    Result,
    error::{DomainError, Faults},
    page::{Page, PageRequest},
};
use crate::store::Store;

/// The most patterns of one host.
const MAX_PATTERNS: usize = 100;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;
/// How long a host has for an event where it does not say, in seconds.
const ACK_WAIT: u32 = 30;
/// The longest and shortest such time, in seconds.
const ACK_WAITS: std::ops::RangeInclusive<u32> = 1..=3600;
/// How many events a host may hold unsettled where it does not say.
const MAX_PENDING: u32 = 1000;
/// The most and the fewest.
const MAX_PENDINGS: std::ops::RangeInclusive<u32> = 1..=10_000;

/// A host with its durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConsumer {
    /// The host's name, which is that of its account and durable in the broker.
    pub name: String,
    /// As they were written; empty for all.
    pub events: Vec<String>,
    /// What the operator says about it.
    pub description: Option<String>,
    /// After how many seconds without a word an event is given out again.
    pub ack_wait_seconds: u32,
    /// How many events may be given out and not settled.
    pub max_pending: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl HostConsumer {
    fn kinds(&self) -> Option<Vec<EventType>> {
        // What is stored was checked; after a change of the catalogue, what is left of it counts.
        patterns::expand(&self.events).ok().flatten()
    }

    /// What its durable is to be.
    pub fn spec(&self) -> ConsumerSpec {
        ConsumerSpec {
            name: self.name.clone(),
            events: self.kinds(),
            concurrency: 1,
            max_pending: self.max_pending as usize,
            ack_wait: Duration::from_secs(u64::from(self.ack_wait_seconds)),
        }
    }
}

/// What is asked of a host's durable.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The host's name.
    pub name: String,
    /// Names of events, `noun.*`, or `*`; empty for all.
    pub events: Vec<String>,
    /// What the operator says about it.
    pub description: Option<String>,
    /// After how many seconds without a word an event is given out again.
    pub ack_wait_seconds: Option<u32>,
    /// How many events may be given out and not settled.
    pub max_pending: Option<u32>,
}

impl Draft {
    fn check(self) -> Result<HostConsumer> {
        let mut faults = Faults::default();
        faults.when(
            !is_host_name(&self.name),
            "name",
            "must be 1 to 32 of a-z, 0-9 and _, beginning with a letter",
        );
        if self.events.len() > MAX_PATTERNS {
            faults.add("events", "must have at most 100 items");
        } else if let Err((index, problem)) = patterns::expand(&self.events) {
            faults.add(format!("events[{index}]"), problem);
        }
        let description = self.description.as_ref();
        faults.text("description", description, Shape::Lines, MAX_DESCRIPTION);
        let ack_wait_seconds = self.ack_wait_seconds.unwrap_or(ACK_WAIT);
        faults.when(
            !ACK_WAITS.contains(&ack_wait_seconds),
            "ackWaitSeconds",
            "must be between 1 and 3600",
        );
        let max_pending = self.max_pending.unwrap_or(MAX_PENDING);
        faults.when(
            !MAX_PENDINGS.contains(&max_pending),
            "maxPending",
            "must be between 1 and 10000",
        );
        faults.into_result()?;
        let now = Timestamp::now();
        Ok(HostConsumer {
            name: self.name,
            events: self.events,
            description: self.description,
            ack_wait_seconds,
            max_pending,
            created_at: now,
            updated_at: now,
        })
    }
}

/// The durables of hosts in the broker.
pub trait HostDurables: Send + Sync {
    /// Makes one, from the end of the stream, or brings it to what is asked.
    fn declare(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<()>>;
    /// Puts one in its place after whatever the broker may have done, and remembers how far it is.
    fn keep(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<()>>;
    /// Removes one.
    fn remove(&self, name: String) -> BoxFuture<'_, Result<()>>;
    /// How far one is.
    fn lag(&self, name: String) -> BoxFuture<'_, Result<Lag>>;
    /// The name of the stream.
    fn stream(&self) -> String;
}

/// The hosts with durables.
#[derive(Clone)]
pub struct Consumers {
    /// Where they are remembered.
    pub store: Arc<Store>,
    /// Where they are.
    pub durables: Arc<dyn HostDurables>,
}

impl Consumers {
    /// Makes a host's durable, or brings the one that is there to what is asked. Answers whether it is new.
    ///
    /// # Errors
    /// [`DomainError::Validation`]; [`DomainError::Unavailable`] when the database or the broker does not answer: repeat it.
    pub async fn put(&self, draft: Draft) -> Result<(HostConsumer, bool)> {
        let wanted = draft.check()?;
        let (consumer, is_new) = self.store.put_consumer(&wanted).await?;
        // What is remembered and not made yet is made by the next try.
        self.durables.declare(consumer.spec()).await?;
        Ok((consumer, is_new))
    }

    /// One host.
    ///
    /// # Errors
    /// [`DomainError::NotFound`], [`DomainError::Unavailable`].
    pub async fn get(&self, name: &str) -> Result<HostConsumer> {
        let found = self.store.find_consumer(name).await?;
        found.ok_or_else(missing)
    }

    /// The hosts, by name.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for a direction that the list does not have, [`DomainError::Unavailable`].
    pub async fn list(&self, page: &PageRequest) -> Result<Page<HostConsumer>> {
        page.check_one_way()?;
        self.store.find_consumer_page(page).await
    }

    /// Removes a host's durable, with what waits in it.
    ///
    /// # Errors
    /// [`DomainError::NotFound`], [`DomainError::Unavailable`].
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.get(name).await?;
        // The durable first: what is still remembered can be removed again.
        self.durables.remove(name.to_owned()).await?;
        self.store.remove_consumer(name).await
    }

    /// How far a host is; `None` when that cannot be found out.
    pub async fn lag(&self, name: &str) -> Option<Lag> {
        self.durables.lag(name.to_owned()).await.ok()
    }

    /// Puts every host's durable in its place and notes how far it is. One that fails holds up no other.
    ///
    /// # Errors
    /// The last failure.
    pub async fn keep_all(&self) -> Result<()> {
        let mut outcome = Ok(());
        for consumer in self.store.all_consumers().await? {
            if let Err(error) = self.keep(&consumer).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn keep(&self, consumer: &HostConsumer) -> Result<()> {
        self.durables.keep(consumer.spec()).await
    }
}

fn missing() -> DomainError {
    DomainError::NotFound("There is no such consumer.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_draft_is_named() {
        let draft = Draft {
            name: "webhooks-1".to_owned(),
            events: vec!["message.*".to_owned(), "message.exploded".to_owned()],
            description: Some("x".repeat(501)),
            ack_wait_seconds: Some(0),
            max_pending: Some(10_001),
        };
        let Err(DomainError::Validation(faults)) = draft.check() else {
            panic!("it was taken");
        };
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "name",
                "events[1]",
                "description",
                "ackWaitSeconds",
                "maxPending"
            ]
        );
    }
}

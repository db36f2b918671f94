//! Hosts that read events directly from the broker. Each has one durable, created here, and may only fetch and acknowledge its events.
//!
//! The broker's configuration binds a host's account to its name. The durable therefore has the host's name, and keeps it even if it has to be
//! created anew.

use std::sync::Arc;

use chat_sdk::{
    Timestamp,
    hosts::is_host_name,
    patterns,
    plugin::{BoxFuture, ConsumerSpec, Lag},
    text::Shape,
};

use crate::{
    model::{
        Result,
        consumers::HostConsumer,
        error::{DomainError, Faults},
        page::{Page, PageRequest},
    },
    store::Store,
};

/// Maximum number of event patterns of one host.
const MAX_PATTERNS: usize = 100;
/// Maximum length of a description in characters.
const MAX_DESCRIPTION: usize = 500;
/// Default time to acknowledge an event, in seconds.
const ACK_WAIT: u32 = 30;
/// Allowed range of the time to acknowledge an event, in seconds.
const ACK_WAITS: std::ops::RangeInclusive<u32> = 1..=3600;
/// Default maximum number of unacknowledged events that a host may hold.
const MAX_PENDING: u32 = 1000;
/// Allowed range of the maximum number of unacknowledged events.
const MAX_PENDINGS: std::ops::RangeInclusive<u32> = 1..=10_000;

/// Requested settings of a host's durable.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Name of the host.
    pub name: String,
    /// Names of events, `resource.*`, or `*`; empty for all events.
    pub events: Vec<String>,
    /// Description that the operator gave.
    pub description: Option<String>,
    /// Time after which an unacknowledged event is redelivered, in seconds; default 30.
    pub ack_wait_seconds: Option<u32>,
    /// Maximum number of delivered events that are not acknowledged; default 1000.
    pub max_pending: Option<u32>,
}

impl Draft {
    fn check(self) -> Result<HostConsumer> {
        let mut faults = Faults::default();
        faults.when(
            !is_host_name(&self.name),
            "name",
            "must have 1 to 32 characters of a-z, 0-9 and _, and begin with a letter",
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

/// Durables of hosts in the broker.
pub trait HostDurables: Send + Sync {
    /// Creates a durable at the end of the stream, or updates the existing one to `spec`.
    fn declare(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<()>>;
    /// Restores a durable after a fault of the broker, and stores its position.
    fn keep(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<()>>;
    /// Removes a durable.
    fn remove(&self, name: String) -> BoxFuture<'_, Result<()>>;
    /// Returns the lag of a durable.
    fn lag(&self, name: String) -> BoxFuture<'_, Result<Lag>>;
    /// Returns the name of the stream.
    fn stream(&self) -> String;
}

/// Operations on hosts that have durables.
#[derive(Clone)]
pub struct Consumers {
    /// Store with the hosts' settings.
    pub store: Arc<Store>,
    /// Their durables in the broker.
    pub durables: Arc<dyn HostDurables>,
}

impl Consumers {
    /// Creates or updates a host's durable. Returns the host, and true if it is new.
    ///
    /// # Errors
    /// [`DomainError::Validation`]; [`DomainError::Unavailable`] if the database or the broker does not answer: repeat the request.
    pub async fn put(&self, draft: Draft) -> Result<(HostConsumer, bool)> {
        let wanted = draft.check()?;
        let (consumer, is_new) = self.store.put_consumer(&wanted).await?;
        // If this fails, the settings are stored without a durable; a repeated request creates it.
        self.durables.declare(consumer.spec()).await?;
        Ok((consumer, is_new))
    }

    /// Returns one host.
    ///
    /// # Errors
    /// [`DomainError::NotFound`], [`DomainError::Unavailable`].
    pub async fn get(&self, name: &str) -> Result<HostConsumer> {
        let found = self.store.find_consumer(name).await?;
        found.ok_or_else(missing)
    }

    /// Returns the hosts, ordered by name.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the list does not support the direction; [`DomainError::Unavailable`].
    pub async fn list(&self, page: &PageRequest) -> Result<Page<HostConsumer>> {
        page.check_one_way()?;
        self.store.find_consumer_page(page).await
    }

    /// Removes a host's durable and the events that wait in it.
    ///
    /// # Errors
    /// [`DomainError::NotFound`], [`DomainError::Unavailable`].
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.get(name).await?;
        // The durable goes first: as long as the settings are stored, the removal can be repeated.
        self.durables.remove(name.to_owned()).await?;
        self.store.remove_consumer(name).await
    }

    /// Returns the lag of a host, or `None` if it cannot be determined.
    pub async fn lag(&self, name: &str) -> Option<Lag> {
        self.durables.lag(name.to_owned()).await.ok()
    }

    /// Restores every host's durable and stores its position. A failure of one does not hold up the others.
    ///
    /// # Errors
    /// The last of the errors, if any.
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
    fn every_error_of_a_draft_is_reported() {
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

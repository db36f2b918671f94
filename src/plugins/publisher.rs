//! Publication of one plugin's own events: in logs by the operations of this process, and to connected sockets by the broker.

use std::sync::Arc;

use chat_sdk::{
    EventType, Metadata,
    events::{EventOwner, PluginEvent, PluginKind},
    plugin::{BoxFuture, ChatError, MAX_EVENTS, NewEvent, Published, Publisher, Target},
};

use super::chat::{Operations, failure, in_process};
use crate::{
    bus::{Bus, ephemeral::Channel},
    model::{
        entry::{Owner, PluginData},
        plugin_events::NewPluginEvent,
        signals::{MAX_SIGNAL, Signal},
    },
};

/// Maximum length of a key in characters.
const MAX_KEY: usize = 128;

/// Publisher of one plugin.
pub struct PluginPublisher {
    plugin: &'static str,
    events: &'static [PluginEvent],
    operations: Operations,
    /// Channel of signals; `None` without a broker.
    signals: Option<Channel<Signal>>,
}

impl PluginPublisher {
    /// Creates the publisher of the plugin `plugin`, which declares `events`.
    pub fn new(
        plugin: &'static str,
        events: &'static [PluginEvent],
        operations: Operations,
        bus: Option<&Bus>,
    ) -> Arc<Self> {
        Arc::new(Self {
            plugin,
            events,
            operations,
            signals: bus.map(Channel::signals),
        })
    }

    /// Returns the declaration of the event, if it fits its owner.
    fn declaration(&self, event: &NewEvent, is_logged: bool) -> Result<PluginEvent, ChatError> {
        let owner = match event.target {
            Target::Conversation(_) => EventOwner::Conversation,
            Target::User(_) => EventOwner::User,
        };
        let mut declared = self.events.iter();
        let found = declared.find(|declared| {
            declared.kind == event.kind
                && declared.owner == owner
                && declared.is_logged == is_logged
        });
        found.copied().ok_or_else(|| {
            ChatError::invalid("kind", "is not one that the plugin declares for this")
        })
    }

    fn prepare(&self, event: NewEvent) -> Result<NewPluginEvent, ChatError> {
        let declared = self.declaration(&event, true)?;
        let kind = PluginKind::of(declared.kind).map(EventType::Plugin);
        let kind = kind.ok_or_else(|| ChatError::invalid("kind", "has the wrong form"))?;
        let is_fit = |key: &String| (1..=MAX_KEY).contains(&key.chars().count());
        if !event.key.as_ref().is_none_or(is_fit) {
            return Err(ChatError::invalid("key", "must have 1 to 128 characters"));
        }
        Ok(NewPluginEvent {
            plugin: self.plugin,
            owner: owner(event.target),
            actor: event.actor,
            event: PluginData {
                kind,
                data: Metadata::from(event.data),
            },
            key: event.key,
        })
    }

    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Published, ChatError>> {
        let operations = match in_process(&self.operations) {
            Ok(operations) => operations,
            Err(error) => return events.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut faults = Vec::new();
        let mut good = Vec::with_capacity(events.len());
        for event in events {
            let prepared = self.prepare(event);
            faults.push(prepared.as_ref().err().cloned());
            good.extend(prepared.ok());
        }
        let mut appended = operations.publish(good).await.into_iter();
        let mut results = Vec::with_capacity(faults.len());
        for fault in faults {
            if let Some(fault) = fault {
                results.push(Err(fault));
                continue;
            }
            results.push(match appended.next() {
                Some(Ok(appended)) => Ok(Published {
                    id: appended.id,
                    seq: appended.seq,
                }),
                Some(Err(error)) => Err(failure(&operations.refusal(error).await)),
                None => Err(ChatError::unavailable("The event was not appended.")),
            });
        }
        results
    }
}

fn owner(target: Target) -> Owner {
    match target {
        Target::Conversation(id) => id.into(),
        Target::User(id) => id.into(),
    }
}

impl Publisher for PluginPublisher {
    fn publish(&self, event: NewEvent) -> BoxFuture<'_, Result<Published, ChatError>> {
        Box::pin(async move {
            let result = self.append(vec![event]).await.pop();
            result.unwrap_or_else(|| Err(ChatError::unavailable("The event was not appended.")))
        })
    }

    fn publish_many(
        &self,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'_, Vec<Result<Published, ChatError>>> {
        Box::pin(async move {
            if events.len() > MAX_EVENTS {
                let error = ChatError::invalid("events", "must be at most 10,000");
                return events.iter().map(|_| Err(error.clone())).collect();
            }
            self.append(events).await
        })
    }

    fn tell(&self, event: NewEvent) -> BoxFuture<'_, Result<(), ChatError>> {
        Box::pin(async move {
            let declared = self.declaration(&event, false)?;
            let frame = declared
                .frame
                .ok_or_else(|| ChatError::invalid("kind", "has no name over sockets"))?;
            let mut data = event.data;
            if let Target::Conversation(id) = &event.target {
                data.insert("conversationId".to_owned(), id.as_str().into());
            }
            let signal = Signal {
                to: owner(event.target),
                frame: frame.to_owned(),
                data: Metadata::from(data),
            };
            if signal.data.json_len() > MAX_SIGNAL {
                return Err(ChatError::invalid(
                    "data",
                    "must have at most 64 KiB of JSON",
                ));
            }
            let Some(signals) = &self.signals else {
                return Err(ChatError::unavailable("There is no broker."));
            };
            signals.say(&signal).await;
            Ok(())
        })
    }
}

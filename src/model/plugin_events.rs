//! Events of plugins on their way to a log.

use chat_sdk::{EventId, Metadata, UserId};

use super::{
    command::{Command, Request},
    entry::{Owner, PluginData},
    hashed,
};

/// Event to append.
#[derive(Debug, Clone)]
pub struct NewPluginEvent {
    /// Name of the plugin.
    pub plugin: &'static str,
    /// Owner of the log.
    pub owner: Owner,
    /// User who caused it.
    pub actor: Option<UserId>,
    /// Type and data.
    pub event: PluginData,
    /// Key of its cause: an event with the same key is appended once.
    pub key: Option<String>,
}

/// Place of an appended event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Id of the event.
    pub id: EventId,
    /// Seq in its log.
    pub seq: u64,
}

impl NewPluginEvent {
    /// Returns the request to append it.
    pub fn into_request(mut self) -> Request {
        if let Owner::Conversation(id) = &self.owner {
            // Readers of a frame learn from its data which conversation it is about.
            let mut fields = self.event.data.as_map().clone();
            fields.insert("conversationId".to_owned(), id.as_str().into());
            self.event.data = Metadata::from(fields);
        }
        let event_id = match &self.key {
            Some(key) => hashed::published_by(self.plugin, &self.owner.key(), key),
            None => EventId::generate(),
        };
        Request {
            event_id,
            ..Request::new(
                self.owner,
                self.actor,
                Command::Publish(Box::new(self.event)),
            )
        }
    }
}

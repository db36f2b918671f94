//! Events of the plugin: notifications in the logs of their users, and the recipients of messages for hosts.
//!
//! Each event has the key of its cause, so that repeated work publishes nothing twice.

use chat_sdk::{
    ConversationId, ConversationType, MessageId, Timestamp, UserId,
    plugin::{ChatError, HostError, NewEvent, PluginEvent, Published, Target},
};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use crate::{
    Notifications, api::shapes::Notification, digests::Page, ids, items::Item, push::payload::cut,
};

/// Type of the event of a new notification.
const CREATED: &str = "notification.created";
/// Type of the event of reading.
const READ: &str = "notification.read";
/// Type of the event with the recipients of messages.
const MESSAGE: &str = "notification.message";

/// First part of the types of the plugin's events.
pub const PREFIXES: &[&str] = &["notification"];
/// Events that the plugin publishes.
pub const EVENTS: &[PluginEvent] = &[
    PluginEvent::of_user::<Notification>(CREATED, "The host sent the user a notification.")
        .frame("notification"),
    PluginEvent::of_user::<NotificationRead>(READ, "The user read one or all notifications.")
        .frame("notification:read"),
    PluginEvent::of_conversation::<NotificationMessage>(
        MESSAGE,
        "Members are to be notified of new messages. Hosts receive it; no socket does.",
    ),
];

/// Maximum JSON size of a name in an event, in bytes.
const MAX_NAME: usize = 300;

/// Data of `notification.read`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct NotificationRead {
    /// Id of the notification that was read; absent if all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<String>,
    /// Time up to which all notifications are read; absent if one was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Timestamp>,
    /// Time at which the user read it.
    pub read_at: Timestamp,
}

/// Data of `notification.message`: new messages and the members who are to be notified of them.
///
/// It has no text: an entry of the log stays, and a message may be deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct NotificationMessage {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Type of the conversation.
    pub conversation_type: ConversationType,
    /// Name of the conversation, cut if it is long; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_name: Option<String>,
    /// The newest of the messages, oldest first: at most 20.
    pub messages: Vec<NotifiedMessage>,
    /// Members who are to be notified, at most 100; further ones are in further events.
    pub recipients: Vec<MessageRecipient>,
}

/// Message of which members are notified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct NotifiedMessage {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the sender; absent if the host sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<UserId>,
    /// Time at which the message was sent.
    pub created_at: Timestamp,
}

/// Member who is to be notified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MessageRecipient {
    /// Id of the member.
    pub user_id: UserId,
    /// Number of the messages above that concern the member.
    pub message_count: u64,
    /// True if one of them mentions the member.
    pub is_mention: bool,
    /// Number of unread messages of the member in the conversation.
    pub unread_count: u64,
    /// Number of these that mention the member.
    pub mention_count: u64,
}

/// Returns the error of the first event that may not be published. An event whose user or conversation was deleted is no error.
fn check(results: Vec<Result<Published, ChatError>>) -> Result<(), HostError> {
    let mut errors = results.into_iter().filter_map(Result::err);
    match errors.find(|error| error.status != 404) {
        Some(error) => Err(HostError::Unavailable(error.message)),
        None => Ok(()),
    }
}

impl Notifications {
    /// Publishes new notifications to their users.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition publishes what is missing.
    pub async fn announce_created(&self, items: &[Item]) -> Result<(), HostError> {
        let events = items.iter().map(|item| {
            let data = Notification::from(item.clone());
            NewEvent::new(CREATED, Target::User(item.user_id.clone()), &data).once(item.id.as_str())
        });
        check(self.host.publisher.publish_many(events.collect()).await)
    }

    async fn announce_reading(
        &self,
        user: &UserId,
        data: &NotificationRead,
        key: String,
    ) -> Result<(), HostError> {
        let event = NewEvent::new(READ, Target::User(user.clone()), data);
        let event = event.by(user.clone()).once(key);
        check(vec![self.host.publisher.publish(event).await])
    }

    /// Publishes that a notification was read.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition publishes it once.
    pub async fn announce_read(&self, item: &Item) -> Result<(), HostError> {
        let read = NotificationRead {
            notification_id: Some(item.id.clone()),
            up_to: None,
            read_at: item
                .read_at
                .map_or_else(Timestamp::now, Timestamp::from_millis),
        };
        let key = format!("read:{}", item.id);
        self.announce_reading(&item.user_id, &read, key).await
    }

    /// Publishes that all notifications up to a time were read.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn announce_all_read(
        &self,
        user: &UserId,
        until: Timestamp,
    ) -> Result<(), HostError> {
        let read = NotificationRead {
            notification_id: None,
            up_to: Some(until),
            read_at: until,
        };
        let key = format!("read:{}", until.as_millis());
        self.announce_reading(user, &read, key).await
    }

    /// Publishes the recipients of a page of a digest.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition publishes it once.
    pub async fn announce_messages(&self, page: &Page<'_>) -> Result<(), HostError> {
        let news = page.news;
        let messages = news.messages.iter().map(|message| NotifiedMessage {
            message_id: message.id.clone(),
            sender_id: message.sender.clone(),
            created_at: message.created_at,
        });
        let recipients = news.recipients.iter().map(|recipient| MessageRecipient {
            user_id: recipient.user.clone(),
            message_count: recipient.messages.len() as u64,
            is_mention: recipient.is_mentioned,
            unread_count: recipient.unread,
            mention_count: recipient.mentions,
        });
        let data = NotificationMessage {
            conversation_id: page.conversation.clone(),
            conversation_type: news.kind,
            conversation_name: news.name.as_deref().map(|name| cut(name, MAX_NAME)),
            messages: messages.collect(),
            recipients: recipients.collect(),
        };
        let (after, until) = (page.after.to_string(), page.until.to_string());
        let previous = page.previous.map_or("", UserId::as_str);
        let key = ids::event_suffix(&[MESSAGE, &after, &until, previous]);
        let target = Target::Conversation(page.conversation.clone());
        let event = NewEvent::new(MESSAGE, target, &data).once(key);
        check(vec![self.host.publisher.publish(event).await])
    }
}

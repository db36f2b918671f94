//! Held messages: messages that a hook keeps outside the log until they are released or dropped.

use chat_sdk::{ConversationId, Message, MessageId, Timestamp, UserId};

use super::{
    catalogue,
    entry::{Entry, MessageCreated, SentSchedule},
    messages::{Draft, created},
};

/// A held message.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Id that the message keeps when it is released.
    pub id: MessageId,
    /// Conversation that it was sent to.
    pub conversation: ConversationId,
    /// Other user of the direct conversation, which is created when the message is released.
    pub receiver: Option<UserId>,
    /// User who sent it.
    pub sender: UserId,
    /// The message, as the hooks before the hold left it.
    pub draft: Draft,
    /// Hash of the request: tells a repetition from another message under the same `clientMessageId`.
    pub request_hash: Option<String>,
    /// Schedule that it was sent by.
    pub schedule: Option<SentSchedule>,
    /// Name of the hook.
    pub hook: String,
    /// Reason that the hook gave.
    pub reason: String,
    /// True once a release began; its outcome may be unknown.
    pub is_releasing: bool,
    /// Time from which it is held.
    pub at: Timestamp,
}

impl Held {
    /// Returns the message to send at the release.
    pub fn created(&self) -> MessageCreated {
        MessageCreated {
            schedule: self.schedule.clone(),
            ..created(self.draft.clone(), self.request_hash.clone())
        }
    }

    /// Returns the message as its author sees it.
    pub fn message(&self) -> Message {
        let body = self.created();
        let entry = Entry {
            id: self.id.to_event_id(),
            owner: self.conversation.clone().into(),
            seq: 0,
            actor: Some(self.sender.clone()),
            at: self.at,
            body: super::entry::Body::Noop,
            trace: None,
        };
        let mut message = catalogue::message(&entry, &body);
        message.is_held = Some(true);
        // The lifetime begins with the release.
        message.expires_at = self.draft.expires_at;
        message
    }
}

/// Verdict of the hooks about a repeatable send, as it is stored for repetitions.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredVerdict {
    /// The message is sent as the request has it.
    Pass,
    /// The message is sent as the hooks changed it.
    Change(Box<Draft>),
    /// The message is refused.
    Refuse {
        /// Code for programs.
        code: String,
        /// Reason for people.
        reason: String,
    },
    /// The message is held.
    Hold {
        /// Id of the message.
        id: MessageId,
        /// The message, as the hooks before the hold left it.
        draft: Box<Draft>,
        /// Name of the hook.
        hook: String,
        /// Reason for the reviewers.
        reason: String,
    },
}

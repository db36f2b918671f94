//! Questions to hooks, and the changes that a hook may make. The types are also the JSON that plugins in other languages get and send.

use serde::{Deserialize, Serialize};

use super::HookPoint;
use crate::{
    Attachment, ConversationId, ConversationType, ForwardedFrom, MessageId, MessageType, Metadata,
    Patch, Role, UserId,
};

/// Operation that a hook is asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRequest {
    /// Id of the request. A hook that is asked again about the same operation, which happens only after a process died, gets the same id.
    pub id: String,
    /// Point at which the hook is asked.
    pub point: HookPoint,
    /// Name of the hook.
    pub hook: String,
    /// Id of the user who requests the operation.
    pub actor_id: UserId,
    /// Role of that user in the conversation; absent if there is no conversation yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Id of the conversation; absent if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Type of the conversation; absent if there is no conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_type: Option<ConversationType>,
    /// The operation; its shape depends on the point.
    pub data: HookData,
}

/// Data of the operation that a hook is asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HookData {
    /// Data of `message.before_send`.
    Message(Box<HookMessage>),
    /// Data of `message.before_edit`.
    Edit(HookEdit),
    /// Data of `reaction.before_add`.
    Reaction(HookReaction),
    /// Data of `conversation.before_create`.
    Conversation(HookConversation),
    /// Data of `participant.before_add`.
    Participants(HookParticipants),
    /// Data of `user.before_connect`.
    Connection(HookConnection),
}

/// Message that is about to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookMessage {
    /// Text of the message.
    pub content: String,
    /// Type of the message.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// Files of the message.
    pub attachments: Vec<Attachment>,
    /// Id of the message that it quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Id of the root message of its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<MessageId>,
    /// Ids of the mentioned users.
    pub mentions: Vec<UserId>,
    /// Metadata of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Id that the sender gave the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// True if the message notifies no one.
    pub silent: bool,
    /// Lifetime of the message in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// Origin of a forwarded message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<ForwardedFrom>,
}

/// Edit of a message, as the message would be after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookEdit {
    /// Id of the message.
    pub message_id: MessageId,
    /// Text after the edit.
    pub content: String,
    /// Metadata after the edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// Reaction that is about to be added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReaction {
    /// Id of the message.
    pub message_id: MessageId,
    /// The reaction: one emoji or a `:shortcode:`.
    pub emoji: String,
}

/// Conversation that is about to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookConversation {
    /// Type of the conversation.
    #[serde(rename = "type")]
    pub kind: ConversationType,
    /// Ids of its members besides the creator.
    pub participant_ids: Vec<UserId>,
    /// Name of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URL of its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Metadata of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// Users who are about to become members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookParticipants {
    /// Ids of the users who are no members yet. A user who joins a public conversation is the only one.
    pub user_ids: Vec<UserId>,
    /// Role that they would have.
    pub new_role: Role,
}

/// Connection that is about to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookConnection {
    /// Id of the user who connects.
    pub user_id: UserId,
}

/// Change that a hook makes to an operation. An absent field keeps its value, `null` clears it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HookChange {
    /// Text; of a message or an edit.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub content: Patch<String>,
    /// Files; of a message.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub attachments: Patch<Vec<Attachment>>,
    /// Ids of the mentioned users; of a message.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub mentions: Patch<Vec<UserId>>,
    /// Metadata; of a message, an edit or a conversation.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Metadata>,
    /// True if the message notifies no one; of a message.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub silent: Patch<bool>,
    /// Lifetime in seconds; of a message.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub ttl_seconds: Patch<u32>,
    /// Name; of a conversation.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// URL of the picture; of a conversation.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub avatar_url: Patch<String>,
}

//! Commands on scheduled messages.

use poem_openapi::Object;
use serde::{Deserialize, Deserializer};

use super::{
    Command, Declaration, Empty, PathFields, RateLimit, messages::SendMessage, path_fields,
    payload::split,
};
use crate::{
    Attachment, ConversationId, GivenUserId, Metadata, Patch, ScheduledId, ScheduledMessage,
    Timestamp, UserId,
};

/// Body of a message to schedule, for a conversation or a user.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ScheduleMessage {
    /// Id of the conversation; required without `receiverId`, and not allowed with it.
    pub conversation_id: Option<ConversationId>,
    /// Id of the user to whom the message goes. Their direct conversation is created when the message is sent.
    pub receiver_id: Option<GivenUserId>,
    /// Time at which the message is sent, within the next 366 days.
    pub send_at: Timestamp,
    /// Content of the message.
    #[oai(flatten)]
    pub message: SendMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    conversation_id: Option<ConversationId>,
    receiver_id: Option<GivenUserId>,
    send_at: Timestamp,
}

impl<'de> Deserialize<'de> for ScheduleMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (schedule, message): (Schedule, _) =
            split(deserializer, &["conversationId", "receiverId", "sendAt"])?;
        Ok(Self {
            conversation_id: schedule.conversation_id,
            receiver_id: schedule.receiver_id,
            send_at: schedule.send_at,
            message,
        })
    }
}

impl Command for ScheduleMessage {
    type Path = Empty;
    type Body = Self;
    type Answer = ScheduledMessage;

    const DECLARATION: Declaration =
        Declaration::new("Schedules a message.", &[403, 404, 409, 413])
            .rest("scheduleMessage", "POST", "/api/scheduled")
            .host("messages.schedule")
            .socket("message:schedule")
            .ack_field("scheduled")
            .limit(RateLimit::Messages);
}

path_fields! {
    /// Path of a scheduled message.
    OfScheduledMessage {
        /// Id of the scheduled message.
        scheduled_id: ScheduledId = "scheduledId",
    }
}

/// Change of a scheduled message. An omitted field keeps its value, `null` clears it.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateScheduledMessage {
    /// Text, at most `MAX_MESSAGE_BYTES`.
    #[serde(default)]
    pub content: Patch<String>,
    /// Links to files, at most 20.
    #[serde(default)]
    #[oai(validator(max_items = 20))]
    pub attachments: Patch<Vec<Attachment>>,
    /// Mentions, at most 100 distinct values: user ids, `@all`, `@here`.
    #[serde(default)]
    #[oai(validator(max_items = 100, unique_items))]
    pub mentions: Patch<Vec<UserId>>,
    /// JSON object of the host, at most 16 KiB.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
    /// True if the message will notify no user and not count as unread.
    #[serde(default)]
    pub silent: Patch<bool>,
    /// Time in seconds after the sending at which the message expires, 1 to 31,622,400 (366 days).
    #[serde(default)]
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    pub ttl_seconds: Patch<u32>,
    /// Time at which the message is sent, within the next 366 days. Another time makes a failed message pending again. `null` is rejected.
    #[serde(default)]
    pub send_at: Patch<Timestamp>,
}

impl Command for UpdateScheduledMessage {
    type Path = OfScheduledMessage;
    type Body = Self;
    type Answer = ScheduledMessage;

    const DECLARATION: Declaration = Declaration::new("Changes a scheduled message.", &[404, 413])
        .rest(
            "updateScheduledMessage",
            "PATCH",
            "/api/scheduled/{scheduledId}",
        )
        .host("scheduled.change");
}

/// The command that cancels a scheduled message.
pub struct CancelScheduledMessage;

impl Command for CancelScheduledMessage {
    type Path = OfScheduledMessage;
    type Body = Empty;
    type Answer = Empty;

    const DECLARATION: Declaration = Declaration::new("Cancels a scheduled message.", &[404])
        .rest(
            "cancelScheduledMessage",
            "DELETE",
            "/api/scheduled/{scheduledId}",
        )
        .host("scheduled.cancel");
}

//! Stored form of a scheduled message.

use chat_sdk::{ConversationId, ScheduledFailure, ScheduledId, UserId};
use mongodb::bson::DateTime;
use serde::{Deserialize, Serialize};

use super::super::documents::{date, moment};
use crate::model::{
    messages::Draft,
    scheduled::{Scheduled, Stage},
};

/// Scheduled message as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScheduledDocument {
    #[serde(rename = "_id")]
    id: ScheduledId,
    conversation_id: ConversationId,
    sender_id: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver_id: Option<UserId>,
    draft: Draft,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_hash: Option<String>,
    first_send_at: DateTime,
    send_at: DateTime,
    /// Time at which it must be sent, or at which the outcome of a claim must be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<DateTime>,
    status: Stage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<ScheduledFailure>,
    attempts: i64,
    version: i64,
    created_at: DateTime,
    updated_at: DateTime,
}

impl ScheduledDocument {
    pub(super) fn new(scheduled: &Scheduled) -> Self {
        let scheduled = scheduled.clone();
        Self {
            due_at: (scheduled.stage == Stage::Pending).then(|| date(scheduled.send_at)),
            id: scheduled.id,
            conversation_id: scheduled.conversation,
            sender_id: scheduled.sender,
            receiver_id: scheduled.receiver,
            draft: scheduled.draft,
            request_hash: scheduled.request_hash,
            first_send_at: date(scheduled.first_send_at),
            send_at: date(scheduled.send_at),
            status: scheduled.stage,
            failure: scheduled.failure,
            attempts: i64::from(scheduled.attempts),
            version: i64::try_from(scheduled.version).unwrap_or(i64::MAX),
            created_at: date(scheduled.created_at),
            updated_at: date(scheduled.updated_at),
        }
    }

    pub(super) fn scheduled(self) -> Scheduled {
        Scheduled {
            id: self.id,
            conversation: self.conversation_id,
            sender: self.sender_id,
            receiver: self.receiver_id,
            draft: self.draft,
            request_hash: self.request_hash,
            first_send_at: moment(self.first_send_at),
            send_at: moment(self.send_at),
            stage: self.status,
            failure: self.failure,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            version: self.version.unsigned_abs(),
            created_at: moment(self.created_at),
            updated_at: moment(self.updated_at),
        }
    }
}

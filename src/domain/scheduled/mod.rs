//! Scheduled messages.
//!
//! A message is checked as a send when it is scheduled, and again when it is sent. A sender has to claim it first: from then on it counts as sent, so
//! of a claim and a concurrent change or cancellation exactly one wins. The id of the sent message is derived from the schedule's id, so repeated
//! attempts produce one message.
//!
//! Modules: `place` schedules a message; `change` changes a pending one; `deliver` sends a due one; `check` has the checks that they share.

mod change;
mod check;
mod deliver;
mod place;

use chat_sdk::{
    ConversationId, ScheduledFailure, ScheduledId, ScheduledMessage, ScheduledStatus, Timestamp,
    UserId,
};
use serde::{Deserialize, Serialize};

use super::{
    Context,
    error::{DomainError, Result},
    messages::Draft,
    page::{Page, PageRequest},
};
use crate::store::scheduled_cursor;

pub use change::{Change, change};
pub use check::MAX_AHEAD;
pub use deliver::{Delivery, deliver};
pub use place::{MAX_SCHEDULED, Placed, Target, schedule};

/// State of a scheduled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for its time.
    Pending,
    /// Claimed by a process that is sending it; it counts as sent for its author.
    Sending,
    /// Rejected.
    Failed,
}

/// A scheduled message.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// Id of the scheduled message.
    pub id: ScheduledId,
    /// Conversation that it is sent to.
    pub conversation: ConversationId,
    /// User who scheduled it.
    pub sender: UserId,
    /// Other user of the direct conversation, which is created when the message is sent.
    pub receiver: Option<UserId>,
    /// The message to send.
    pub draft: Draft,
    /// Hash of the first request: tells a repetition from another message under the same `clientMessageId`.
    pub request_hash: Option<String>,
    /// Send time of the first request.
    pub first_send_at: Timestamp,
    /// Time at which the message is sent.
    pub send_at: Timestamp,
    /// State of the scheduled message.
    pub stage: Stage,
    /// Reason for the rejection.
    pub failure: Option<ScheduledFailure>,
    /// Number of attempts to send it.
    pub attempts: u32,
    /// Number of changes.
    pub version: u64,
    /// Time of scheduling.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

impl Scheduled {
    /// Returns the scheduled message as its author sees it.
    pub fn into_view(self) -> ScheduledMessage {
        ScheduledMessage {
            id: self.id,
            conversation_id: self.conversation,
            sender_id: self.sender,
            content: self.draft.content,
            kind: self.draft.kind.unwrap_or_default(),
            attachments: self.draft.attachments,
            reply_to: self.draft.reply_to,
            thread_id: self.draft.thread_id,
            mentions: self.draft.mentions,
            metadata: self.draft.metadata,
            client_message_id: self.draft.client_message_id,
            silent: self.draft.silent.then_some(true),
            ttl_seconds: self.draft.ttl_seconds,
            send_at: self.send_at,
            status: match self.stage {
                Stage::Pending | Stage::Sending => ScheduledStatus::Pending,
                Stage::Failed => ScheduledStatus::Failed,
            },
            message_id: None,
            failure: self.failure,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Returns the caller's scheduled messages, soonest first.
///
/// # Errors
/// [`DomainError::Validation`] if the cursor is unknown.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    request: &PageRequest,
) -> Result<Page<ScheduledMessage>> {
    let page = ctx.store.find_scheduled_page(actor, request).await?;
    let page = page.map(Scheduled::into_view);
    Ok(page.fit(request.max_bytes, |_, scheduled| {
        scheduled_cursor(scheduled.send_at, &scheduled.id)
    }))
}

/// Returns one of the caller's scheduled messages.
///
/// # Errors
/// [`DomainError::NotFound`], also if it was sent.
pub async fn get(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<ScheduledMessage> {
    Ok(find(ctx, actor, id).await?.into_view())
}

async fn find(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<Scheduled> {
    ctx.store
        .find_scheduled(actor, id)
        .await?
        .ok_or_else(DomainError::no_scheduled)
}

/// Cancels one of the caller's scheduled messages.
///
/// # Errors
/// [`DomainError::NotFound`], also if it was sent.
pub async fn cancel(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<()> {
    match ctx.store.remove_scheduled(actor, id).await? {
        true => Ok(()),
        false => Err(DomainError::no_scheduled()),
    }
}

//! Messages that are sent later.
//!
//! One is checked when it is scheduled, as if it were sent then, and again when it is sent. Whoever sends it has to claim it first: from then on it
//! counts as sent, so of a claim and a change or cancellation at the same moment exactly one wins. The id of the message that is sent follows from
//! the schedule's, so however often the sending is tried, it is one message.
//!
//! Cast: `place` schedules one; `change` changes one that waits; `deliver` sends one whose time has come; `check` is what the first two and the last
//! look at.

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

/// Where a scheduled message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It waits for its time.
    Pending,
    /// Somebody is sending it; for its author it is sent.
    Sending,
    /// It was refused.
    Failed,
}

/// A scheduled message.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// Its id.
    pub id: ScheduledId,
    /// Where it goes.
    pub conversation: ConversationId,
    /// Whose it is.
    pub sender: UserId,
    /// The other user of a direct conversation, which is made when it is sent.
    pub receiver: Option<UserId>,
    /// What is sent.
    pub draft: Draft,
    /// Tells a repetition from another message under the same `clientMessageId`: the hash of what was asked for at first.
    pub request_hash: Option<String>,
    /// For when it was asked for at first.
    pub first_send_at: Timestamp,
    /// When it is sent.
    pub send_at: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// Why it was refused.
    pub failure: Option<ScheduledFailure>,
    /// How often somebody began to send it.
    pub attempts: u32,
    /// How often it was changed.
    pub version: u64,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Scheduled {
    /// As its author sees it.
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

/// The caller's scheduled messages, soonest first.
///
/// # Errors
/// [`DomainError::Validation`] for an unknown cursor.
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

/// One of the caller's scheduled messages.
///
/// # Errors
/// [`DomainError::NotFound`], also once it was sent.
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
/// [`DomainError::NotFound`], also once it was sent.
pub async fn cancel(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<()> {
    match ctx.store.remove_scheduled(actor, id).await? {
        true => Ok(()),
        false => Err(DomainError::no_scheduled()),
    }
}

//! Changes to a scheduled message.

use chat_sdk::{Attachment, Metadata, Patch, ScheduledId, ScheduledMessage, Timestamp, UserId};

use super::{check::check_time, find};
use crate::{
    domain::Context,
    model::{
        error::{DomainError, Result},
        messages::check_draft,
        scheduled::{Scheduled, Stage},
    },
};

/// Maximum number of attempts of a change that conflicts with another one.
const CHANGE_ATTEMPTS: usize = 5;

/// A change of a scheduled message.
///
/// An absent field stays; a cleared field is treated as if it had never been given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Text of the message.
    pub content: Patch<String>,
    /// Files attached to the message.
    pub attachments: Patch<Vec<Attachment>>,
    /// Users who are mentioned.
    pub mentions: Patch<Vec<UserId>>,
    /// Data that the host attaches.
    pub metadata: Patch<Metadata>,
    /// True if the message notifies nobody.
    pub silent: Patch<bool>,
    /// Lifetime of the message after sending, in seconds.
    pub ttl_seconds: Patch<u32>,
    /// Time at which the message is sent; a new time makes a failed one pending again.
    pub send_at: Option<Timestamp>,
}

/// Changes one of the caller's scheduled messages. A new time makes a failed one pending again.
///
/// # Errors
/// [`DomainError::NotFound`], also if it was sent; [`DomainError::Validation`] for every error of the changed message.
pub async fn change(
    ctx: &Context,
    actor: &UserId,
    id: &ScheduledId,
    change: Change,
) -> Result<ScheduledMessage> {
    for _ in 0..CHANGE_ATTEMPTS {
        let found = find(ctx, actor, id).await?;
        let changed = changed(&found, change.clone());
        if changed == found {
            return Ok(found.into_view());
        }
        check_draft(ctx.limits.max_message_bytes, Some(actor), &changed.draft)?;
        if changed.send_at != found.send_at {
            check_time(changed.send_at)?;
        }
        let changed = Scheduled {
            version: found.version + 1,
            updated_at: Timestamp::now(),
            ..changed
        };
        if ctx.store.update_scheduled(&found, &changed).await? {
            return Ok(changed.into_view());
        }
    }
    Err(DomainError::Unavailable(
        "The scheduled message was changed concurrently; try again.".into(),
    ))
}

fn changed(found: &Scheduled, change: Change) -> Scheduled {
    let mut scheduled = found.clone();
    let draft = &mut scheduled.draft;
    if let Some(content) = change.content.or_default() {
        draft.content = content;
    }
    if let Some(attachments) = change.attachments.or_default() {
        draft.attachments = attachments;
    }
    if let Some(mentions) = change.mentions.or_default() {
        draft.mentions = mentions;
    }
    change.metadata.apply(&mut draft.metadata);
    if let Some(silent) = change.silent.or_default() {
        draft.silent = silent;
    }
    change.ttl_seconds.apply(&mut draft.ttl_seconds);
    let other = change.send_at.filter(|send_at| *send_at != found.send_at);
    if let Some(send_at) = other {
        scheduled.send_at = send_at;
        scheduled.stage = Stage::Pending;
        scheduled.failure = None;
        scheduled.attempts = 0;
    }
    scheduled
}

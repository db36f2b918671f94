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

use chat_sdk::{ScheduledId, ScheduledMessage, UserId};

use super::Context;
use crate::{
    model::{
        error::{DomainError, Result},
        page::{Page, PageRequest},
        scheduled::Scheduled,
    },
    store::scheduled_cursor,
};

pub use change::{Change, change};
pub use check::MAX_AHEAD;
pub use deliver::{Delivery, deliver};
pub use place::{MAX_SCHEDULED, Placed, Target, schedule};

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

/// Cancels one of the caller's scheduled messages. A late repetition of its request does not schedule it again.
///
/// # Errors
/// [`DomainError::NotFound`], also if it was sent.
pub async fn cancel(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<()> {
    if ctx.store.cancel_scheduled(actor, id).await? {
        Ok(())
    } else {
        Err(DomainError::no_scheduled())
    }
}

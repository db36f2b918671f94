//! Blocks between users.
//!
//! A blocked user cannot detect the block: starting a direct conversation fails as for an unknown user, writing in one as for a deleted user, and
//! presence is that of an offline user. The blocking user cannot write either, so that nobody writes to a user who cannot answer. The block is stored
//! in the blocking user's own log. So that the writer of a direct conversation sees it without a query, it is also an entry in that conversation's
//! log, visible only to the blocking user.

use chat_sdk::UserId;

use super::{Context, conversations, users};
use crate::model::{
    access,
    blocks::Blocked,
    command::{Command, Request},
    entry::Block,
    error::{DomainError, Result},
    page::{Page, PageRequest},
};

/// Maximum number of users that a user may block: each presence query reads all of them.
const MAX_BLOCKED: u64 = 10_000;

/// Blocks `other`. Blocking a blocked user changes nothing.
///
/// # Errors
/// [`DomainError::Validation`] if the two are the same user; [`DomainError::NotFound`] if the user is unknown; [`DomainError::Conflict`] if there
/// would be more than `MAX_BLOCKED`.
pub async fn block(ctx: &Context, actor: &UserId, other: &UserId) -> Result<()> {
    if actor == other {
        return Err(DomainError::invalid("userId", "must be another user"));
    }
    match users::check_known(ctx, "userId", std::slice::from_ref(other)).await {
        Err(DomainError::Validation(_)) => return Err(DomainError::no_user()),
        known => known?,
    }
    let block = Block {
        user_id: other.clone(),
    };
    if !ctx.store.is_blocked(actor, other).await? {
        if ctx.store.count_blocked(actor, MAX_BLOCKED).await? >= MAX_BLOCKED {
            return Err(DomainError::Conflict(
                format!("A user can block at most {MAX_BLOCKED} others; unblock one first.").into(),
            ));
        }
        set(ctx, actor, Command::BlockUser(block)).await?;
    }
    set_blocking(ctx, actor, other, true).await
}

/// Unblocks `other`.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub async fn unblock(ctx: &Context, actor: &UserId, other: &UserId) -> Result<()> {
    let block = Block {
        user_id: other.clone(),
    };
    set_blocking(ctx, actor, other, false).await?;
    if ctx.store.is_blocked(actor, other).await? {
        set(ctx, actor, Command::UnblockUser(block)).await?;
    }
    Ok(())
}

async fn set(ctx: &Context, actor: &UserId, command: Command) -> Result<()> {
    ctx.append(Request::new(actor.clone(), Some(actor.clone()), command))
        .await?;
    Ok(())
}

/// Copies the blocks between two users into their new direct conversation.
///
/// A block may have come while the conversation was created.
pub(super) async fn carry_over(ctx: &Context, one: &UserId, other: &UserId) -> Result<()> {
    for (blocker, blocked) in [(one, other), (other, one)] {
        if ctx.store.is_blocked(blocker, blocked).await? {
            set_blocking(ctx, blocker, blocked, true).await?;
        }
    }
    Ok(())
}

/// Appends to the direct conversation of the two, if it exists, whether `actor` blocks `other`.
async fn set_blocking(
    ctx: &Context,
    actor: &UserId,
    other: &UserId,
    is_blocking: bool,
) -> Result<()> {
    let Some(conversation) = conversations::find_direct(ctx, actor, other).await? else {
        return Ok(());
    };
    let request = Request::new(
        conversation,
        Some(actor.clone()),
        Command::SetBlocking(is_blocking),
    );
    match ctx.append(request).await {
        Ok(_) | Err(DomainError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the users that `actor` blocks, ordered by user id.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub async fn list(ctx: &Context, actor: &UserId, request: &PageRequest) -> Result<Page<Blocked>> {
    request.check_one_way()?;
    ctx.store.find_block_page(actor, request).await
}

/// Fails if either user blocks the other, so that no direct conversation is started between them.
///
/// If `other` blocks `actor`, the error is that of an unknown user.
///
/// # Errors
/// [`DomainError::Validation`] of `field` if `actor` is blocked; [`DomainError::Forbidden`] if `actor` blocks `other`.
pub(super) async fn check_may_start(
    ctx: &Context,
    actor: &UserId,
    other: &UserId,
    field: &str,
) -> Result<()> {
    if ctx.store.is_blocked(other, actor).await? {
        return Err(users::unknown(field));
    }
    if ctx.store.is_blocked(actor, other).await? {
        return Err(access::blocking());
    }
    Ok(())
}

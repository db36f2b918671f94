//! Blocks: a user who wants to hear nothing of another.
//!
//! Who is blocked cannot tell: starting a direct conversation answers as for an unknown user, writing in one as to a user who is gone, and
//! presence as for somebody who is offline. Who blocks cannot write either, so that nobody talks to somebody who cannot answer. The block stands in the blocker's own log, and, so that the writer of a direct conversation sees
//! it without asking anybody, in that conversation's log as an entry that only the blocker is told of.

use chat_sdk::{ConversationType, Timestamp, UserId};

use super::{
    Context, access,
    command::{Command, Decision, Request},
    conversations,
    entry::{Block, Body, ParticipantChange},
    error::{DomainError, Result},
    page::{Page, PageRequest},
    state::{ConversationState, UserState},
    users,
};

/// How many others a user may block: whoever shows presence reads all of them.
const MAX_BLOCKED: u64 = 10_000;

/// Whom a user blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// Who is blocked.
    pub user: UserId,
    /// Since when.
    pub at: Timestamp,
}

/// Blocks `other`. To block again changes nothing.
///
/// # Errors
/// [`DomainError::Validation`] for oneself, [`DomainError::NotFound`] for an unknown user, [`DomainError::Conflict`] for more than [`MAX_BLOCKED`].
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
                format!("A user blocks at most {MAX_BLOCKED} others; unblock somebody first.")
                    .into(),
            ));
        }
        set(ctx, actor, Command::BlockUser(block)).await?;
    }
    set_blocking(ctx, actor, other, true).await
}

/// Blocks `other` no more.
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

/// Tells a direct conversation that was made just now of the blocks between the two: one may have come while it was made.
pub(super) async fn carry_over(ctx: &Context, one: &UserId, other: &UserId) -> Result<()> {
    for (blocker, blocked) in [(one, other), (other, one)] {
        if ctx.store.is_blocked(blocker, blocked).await? {
            set_blocking(ctx, blocker, blocked, true).await?;
        }
    }
    Ok(())
}

/// Says in the direct conversation of the two, where there is one, whether `actor` blocks `other`.
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

/// Whom `actor` blocks, by user id.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub async fn list(ctx: &Context, actor: &UserId, request: &PageRequest) -> Result<Page<Blocked>> {
    request.check_one_way()?;
    ctx.store.find_block_page(actor, request).await
}

/// Refuses to start a direct conversation with somebody who blocks `actor`, as if they were unknown, and with somebody whom `actor` blocks.
///
/// # Errors
/// [`DomainError::Validation`] of `field`; [`DomainError::Forbidden`] for who blocks.
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

pub(super) fn check_block(state: &UserState, block: &Block) -> Result<Decision> {
    state.living().ok_or_else(DomainError::no_user)?;
    Ok(Decision::Append(Body::UserBlocked(block.clone())))
}

/// Blocks of a deleted user are taken back too.
pub(super) fn check_unblock(state: &UserState, block: &Block) -> Result<Decision> {
    state.fields.as_ref().ok_or_else(DomainError::no_user)?;
    Ok(Decision::Append(Body::UserUnblocked(block.clone())))
}

pub(super) fn check_blocking(
    state: &ConversationState,
    actor: Option<&UserId>,
    is_blocking: bool,
) -> Result<Decision> {
    let (fields, _) = access::member(state, actor)?;
    let actor = actor.ok_or_else(DomainError::no_user)?;
    let is_so = state
        .active_member(actor)
        .is_some_and(|member| member.is_blocking == is_blocking);
    if is_so || fields.kind != ConversationType::Direct {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(Body::ParticipantUpdated(
        ParticipantChange {
            is_blocking: Some(is_blocking),
            ..ParticipantChange::of(actor.clone())
        },
    )))
}

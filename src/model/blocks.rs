//! Checks of blocks between users.

use chat_sdk::{ConversationType, Timestamp, UserId};

use super::{
    access,
    command::Decision,
    entry::{Block, Body, ParticipantChange},
    error::{DomainError, Result},
    state::{ConversationState, UserState},
};

/// A block of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// Id of the blocked user.
    pub user: UserId,
    /// Time at which the block began.
    pub at: Timestamp,
}

pub(super) fn check_block(state: &UserState, block: &Block) -> Result<Decision> {
    state.living().ok_or_else(DomainError::no_user)?;
    Ok(Decision::Append(Body::UserBlocked(block.clone())))
}

/// Decides on an unblocking, which is also possible for a deleted user.
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

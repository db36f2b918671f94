//! Checks of the writer for pinned messages.

use chat_sdk::{ConversationType, Role, UserId};

use super::{
    access,
    command::Decision,
    entry::{Body, MessageTarget},
    error::{DomainError, Result},
    messages::{as_no_message, in_conversation},
    state::{ConversationState, MessageState},
};

pub(super) fn check_pin(
    state: &ConversationState,
    actor: Option<&UserId>,
    message: Option<&MessageState>,
    target: &MessageTarget,
) -> Result<Decision> {
    let message = check(state, actor, message)?;
    if message.is_deleted {
        return Err(DomainError::Conflict("The message was deleted.".into()));
    }
    Ok(if message.is_pinned {
        Decision::Nothing
    } else {
        Decision::Append(Body::MessagePinned(target.clone()))
    })
}

pub(super) fn check_unpin(
    state: &ConversationState,
    actor: Option<&UserId>,
    message: Option<&MessageState>,
    target: &MessageTarget,
) -> Result<Decision> {
    let message = check(state, actor, message)?;
    Ok(if message.is_pinned {
        Decision::Append(Body::MessageUnpinned(target.clone()))
    } else {
        Decision::Nothing
    })
}

fn check<'a>(
    state: &ConversationState,
    actor: Option<&UserId>,
    message: Option<&'a MessageState>,
) -> Result<&'a MessageState> {
    let (fields, standing) = access::member(state, actor).map_err(as_no_message)?;
    let message = in_conversation(state, message)?;
    access::not_blocked(state, actor)?;
    if fields.kind != ConversationType::Direct {
        standing.require(Role::Admin)?;
    }
    Ok(message)
}

//! Checks of the writer for messages: whether one may be sent, edited, deleted or restored.

use chat_sdk::{ConversationType, Role, Timestamp, UserId};

use super::{as_no_message, deleted, not_of_conversation};
use crate::model::{
    access,
    command::{Decision, WantedEdit},
    entry::{Body, MessageCreated, MessageRemoval, MessageRestored},
    error::{DomainError, Result},
    state::{ConversationState, MessageState},
    visibility::Audience,
};

pub(crate) fn check_send(
    state: &ConversationState,
    actor: Option<&UserId>,
    root: Option<&MessageState>,
    message: &MessageCreated,
    at: Timestamp,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    access::not_blocked(state, actor)?;
    let mut message = message.clone();
    if message.thread_id.is_some() {
        if !fields.settings.features.threads {
            return Err(DomainError::Forbidden(
                "Threads are off in this conversation.".into(),
            ));
        }
        let sees = |seq| {
            standing
                .member()
                .is_none_or(|member| Audience::of(fields, member).sees(seq))
        };
        let root = in_conversation(state, root)
            .ok()
            .filter(|root| sees(root.seq) && !root.is_gone(at))
            .ok_or_else(|| not_of_conversation("threadId"))?;
        if root.thread_id.is_some() {
            return Err(DomainError::invalid(
                "threadId",
                "is itself a reply; use the root message of its thread",
            ));
        }
        if root.is_deleted {
            return Err(deleted());
        }
        message.thread_reply_count = Some(root.reply_count + 1);
        message.is_thread_expiring = root.has_expiring_replies || message.expires_at.is_some();
    }
    Ok(Decision::Append(Body::MessageCreated(Box::new(message))))
}

pub(crate) fn check_edit(
    state: &ConversationState,
    actor: Option<&UserId>,
    target: Option<&MessageState>,
    wanted: &WantedEdit,
) -> Result<Decision> {
    access::member(state, actor).map_err(as_no_message)?;
    let target = in_conversation(state, target)?;
    if !is_own(state, actor, target) {
        return Err(DomainError::Forbidden(
            "Only its sender may change a message.".into(),
        ));
    }
    if target.is_deleted {
        return Err(deleted());
    }
    access::not_blocked(state, actor)?;
    let is_as_read = target.edit_seq == wanted.read_edit_seq;
    if wanted.is_unchanged && is_as_read {
        return Ok(Decision::Nothing);
    }
    if wanted.keeps_content && !is_as_read {
        return Err(changed_meanwhile());
    }
    Ok(Decision::Append(Body::MessageUpdated(wanted.edit.clone())))
}

pub(crate) fn check_delete(
    state: &ConversationState,
    actor: Option<&UserId>,
    target: Option<&MessageState>,
    removal: &MessageRemoval,
) -> Result<Decision> {
    let (_, standing) = access::member(state, actor).map_err(as_no_message)?;
    let target = in_conversation(state, target)?;
    if !is_own(state, actor, target) && standing.role() < Role::Admin {
        return Err(DomainError::Forbidden(
            "Only its sender, or an owner or admin of the conversation, may delete a message."
                .into(),
        ));
    }
    if target.is_expired || (target.is_deleted && !removal.is_expired) {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(Body::MessageDeleted(removal.clone())))
}

pub(crate) fn check_restore(
    state: &ConversationState,
    actor: Option<&UserId>,
    target: Option<&MessageState>,
    restored: &MessageRestored,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor).map_err(as_no_message)?;
    let target = in_conversation(state, target)?;
    if fields.kind == ConversationType::Direct && actor.is_some() {
        return Err(DomainError::Forbidden(
            "Messages of a direct conversation cannot be restored, because it has no owner or admin."
                .into(),
        ));
    }
    standing.require(Role::Admin)?;
    if !target.is_deleted {
        return Ok(Decision::Nothing);
    }
    if target.is_expired {
        return Err(DomainError::no_message());
    }
    if target.edit_seq != restored.edit_seq {
        return Err(changed_meanwhile());
    }
    Ok(Decision::Append(Body::MessageRestored(Box::new(
        restored.clone(),
    ))))
}

fn changed_meanwhile() -> DomainError {
    DomainError::Conflict("The message was changed concurrently; try again.".into())
}

/// Returns true if `actor` sent `message`: the same user, not a later holder of the id.
///
/// `None` is the host.
///
/// The sender that is displayed does not matter here.
fn is_own(state: &ConversationState, actor: Option<&UserId>, message: &MessageState) -> bool {
    let former_until = actor
        .and_then(|actor| state.members.get(actor))
        .map_or(0, |member| member.former_until);
    actor == message.sender.as_ref() && message.seq > former_until
}

pub(crate) fn in_conversation<'a>(
    state: &ConversationState,
    target: Option<&'a MessageState>,
) -> Result<&'a MessageState> {
    target
        .filter(|message| message.conversation == state.id)
        .ok_or_else(DomainError::no_message)
}

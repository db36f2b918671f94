//! The decision on a command: each is checked against the fold of all earlier entries, by the check of its resource.

use chat_sdk::Timestamp;

use super::{
    blocks,
    command::{Command, Decision, Request},
    conversations,
    entry::{Body, Entry, PluginData},
    error::{DomainError, Result},
    messages,
    participants::{self, Room},
    pins, reactions, size,
    state::{ConversationState, State, TargetState, UserState},
    users,
    visibility::hidden_from_later_members,
};

/// Checks `request` against `state`, the fold of all entries before it, and returns what to append.
///
/// `target` is the data that [`Request::target`] names. `at` is the entry's timestamp.
///
/// # Errors
/// The error of the check. [`DomainError::NotFound`] if the caller may not know of the resource; [`DomainError::TooLarge`] if the event would be too
/// large.
pub fn decide(
    state: &State,
    request: &Request,
    target: Option<&TargetState>,
    at: Timestamp,
) -> Result<Decision> {
    let Decision::Append(mut body) = match state {
        State::Conversation(state) => check_in_conversation(state, request, target, at),
        State::User(state) => check_of_user(state, request, at),
    }?
    else {
        return Ok(Decision::Nothing);
    };
    if let State::Conversation(state) = state
        && let Some((fields, message)) = state.living().zip(target.and_then(TargetState::message))
        && let Some(seq) = hidden_from_later_members(fields, message)
    {
        body = body.with_message_seq(seq);
    }
    let entry = Entry {
        id: request.event_id.clone(),
        owner: request.owner.clone(),
        seq: state.seq() + 1,
        actor: request.actor.clone(),
        at,
        body,
        trace: None,
    };
    size::check(&entry)?;
    Ok(Decision::Append(entry.body))
}

fn check_in_conversation(
    state: &ConversationState,
    request: &Request,
    target: Option<&TargetState>,
    at: Timestamp,
) -> Result<Decision> {
    let actor = request.actor.as_ref();
    let message = target.and_then(TargetState::message);
    let has_reacted = target.is_some_and(TargetState::has_reacted);
    match &request.command {
        Command::SendMessage(draft) => messages::check_send(state, actor, message, draft, at),
        Command::EditMessage(wanted) => messages::check_edit(state, actor, message, wanted),
        Command::DeleteMessage(removal) => messages::check_delete(state, actor, message, removal),
        Command::RestoreMessage(restored) => {
            messages::check_restore(state, actor, message, restored)
        }
        Command::PinMessage(target) => pins::check_pin(state, actor, message, target),
        Command::UnpinMessage(target) => pins::check_unpin(state, actor, message, target),
        Command::AddReaction(wanted) => {
            reactions::check_add(state, actor, message, has_reacted, wanted, at)
        }
        Command::RemoveReaction(wanted) => {
            reactions::check_remove(state, actor, message, has_reacted, wanted, at)
        }
        Command::WithdrawReaction { wanted, user } => {
            reactions::check_withdraw(state, user, message, has_reacted, wanted)
        }
        Command::CreateConversation {
            kind,
            settings,
            created_by,
            members,
        } => conversations::check_create(state, *kind, settings, created_by, members, at),
        Command::UpdateConversation(update) => conversations::check_change(state, actor, update),
        Command::DeleteConversation => conversations::check_delete(state, actor),
        Command::Publish(event) => match state.living() {
            Some(_) => Ok(publish(event)),
            None => Err(DomainError::no_conversation()),
        },
        Command::Join { max_members } => participants::check_join(state, actor, *max_members),
        Command::Leave => participants::check_leave(state, actor),
        Command::AddParticipants {
            user_ids,
            following,
            role,
            max_members,
        } => {
            let room = Room {
                following: *following,
                max_members: *max_members,
            };
            participants::check_add(state, actor, user_ids, *role, room)
        }
        Command::RemoveParticipant { user_id } => participants::check_remove(state, actor, user_id),
        Command::ForgetMember { user_id } => participants::check_forget(state, actor, user_id),
        Command::ChangeRole { user_id, role } => {
            participants::check_change_role(state, actor, user_id, *role)
        }
        Command::UpdatePreferences(update) => {
            participants::check_preferences(state, actor, update, at)
        }
        Command::SetBlocking(is_blocking) => blocks::check_blocking(state, actor, *is_blocking),
        Command::EnsureUser(_)
        | Command::SyncUser { .. }
        | Command::UpdateUser(_)
        | Command::DeleteUser
        | Command::BlockUser(_)
        | Command::UnblockUser(_)
        | Command::DisconnectUser(_) => Err(misplaced()),
    }
}

fn check_of_user(state: &UserState, request: &Request, at: Timestamp) -> Result<Decision> {
    match &request.command {
        Command::EnsureUser(profile) => users::check_ensure(state, profile, at),
        Command::SyncUser { profile, revives } => users::check_sync(state, profile, *revives, at),
        Command::UpdateUser(update) => users::check_change(state, update),
        Command::DeleteUser => users::check_delete(state),
        Command::Publish(event) => match state.living() {
            Some(_) => Ok(publish(event)),
            None => Err(DomainError::no_user()),
        },
        Command::BlockUser(block) => blocks::check_block(state, block),
        Command::UnblockUser(block) => blocks::check_unblock(state, block),
        Command::DisconnectUser(disconnection) => users::check_disconnect(state, disconnection),
        _ => Err(misplaced()),
    }
}

fn publish(event: &PluginData) -> Decision {
    Decision::Append(Body::Plugin(Box::new(event.clone())))
}

fn misplaced() -> DomainError {
    DomainError::Internal("a command was submitted to a log of the wrong kind".into())
}

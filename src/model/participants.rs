//! Checks of the writer for the members of a conversation: join, leave, add, remove, change roles and preferences.

use std::collections::BTreeSet;

use chat_sdk::{
    ConversationType, Patch, Role, Timestamp, UserId, commands::participants::UpdatePreferences,
};

use super::{
    access,
    command::Decision,
    entry::{Body, ConversationSnapshot, ParticipantChange, ParticipantsJoined, ParticipantsLeft},
    error::{DomainError, Result},
    state::{ConversationFields, ConversationState, SHOWN_MEMBERS},
};

/// Room that the conversation must have for added users.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Number of users that the same request adds later.
    pub following: u32,
    /// Maximum number of members of the conversation.
    pub max_members: u32,
}

pub(super) fn check_join(
    state: &ConversationState,
    actor: Option<&UserId>,
    max_members: u32,
) -> Result<Decision> {
    let fields = state.living().ok_or_else(DomainError::no_conversation)?;
    let actor = actor.ok_or_else(DomainError::no_user)?;
    if state.active_member(actor).is_some() {
        return Ok(Decision::Nothing);
    }
    if fields.kind != ConversationType::Public {
        return Err(DomainError::no_conversation());
    }
    check_room(fields, 1, max_members)?;
    Ok(joined(state, fields, vec![actor.clone()], Role::Member))
}

pub(super) fn check_leave(state: &ConversationState, actor: Option<&UserId>) -> Result<Decision> {
    let (fields, _) = access::member(state, actor)?;
    check_not_direct(fields)?;
    let actor = actor.ok_or_else(DomainError::no_user)?;
    check_owner_remains(state, actor)?;
    Ok(left(actor))
}

pub(super) fn check_add(
    state: &ConversationState,
    actor: Option<&UserId>,
    user_ids: &[UserId],
    role: Role,
    room: Room,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    check_not_direct(fields)?;
    standing.require(Role::Admin)?;
    standing.require(role)?;
    let new: Vec<UserId> = user_ids
        .iter()
        .filter(|id| state.active_member(id).is_none())
        .cloned()
        .collect();
    if new.is_empty() {
        return Ok(Decision::Nothing);
    }
    let wanted = new.len() + room.following as usize;
    check_room(fields, wanted, room.max_members)?;
    Ok(joined(state, fields, new, role))
}

pub(super) fn check_remove(
    state: &ConversationState,
    actor: Option<&UserId>,
    user: &UserId,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    check_not_direct(fields)?;
    standing.require(Role::Admin)?;
    let member = state.active_member(user).ok_or_else(no_participant)?;
    if member.role > Role::Member {
        standing.require(Role::Owner)?;
    }
    check_owner_remains(state, user)?;
    Ok(left(user))
}

/// Decides on the removal of everything that a deleted `user` has in the conversation.
///
/// It includes past memberships and direct conversations. A later holder of the id starts with nothing.
pub(super) fn check_forget(
    state: &ConversationState,
    actor: Option<&UserId>,
    user: &UserId,
) -> Result<Decision> {
    let fields = state.living().ok_or_else(DomainError::no_conversation)?;
    if actor.is_some() {
        return Err(DomainError::Forbidden("Only the host may do this.".into()));
    }
    let Some(member) = state.members.get(user) else {
        return Ok(Decision::Nothing);
    };
    if member.intervals.is_empty() {
        return Ok(Decision::Nothing);
    }
    if !member.is_active() {
        return Ok(Decision::Append(Body::ParticipantUpdated(
            ParticipantChange {
                is_forgotten: true,
                ..ParticipantChange::of(user.clone())
            },
        )));
    }
    if fields.kind != ConversationType::Direct {
        check_owner_remains(state, user)?;
    }
    Ok(Decision::Append(Body::ParticipantRemoved(
        ParticipantsLeft {
            user_ids: vec![user.clone()],
            is_forgotten: true,
        },
    )))
}

pub(super) fn check_change_role(
    state: &ConversationState,
    actor: Option<&UserId>,
    user: &UserId,
    role: Role,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    check_not_direct(fields)?;
    standing.require(Role::Owner)?;
    let member = state.active_member(user).ok_or_else(no_participant)?;
    if member.role == role {
        return Ok(Decision::Nothing);
    }
    // Unlike leaving, this keeps the member, so the conversation would have members but no owner.
    if member.role == Role::Owner && !has_other_owner(state, user) {
        return Err(no_owner_left());
    }
    Ok(Decision::Append(Body::ParticipantUpdated(
        ParticipantChange {
            role: Some(role),
            ..ParticipantChange::of(user.clone())
        },
    )))
}

pub(super) fn check_preferences(
    state: &ConversationState,
    actor: Option<&UserId>,
    update: &UpdatePreferences,
    at: Timestamp,
) -> Result<Decision> {
    let (fields, _) = access::member(state, actor)?;
    let actor = actor.ok_or_else(DomainError::no_user)?;
    let member = state
        .active_member(actor)
        .ok_or_else(DomainError::no_conversation)?;
    let before = member.shown_preferences(fields.last_message_seq, at);
    let mut update = update.clone();
    if let Patch::Set(until) = update.muted_until
        && until <= at
    {
        // A client may send back a value that it read while it was still in the future.
        if member.preferences.muted_until != Some(until) {
            return Err(DomainError::invalid("mutedUntil", "must be in the future"));
        }
        update.muted = Patch::Set(false);
        update.muted_until = Patch::Keep;
    }
    let mut after = before.clone();
    update.apply(&mut after);
    if after == before {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(Body::ParticipantUpdated(
        ParticipantChange {
            preferences: Some(after),
            ..ParticipantChange::of(actor.clone())
        },
    )))
}

/// Fails if members would remain without an owner. The very last member may leave.
fn check_owner_remains(state: &ConversationState, without: &UserId) -> Result<()> {
    let is_owner = state
        .active_member(without)
        .is_some_and(|member| member.role == Role::Owner);
    let has_others = state.active_members().any(|(id, _)| id != without);
    if is_owner && has_others && !has_other_owner(state, without) {
        return Err(no_owner_left());
    }
    Ok(())
}

fn has_other_owner(state: &ConversationState, than: &UserId) -> bool {
    state
        .active_members()
        .any(|(id, member)| id != than && member.role == Role::Owner)
}

fn no_owner_left() -> DomainError {
    DomainError::Conflict(
        "The conversation would be left without an owner; make another member owner first.".into(),
    )
}

fn check_room(fields: &ConversationFields, new: usize, max_members: u32) -> Result<()> {
    if fields.participant_count as usize + new <= max_members as usize {
        return Ok(());
    }
    Err(DomainError::Conflict(
        format!("A conversation has at most {max_members} members.").into(),
    ))
}

fn check_not_direct(fields: &ConversationFields) -> Result<()> {
    if fields.kind == ConversationType::Direct {
        return Err(DomainError::Forbidden(
            "The members of a direct conversation cannot be changed.".into(),
        ));
    }
    Ok(())
}

fn joined(
    state: &ConversationState,
    fields: &ConversationFields,
    user_ids: Vec<UserId>,
    role: Role,
) -> Decision {
    let mut members: BTreeSet<&UserId> = state
        .active_members()
        .map(|(id, _)| id)
        .take(SHOWN_MEMBERS)
        .collect();
    members.extend(&user_ids);
    let conversation = ConversationSnapshot {
        participant_count: fields.participant_count + user_ids.len() as u32,
        participant_ids: members.into_iter().take(SHOWN_MEMBERS).cloned().collect(),
        ..state.snapshot(fields, fields.settings.clone())
    };
    Decision::Append(Body::ParticipantAdded(ParticipantsJoined {
        user_ids,
        role,
        conversation,
    }))
}

fn left(user: &UserId) -> Decision {
    Decision::Append(Body::ParticipantRemoved(ParticipantsLeft {
        user_ids: vec![user.clone()],
        is_forgotten: false,
    }))
}

pub(crate) fn no_participant() -> DomainError {
    DomainError::NotFound("There is no such member in this conversation.".into())
}

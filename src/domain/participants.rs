//! Members of a conversation: join, leave, add, remove, change roles.

use std::collections::{BTreeSet, HashSet};

use chat_sdk::{
    ConversationId, ConversationType, Participant, Preferences, Role, Timestamp, UserId,
};

use super::{
    AddedBy, Context, access, additions,
    command::{Command, Decision, PreferencesPatch, Request},
    conversations,
    entry::{Body, ConversationSnapshot, ParticipantChange, ParticipantsJoined, ParticipantsLeft},
    error::{DomainError, Faults, Result},
    page::{Page, PageRequest},
    patch::Patch,
    size,
    state::{ConversationFields, ConversationState, SHOWN_MEMBERS},
};
use crate::bounds;

/// Maximum number of users in one entry; longer lists become several entries.
const USERS_PER_ENTRY: usize = 200;

/// Returns the number of `user_ids`, from the first on, that fit into one entry.
pub(super) fn fit_into_entry(user_ids: &[UserId]) -> usize {
    let most = user_ids.len().min(USERS_PER_ENTRY);
    size::fitting(&user_ids[..most], bounds::MEMBERS)
}

/// Returns the members of a conversation, ordered by user id.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller is not a member.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    request: &PageRequest,
) -> Result<Page<Participant>> {
    ctx.store
        .find_membership(conversation, actor)
        .await?
        .active()?;
    let page = ctx
        .store
        .find_participant_page(conversation, request)
        .await?;
    Ok(page.fit(request.max_bytes, |_, member| member.user_id.to_string()))
}

/// Adds `user_ids` as members, in entries of at most 200 users.
///
/// Returns those of them who are members now.
///
/// Users who are members already are not changed.
///
/// # Errors
/// [`DomainError::Validation`] that names unknown users; [`DomainError::Forbidden`] if the caller is a plain member or the conversation is direct.
pub async fn add(
    ctx: &Context,
    (actor, by): (Option<&UserId>, AddedBy),
    conversation: &ConversationId,
    user_ids: Vec<UserId>,
    role: Role,
) -> Result<Vec<Participant>> {
    let mut faults = Faults::default();
    faults.when(
        user_ids.is_empty(),
        "userIds",
        "must name at least one user",
    );
    faults.into_result()?;
    if let Some(actor) = actor {
        // This check comes first: errors about the users must not reveal to a non-member who the members are.
        let membership = ctx.store.find_membership(conversation, actor).await?;
        membership.active()?;
    }
    let present: HashSet<UserId> = ctx
        .store
        .find_participants(conversation, &user_ids)
        .await?
        .into_iter()
        .map(|participant| participant.user_id)
        .collect();
    additions::check(ctx, (actor, by), "userIds", &user_ids, &present).await?;
    let unique: BTreeSet<UserId> = user_ids.into_iter().collect();
    let unique: Vec<UserId> = unique.into_iter().collect();
    // Only new members take room, and the first entry is rejected unless there is room for all of them.
    let mut new = unique.clone();
    new.retain(|id| !present.contains(id));
    if new.is_empty() {
        // The writer decides whether the caller may add members.
        new.extend(unique.first().cloned());
    }
    append_additions(ctx, actor, conversation, &new, role).await?;
    ctx.store.find_participants(conversation, &unique).await
}

/// Appends the entries that make `user_ids` members, with at most 200 users each.
pub(super) async fn append_additions(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    user_ids: &[UserId],
    role: Role,
) -> Result<()> {
    let mut rest = user_ids;
    while !rest.is_empty() {
        // At least one, so that the loop ends; a single id always fits.
        let (chunk, others) = rest.split_at(fit_into_entry(rest).max(1));
        rest = others;
        let following = rest.len();
        let command = Command::AddParticipants {
            user_ids: chunk.to_vec(),
            following: u32::try_from(following).unwrap_or(u32::MAX),
            role,
            max_members: ctx.limits.max_group_members,
        };
        ctx.append(Request::new(conversation.clone(), actor.cloned(), command))
            .await?;
    }
    Ok(())
}

/// Makes `actor` a member of a public conversation. Returns the conversation.
///
/// # Errors
/// [`DomainError::NotFound`] if it is not public; [`DomainError::Conflict`] if it is full.
pub async fn join(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
) -> Result<chat_sdk::Conversation> {
    if ctx
        .store
        .find_membership(conversation, actor)
        .await?
        .active()
        .is_err()
    {
        additions::check_own_room(ctx, actor).await?;
    }
    ctx.append(Request::new(
        conversation.clone(),
        Some(actor.clone()),
        Command::Join {
            max_members: ctx.limits.max_group_members,
        },
    ))
    .await?;
    conversations::get(ctx, actor, conversation).await
}

/// Ends the membership of `actor`.
///
/// # Errors
/// [`DomainError::Conflict`] if the caller is the last owner and other members remain.
pub async fn leave(ctx: &Context, actor: &UserId, conversation: &ConversationId) -> Result<()> {
    ctx.append(Request::new(
        conversation.clone(),
        Some(actor.clone()),
        Command::Leave,
    ))
    .await?;
    Ok(())
}

/// Ends the membership of `user`. If `user` is the caller, they leave.
///
/// # Errors
/// [`DomainError::NotFound`] if there is no such member; [`DomainError::Forbidden`] if the caller lacks the right.
pub async fn remove(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    user: &UserId,
) -> Result<()> {
    let command = if actor == Some(user) {
        Command::Leave
    } else {
        Command::RemoveParticipant {
            user_id: user.clone(),
        }
    };
    ctx.append(Request::new(conversation.clone(), actor.cloned(), command))
        .await?;
    Ok(())
}

/// Changes the role of `user`. Returns the member.
///
/// # Errors
/// [`DomainError::Conflict`] if no owner would remain; [`DomainError::Forbidden`] if the caller lacks the right.
pub async fn change_role(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    user: &UserId,
    role: Role,
) -> Result<Participant> {
    let command = Command::ChangeRole {
        user_id: user.clone(),
        role,
    };
    ctx.append(Request::new(conversation.clone(), actor.cloned(), command))
        .await?;
    ctx.store
        .find_participants(conversation, std::slice::from_ref(user))
        .await?
        .pop()
        .ok_or_else(no_participant)
}

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

/// Changes the caller's own settings of a conversation. Returns the settings.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller is not a member; [`DomainError::Validation`] if `mutedUntil` is in the past.
pub async fn change_preferences(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    patch: PreferencesPatch,
) -> Result<Preferences> {
    let command = Command::ChangePreferences(patch);
    ctx.append(Request::new(
        conversation.clone(),
        Some(actor.clone()),
        command,
    ))
    .await?;
    let membership = ctx.store.find_membership(conversation, actor).await?;
    membership.preferences()
}

pub(super) fn check_preferences(
    state: &ConversationState,
    actor: Option<&UserId>,
    patch: &PreferencesPatch,
    at: Timestamp,
) -> Result<Decision> {
    let (fields, _) = access::member(state, actor)?;
    let actor = actor.ok_or_else(DomainError::no_user)?;
    let member = state
        .active_member(actor)
        .ok_or_else(DomainError::no_conversation)?;
    let before = member.shown_preferences(fields.last_message_seq, at);
    let mut patch = patch.clone();
    if let Patch::Set(until) = patch.muted_until
        && until <= at
    {
        // A client may send back a value that it read while it was still in the future.
        if member.preferences.muted_until != Some(until) {
            return Err(DomainError::invalid("mutedUntil", "must be in the future"));
        }
        patch.muted = Some(false);
        patch.muted_until = Patch::Keep;
    }
    let after = changed(before.clone(), patch);
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

fn changed(mut preferences: Preferences, patch: PreferencesPatch) -> Preferences {
    let PreferencesPatch {
        muted,
        muted_until,
        archived,
        pinned,
        hidden,
        notification_level,
    } = patch;
    let set = |field: &mut bool, value: Option<bool>| *field = value.unwrap_or(*field);
    set(&mut preferences.muted, muted);
    set(&mut preferences.archived, archived);
    set(&mut preferences.pinned, pinned);
    set(&mut preferences.hidden, hidden);
    if muted_until.value().is_some() {
        preferences.muted = true;
    }
    muted_until.apply(&mut preferences.muted_until);
    if !preferences.muted {
        preferences.muted_until = None;
    }
    preferences.notification_level = notification_level.unwrap_or(preferences.notification_level);
    preferences
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

fn no_participant() -> DomainError {
    DomainError::NotFound("There is no such member in this conversation.".into())
}

//! Members of a conversation: joining, leaving, adding, removing, roles.

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

/// How many users one entry may name; longer lists become several entries.
const USERS_PER_ENTRY: usize = 200;

/// How many of `user_ids`, from the first on, fit into one entry.
pub(super) fn fit_into_entry(user_ids: &[UserId]) -> usize {
    let most = user_ids.len().min(USERS_PER_ENTRY);
    size::fitting(&user_ids[..most], bounds::MEMBERS)
}

/// The members of a conversation, by user id.
///
/// # Errors
/// [`DomainError::NotFound`] for who is no member of it.
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

/// Adds `user_ids`, with entries of at most 200 users; who is a member stays as they are. Answers who is a member now, of those asked for.
///
/// # Errors
/// [`DomainError::Validation`] naming unknown users, [`DomainError::Forbidden`] for a plain member or a direct conversation.
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
        // First: what is said of the users must not tell a stranger who is a member here.
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
    // Only those who are no members take room, and the first entry is refused unless there is room for all.
    let mut new = unique.clone();
    new.retain(|id| !present.contains(id));
    if new.is_empty() {
        // The writer says whether the caller may add anybody.
        new.extend(unique.first().cloned());
    }
    append_additions(ctx, actor, conversation, &new, role).await?;
    ctx.store.find_participants(conversation, &unique).await
}

/// Appends that `user_ids` become members, with entries of at most 200 users.
pub(super) async fn append_additions(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    user_ids: &[UserId],
    role: Role,
) -> Result<()> {
    let mut rest = user_ids;
    while !rest.is_empty() {
        // At least one, so that this ends; an id alone always fits.
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

/// Makes `actor` a member of a public conversation. Answers the conversation.
///
/// # Errors
/// [`DomainError::NotFound`] when it is not public, [`DomainError::Conflict`] when it is full.
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
/// [`DomainError::Conflict`] for the last owner while others remain.
pub async fn leave(ctx: &Context, actor: &UserId, conversation: &ConversationId) -> Result<()> {
    ctx.append(Request::new(
        conversation.clone(),
        Some(actor.clone()),
        Command::Leave,
    ))
    .await?;
    Ok(())
}

/// Ends the membership of `user`; of oneself: leaving.
///
/// # Errors
/// [`DomainError::NotFound`] when there is no such member, [`DomainError::Forbidden`] without the right.
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

/// Gives `user` another role. Answers the member.
///
/// # Errors
/// [`DomainError::Conflict`] when it would leave no owner, [`DomainError::Forbidden`] without the right.
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

/// How much room there must be for users who are added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// How many more users the same request adds later.
    pub following: u32,
    /// How many members the conversation may have.
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

/// Ends what `user`, who was deleted, has in the conversation, also of memberships that are over and of a direct conversation. A later holder of the
/// id begins with nothing.
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
    // Unlike leaving, this keeps a member, who would be there without an owner.
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

/// Changes what the caller has set for themselves in a conversation. Answers the settings.
///
/// # Errors
/// [`DomainError::NotFound`] for who is no member, [`DomainError::Validation`] for a `mutedUntil` in the past.
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
        // A client may send back what it read while that still muted.
        if member.preferences.muted_until != Some(until) {
            return Err(DomainError::invalid("mutedUntil", "must lie in the future"));
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

/// Refuses what would leave members without an owner. The last member of all may go.
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
            "The members of a direct conversation never change.".into(),
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

//! Members of a conversation: join, leave, add, remove, change roles.

use std::collections::{BTreeSet, HashSet};

use chat_sdk::{
    ConversationId, ConversationType, Participant, Preferences, Role, UserId,
    commands::participants::UpdatePreferences,
    plugin::{HookData, HookParticipants, HookPoint},
};

use super::{
    AddedBy, Context, additions, conversations,
    hooks::{Asked, Fixed, pass_or_refuse},
};
use crate::model::{
    bounds,
    command::{Command, Request},
    error::{Faults, Result},
    page::{Page, PageRequest},
    participants::no_participant,
    size,
};

/// Point at which hooks are asked about new members.
const POINT: HookPoint = HookPoint::ParticipantBeforeAdd;
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
/// `DomainError::NotFound` if the caller is not a member.
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
/// `DomainError::Validation` that names unknown users; `DomainError::Forbidden` if the caller is a plain member or the conversation is direct.
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
    if let Some(actor) = actor
        && !new.is_empty()
        && ctx.hooks.has(POINT)
    {
        let membership = ctx.store.find_membership(conversation, actor).await?;
        let (fields, member) = membership.require_member()?;
        let asked = Asked {
            role: Some(member.role),
            kind: Some(fields.kind),
            conversation: Some(conversation),
            ..Asked::new(POINT, actor)
        };
        ask_before_add(ctx, asked, new.clone(), role).await?;
    }
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
/// `DomainError::NotFound` if it is not public; `DomainError::Conflict` if it is full.
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
        if ctx.hooks.has(POINT) {
            ask_before_join(ctx, actor, conversation).await?;
        }
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

/// Asks the hooks about `actor`, who joins a public conversation. The writer rejects one that is not public, so no hook hears of it.
async fn ask_before_join(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
) -> Result<()> {
    let found = ctx.store.find_conversation(conversation).await?;
    let Some(found) = found.filter(|found| found.kind == ConversationType::Public) else {
        return Ok(());
    };
    let asked = Asked {
        role: Some(Role::Member),
        kind: Some(found.kind),
        conversation: Some(conversation),
        ..Asked::new(POINT, actor)
    };
    ask_before_add(ctx, asked, vec![actor.clone()], Role::Member).await
}

async fn ask_before_add(
    ctx: &Context,
    asked: Asked<'_>,
    user_ids: Vec<UserId>,
    new_role: Role,
) -> Result<()> {
    let data = HookData::Participants(HookParticipants { user_ids, new_role });
    pass_or_refuse(&ctx.hooks, asked, Fixed(data)).await
}

/// Ends the membership of `actor`.
///
/// # Errors
/// `DomainError::Conflict` if the caller is the last owner and other members remain.
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
/// `DomainError::NotFound` if there is no such member; `DomainError::Forbidden` if the caller lacks the right.
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
/// `DomainError::Conflict` if no owner would remain; `DomainError::Forbidden` if the caller lacks the right.
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

/// Changes the caller's own settings of a conversation. Returns the settings.
///
/// # Errors
/// `DomainError::NotFound` if the caller is not a member; `DomainError::Validation` if `mutedUntil` is in the past.
pub async fn change_preferences(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    update: UpdatePreferences,
) -> Result<Preferences> {
    let command = Command::UpdatePreferences(update);
    ctx.append(Request::new(
        conversation.clone(),
        Some(actor.clone()),
        command,
    ))
    .await?;
    let membership = ctx.store.find_membership(conversation, actor).await?;
    membership.preferences()
}

//! Conversations: create, read, change and delete.

use std::collections::{BTreeSet, HashSet};

use chat_sdk::{
    Conversation, ConversationId, ConversationSettings, ConversationType, Patch, Role, UserId,
    commands::conversations::{CreateConversation, UpdateConversation},
    plugin::{HookChange, HookConversation, HookData, HookFault, HookPoint},
};

use super::{
    AddedBy, Context, additions, blocks,
    hooks::{Asked, Subject, change_or_refuse},
    participants, unread, users,
};
use crate::{
    model::{
        bounds,
        command::{Command, Request},
        conversations::{check_direct, check_settings, check_update},
        entry::NewMember,
        error::{DomainError, Faults, Result},
        hashed,
        page::{Page, PageRequest},
    },
    store::{ArchiveFilter, ConversationRow},
};

/// A conversation, and whether this request created it.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The conversation as its creator sees it.
    pub conversation: Conversation,
    /// False if the direct conversation already existed.
    pub is_new: bool,
}

/// Creates a conversation; returns the existing one if it is direct and exists.
///
/// More than 200 members become several entries; every named user is a member when this returns `Ok`.
///
/// # Errors
/// [`DomainError::Validation`] that names every unknown participant and every other error.
pub async fn create(
    ctx: &Context,
    actor: &UserId,
    by: AddedBy,
    new: CreateConversation,
) -> Result<Made> {
    let mut faults = Faults::default();
    let settings = new.settings();
    check_settings(&settings, &mut faults);
    let others: Vec<&UserId> = new
        .participant_ids
        .iter()
        .filter(|id| *id != actor)
        .collect();
    let most_others = ctx.limits.max_group_members.saturating_sub(1);
    faults.when(
        others.iter().collect::<BTreeSet<_>>().len() > most_others as usize,
        "participantIds",
        format!("must name at most {most_others} users besides the caller"),
    );
    faults.when(
        new.kind == ConversationType::Direct && others.len() != 1,
        "participantIds",
        "must name exactly one other user in a direct conversation",
    );
    faults.into_result()?;
    if new.kind == ConversationType::Direct {
        check_direct(&settings)?;
        let other = others[0];
        // An existing conversation is returned whatever became of the other user.
        if find_direct(ctx, actor, other).await?.is_none() {
            users::check_known(ctx, "participantIds", &new.participant_ids).await?;
            let index = new.participant_ids.iter().position(|id| id == other);
            let field = format!("participantIds[{}]", index.unwrap_or_default());
            blocks::check_may_start(ctx, actor, other, &field).await?;
            let settings = ask_before_direct(ctx, actor, other, settings).await?;
            return create_direct(ctx, actor, other, settings).await;
        }
        return create_direct(ctx, actor, other, settings).await;
    }
    let asked = (Some(actor), by);
    additions::check(
        ctx,
        asked,
        "participantIds",
        &new.participant_ids,
        &HashSet::new(),
    )
    .await?;
    additions::check_own_room(ctx, actor).await?;
    let others: BTreeSet<UserId> = others.into_iter().cloned().collect();
    let settings = ask_before_create(ctx, actor, (new.kind, &others), settings).await?;
    let mut ids = vec![actor.clone()];
    ids.extend(others);
    let later = ids.split_off(participants::fit_into_entry(&ids));
    ids.rotate_left(1);
    let members = ids.into_iter().map(|user_id| NewMember {
        role: if user_id == *actor {
            Role::Owner
        } else {
            Role::Member
        },
        user_id,
    });
    let id = ConversationId::generate();
    let members = members.collect();
    append_creation(ctx, &id, actor, new.kind, settings, members).await?;
    if !later.is_empty() {
        participants::append_additions(ctx, Some(actor), &id, &later, Role::Member).await?;
    }
    Ok(Made {
        conversation: get(ctx, actor, &id).await?,
        is_new: true,
    })
}

/// Settings of a new conversation, which hooks may change.
#[derive(Clone)]
struct Changeable {
    kind: ConversationType,
    participant_ids: Vec<UserId>,
    settings: ConversationSettings,
}

impl Subject for Changeable {
    fn data(&self) -> HookData {
        HookData::Conversation(HookConversation {
            kind: self.kind,
            participant_ids: self.participant_ids.clone(),
            name: self.settings.name.clone(),
            avatar_url: self.settings.avatar_url.clone(),
            metadata: self.settings.metadata.clone(),
        })
    }

    fn change(&mut self, change: HookChange) -> std::result::Result<(), HookFault> {
        let HookChange {
            name,
            avatar_url,
            metadata,
            content: Patch::Keep,
            attachments: Patch::Keep,
            mentions: Patch::Keep,
            silent: Patch::Keep,
            ttl_seconds: Patch::Keep,
        } = change
        else {
            return Err(HookFault::new("a conversation has no fields of a message"));
        };
        name.apply(&mut self.settings.name);
        avatar_url.apply(&mut self.settings.avatar_url);
        metadata.apply(&mut self.settings.metadata);
        let mut faults = Faults::default();
        check_settings(&self.settings, &mut faults);
        faults
            .into_result()
            .map_err(|_| HookFault::new("the changed conversation is invalid"))
    }
}

/// Asks the hooks of `conversation.before_create`. Returns the settings with their changes.
async fn ask_before_create(
    ctx: &Context,
    actor: &UserId,
    (kind, others): (ConversationType, &BTreeSet<UserId>),
    settings: ConversationSettings,
) -> Result<ConversationSettings> {
    let point = HookPoint::ConversationBeforeCreate;
    if !ctx.hooks.has(point) {
        return Ok(settings);
    }
    let asked = Asked {
        kind: Some(kind),
        ..Asked::new(point, actor)
    };
    let subject = Changeable {
        kind,
        participant_ids: others.iter().cloned().collect(),
        settings,
    };
    Ok(change_or_refuse(&ctx.hooks, asked, subject).await?.settings)
}

/// Asks the hooks about a direct conversation that does not exist yet. Returns its settings with their changes.
pub(super) async fn ask_before_direct(
    ctx: &Context,
    actor: &UserId,
    other: &UserId,
    settings: ConversationSettings,
) -> Result<ConversationSettings> {
    let others = BTreeSet::from([other.clone()]);
    ask_before_create(ctx, actor, (ConversationType::Direct, &others), settings).await
}

/// Returns the direct conversation of two users; creates it if there is none. Both users must exist.
///
/// # Errors
/// [`DomainError::Validation`] if the two users are the same.
pub async fn create_direct(
    ctx: &Context,
    actor: &UserId,
    other: &UserId,
    settings: ConversationSettings,
) -> Result<Made> {
    if actor == other {
        return Err(DomainError::invalid("receiverId", "must not be the sender"));
    }
    if let Some(id) = find_direct(ctx, actor, other).await? {
        return Ok(Made {
            conversation: get(ctx, actor, &id).await?,
            is_new: false,
        });
    }
    additions::check_direct_room(ctx, actor, other).await?;
    let stored = ctx.store.find_incarnations(&[actor, other]).await?;
    let of = |user| (user, stored.get(user).copied().unwrap_or_default());
    let id = ctx.pair_key.direct_id(of(actor), of(other));
    let members = [actor, other]
        .map(|user| NewMember {
            user_id: user.clone(),
            role: Role::Member,
        })
        .to_vec();
    let is_new =
        append_creation(ctx, &id, actor, ConversationType::Direct, settings, members).await?;
    if is_new {
        blocks::carry_over(ctx, actor, other).await?;
    }
    Ok(Made {
        conversation: get(ctx, actor, &id).await?,
        is_new,
    })
}

async fn append_creation(
    ctx: &Context,
    id: &ConversationId,
    actor: &UserId,
    kind: ConversationType,
    settings: ConversationSettings,
    members: Vec<NewMember>,
) -> Result<bool> {
    let command = Command::CreateConversation {
        kind,
        settings,
        created_by: actor.clone(),
        members,
    };
    let outcome = ctx
        .append(Request::new(id.clone(), Some(actor.clone()), command))
        .await?;
    Ok(outcome.entry.is_some())
}

/// Returns the id of the direct conversation of two users, in either order. It may not exist yet.
pub(super) async fn direct_id(
    ctx: &Context,
    one: &UserId,
    other: &UserId,
) -> Result<ConversationId> {
    let known = users::incarnations(ctx, &[one, other]).await?;
    Ok(ctx.pair_key.direct_id((one, known[0]), (other, known[1])))
}

/// Returns the possible ids of the direct conversation of two users, from a fresh read.
///
/// The present id comes first. The id that an earlier version gave follows, which only the first holders of both user ids can have.
async fn direct_ids(ctx: &Context, one: &UserId, other: &UserId) -> Result<Vec<ConversationId>> {
    let stored = ctx.store.find_incarnations(&[one, other]).await?;
    let incarnation = |user| stored.get(user).copied().unwrap_or_default();
    let (of_one, of_other) = (incarnation(one), incarnation(other));
    let mut ids = vec![ctx.pair_key.direct_id((one, of_one), (other, of_other))];
    if (of_one, of_other) == (0, 0) {
        ids.push(hashed::former_direct_id(one, other));
    }
    Ok(ids)
}

/// Returns the existing direct conversation of two users.
pub(super) async fn find_direct(
    ctx: &Context,
    one: &UserId,
    other: &UserId,
) -> Result<Option<ConversationId>> {
    for id in direct_ids(ctx, one, other).await? {
        if ctx.store.find_conversation(&id).await?.is_some() {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Returns one conversation as a member sees it.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller is not a member.
pub async fn get(ctx: &Context, actor: &UserId, id: &ConversationId) -> Result<Conversation> {
    let listed = ctx.store.find_conversation_of(id, actor).await?;
    let mut shown = show(ctx, actor, vec![listed], bounds::PAGE).await?;
    shown.pop().ok_or_else(DomainError::no_conversation)
}

/// Returns a user's archived conversations, or those not archived, latest activity first.
///
/// Hidden conversations are left out until a new message.
///
/// # Errors
/// [`DomainError::Validation`] if the cursor is unknown.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    shelf: ArchiveFilter,
    request: &PageRequest,
) -> Result<Page<Conversation>> {
    let page = ctx
        .store
        .find_conversation_page(actor, shelf, request)
        .await?;
    let count = page.items.len();
    let items = show(ctx, actor, page.items, request.max_bytes).await?;
    let page = Page {
        // The list is shorter than the page that was read if the newest messages are large.
        next_cursor: if items.len() < count {
            items.last().map(ConversationRow::cursor_of)
        } else {
            page.next_cursor
        },
        has_more: page.has_more || items.len() < count,
        items,
    };
    Ok(page.fit(request.max_bytes, |_, conversation| {
        ConversationRow::cursor_of(conversation)
    }))
}

/// Returns conversations as `actor` sees them: with the newest message, unread counts and the draft.
///
/// Stops at the first conversation with which the newest messages exceed `max_bytes`, but returns at least one.
async fn show(
    ctx: &Context,
    actor: &UserId,
    listed: Vec<ConversationRow>,
    max_bytes: usize,
) -> Result<Vec<Conversation>> {
    let (mut messages, standings) = tokio::try_join!(
        ctx.store.find_last_messages(&listed, actor, max_bytes),
        unread::standings(ctx, actor, &listed),
    )?;
    let count = messages.count;
    Ok(listed
        .into_iter()
        .take(count)
        .zip(standings)
        .map(|(listed, standing)| Conversation {
            last_message: messages.found.remove(&listed.conversation.id).map(Box::new),
            read_seq: Some(standing.marker.read_seq),
            unread_count: Some(standing.counts.unread),
            mention_count: Some(standing.counts.mentions),
            draft: standing.marker.draft,
            ..listed.conversation
        })
        .collect())
}

/// Returns the public conversations whose name begins with `query` (all if there is none), by name.
///
/// [`chat_sdk::text::search_key`] defines which texts match.
///
/// # Errors
/// [`DomainError::Validation`] if the cursor is unknown.
pub async fn list_public(
    ctx: &Context,
    query: Option<&str>,
    request: &PageRequest,
) -> Result<Page<Conversation>> {
    let mut faults = Faults::default();
    let key = query
        .filter(|query| !query.is_empty())
        .map(|query| users::check_query(query, &mut faults));
    faults.into_result()?;
    let page = ctx
        .store
        .find_public_page(&key.unwrap_or_default(), request)
        .await?;
    Ok(page.fit(request.max_bytes, |_, conversation| {
        ConversationRow::public_cursor_of(conversation)
    }))
}

/// Changes a conversation's settings.
///
/// # Errors
/// [`DomainError::Forbidden`] if the caller is a plain member or the conversation is direct.
pub async fn change(
    ctx: &Context,
    actor: Option<&UserId>,
    id: &ConversationId,
    update: UpdateConversation,
) -> Result<Conversation> {
    let mut faults = Faults::default();
    check_update(&update, &mut faults);
    faults.into_result()?;
    ctx.append(Request::new(
        id.clone(),
        actor.cloned(),
        Command::UpdateConversation(update),
    ))
    .await?;
    match actor {
        Some(actor) => get(ctx, actor, id).await,
        None => {
            let found = ctx.store.find_conversation(id).await?;
            found.ok_or_else(DomainError::no_conversation)
        }
    }
}

/// Deletes a conversation for all members. Requires an owner.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`].
pub async fn delete(ctx: &Context, actor: &UserId, id: &ConversationId) -> Result<()> {
    ctx.append(Request::new(
        id.clone(),
        Some(actor.clone()),
        Command::DeleteConversation,
    ))
    .await?;
    Ok(())
}

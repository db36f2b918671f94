//! Conversations: create, read, change and delete.

use std::collections::{BTreeSet, HashSet};

use chat_sdk::{
    Conversation, ConversationId, ConversationType, Metadata, Role, Timestamp, UserId, text::Shape,
};

use super::{
    AddedBy, Context,
    access::{self, Standing},
    additions, blocks,
    command::{Command, Decision, Request, SettingsPatch},
    entry::{Body, ConversationCreated, ConversationSnapshot, NewMember, Settings},
    error::{DomainError, Faults, Result},
    hashed,
    messages::check_metadata,
    page::{Page, PageRequest},
    participants,
    patch::Patch,
    state::{ConversationFields, ConversationState, SHOWN_MEMBERS},
    unread, users,
};
use crate::{
    bounds,
    store::{ArchiveFilter, ConversationRow},
};

/// Maximum length of a conversation's name in characters.
pub const MAX_NAME: usize = 200;
/// Maximum length of a link in characters.
pub const MAX_URL: usize = 2048;

/// Allowed range of `retentionSeconds`: one minute to ten years.
const RETENTION_SECONDS: std::ops::RangeInclusive<u32> = 60..=315_360_000;

/// A conversation to create.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConversation {
    /// Type of the conversation.
    pub kind: ConversationType,
    /// Ids of its members; the creator is always a member, listed or not.
    pub participant_ids: Vec<UserId>,
    /// Its settings.
    pub settings: Settings,
}

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
    new: NewConversation,
) -> Result<Made> {
    let mut faults = Faults::default();
    check_settings(&new.settings, &mut faults);
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
        if new.settings.retention_seconds.is_some() {
            return Err(only_the_host_shortens());
        }
        let other = others[0];
        // An existing conversation is returned whatever became of the other user.
        if find_direct(ctx, actor, other).await?.is_none() {
            users::check_known(ctx, "participantIds", &new.participant_ids).await?;
            let index = new.participant_ids.iter().position(|id| id == other);
            let field = format!("participantIds[{}]", index.unwrap_or_default());
            blocks::check_may_start(ctx, actor, other, &field).await?;
        }
        return create_direct(ctx, actor, other, new.settings).await;
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
    let mut ids = vec![actor.clone()];
    ids.extend(others);
    let later = ids.split_off(participants::fit_into_entry(&ids));
    ids.rotate_left(1);
    let members = ids.into_iter().map(|user_id| NewMember {
        role: match user_id == *actor {
            true => Role::Owner,
            false => Role::Member,
        },
        user_id,
    });
    let id = ConversationId::generate();
    let members = members.collect();
    append_creation(ctx, &id, actor, new.kind, new.settings, members).await?;
    if !later.is_empty() {
        participants::append_additions(ctx, Some(actor), &id, &later, Role::Member).await?;
    }
    Ok(Made {
        conversation: get(ctx, actor, &id).await?,
        is_new: true,
    })
}

/// Returns the direct conversation of two users; creates it if there is none. Both users must exist.
///
/// # Errors
/// [`DomainError::Validation`] if the two users are the same.
pub async fn create_direct(
    ctx: &Context,
    actor: &UserId,
    other: &UserId,
    settings: Settings,
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
    settings: Settings,
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
        next_cursor: match items.len() < count {
            true => items.last().map(ConversationRow::cursor_of),
            false => page.next_cursor,
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
    patch: SettingsPatch,
) -> Result<Conversation> {
    let mut faults = Faults::default();
    faults.text("name", patch.name.value(), Shape::Line, MAX_NAME);
    check_url("avatarUrl", patch.avatar_url.value(), &mut faults);
    check_metadata(patch.metadata.value(), &mut faults);
    check_retention(patch.retention_seconds.value(), &mut faults);
    faults.into_result()?;
    ctx.append(Request::new(
        id.clone(),
        actor.cloned(),
        Command::ChangeSettings(patch),
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

fn check_settings(settings: &Settings, faults: &mut Faults) {
    faults.text("name", settings.name.as_ref(), Shape::Line, MAX_NAME);
    check_url("avatarUrl", settings.avatar_url.as_ref(), faults);
    check_metadata(settings.metadata.as_ref(), faults);
    check_retention(settings.retention_seconds.as_ref(), faults);
}

fn check_retention(seconds: Option<&u32>, faults: &mut Faults) {
    faults.when(
        seconds.is_some_and(|seconds| !RETENTION_SECONDS.contains(seconds)),
        "retentionSeconds",
        "must be between 60 (one minute) and 315360000 (ten years)",
    );
}

/// Adds an error if a link is empty, too long, or a script that a browser would run.
pub(super) fn check_url(
    field: impl Into<String> + Clone,
    url: Option<&String>,
    faults: &mut Faults,
) {
    faults.when(
        url.is_some_and(|url| !(1..=MAX_URL).contains(&url.chars().count())),
        field.clone(),
        "must have 1 to 2,048 characters",
    );
    faults.when(
        url.is_some_and(|url| is_program(url)),
        field,
        "must not be a javascript: or vbscript: link",
    );
}

/// Returns true if a browser would run `url`.
///
/// Browsers skip white space and control characters, so this does too.
pub(super) fn is_program(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    let scheme: String = scheme
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    url.contains(':') && ["javascript", "vbscript"].contains(&scheme.as_str())
}

pub(super) fn check_create(
    state: &ConversationState,
    kind: ConversationType,
    settings: &Settings,
    created_by: &UserId,
    members: &[NewMember],
    at: Timestamp,
) -> Result<Decision> {
    if state.fields.is_some() {
        return Ok(Decision::Nothing);
    }
    let mut ids: Vec<UserId> = members
        .iter()
        .map(|member| member.user_id.clone())
        .collect();
    ids.sort();
    ids.truncate(SHOWN_MEMBERS);
    Ok(Decision::Append(Body::ConversationCreated(
        ConversationCreated {
            conversation: ConversationSnapshot {
                kind,
                settings: settings.clone(),
                created_by: created_by.clone(),
                created_at: at.as_millis(),
                participant_count: members.len() as u32,
                participant_ids: ids,
            },
            members: members.to_vec(),
        },
    )))
}

pub(super) fn check_change(
    state: &ConversationState,
    actor: Option<&UserId>,
    patch: SettingsPatch,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    let before = &fields.settings;
    let settings = changed(before.clone(), patch);
    // A request may repeat the present values.
    if fields.kind == ConversationType::Direct
        && (settings.name != before.name
            || settings.avatar_url != before.avatar_url
            || settings.history_visibility != before.history_visibility)
    {
        return Err(DomainError::Forbidden(
            "The name, avatarUrl and historyVisibility of a direct conversation cannot be changed."
                .into(),
        ));
    }
    if fields.kind != ConversationType::Direct {
        standing.require(Role::Admin)?;
    }
    access::not_blocked(state, actor)?;
    if settings == *before {
        return Ok(Decision::Nothing);
    }
    check_may_shorten(fields, &standing, &settings)?;
    Ok(Decision::Append(Body::ConversationUpdated(
        state.snapshot(fields, settings),
    )))
}

/// Fails if the change shortens the retention of other members' messages without the right to.
///
/// The two members of a direct conversation have equal rights, so neither of them has this one.
fn check_may_shorten(
    fields: &ConversationFields,
    standing: &Standing<'_>,
    settings: &Settings,
) -> Result<()> {
    let (before, after) = (
        fields.settings.retention_seconds,
        settings.retention_seconds,
    );
    let is_shorter = after.is_some_and(|after| before.is_none_or(|before| after < before));
    if !is_shorter || standing.member().is_none() {
        return Ok(());
    }
    if fields.kind == ConversationType::Direct {
        return Err(only_the_host_shortens());
    }
    if standing.role() < Role::Owner {
        return Err(DomainError::Forbidden(
            "Only an owner of the conversation, or the host, may shorten retentionSeconds.".into(),
        ));
    }
    Ok(())
}

fn only_the_host_shortens() -> DomainError {
    DomainError::Forbidden(
        "In a direct conversation only the host may shorten retentionSeconds.".into(),
    )
}

fn changed(mut settings: Settings, patch: SettingsPatch) -> Settings {
    let SettingsPatch {
        name,
        avatar_url,
        metadata,
        history_visibility,
        features,
        retention_seconds,
    } = patch;
    name.apply(&mut settings.name);
    avatar_url.apply(&mut settings.avatar_url);
    Patch::<Metadata>::apply(metadata, &mut settings.metadata);
    if let Some(visibility) = history_visibility {
        settings.history_visibility = visibility;
    }
    if let Some(features) = features {
        settings.features = features.apply(settings.features);
    }
    retention_seconds.apply(&mut settings.retention_seconds);
    settings
}

pub(super) fn check_delete(state: &ConversationState, actor: Option<&UserId>) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    if fields.kind == ConversationType::Direct {
        return Err(DomainError::Forbidden(
            "A direct conversation cannot be deleted, because it also belongs to the other user."
                .into(),
        ));
    }
    standing.require(Role::Owner)?;
    Ok(Decision::Append(Body::ConversationDeleted))
}

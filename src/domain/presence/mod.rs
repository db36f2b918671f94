//! Presence of users, as other users see it.
//!
//! Sockets make a user present. The nodes tell each other of their users, so every process knows those of all nodes: a user is online while any
//! living node has a socket of theirs. The status that a user chose, and when they were last online, are in the store. The `PresenceTable` holds
//! what the nodes reported, and decides which process publishes a change; [`LocalPresence`] holds the sockets of this process.

mod local;

use std::collections::{HashMap, HashSet};

use chat_sdk::{
    ChosenStatus, ConversationId, Presence, Timestamp, UserId,
    text::{Shape, is_blank},
};

use super::Context;
use crate::model::{
    bounds,
    error::{DomainError, Faults, Result},
    page::{Page, PageRequest},
    presence::{Chosen, Viewer, VisiblePresence},
    size,
};

pub use local::{Activity, LocalPresence};

/// Maximum length of a status text in characters.
pub const MAX_TEXT: usize = 200;
/// Maximum number of users in one query.
pub const MAX_BATCH: usize = 1000;

/// Sets the status that `user` chooses.
///
/// # Errors
/// [`DomainError::Validation`] if the text is too long.
pub async fn set_status(
    ctx: &Context,
    user: &UserId,
    status: ChosenStatus,
    text: Option<String>,
) -> Result<Chosen> {
    let text = text.filter(|text| !is_blank(text));
    let mut faults = Faults::default();
    faults.text("text", text.as_ref(), Shape::Line, MAX_TEXT);
    faults.into_result()?;
    let chosen = Chosen {
        status,
        text,
        at: Timestamp::now().as_millis(),
    };
    ctx.store.set_chosen(user, &chosen).await?;
    ctx.presence.choose(user, &chosen);
    Ok(chosen)
}

/// Returns the presence of each of `users`, in their order, as `viewer` sees it; `None` is the host.
///
/// A user who does not exist or blocks the viewer looks offline.
///
/// # Errors
/// [`DomainError::Validation`] if there are more than [`MAX_BATCH`] users; [`DomainError::Unavailable`].
pub async fn list(
    ctx: &Context,
    viewer: Option<&UserId>,
    users: &[UserId],
) -> Result<Vec<Presence>> {
    if users.len() > MAX_BATCH {
        return Err(DomainError::invalid(
            "userIds",
            "must name at most 1000 users",
        ));
    }
    let blockers: HashSet<UserId> = match viewer {
        Some(viewer) if !users.is_empty() => ctx.store.find_blockers(users, viewer).await?,
        _ => HashSet::new(),
    };
    let shown: Vec<VisiblePresence> = users
        .iter()
        .map(|user| {
            let relation = if viewer == Some(user) {
                Viewer::Own
            } else {
                Viewer::Other
            };
            if blockers.contains(user) {
                VisiblePresence::default()
            } else {
                ctx.presence.shown(user, relation)
            }
        })
        .collect();
    let absent: Vec<&UserId> = users
        .iter()
        .zip(&shown)
        .filter(|(user, shown)| shown.is_offline() && !blockers.contains(*user))
        .map(|(user, _)| user)
        .collect();
    let last_seen: HashMap<UserId, Timestamp> = if absent.is_empty() {
        HashMap::new()
    } else {
        ctx.store.find_last_seen(&absent).await?
    };
    let presence = users.iter().zip(shown).map(|(user, shown)| Presence {
        user_id: user.clone(),
        last_seen: if shown.is_offline() && !blockers.contains(user) {
            last_seen.get(user).copied()
        } else {
            None
        },
        status: shown.status,
        text: shown.text,
    });
    Ok(presence.collect())
}

/// Returns the presence of `user`, as `viewer` sees it.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub async fn get(ctx: &Context, viewer: Option<&UserId>, user: &UserId) -> Result<Presence> {
    let found = list(ctx, viewer, std::slice::from_ref(user)).await?;
    let missing = || DomainError::Internal("no presence was found for a user".into());
    found.into_iter().next().ok_or_else(missing)
}

/// Returns the presence of a conversation's members, ordered by user id, for a member or the host.
///
/// # Errors
/// [`DomainError::NotFound`] if the viewer is neither.
pub async fn list_members(
    ctx: &Context,
    viewer: Option<&UserId>,
    conversation: &ConversationId,
    request: &PageRequest,
) -> Result<Page<Presence>> {
    match viewer {
        Some(viewer) => {
            let membership = ctx.store.find_membership(conversation, viewer).await?;
            membership.active()?;
        }
        None => {
            let found = ctx.store.find_conversation(conversation).await?;
            found.ok_or_else(DomainError::no_conversation)?;
        }
    }
    let members = ctx.store.find_member_page(conversation, request).await?;
    let page = Page {
        items: list(ctx, viewer, &members.items).await?,
        next_cursor: members.next_cursor,
        has_more: members.has_more,
    };
    Ok(page.fit(request.max_bytes, |_, presence| {
        presence.user_id.to_string()
    }))
}

/// Maximum number of members that are checked for a mention of `@here`.
const MAX_HERE: u32 = 1000;

/// Returns the members of a conversation who do not look offline, among its first 1,000 by user id.
///
/// At most as many as fit into [`bounds::HERE`].
///
/// # Errors
/// [`DomainError::Unavailable`].
pub(super) async fn members_here(
    ctx: &Context,
    conversation: &ConversationId,
) -> Result<Vec<UserId>> {
    let request = PageRequest {
        limit: MAX_HERE,
        ..PageRequest::default()
    };
    let members = ctx.store.find_member_page(conversation, &request).await?;
    let is_here = |user: &UserId| !ctx.presence.shown(user, Viewer::Other).is_offline();
    let mut here: Vec<UserId> = members.items.into_iter().filter(is_here).collect();
    here.truncate(size::fitting(&here, bounds::HERE));
    Ok(here)
}

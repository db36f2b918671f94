//! Presence of users, as other users see it.
//!
//! Sockets make a user present. The nodes tell each other of their users, so every process knows those of all nodes: a user is online while any
//! living node has a socket of theirs. The status that a user chose, and when they were last online, are in the store. The [`PresenceTable`] holds
//! what the nodes reported, and decides which process publishes a change; [`LocalPresence`] holds the sockets of this process.

mod board;
mod note;
mod roster;
mod settle;
#[cfg(test)]
mod tests_board;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chat_sdk::{
    ChosenStatus, ConversationId, EventType, Presence, PresenceStatus, Timestamp, UserId,
    text::{Shape, is_blank},
};
use serde::{Deserialize, Serialize};

use super::{
    Context,
    error::{DomainError, Faults, Result},
    page::{Page, PageRequest},
    size,
};
use crate::bounds;

pub use board::PresenceTable;
pub use note::{Change, Entry, GossipEnvelope, GossipMessage};
pub use roster::{Activity, LocalPresence};
pub use settle::Transition;

/// Interval between heartbeats of a process, which carry the version number of its last change.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// Time after which the users of a silent process count as offline.
pub const LEASE: Duration = Duration::from_secs(7);
/// Time after its last socket closed in which a user still counts as online.
///
/// A quick return is not a departure.
pub const GRACE: Duration = Duration::from_secs(3);
/// Maximum length of a status text in characters.
pub const MAX_TEXT: usize = 200;
/// Maximum number of users in one query.
pub const MAX_BATCH: usize = 1000;
/// Number of members from which presence and typing are not sent to a conversation's members.
pub const LARGE_CONVERSATION: u32 = 1000;

/// Status that a user chose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// The chosen status.
    pub status: ChosenStatus,
    /// Status text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Time of the choice (milliseconds since 1970); 0 if the user never chose.
    pub at: i64,
}

/// Presence of a user, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The status.
    pub status: PresenceStatus,
    /// Status text; `None` while offline.
    pub text: Option<String>,
}

impl Shown {
    /// Returns true if the user looks offline.
    pub fn is_offline(&self) -> bool {
        self.status == PresenceStatus::Offline
    }

    /// Returns the type of the event that publishes it.
    pub fn kind(&self) -> EventType {
        match self.status {
            PresenceStatus::Online | PresenceStatus::Busy => EventType::UserOnline,
            PresenceStatus::Away => EventType::UserAway,
            PresenceStatus::Offline => EventType::UserOffline,
        }
    }
}

/// Relation of the viewer to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Another user, for whom invisible users are offline.
    Other,
    /// The user themselves.
    Own,
}

/// Returns the presence of a user with `entries` on the living nodes.
///
/// The newest choice counts; if the user has several devices, one active device is enough.
pub fn shown<'a>(entries: impl Iterator<Item = &'a Entry>, eye: Viewer) -> Shown {
    let mut chosen: Option<&Chosen> = None;
    let mut is_active = false;
    for entry in entries {
        is_active |= entry.is_active;
        if chosen.is_none_or(|newest| entry.chosen.at > newest.at) {
            chosen = Some(&entry.chosen);
        }
    }
    let Some(chosen) = chosen else {
        return Shown::default();
    };
    let status = match chosen.status {
        ChosenStatus::Invisible if eye == Viewer::Other => return Shown::default(),
        ChosenStatus::Busy => PresenceStatus::Busy,
        ChosenStatus::Away => PresenceStatus::Away,
        ChosenStatus::Online | ChosenStatus::Invisible if is_active => PresenceStatus::Online,
        ChosenStatus::Online | ChosenStatus::Invisible => PresenceStatus::Away,
    };
    Shown {
        status,
        text: chosen.text.clone(),
    }
}

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
    let shown: Vec<Shown> = users
        .iter()
        .map(|user| {
            let eye = match viewer == Some(user) {
                true => Viewer::Own,
                false => Viewer::Other,
            };
            match blockers.contains(user) {
                true => Shown::default(),
                false => ctx.presence.shown(user, eye),
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
        last_seen: match shown.is_offline() && !blockers.contains(user) {
            true => last_seen.get(user).copied(),
            false => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(is_active: bool, status: ChosenStatus, at: i64) -> Entry {
        Entry {
            is_active,
            chosen: Chosen {
                status,
                text: Some(format!("since {at}")),
                at,
            },
            since: 0,
        }
    }

    fn status(entries: &[Entry], eye: Viewer) -> PresenceStatus {
        shown(entries.iter(), eye).status
    }

    #[test]
    fn a_user_without_a_socket_is_offline_without_a_status_text() {
        assert_eq!(shown([].into_iter(), Viewer::Other), Shown::default());
    }

    #[test]
    fn one_active_device_makes_a_user_online() {
        let idle = entry(false, ChosenStatus::Online, 0);
        let used = entry(true, ChosenStatus::Online, 0);
        assert_eq!(
            status(std::slice::from_ref(&idle), Viewer::Other),
            PresenceStatus::Away
        );
        assert_eq!(status(&[idle, used], Viewer::Other), PresenceStatus::Online);
    }

    #[test]
    fn the_newest_chosen_status_counts_whatever_the_devices_do() {
        let old = entry(true, ChosenStatus::Away, 1);
        let new = entry(false, ChosenStatus::Busy, 2);
        let both = shown([&old, &new].into_iter(), Viewer::Other);
        assert_eq!(both.status, PresenceStatus::Busy);
        assert_eq!(both.text.as_deref(), Some("since 2"));
        assert_eq!(
            status(std::slice::from_ref(&old), Viewer::Other),
            PresenceStatus::Away
        );
    }

    #[test]
    fn invisible_users_look_offline_to_all_others() {
        let hidden = [entry(true, ChosenStatus::Invisible, 1)];
        assert_eq!(shown(hidden.iter(), Viewer::Other), Shown::default());
        assert_eq!(status(&hidden, Viewer::Own), PresenceStatus::Online);
    }
}

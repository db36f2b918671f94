//! Members who join and leave a conversation through its entries.

use chat_sdk::{Role, Timestamp, UserId};

use super::{Effects, document_changed};
use crate::model::{
    entry::{Entry, ParticipantChange},
    state::{ConversationState, Member, SHOWN_MEMBERS},
    visibility::begin_interval,
};

/// Opens an interval for `user`, after those of the record in `state`.
///
/// A member's document is written before the conversation's and may be ahead of it: then it stays as it is.
pub(super) fn join(
    state: &mut ConversationState,
    user: &UserId,
    role: Role,
    entry: &Entry,
) -> Option<(UserId, Member)> {
    let member = state.members.entry(user.clone()).or_insert_with(|| Member {
        role,
        intervals: Vec::new(),
        left_under: None,
        joined_at: entry.at,
        preferences: Default::default(),
        hidden_at: 0,
        is_blocking: false,
        former_until: 0,
        seq: 0,
    });
    if member.seq >= entry.seq || member.is_active() {
        return None;
    }
    member.role = role;
    begin_interval(&mut member.intervals, entry.seq);
    member.left_under = None;
    member.joined_at = entry.at;
    // A user who joins again starts with default settings.
    member.preferences = Default::default();
    member.seq = entry.seq;
    Some((user.clone(), member.clone()))
}

/// Closes the open interval of `user`.
pub(super) fn leave(
    state: &mut ConversationState,
    user: &UserId,
    seq: u64,
) -> Option<(UserId, Member)> {
    let fields = state.fields.as_ref();
    let visibility = fields.map(|fields| fields.settings.history_visibility);
    let member = state.members.get_mut(user)?;
    if member.seq >= seq {
        return None;
    }
    let interval = member.intervals.last_mut()?;
    if interval.1.is_some() {
        return None;
    }
    interval.1 = Some(seq);
    member.left_under = visibility;
    member.seq = seq;
    Some((user.clone(), member.clone()))
}

/// Removes everything that `user` had in the conversation, because the user was deleted.
pub(super) fn forget(
    state: &mut ConversationState,
    user: &UserId,
    seq: u64,
) -> Option<(UserId, Member)> {
    let member = state.members.get_mut(user)?;
    if member.seq >= seq {
        return None;
    }
    *member = Member {
        role: Role::Member,
        intervals: Vec::new(),
        left_under: None,
        joined_at: member.joined_at,
        preferences: Default::default(),
        hidden_at: 0,
        is_blocking: false,
        former_until: seq,
        seq,
    };
    Some((user.clone(), member.clone()))
}

/// Changes the role, settings or block of a present member.
pub(super) fn update(
    state: &mut ConversationState,
    change: &ParticipantChange,
    seq: u64,
) -> Option<(UserId, Member)> {
    let member = state.members.get_mut(&change.user_id)?;
    if !member.is_active() || member.seq >= seq {
        return None;
    }
    if let Some(role) = change.role {
        member.role = role;
    }
    if let Some(preferences) = &change.preferences {
        if preferences.hidden {
            member.hidden_at = seq;
        }
        member.preferences = preferences.clone();
    }
    if let Some(is_blocking) = change.is_blocking {
        member.is_blocking = is_blocking;
    }
    member.seq = seq;
    Some((change.user_id.clone(), member.clone()))
}

pub(super) fn members_changed(
    state: &mut ConversationState,
    members: Vec<(UserId, Member)>,
    at: Timestamp,
) -> Effects {
    let count = state.active_members().count();
    let shown = state
        .active_members()
        .take(SHOWN_MEMBERS)
        .map(|(id, _)| id.clone())
        .collect();
    if let Some(fields) = &mut state.fields {
        fields.participant_count = u32::try_from(count).unwrap_or(u32::MAX);
        fields.participant_ids = shown;
    }
    Effects {
        members,
        ..document_changed(state, at)
    }
}

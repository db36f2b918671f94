//! Entry by entry into state: the one function that says what a log means.
//!
//! It is pure. The writer, repair and rebuild all use it, so a document that it produced once it produces again.
//! An entry whose precondition fails at its place changes nothing but the number: the index that gave the number has decided.

use chat_sdk::{MessageId, Metadata, Role, Timestamp, UserId};

use super::{
    entry::{Body, ConversationSnapshot, Entry, Profile},
    state::{
        ConversationFields, ConversationState, Member, SHOWN_MEMBERS, State, UserFields, UserState,
    },
};

/// What has to be written to bring the documents from one entry to the next. Everything in it is absolute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// Members whose document changed.
    pub members: Vec<(UserId, Member)>,
    /// The message whose document changed.
    pub facet: Option<(MessageId, Facet)>,
    /// The owner's document.
    pub document: Option<DocumentChange>,
}

/// A part of a message that changes on its own; the entry's number guards it.
#[derive(Debug, Clone, PartialEq)]
pub enum Facet {
    /// Its text.
    Edited {
        /// The entry that changed it.
        seq: u64,
        /// The text.
        content: String,
        /// The host's own data, where the edit changed it.
        metadata: Option<Metadata>,
        /// When.
        at: Timestamp,
    },
    /// Its deletion.
    Deleted {
        /// The entry that deleted it.
        seq: u64,
        /// When.
        at: Timestamp,
        /// By whom.
        by: Option<UserId>,
    },
}

/// What changes in the owner's document beside its number.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// Only that something happened; the common case, and the cheapest.
    Activity {
        /// When.
        at: Timestamp,
        /// The number of the newest message.
        last_message_seq: u64,
    },
    /// Everything, for a conversation.
    Conversation(Box<ConversationFields>),
    /// Everything, for a user.
    User(Box<UserFields>),
}

impl DocumentChange {
    /// This change with a later one laid over it.
    pub fn then(self, later: Self) -> Self {
        match (self, later) {
            (
                Self::Conversation(mut fields),
                Self::Activity {
                    at,
                    last_message_seq,
                },
            ) => {
                fields.last_activity_at = at;
                fields.last_message_seq = last_message_seq;
                Self::Conversation(fields)
            }
            (_, later) => later,
        }
    }
}

/// Lays `entry` over `state`, which must be at the number before it, and says what to write.
pub fn fold(state: &mut State, entry: &Entry) -> Effects {
    match state {
        State::Conversation(state) => fold_conversation(state, entry),
        State::User(state) => fold_user(state, entry),
    }
}

fn fold_user(state: &mut UserState, entry: &Entry) -> Effects {
    state.seq = entry.seq;
    match &entry.body {
        Body::UserSynced(profile) | Body::UserUpdated(profile) => {
            state.fields = Some(UserFields {
                profile: profile.clone(),
                updated_at: entry.at,
                is_deleted: false,
            });
        }
        Body::UserDeleted => {
            if let Some(fields) = &mut state.fields {
                fields.profile = Profile {
                    created_at: fields.profile.created_at,
                    ..Profile::default()
                };
                fields.updated_at = entry.at;
                fields.is_deleted = true;
            }
        }
        _ => return Effects::default(),
    }
    Effects {
        document: state
            .fields
            .clone()
            .map(|fields| DocumentChange::User(Box::new(fields))),
        ..Effects::default()
    }
}

fn fold_conversation(state: &mut ConversationState, entry: &Entry) -> Effects {
    state.seq = entry.seq;
    match &entry.body {
        Body::MessageCreated(_) => {
            let Some(fields) = &mut state.fields else {
                return Effects::default();
            };
            fields.last_activity_at = entry.at;
            fields.last_message_seq = entry.seq;
            Effects {
                document: Some(DocumentChange::Activity {
                    at: entry.at,
                    last_message_seq: entry.seq,
                }),
                ..Effects::default()
            }
        }
        Body::MessageUpdated(edit) => Effects {
            facet: Some((
                edit.message_id.clone(),
                Facet::Edited {
                    seq: entry.seq,
                    content: edit.content.clone(),
                    metadata: edit.metadata.clone(),
                    at: entry.at,
                },
            )),
            ..Effects::default()
        },
        Body::MessageDeleted(target) => Effects {
            facet: Some((
                target.message_id.clone(),
                Facet::Deleted {
                    seq: entry.seq,
                    at: entry.at,
                    by: entry.actor.clone(),
                },
            )),
            ..Effects::default()
        },
        Body::ConversationCreated(created) => {
            if state.fields.is_some() {
                return Effects::default();
            }
            state.fields = Some(fields_of(&created.conversation, entry.at));
            let members = created
                .members
                .iter()
                .filter_map(|member| join(state, &member.user_id, member.role, entry))
                .collect();
            members_changed(state, members, entry.at)
        }
        Body::ConversationUpdated(snapshot) => {
            if let Some(fields) = &mut state.fields {
                fields.settings = snapshot.settings.clone();
            }
            document_changed(state, entry.at)
        }
        Body::ConversationDeleted => {
            let ids: Vec<UserId> = state.active_members().map(|(id, _)| id.clone()).collect();
            let members = ids
                .iter()
                .filter_map(|id| leave(state, id, entry.seq))
                .collect();
            if let Some(fields) = &mut state.fields {
                fields.is_deleted = true;
            }
            members_changed(state, members, entry.at)
        }
        Body::ParticipantAdded(joined) => {
            let members = joined
                .user_ids
                .iter()
                .filter_map(|id| join(state, id, joined.role, entry))
                .collect();
            members_changed(state, members, entry.at)
        }
        Body::ParticipantRemoved(left) => {
            let members = left
                .user_ids
                .iter()
                .filter_map(|id| leave(state, id, entry.seq))
                .collect();
            members_changed(state, members, entry.at)
        }
        Body::ParticipantUpdated(change) => {
            let mut members = Vec::new();
            if let Some(member) = state.members.get_mut(&change.user_id)
                && member.is_active()
                && member.seq < entry.seq
            {
                member.role = change.role;
                member.seq = entry.seq;
                members.push((change.user_id.clone(), member.clone()));
            }
            Effects {
                members,
                ..document_changed(state, entry.at)
            }
        }
        Body::UserSynced(_) | Body::UserUpdated(_) | Body::UserDeleted | Body::Noop => {
            Effects::default()
        }
    }
}

/// Opens an interval for `user`. A member document may already be ahead of the conversation's (it is written first): then it stays.
fn join(
    state: &mut ConversationState,
    user: &UserId,
    role: Role,
    entry: &Entry,
) -> Option<(UserId, Member)> {
    let member = state.members.entry(user.clone()).or_insert_with(|| Member {
        role,
        intervals: Vec::new(),
        joined_at: entry.at,
        seq: 0,
    });
    if member.seq >= entry.seq || member.is_active() {
        return None;
    }
    member.role = role;
    member.intervals.push((entry.seq, None));
    member.joined_at = entry.at;
    member.seq = entry.seq;
    Some((user.clone(), member.clone()))
}

/// Closes the interval of `user`.
fn leave(state: &mut ConversationState, user: &UserId, seq: u64) -> Option<(UserId, Member)> {
    let member = state.members.get_mut(user)?;
    if member.seq >= seq {
        return None;
    }
    let interval = member.intervals.last_mut()?;
    if interval.1.is_some() {
        return None;
    }
    interval.1 = Some(seq);
    member.seq = seq;
    Some((user.clone(), member.clone()))
}

fn members_changed(
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

fn document_changed(state: &mut ConversationState, at: Timestamp) -> Effects {
    let Some(fields) = &mut state.fields else {
        return Effects::default();
    };
    fields.updated_at = at;
    fields.last_activity_at = at;
    Effects {
        document: Some(DocumentChange::Conversation(Box::new(fields.clone()))),
        ..Effects::default()
    }
}

fn fields_of(snapshot: &ConversationSnapshot, at: Timestamp) -> ConversationFields {
    ConversationFields {
        kind: snapshot.kind,
        settings: snapshot.settings.clone(),
        created_by: snapshot.created_by.clone(),
        created_at: Timestamp::from_millis(snapshot.created_at),
        updated_at: at,
        is_deleted: false,
        participant_count: snapshot.participant_count,
        participant_ids: snapshot.participant_ids.clone(),
        last_activity_at: at,
        last_message_seq: 0,
    }
}

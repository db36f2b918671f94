//! Fold of entries into state: the one function that defines what a log means.
//!
//! The fold is pure. A user who joins continues the record in the state, so the caller first loads the stored record of a former member
//! ([`continued`] lists the users). The writer, repair and rebuild all use this function, so a document is always rebuilt identically. An entry whose
//! precondition fails at its position changes nothing but the seq: the unique index that assigned the seq has decided.
//!
//! Modules: `effects` has the writes that follow; `facet` is the part of a message that an entry changes; `members` lets users join and leave.

mod effects;
mod facet;
mod members;

use chat_sdk::{Timestamp, UserId};

use super::{
    entry::{Body, ConversationCreated, Entry, Profile},
    state::{ConversationFields, ConversationState, State, UserFields, UserState},
};

pub use effects::{BlockChange, DocumentChange, Effects, ReactionChange};
pub use facet::{Facet, facet_of};
use members::{forget, join, leave, members_changed, update};

/// Applies `entry` to `state`, which must be at the seq before it. Returns the documents' changes.
pub fn fold(state: &mut State, entry: &Entry) -> Effects {
    match state {
        State::Conversation(state) => fold_conversation(state, entry),
        State::User(state) => fold_user(state, entry),
    }
}

/// Returns the users whose stored records `entry` continues: those who join or are forgotten.
pub fn continued(entry: &Entry) -> Vec<&UserId> {
    match &entry.body {
        Body::ConversationCreated(created) => created
            .members
            .iter()
            .map(|member| &member.user_id)
            .collect(),
        Body::ParticipantAdded(joined) => joined.user_ids.iter().collect(),
        Body::ParticipantRemoved(left) if left.is_forgotten => left.user_ids.iter().collect(),
        Body::ParticipantUpdated(change) if change.is_forgotten => vec![&change.user_id],
        _ => Vec::new(),
    }
}

fn fold_user(state: &mut UserState, entry: &Entry) -> Effects {
    state.seq = entry.seq;
    let mut effects = Effects::default();
    match &entry.body {
        Body::UserSynced(profile) | Body::UserUpdated(profile) => {
            state.fields = Some(UserFields {
                profile: profile.clone(),
                updated_at: entry.at,
                is_deleted: false,
                tokens_valid_from: state
                    .fields
                    .as_ref()
                    .map_or(0, |fields| fields.tokens_valid_from),
                ended_sessions: state
                    .fields
                    .as_ref()
                    .map_or_else(Vec::new, |fields| fields.ended_sessions.clone()),
                incarnation: match &state.fields {
                    None => 0,
                    Some(former) if former.is_deleted => entry.seq,
                    Some(fields) => fields.incarnation,
                },
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
                fields.tokens_valid_from = entry.at.as_millis().max(fields.tokens_valid_from);
                fields.ended_sessions.clear();
            }
        }
        Body::UserDisconnected(disconnection) => {
            if let Some(fields) = &mut state.fields {
                match &disconnection.session_id {
                    Some(session) => fields.ended_sessions.push(session.clone()),
                    None => {
                        // A bot stays without tokens, and clocks of two processes may differ.
                        fields.tokens_valid_from = disconnection
                            .tokens_valid_from
                            .max(fields.tokens_valid_from);
                        fields.ended_sessions.clear();
                    }
                }
            }
        }
        Body::UserBlocked(block) | Body::UserUnblocked(block) => {
            effects.block = Some(BlockChange {
                user: state.id.clone(),
                blocked: block.user_id.clone(),
                seq: entry.seq,
                at: entry.at,
                is_active: matches!(entry.body, Body::UserBlocked(_)),
            });
            return effects;
        }
        _ => return effects,
    }
    effects.document = state
        .fields
        .clone()
        .map(|fields| DocumentChange::User(Box::new(fields)));
    effects
}

fn fold_conversation(state: &mut ConversationState, entry: &Entry) -> Effects {
    state.seq = entry.seq;
    match &entry.body {
        Body::MessageCreated(_)
        | Body::MessageUpdated(_)
        | Body::MessageDeleted(_)
        | Body::MessageRestored(_)
        | Body::MessagePinned(_)
        | Body::MessageUnpinned(_)
        | Body::ReactionAdded(_)
        | Body::ReactionRemoved(_) => fold_message(state, entry),
        Body::ConversationCreated(created) => create(state, created, entry),
        Body::ConversationUpdated(snapshot) => {
            if let Some(fields) = &mut state.fields {
                fields.settings = snapshot.settings.clone();
            }
            document_changed(state, entry.at)
        }
        Body::ConversationDeleted => close(state, entry),
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
                .filter_map(|id| {
                    if left.is_forgotten {
                        forget(state, id, entry.seq)
                    } else {
                        leave(state, id, entry.seq)
                    }
                })
                .collect();
            members_changed(state, members, entry.at)
        }
        Body::ParticipantUpdated(change) if change.is_forgotten => Effects {
            members: forget(state, &change.user_id, entry.seq)
                .into_iter()
                .collect(),
            ..Effects::default()
        },
        Body::ParticipantUpdated(change) => {
            let members = update(state, change, entry.seq).into_iter().collect();
            if change.role.is_none() {
                // A change of a member's own settings is no activity of the conversation.
                return Effects {
                    members,
                    ..Effects::default()
                };
            }
            Effects {
                members,
                ..document_changed(state, entry.at)
            }
        }
        Body::UserSynced(_)
        | Body::UserUpdated(_)
        | Body::UserDeleted
        | Body::UserBlocked(_)
        | Body::UserUnblocked(_)
        | Body::UserDisconnected(_)
        | Body::Plugin(_)
        | Body::Noop => Effects::default(),
    }
}

/// Folds an entry that creates or changes a message.
fn fold_message(state: &mut ConversationState, entry: &Entry) -> Effects {
    match &entry.body {
        Body::MessageCreated(_) => {
            let Some(fields) = &mut state.fields else {
                return Effects::default();
            };
            fields.last_activity_at = entry.at;
            fields.last_message_seq = entry.seq;
            Effects {
                facet: facet_of(entry),
                document: Some(DocumentChange::Activity {
                    message: Some((entry.at, entry.seq)),
                    removal: None,
                }),
                ..Effects::default()
            }
        }
        Body::MessageDeleted(_) | Body::MessageRestored(_) => {
            if let Some(fields) = &mut state.fields {
                fields.last_removal_seq = entry.seq;
            }
            Effects {
                facet: facet_of(entry),
                document: state.fields.is_some().then_some(DocumentChange::Activity {
                    message: None,
                    removal: Some(entry.seq),
                }),
                ..Effects::default()
            }
        }
        Body::MessageUpdated(_) | Body::MessagePinned(_) | Body::MessageUnpinned(_) => Effects {
            facet: facet_of(entry),
            ..Effects::default()
        },
        Body::ReactionAdded(reaction) | Body::ReactionRemoved(reaction) => Effects {
            facet: facet_of(entry),
            reaction: Some(ReactionChange {
                message: reaction.message_id.clone(),
                emoji: reaction.emoji.clone(),
                user: reaction.user_id.clone(),
                seq: entry.seq,
                at: entry.at,
                is_active: matches!(entry.body, Body::ReactionAdded(_)),
            }),
            ..Effects::default()
        },
        _ => Effects::default(),
    }
}

fn create(state: &mut ConversationState, created: &ConversationCreated, entry: &Entry) -> Effects {
    if state.fields.is_some() {
        return Effects::default();
    }
    state.fields = Some(ConversationFields::new(&created.conversation, entry.at));
    let members = created
        .members
        .iter()
        .filter_map(|member| join(state, &member.user_id, member.role, entry))
        .collect();
    members_changed(state, members, entry.at)
}

fn close(state: &mut ConversationState, entry: &Entry) -> Effects {
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

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
    /// The reaction whose document changed.
    pub reaction: Option<ReactionChange>,
    /// The block whose document changed.
    pub block: Option<BlockChange>,
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
        /// Whether its time was over.
        is_expired: bool,
    },
    /// That it is back.
    Restored {
        /// The entry that brought it back.
        seq: u64,
        /// When.
        at: Timestamp,
    },
    /// Whether it is pinned.
    Pinned {
        /// The entry that said so.
        seq: u64,
        /// When.
        at: Timestamp,
        /// By whom.
        by: Option<UserId>,
        /// Whether it is.
        is_pinned: bool,
    },
    /// Its thread.
    Replies {
        /// The newest reply.
        seq: u64,
        /// When it came.
        at: Timestamp,
        /// How many there are with it.
        count: u32,
    },
    /// Reactions to it with one emoji.
    Reactions {
        /// The entry that changed them.
        seq: u64,
        /// The emoji.
        emoji: String,
        /// How many users.
        count: u32,
        /// The first of them.
        user_ids: Vec<UserId>,
    },
}

impl Facet {
    /// The entry that wrote it.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Edited { seq, .. }
            | Self::Deleted { seq, .. }
            | Self::Restored { seq, .. }
            | Self::Pinned { seq, .. }
            | Self::Replies { seq, .. }
            | Self::Reactions { seq, .. } => *seq,
        }
    }

    /// What is overwritten as a whole: of two changes with the same key and message the later one counts.
    pub fn key(&self) -> (u8, &str) {
        match self {
            Self::Edited { .. } => (0, ""),
            Self::Deleted { .. } | Self::Restored { .. } => (1, ""),
            Self::Pinned { .. } => (2, ""),
            Self::Replies { .. } => (3, ""),
            Self::Reactions { emoji, .. } => (4, emoji),
        }
    }
}

/// A user's reaction to a message, or that it was taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactionChange {
    /// The message.
    pub message: MessageId,
    /// The emoji.
    pub emoji: String,
    /// Who.
    pub user: UserId,
    /// The entry that changed it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whether it is there.
    pub is_active: bool,
}

/// That a user blocks another, or no more.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockChange {
    /// Who blocks.
    pub user: UserId,
    /// Whom.
    pub blocked: UserId,
    /// The entry that changed it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whether they do.
    pub is_active: bool,
}

/// What changes in the owner's document beside its number.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// Only that something happened; the common case, and the cheapest.
    Activity {
        /// When a message came, and its number.
        message: Option<(Timestamp, u64)>,
        /// The entry by which a message went or came back.
        removal: Option<u64>,
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
            (Self::Conversation(mut fields), Self::Activity { message, removal }) => {
                if let Some((at, seq)) = message {
                    fields.last_activity_at = at;
                    fields.last_message_seq = seq;
                }
                if let Some(seq) = removal {
                    fields.last_removal_seq = seq;
                }
                Self::Conversation(fields)
            }
            (
                Self::Activity { message, removal },
                Self::Activity {
                    message: later_message,
                    removal: later_removal,
                },
            ) => Self::Activity {
                message: later_message.or(message),
                removal: later_removal.or(removal),
            },
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
                fields.tokens_valid_from = entry.at.as_millis();
            }
        }
        Body::UserDisconnected(disconnection) => {
            if let Some(fields) = &mut state.fields {
                fields.tokens_valid_from = disconnection.tokens_valid_from;
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
                if let Some(role) = change.role {
                    member.role = role;
                }
                if let Some(preferences) = &change.preferences {
                    if preferences.hidden {
                        member.hidden_at = entry.seq;
                    }
                    member.preferences = preferences.clone();
                }
                if let Some(is_blocking) = change.is_blocking {
                    member.is_blocking = is_blocking;
                }
                member.seq = entry.seq;
                members.push((change.user_id.clone(), member.clone()));
            }
            if change.role.is_none() {
                // A member's own affair is nothing that happened in the conversation.
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
        | Body::Noop => Effects::default(),
    }
}

/// The message that `entry` changes, and what of it.
pub fn facet_of(entry: &Entry) -> Option<(MessageId, Facet)> {
    let (seq, at) = (entry.seq, entry.at);
    let (message, facet) = match &entry.body {
        Body::MessageCreated(message) => (
            message.thread_id.as_ref()?,
            Facet::Replies {
                seq,
                at,
                count: message.thread_reply_count?,
            },
        ),
        Body::MessageUpdated(edit) => (
            &edit.message_id,
            Facet::Edited {
                seq,
                content: edit.content.clone(),
                metadata: edit.metadata.clone(),
                at,
            },
        ),
        Body::MessageDeleted(removal) => (
            &removal.message_id,
            Facet::Deleted {
                seq,
                at,
                by: entry.actor.clone(),
                is_expired: removal.is_expired,
            },
        ),
        Body::MessageRestored(restored) => (&restored.message_id, Facet::Restored { seq, at }),
        Body::MessagePinned(target) | Body::MessageUnpinned(target) => (
            &target.message_id,
            Facet::Pinned {
                seq,
                at,
                by: entry.actor.clone(),
                is_pinned: matches!(entry.body, Body::MessagePinned(_)),
            },
        ),
        Body::ReactionAdded(reaction) | Body::ReactionRemoved(reaction) => (
            &reaction.message_id,
            Facet::Reactions {
                seq,
                emoji: reaction.emoji.clone(),
                count: reaction.total_count,
                user_ids: reaction.user_ids.clone(),
            },
        ),
        _ => return None,
    };
    Some((message.clone(), facet))
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
        preferences: Default::default(),
        hidden_at: 0,
        is_blocking: false,
        seq: 0,
    });
    if member.seq >= entry.seq || member.is_active() {
        return None;
    }
    member.role = role;
    member.intervals.push((entry.seq, None));
    member.joined_at = entry.at;
    // Who comes again begins anew.
    member.preferences = Default::default();
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
        last_removal_seq: 0,
    }
}

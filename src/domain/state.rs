//! What a log amounts to at one number: the fold of its entries so far.

use std::collections::BTreeMap;

use chat_sdk::{
    ConversationId, ConversationType, HistoryVisibility, MessageId, Preferences, Role, Timestamp,
    UserId,
};

use super::{
    UserFacts,
    audience::Interval,
    entry::{Body, ConversationSnapshot, Entry, Owner, Profile, Settings},
};

/// How many members a conversation shows without being asked for all.
pub const SHOWN_MEMBERS: usize = 20;

/// The state of one log.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Of a conversation's log.
    Conversation(ConversationState),
    /// Of a user's log.
    User(UserState),
}

impl State {
    /// The state before the first entry.
    pub fn empty(owner: &Owner) -> Self {
        match owner {
            Owner::Conversation(id) => Self::Conversation(ConversationState::empty(id.clone())),
            Owner::User(id) => Self::User(UserState::empty(id.clone())),
        }
    }

    /// The number of the last entry folded in.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Conversation(state) => state.seq,
            Self::User(state) => state.seq,
        }
    }
}

/// A conversation at one number of its log.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationState {
    /// Its id.
    pub id: ConversationId,
    /// The number of the last entry folded in; 0 before the first.
    pub seq: u64,
    /// The fields of its document.
    pub fields: Option<ConversationFields>,
    /// Everybody who is a member, and those former members whose record is known here. Whoever folds an entry that continues a record brings
    /// that first, see [`Self::bring`].
    pub members: BTreeMap<UserId, Member>,
}

/// What a conversation's document says, members aside.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationFields {
    /// What kind it is.
    pub kind: ConversationType,
    /// Its settings.
    pub settings: Settings,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings or members last changed.
    pub updated_at: Timestamp,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// How many members it has.
    pub participant_count: u32,
    /// Its first members by user id, at most [`SHOWN_MEMBERS`].
    pub participant_ids: Vec<UserId>,
    /// When something last happened in it.
    pub last_activity_at: Timestamp,
    /// The number of its newest message; 0 without one.
    pub last_message_seq: u64,
    /// The number of the newest entry by which a message went or came back; 0 without one. Counts of messages that are older than it do not hold.
    pub last_removal_seq: u64,
}

impl ConversationFields {
    /// Whether this is a direct conversation of which a user was deleted.
    pub fn is_left_alone(&self) -> bool {
        self.kind == ConversationType::Direct && self.participant_count < 2
    }
}

/// A user's membership in a conversation, past and present.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// With which rights.
    pub role: Role,
    /// When they were members, by numbers of the log: `[joined, left]`, both inclusive; the last one is open while they are.
    /// At most [`MAX_INTERVALS`](super::audience::MAX_INTERVALS).
    pub intervals: Vec<Interval>,
    /// What the conversation said of the time before joining when they left last; `None` while they are a member. A later change is nothing to them.
    pub left_under: Option<HistoryVisibility>,
    /// When they joined last.
    pub joined_at: Timestamp,
    /// Their own settings.
    pub preferences: Preferences,
    /// The entry with which they hid the conversation last; 0 when they never did. A later message shows it again.
    pub hidden_at: u64,
    /// Whether they block the other one of a direct conversation.
    pub is_blocking: bool,
    /// The entry up to which this id was a former holder's in this conversation: neither what they saw nor what they wrote is this member's. 0 for none.
    pub former_until: u64,
    /// The entry that last changed this.
    pub seq: u64,
}

impl Member {
    /// The number with which the newest membership began.
    pub fn joined_seq(&self) -> u64 {
        self.intervals.last().map_or(0, |(joined, _)| *joined)
    }

    /// Whether the conversation is left out of the member's lists, when its newest message is number `last_message_seq`.
    pub fn hides(&self, last_message_seq: u64) -> bool {
        self.preferences.hidden && last_message_seq <= self.hidden_at
    }

    /// The member's own settings at `now`: hidden and muted only as long as that has an effect.
    pub fn shown_preferences(&self, last_message_seq: u64, now: Timestamp) -> Preferences {
        let preferences = Preferences {
            hidden: self.hides(last_message_seq),
            ..self.preferences.clone()
        };
        match preferences.muted_until {
            Some(until) if until <= now => Preferences {
                muted: false,
                muted_until: None,
                ..preferences
            },
            _ => preferences,
        }
    }

    /// Whether this is a member now.
    pub fn is_active(&self) -> bool {
        matches!(self.intervals.last(), Some((_, None)))
    }
}

impl ConversationState {
    /// The state before the first entry.
    pub fn empty(id: ConversationId) -> Self {
        Self {
            id,
            seq: 0,
            fields: None,
            members: BTreeMap::new(),
        }
    }

    /// The fields of a conversation that exists and was not deleted.
    pub fn living(&self) -> Option<&ConversationFields> {
        self.fields.as_ref().filter(|fields| !fields.is_deleted)
    }

    /// The membership of `user`, if they are a member now.
    pub fn active_member(&self, user: &UserId) -> Option<&Member> {
        self.members.get(user).filter(|member| member.is_active())
    }

    /// Those who are members now, by user id.
    pub fn active_members(&self) -> impl Iterator<Item = (&UserId, &Member)> {
        self.members.iter().filter(|(_, member)| member.is_active())
    }

    /// Takes the stored record of `user` in, unless a record is known here. Records of former members are not kept in memory; a user who joins again
    /// continues theirs.
    pub fn bring(&mut self, user: UserId, member: Member) {
        self.members.entry(user).or_insert(member);
    }

    /// Forgets a former member whose record is stored as of number `applied`.
    pub fn forget_former(&mut self, user: &UserId, applied: u64) {
        let is_stored = |member: &Member| !member.is_active() && member.seq <= applied;
        if self.members.get(user).is_some_and(is_stored) {
            self.members.remove(user);
        }
    }

    /// The snapshot of this conversation for an entry that changes `settings` and adds or removes nobody.
    pub fn snapshot(
        &self,
        fields: &ConversationFields,
        settings: Settings,
    ) -> ConversationSnapshot {
        ConversationSnapshot {
            kind: fields.kind,
            settings,
            created_by: fields.created_by.clone(),
            created_at: fields.created_at.as_millis(),
            participant_count: fields.participant_count,
            participant_ids: fields.participant_ids.clone(),
        }
    }
}

/// A user at one number of their log.
#[derive(Debug, Clone, PartialEq)]
pub struct UserState {
    /// Who.
    pub id: UserId,
    /// The number of the last entry folded in; 0 before the first.
    pub seq: u64,
    /// The fields of the user's document.
    pub fields: Option<UserFields>,
}

/// What a user's document says.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFields {
    /// The profile.
    pub profile: Profile,
    /// When the profile last changed.
    pub updated_at: Timestamp,
    /// Whether the user was deleted.
    pub is_deleted: bool,
    /// Tokens that were issued before are refused (milliseconds since 1970); 0 when none is.
    pub tokens_valid_from: i64,
    /// Which holder of the id this is: the seq, in the user's log, of the entry with which this one began after the former one was deleted; 0 for the
    /// first. What belongs to a former holder never belongs to a later one.
    pub incarnation: u64,
}

impl UserFields {
    /// What processes remember of the user.
    pub fn facts(&self) -> UserFacts {
        UserFacts {
            tokens_valid_from: self.tokens_valid_from,
            incarnation: self.incarnation,
            updated_at: self.updated_at.as_millis(),
        }
    }
}

impl UserState {
    /// The state before the first entry.
    pub fn empty(id: UserId) -> Self {
        Self {
            id,
            seq: 0,
            fields: None,
        }
    }

    /// The fields of a user who exists and was not deleted.
    pub fn living(&self) -> Option<&UserFields> {
        self.fields.as_ref().filter(|fields| !fields.is_deleted)
    }
}

/// How many users of a reaction a message shows.
pub const SHOWN_REACTORS: usize = 20;

/// A message at one number of its conversation's log, as far as a check needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageState {
    /// Its id.
    pub id: MessageId,
    /// Its sender; `None` for the host in no user's name.
    pub sender: Option<UserId>,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its number.
    pub seq: u64,
    /// The root of its thread, when it is a reply.
    pub thread_id: Option<MessageId>,
    /// Whether it is deleted.
    pub is_deleted: bool,
    /// Whether its time was over; then it does not come back.
    pub is_expired: bool,
    /// When its time is over (milliseconds since 1970), whether anybody has come by since or not; `None` for a message without an end.
    pub expires_at: Option<i64>,
    /// The entry that last changed its text; 0 when none did.
    pub edit_seq: u64,
    /// How many replies its thread has.
    pub reply_count: u32,
    /// Whether some of them have an end.
    pub has_expiring_replies: bool,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// How many users reacted, and the first of them, by emoji.
    pub reactions: BTreeMap<String, Reactors>,
}

/// How many users reacted with one emoji, and who.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reactors {
    /// How many.
    pub count: u32,
    /// The first of them, at most [`SHOWN_REACTORS`].
    pub user_ids: Vec<UserId>,
}

impl MessageState {
    /// Whether its time is over at `now`: then there is no such message.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.is_expired || self.expires_at.is_some_and(|at| at <= now.as_millis())
    }

    /// Lays `entry`, a later one of the same conversation, over it.
    pub fn fold(&mut self, entry: &Entry) {
        match &entry.body {
            Body::MessageCreated(reply) if reply.thread_id.as_ref() == Some(&self.id) => {
                if let Some(count) = reply.thread_reply_count {
                    self.reply_count = count;
                }
                self.has_expiring_replies |= reply.is_thread_expiring;
            }
            Body::MessageUpdated(edit) if edit.message_id == self.id => self.edit_seq = entry.seq,
            Body::MessageDeleted(removal) if removal.message_id == self.id => {
                self.is_deleted = true;
                self.is_expired |= removal.is_expired;
            }
            Body::MessageRestored(restored) if restored.message_id == self.id => {
                self.is_deleted = false;
            }
            Body::MessagePinned(target) if target.message_id == self.id => self.is_pinned = true,
            Body::MessageUnpinned(target) if target.message_id == self.id => {
                self.is_pinned = false;
            }
            Body::ReactionAdded(reaction) | Body::ReactionRemoved(reaction)
                if reaction.message_id == self.id =>
            {
                self.reactions.insert(
                    reaction.emoji.clone(),
                    Reactors {
                        count: reaction.total_count,
                        user_ids: reaction.user_ids.clone(),
                    },
                );
            }
            _ => {}
        }
    }
}

/// What a command is about, beside its log's owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A message.
    Message {
        /// Its id.
        message: MessageId,
        /// A user's reaction to it with one emoji.
        reaction: Option<(String, UserId)>,
    },
    /// Users whose record the entry would continue: they would become members, perhaps again, or be forgotten.
    Members {
        /// Of which conversation.
        conversation: ConversationId,
        /// The users.
        users: Vec<UserId>,
    },
}

/// What is read of a [`Target`].
#[derive(Debug, Clone, PartialEq)]
pub enum TargetState {
    /// Of a message.
    Message {
        /// The message; `None` where there is none. Boxed, because it is much larger than the other.
        message: Option<Box<MessageState>>,
        /// Whether the user has reacted.
        has_reacted: bool,
    },
    /// The stored records of those users who are or were members. The writer lays them into the state before the check.
    Members(Vec<(UserId, Member)>),
}

impl TargetState {
    /// The message, where it is about one that is there.
    pub fn message(&self) -> Option<&MessageState> {
        match self {
            Self::Message { message, .. } => message.as_deref(),
            Self::Members(_) => None,
        }
    }

    /// Whether the user of the target has reacted.
    pub fn has_reacted(&self) -> bool {
        matches!(
            self,
            Self::Message {
                has_reacted: true,
                ..
            }
        )
    }
}

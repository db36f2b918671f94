//! State of a log at one seq: the fold of its entries up to there.

use std::collections::BTreeMap;

use chat_sdk::{
    Conversation, ConversationId, ConversationSettings, ConversationType, HistoryVisibility,
    MessageId, Preferences, Role, Timestamp, UserId,
};

use super::{
    entry::{Body, ConversationSnapshot, Entry, Owner, Profile},
    visibility::Interval,
};

/// Maximum number of members in a conversation's summary.
pub const SHOWN_MEMBERS: usize = 20;

/// The state of one log.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// State of a conversation's log.
    Conversation(ConversationState),
    /// State of a user's log.
    User(UserState),
}

impl State {
    /// Returns the state before the first entry.
    pub fn empty(owner: &Owner) -> Self {
        match owner {
            Owner::Conversation(id) => Self::Conversation(ConversationState::empty(id.clone())),
            Owner::User(id) => Self::User(UserState::empty(id.clone())),
        }
    }

    /// Returns the seq of the last folded entry.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Conversation(state) => state.seq,
            Self::User(state) => state.seq,
        }
    }
}

/// State of a conversation at one seq of its log.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationState {
    /// Id of the conversation.
    pub id: ConversationId,
    /// Seq of the last folded entry; 0 before the first.
    pub seq: u64,
    /// Fields of its document.
    pub fields: Option<ConversationFields>,
    /// All members, and the former members whose record is loaded.
    ///
    /// A caller that folds an entry which continues a record loads that record first, see [`Self::bring`].
    pub members: BTreeMap<UserId, Member>,
}

/// Fields of a conversation's document, without its members.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationFields {
    /// Type of the conversation.
    pub kind: ConversationType,
    /// Its settings.
    pub settings: ConversationSettings,
    /// User who created it.
    pub created_by: UserId,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change of settings or members.
    pub updated_at: Timestamp,
    /// True if it was deleted.
    pub is_deleted: bool,
    /// Number of members.
    pub participant_count: u32,
    /// Ids of its first members, ordered by user id, at most [`SHOWN_MEMBERS`].
    pub participant_ids: Vec<UserId>,
    /// Time of the last activity.
    pub last_activity_at: Timestamp,
    /// Seq of its newest message; 0 if there is none.
    pub last_message_seq: u64,
    /// Seq of the newest entry that removed or restored a message; 0 if there is none.
    ///
    /// Message counts that are older than it are invalid.
    pub last_removal_seq: u64,
}

impl ConversationFields {
    /// Returns the fields right after the entry of `snapshot`, made at `at`, in a conversation without messages.
    pub fn new(snapshot: &ConversationSnapshot, at: Timestamp) -> Self {
        Self {
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

    /// Converts the fields as of `seq` into the resource, without the parts that depend on a member.
    pub fn into_resource(self, id: ConversationId, seq: u64) -> Conversation {
        Conversation {
            id,
            kind: self.kind,
            settings: self.settings,
            created_by: self.created_by,
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_activity_at: self.last_activity_at,
            participant_count: self.participant_count,
            participant_ids: self.participant_ids,
            seq,
            last_message: None,
            my_role: None,
            preferences: None,
            read_seq: None,
            unread_count: None,
            mention_count: None,
            draft: None,
        }
    }

    /// Returns true if this is a direct conversation and one of its users was deleted.
    pub fn is_left_alone(&self) -> bool {
        self.kind == ConversationType::Direct && self.participant_count < 2
    }
}

/// Membership of a user in a conversation, present or past.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Role of the member.
    pub role: Role,
    /// Memberships as ranges of seqs: `[joined, left]`, both inclusive.
    ///
    /// The last one is open for a present member. At most [`MAX_INTERVALS`](super::visibility::MAX_INTERVALS).
    pub intervals: Vec<Interval>,
    /// `historyVisibility` at the time of leaving; later changes do not apply to former members.
    ///
    /// `None` for a present member.
    pub left_under: Option<HistoryVisibility>,
    /// Time of the last joining.
    pub joined_at: Timestamp,
    /// Settings that the member made for themselves.
    pub preferences: Preferences,
    /// Seq of the entry that last hid the conversation; 0 if never hidden. A later message shows it again.
    pub hidden_at: u64,
    /// True if the member blocks the other member of a direct conversation.
    pub is_blocking: bool,
    /// Last seq at which the id belonged to a former holder in this conversation; 0 if there was none.
    ///
    /// Nothing that the former holder saw or wrote belongs to this member.
    pub former_until: u64,
    /// Seq of the entry that last changed this record.
    pub seq: u64,
}

impl Member {
    /// Returns the seq at which the newest membership began.
    pub fn joined_seq(&self) -> u64 {
        self.intervals.last().map_or(0, |(joined, _)| *joined)
    }

    /// Returns true if the member's lists leave the conversation out, given the seq of its newest message.
    pub fn hides(&self, last_message_seq: u64) -> bool {
        self.preferences.hidden && last_message_seq <= self.hidden_at
    }

    /// Returns the member's settings at `now`: hidden and muted only as long as they have an effect.
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

    /// Returns true if this is a present member.
    pub fn is_active(&self) -> bool {
        matches!(self.intervals.last(), Some((_, None)))
    }
}

impl ConversationState {
    /// Returns the state before the first entry.
    pub fn empty(id: ConversationId) -> Self {
        Self {
            id,
            seq: 0,
            fields: None,
            members: BTreeMap::new(),
        }
    }

    /// Returns the fields if the conversation exists and is not deleted.
    pub fn living(&self) -> Option<&ConversationFields> {
        self.fields.as_ref().filter(|fields| !fields.is_deleted)
    }

    /// Returns the membership of `user` if they are a present member.
    pub fn active_member(&self, user: &UserId) -> Option<&Member> {
        self.members.get(user).filter(|member| member.is_active())
    }

    /// Returns the present members, ordered by user id.
    pub fn active_members(&self) -> impl Iterator<Item = (&UserId, &Member)> {
        self.members.iter().filter(|(_, member)| member.is_active())
    }

    /// Adds the stored record of `user` unless one is loaded already.
    ///
    /// Records of former members are not kept in memory; a user who joins again continues their record.
    pub fn bring(&mut self, user: UserId, member: Member) {
        self.members.entry(user).or_insert(member);
    }

    /// Removes a former member from memory whose record is stored as of seq `applied`.
    pub fn forget_former(&mut self, user: &UserId, applied: u64) {
        let is_stored = |member: &Member| !member.is_active() && member.seq <= applied;
        if self.members.get(user).is_some_and(is_stored) {
            self.members.remove(user);
        }
    }

    /// Returns the snapshot for an entry that changes `settings` and adds or removes no member.
    pub fn snapshot(
        &self,
        fields: &ConversationFields,
        settings: ConversationSettings,
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

/// State of a user at one seq of their log.
#[derive(Debug, Clone, PartialEq)]
pub struct UserState {
    /// Id of the user.
    pub id: UserId,
    /// Seq of the last folded entry; 0 before the first.
    pub seq: u64,
    /// Fields of the user's document.
    pub fields: Option<UserFields>,
}

/// Time from which the tokens of a bot are valid: the end of the year 9999, after every possible token.
pub const NO_TOKENS: i64 = 253_402_300_799_999;

/// Fields of a user's document.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFields {
    /// The profile.
    pub profile: Profile,
    /// Time of the profile's last change.
    pub updated_at: Timestamp,
    /// True if the user was deleted.
    pub is_deleted: bool,
    /// Tokens issued before this time are refused (milliseconds since 1970); 0 if none was revoked.
    pub tokens_valid_from: i64,
    /// Ids of the sessions whose tokens are refused, since all tokens were last revoked; at most 64.
    pub ended_sessions: Vec<String>,
    /// Incarnation of the id: seq of the entry, in the user's log, with which its present holder began.
    ///
    /// It is 0 for the first holder.
    ///
    /// An id gets a new holder after the former one was deleted. Data of a former holder never belongs to a later one.
    pub incarnation: u64,
}

impl UserFields {
    /// Returns the facts of the user that processes cache.
    pub fn facts(&self) -> UserFacts {
        UserFacts {
            tokens_valid_from: self.tokens_valid_from,
            ended_sessions: self.ended_sessions.clone(),
            incarnation: self.incarnation,
            updated_at: self.updated_at.as_millis(),
        }
    }
}

impl UserState {
    /// Returns the state before the first entry.
    pub fn empty(id: UserId) -> Self {
        Self {
            id,
            seq: 0,
            fields: None,
        }
    }

    /// Returns the fields if the user exists and is not deleted.
    pub fn living(&self) -> Option<&UserFields> {
        self.fields.as_ref().filter(|fields| !fields.is_deleted)
    }
}

/// Maximum number of users per reaction in a message's summary.
pub const SHOWN_REACTORS: usize = 20;

/// State of a message at one seq of its conversation's log, as far as checks need it.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageState {
    /// Id of the message.
    pub id: MessageId,
    /// User who sent it; `None` for the host acting without a user.
    pub sender: Option<UserId>,
    /// Id of its conversation.
    pub conversation: ConversationId,
    /// Seq of the message.
    pub seq: u64,
    /// Id of the root message of its thread, if it is a reply.
    pub thread_id: Option<MessageId>,
    /// True if it is deleted.
    pub is_deleted: bool,
    /// True if it expired: it cannot be restored.
    pub is_expired: bool,
    /// Time at which it expires (milliseconds since 1970), removed or not; `None` if it does not expire.
    pub expires_at: Option<i64>,
    /// Seq of the last edit; 0 if there is none.
    pub edit_seq: u64,
    /// Number of replies in its thread.
    pub reply_count: u32,
    /// True if some of the replies expire.
    pub has_expiring_replies: bool,
    /// True if it is pinned.
    pub is_pinned: bool,
    /// Number of users who reacted and the first of them, by emoji.
    pub reactions: BTreeMap<String, Reactors>,
}

/// Users who reacted with one emoji.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reactors {
    /// Number of users.
    pub count: u32,
    /// Ids of the first of them, at most [`SHOWN_REACTORS`].
    pub user_ids: Vec<UserId>,
}

impl MessageState {
    /// Returns true if the message has expired at `now`: it then does not exist for readers.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.is_expired || self.expires_at.is_some_and(|at| at <= now.as_millis())
    }

    /// Applies `entry`, a later one of the same conversation.
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

/// Data that a command's check reads besides the state of the log's owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A message.
    Message {
        /// Id of the message.
        message: MessageId,
        /// Emoji and user of a reaction to it.
        reaction: Option<(String, UserId)>,
    },
    /// Users whose records the entry would continue: they would join, perhaps again, or be forgotten.
    Members {
        /// Id of the conversation.
        conversation: ConversationId,
        /// Ids of the users.
        users: Vec<UserId>,
    },
}

/// Data read for a [`Target`].
#[derive(Debug, Clone, PartialEq)]
pub enum TargetState {
    /// Data of a message.
    Message {
        /// The message; `None` if it does not exist. Boxed, because it is much larger than the other variant.
        message: Option<Box<MessageState>>,
        /// True if the user of the target has reacted.
        has_reacted: bool,
    },
    /// Stored records of those users who are or were members.
    ///
    /// The writer adds them to the state before the check.
    Members(Vec<(UserId, Member)>),
}

impl TargetState {
    /// Returns the message of the target, if it exists.
    pub fn message(&self) -> Option<&MessageState> {
        match self {
            Self::Message { message, .. } => message.as_deref(),
            Self::Members(_) => None,
        }
    }

    /// Returns true if the user of the target has reacted.
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

/// Facts of a user's document that are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// Tokens issued before this time are refused (milliseconds since 1970); 0 if none was revoked.
    pub tokens_valid_from: i64,
    /// Ids of the sessions whose tokens are refused.
    pub ended_sessions: Vec<String>,
    /// Incarnation of the id's present holder; see [`super::state::UserFields::incarnation`].
    pub incarnation: u64,
    /// Time at which the document was written (milliseconds since 1970).
    pub updated_at: i64,
}

//! Where a member is in a conversation: what they read, what their devices got, what they have begun to write. State, in no log: the highest wins.

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};

/// What a marker is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MarkerScope {
    /// A conversation.
    Conversation(ConversationId),
    /// The replies to a message.
    Thread(MessageId),
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Marker {
    /// The number up to which everything is read; 0 when nothing is.
    pub read_seq: u64,
    /// When it last went forward.
    pub read_at: Option<Timestamp>,
    /// The number up to which everything arrived at a device; 0 when nothing did.
    pub delivered_seq: u64,
    /// When it last went forward.
    pub delivered_at: Option<Timestamp>,
    /// What the member has begun to write.
    pub draft: Option<String>,
    /// What was counted before.
    pub counted: Option<Counted>,
}

/// How many messages a member has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All that count.
    pub unread: u64,
    /// Those of them that mention the member.
    pub mentions: u64,
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            unread: self.unread + other.unread,
            mentions: self.mentions + other.mentions,
        }
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;

    /// Never below nothing.
    fn sub(self, other: Self) -> Self {
        Self {
            unread: self.unread.saturating_sub(other.unread),
            mentions: self.mentions.saturating_sub(other.mentions),
        }
    }
}

/// A count, and what it was made of: it holds as long as none of that changes, and needs only what came since to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Up to where the member had read.
    pub read_seq: u64,
    /// Up to which number messages were counted.
    pub to: u64,
    /// The newest entry by which a message went or came back.
    pub removal_seq: u64,
    /// What the member saw, as [`super::audience::Audience::key`] writes it.
    pub audience: String,
    /// When a message's time will be over next (milliseconds since 1970), if one's will.
    pub valid_until: Option<i64>,
    /// What was counted.
    pub counts: Counts,
}

/// A change of a marker.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Everything up to this number is read.
    Read(u64),
    /// Everything after this number is unread.
    Unread(u64),
    /// Everything up to this number arrived at a device.
    Delivered(u64),
    /// The member has begun to write this, or nothing any more.
    Draft(Option<String>),
    /// Remember a count. Nothing depends on it.
    Counted(Counted),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// The marker before it.
    pub before: Marker,
    /// When it was written.
    pub at: Timestamp,
    /// Whether this change moved the marker to where it is now. Of several that were written at once only the one that went farthest did.
    pub has_moved: bool,
}

/// What a member's receipt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// The member read the message.
    Read,
    /// The message arrived at a device of the member.
    Delivered,
}

/// That a member read or got a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Who.
    pub user: UserId,
    /// When, for the first time.
    pub at: Timestamp,
}

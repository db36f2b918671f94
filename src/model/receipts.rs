//! Markers of a member in a conversation: what they read, what their devices received, and their draft. State in no log: the highest value wins.

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};

/// Scope of a marker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MarkerScope {
    /// A conversation.
    Conversation(ConversationId),
    /// The thread of a message.
    Thread(MessageId),
}

/// Marker of a member.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Marker {
    /// Seq up to which everything is read; 0 if nothing is.
    pub read_seq: u64,
    /// Time of the last advance of `read_seq`.
    pub read_at: Option<Timestamp>,
    /// Seq up to which everything was delivered to a device; 0 if nothing was.
    pub delivered_seq: u64,
    /// Time of the last advance of `delivered_seq`.
    pub delivered_at: Option<Timestamp>,
    /// Draft of the member.
    pub draft: Option<String>,
    /// The last stored count.
    pub counted: Option<Counted>,
}

/// Unread counts of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Number of unread messages.
    pub unread: u64,
    /// Number of those that mention the member.
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

    /// Subtracts without going below zero.
    fn sub(self, other: Self) -> Self {
        Self {
            unread: self.unread.saturating_sub(other.unread),
            mentions: self.mentions.saturating_sub(other.mentions),
        }
    }
}

/// A count and the data it depends on.
///
/// It is valid as long as that data is unchanged; only newer messages need to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Seq up to which the member had read.
    pub read_seq: u64,
    /// Seq up to which messages were counted.
    pub to: u64,
    /// Seq of the newest entry that removed or restored a message.
    pub removal_seq: u64,
    /// Readable seqs of the member, in the form of [`super::visibility::Audience::key`].
    pub audience: String,
    /// Time at which the next counted message expires (milliseconds since 1970), if any does.
    pub valid_until: Option<i64>,
    /// The counts.
    pub counts: Counts,
}

/// A change of a marker.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Everything up to this seq is read.
    Read(u64),
    /// Everything after this seq is unread.
    Unread(u64),
    /// Everything up to this seq was delivered to a device.
    Delivered(u64),
    /// The member's draft is this text, or removed.
    Draft(Option<String>),
    /// Stores a count. Nothing depends on it.
    Counted(Counted),
}

/// Result of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// The marker before the change.
    pub before: Marker,
    /// Time of the write.
    pub at: Timestamp,
    /// True if this change moved the marker to its present position.
    ///
    /// True only for the farthest of several concurrent changes.
    pub has_moved: bool,
}

/// Kind of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// The member read the message.
    Read,
    /// The message was delivered to a device of the member.
    Delivered,
}

/// Receipt of a message by a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Id of the member.
    pub user: UserId,
    /// Time of the first receipt.
    pub at: Timestamp,
}

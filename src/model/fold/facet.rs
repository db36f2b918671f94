//! Parts of a message that change independently.

use chat_sdk::{MessageId, Metadata, Patch, Timestamp, UserId};

use crate::model::entry::{Body, Entry};

/// A part of a message that changes independently; the entry's seq guards it against older writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Facet {
    /// The text.
    Edited {
        /// Seq of the entry that changed it.
        seq: u64,
        /// The new text.
        content: String,
        /// Change of the data that the host attaches.
        metadata: Patch<Metadata>,
        /// Time of the change.
        at: Timestamp,
    },
    /// The deletion.
    Deleted {
        /// Seq of the entry that deleted it.
        seq: u64,
        /// Time of the deletion.
        at: Timestamp,
        /// User who deleted it.
        by: Option<UserId>,
        /// True if the message expired.
        is_expired: bool,
    },
    /// The restoring.
    Restored {
        /// Seq of the entry that restored it.
        seq: u64,
        /// Time of the restoring.
        at: Timestamp,
    },
    /// The pin.
    Pinned {
        /// Seq of the entry that changed it.
        seq: u64,
        /// Time of the change.
        at: Timestamp,
        /// User who made the change.
        by: Option<UserId>,
        /// True if the message is pinned.
        is_pinned: bool,
    },
    /// The thread's replies.
    Replies {
        /// Seq of the newest reply.
        seq: u64,
        /// Time of the newest reply.
        at: Timestamp,
        /// Number of replies, the newest included.
        count: u32,
        /// True if some of the replies expire.
        has_expiring: bool,
    },
    /// The reactions with one emoji.
    Reactions {
        /// Seq of the entry that changed them.
        seq: u64,
        /// The emoji.
        emoji: String,
        /// Number of users who react with it.
        count: u32,
        /// First users who react with it.
        user_ids: Vec<UserId>,
    },
}

impl Facet {
    /// Returns the seq of the entry that changed this part.
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

    /// Returns the key of this part.
    ///
    /// If two changes have the same key and message, only the later one counts.
    pub fn key(&self) -> (u8, &str) {
        match self {
            // An edit without metadata must not replace one that changes the metadata.
            Self::Edited { metadata, .. } if metadata.is_keep() => (0, ""),
            Self::Edited { .. } => (5, ""),
            Self::Deleted { .. } | Self::Restored { .. } => (1, ""),
            Self::Pinned { .. } => (2, ""),
            Self::Replies { .. } => (3, ""),
            Self::Reactions { emoji, .. } => (4, emoji),
        }
    }
}

/// Returns the message that `entry` changes, and the changed part.
pub fn facet_of(entry: &Entry) -> Option<(MessageId, Facet)> {
    let (seq, at) = (entry.seq, entry.at);
    let (message, facet) = match &entry.body {
        Body::MessageCreated(message) => (
            message.thread_id.as_ref()?,
            Facet::Replies {
                seq,
                at,
                count: message.thread_reply_count?,
                has_expiring: message.is_thread_expiring,
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

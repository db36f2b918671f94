//! The parts of a message that change on their own.

use chat_sdk::{MessageId, Metadata, Timestamp, UserId};

use crate::domain::{
    entry::{Body, Entry},
    patch::Patch,
};

/// A part of a message that changes on its own; the entry's number guards it.
#[derive(Debug, Clone, PartialEq)]
pub enum Facet {
    /// Its text.
    Edited {
        /// The entry that changed it.
        seq: u64,
        /// The text.
        content: String,
        /// What becomes of the host's own data.
        metadata: Patch<Metadata>,
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
        /// Whether some of them have an end.
        has_expiring: bool,
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
            // An edit that leaves the metadata alone does not stand for one that changes it.
            Self::Edited { metadata, .. } if metadata.is_keep() => (0, ""),
            Self::Edited { .. } => (5, ""),
            Self::Deleted { .. } | Self::Restored { .. } => (1, ""),
            Self::Pinned { .. } => (2, ""),
            Self::Replies { .. } => (3, ""),
            Self::Reactions { emoji, .. } => (4, emoji),
        }
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

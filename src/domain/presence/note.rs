//! What nodes say to one another of their users.

use std::sync::Arc;

use chat_sdk::UserId;
use serde::{Deserialize, Serialize};

use super::Chosen;
use crate::bounds;

/// The keys, numbers and punctuation of one user in a note.
const FIXED: usize = 192;
/// What a note has beside its users.
const ENVELOPE: usize = 512;

/// A user on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Whether one of their sockets there did something within the threshold.
    pub is_active: bool,
    /// What they chose to look like.
    pub chosen: Chosen,
    /// When they came, in milliseconds since 1970.
    pub since: i64,
}

/// A change of a node's users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Who.
    pub user: UserId,
    /// How they are there; `None` when they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

impl Change {
    /// `user` is there since or otherwise than before.
    pub fn here(user: UserId, entry: Entry, at: i64) -> Self {
        Self {
            user,
            entry: Some(entry),
            at,
        }
    }

    /// `user` is gone since `at`.
    pub fn gone(user: UserId, at: i64) -> Self {
        Self {
            user,
            entry: None,
            at,
        }
    }
}

/// Cuts users into parts, each of which fits into one message of NATS. There is always at least one part.
pub(super) fn cut<T>(users: Vec<T>, of: impl Fn(&T) -> (&UserId, Option<&Entry>)) -> Vec<Vec<T>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = ENVELOPE;
    for one in users {
        let (user, entry) = of(&one);
        let text = entry.and_then(|entry| entry.chosen.text.as_ref());
        // Neither has control characters, so JSON makes two bytes of one at most.
        let size = 2 * (user.as_str().len() + text.map_or(0, String::len)) + FIXED;
        if bytes + size > bounds::NATS_GROUP {
            parts.push(Vec::new());
            bytes = ENVELOPE;
        }
        bytes += size;
        if let Some(last) = parts.last_mut() {
            last.push(one);
        }
    }
    parts
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum GossipMessage {
    /// It is new and knows nothing: everybody says everything.
    Hello,
    /// It lives, and this is how far what it said goes.
    Beat {
        /// The number of its last change.
        version: u64,
        /// Whether it settles what the world is told.
        is_settler: bool,
    },
    /// It ends, and settles nothing any more. Its users count as there for the lease, in which they find another node.
    Bye,
    /// Some of its users changed.
    Changes {
        /// The number of this change.
        version: u64,
        /// Who.
        users: Vec<Change>,
    },
    /// All of its users, or the next part of them.
    All {
        /// The number of its last change.
        version: u64,
        /// Whether this is the first part.
        is_first: bool,
        /// Whether this is the last part.
        is_last: bool,
        /// Who.
        users: Vec<(UserId, Entry)>,
    },
    /// Node `of` is asked for all of its users.
    Ask {
        /// Who is asked.
        of: Arc<str>,
    },
    /// A user chose what to look like; the node that has them says it with the user.
    Chosen {
        /// Who.
        user: UserId,
        /// What.
        chosen: Chosen,
    },
}

/// What a node says, and which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GossipEnvelope {
    /// Which.
    pub node: Arc<str>,
    /// What.
    #[serde(flatten)]
    pub word: GossipMessage,
}

//! Messages with which nodes tell each other of their users.

use std::sync::Arc;

use chat_sdk::UserId;
use serde::{Deserialize, Serialize};

use super::Chosen;
use crate::model::bounds;

/// Size of the keys, numbers and punctuation of one user in a message, in bytes.
const FIXED: usize = 192;
/// Size of a message without its users, in bytes.
const ENVELOPE: usize = 512;

/// A user on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// True if one of their sockets on the node was active within the threshold.
    pub is_active: bool,
    /// Status that the user chose.
    pub chosen: Chosen,
    /// Time of arrival (milliseconds since 1970).
    pub since: i64,
}

/// Change of a user on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Id of the user.
    pub user: UserId,
    /// The user's entry on the node; `None` if they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Time of the change (milliseconds since 1970).
    pub at: i64,
}

impl Change {
    /// Returns the change by which `user` arrives or their entry changes.
    pub fn here(user: UserId, entry: Entry, at: i64) -> Self {
        Self {
            user,
            entry: Some(entry),
            at,
        }
    }

    /// Returns the change by which `user` is gone since `at`.
    pub fn gone(user: UserId, at: i64) -> Self {
        Self {
            user,
            entry: None,
            at,
        }
    }
}

/// Splits users into parts that fit into one NATS message each. Returns at least one part.
pub(super) fn cut<T>(users: Vec<T>, of: impl Fn(&T) -> (&UserId, Option<&Entry>)) -> Vec<Vec<T>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = ENVELOPE;
    for one in users {
        let (user, entry) = of(&one);
        let text = entry.and_then(|entry| entry.chosen.text.as_ref());
        // Neither has control characters, so JSON makes at most two bytes of one.
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

/// Message of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum GossipMessage {
    /// The node is new: every other node sends its full list.
    Hello,
    /// Heartbeat of the node.
    Beat {
        /// Version number of its last change.
        version: u64,
        /// True if the node publishes changes of presence.
        is_publisher: bool,
        /// True if the node takes commands for the log.
        is_writer: bool,
    },
    /// The node shuts down and no longer publishes changes.
    ///
    /// Its users stay online for the lease, in which they reconnect elsewhere.
    Bye,
    /// Some of its users changed.
    Changes {
        /// Version number of this change.
        version: u64,
        /// The changed users.
        users: Vec<Change>,
    },
    /// All of its users, or the next part of them.
    All {
        /// Version number of its last change.
        version: u64,
        /// True for the first part.
        is_first: bool,
        /// True for the last part.
        is_last: bool,
        /// Users and their entries.
        users: Vec<(UserId, Entry)>,
    },
    /// Request to node `of` for all of its users.
    Ask {
        /// Node that is asked.
        of: Arc<str>,
    },
    /// A user chose a status; the node that has the user announces it.
    Chosen {
        /// Id of the user.
        user: UserId,
        /// The chosen status.
        chosen: Chosen,
    },
}

/// Message of a node, with its sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GossipEnvelope {
    /// Node that sent the message.
    pub node: Arc<str>,
    /// The message.
    #[serde(flatten)]
    pub message: GossipMessage,
}

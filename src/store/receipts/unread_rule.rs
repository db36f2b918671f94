//! The rule of what counts as unread and as a mention, in two forms: over a message in memory, and as a filter for MongoDB.
//!
//! Long ranges are counted by MongoDB in an index; short ranges of many readers are read once and counted here. A test compares the two for messages of
//! every kind.

use chat_sdk::{ConversationId, Timestamp, UserId};
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use crate::model::messages::{MENTION_ALL, MENTION_HERE};

/// Fields of a message that decide whether it counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountedMessage {
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// Seq of the message.
    pub seq: i64,
    #[serde(default)]
    actor_id: Option<UserId>,
    data: CountedData,
    /// Last deletion or restoration of the message, if there is one.
    #[serde(default)]
    pub deleted: Option<Removal>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountedData {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    here: Vec<String>,
    #[serde(default)]
    expires_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// Seq of its entry.
    pub seq: i64,
    #[serde(default)]
    is_restored: bool,
}

impl CountedMessage {
    /// Returns the projection of a query for such messages.
    pub fn projection() -> Document {
        doc! {
            "_id": 0, "conversationId": 1, "seq": 1, "actorId": 1, "data.type": 1, "data.silent": 1, "data.mentions": 1,
            "data.here": 1, "data.expiresAt": 1, "deleted.seq": 1, "deleted.isRestored": 1,
        }
    }

    /// Returns true if the message counts as unread for `user`.
    pub fn counts_for(&self, user: &UserId, now: Timestamp) -> bool {
        self.actor_id.as_ref() != Some(user)
            && self.data.kind.as_deref() != Some("system")
            && !self.data.silent
            && self
                .deleted
                .as_ref()
                .is_none_or(|removal| removal.is_restored)
            && self.data.expires_at.is_none_or(|at| at > now.as_millis())
    }

    /// Returns true if the message mentions `user`.
    pub fn mentions(&self, user: &UserId) -> bool {
        self.data.mentions.iter().any(|name| {
            name == user.as_str()
                || name == MENTION_ALL
                || name == MENTION_HERE && self.data.here.iter().any(|here| here == user.as_str())
        })
    }

    /// Returns the time at which the message expires (milliseconds since 1970), if it does.
    pub fn expires_at(&self) -> Option<i64> {
        self.data.expires_at
    }
}

/// Builds the filter of the messages that count as unread for `user`.
///
/// It excludes the user's own, system, silent, deleted and expired messages.
pub fn unread_filter(user: &UserId) -> Document {
    doc! {
        "type": "message.created",
        "actorId": { "$ne": user.as_str() },
        "data.type": { "$ne": "system" },
        "data.silent": { "$ne": true },
        // The facet exists if the message was ever deleted; `isRestored` says whether it is back.
        "deleted.isRestored": { "$ne": false },
        "data.expiresAt": { "$not": { "$lte": Timestamp::now().as_millis() } },
    }
}

/// Builds a filter that finds the messages that mention `user` by the index.
pub fn mentions_filter(user: &UserId) -> Document {
    doc! {
        "data.mentions": { "$in": [user.as_str(), MENTION_ALL, MENTION_HERE] },
        "$or": [
            { "data.mentions": { "$in": [user.as_str(), MENTION_ALL] } },
            { "data.here": user.as_str() },
        ],
    }
}

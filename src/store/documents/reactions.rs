//! Reactions, as they are stored.

use chat_sdk::{ConversationId, MessageId, UserId};
use mongodb::bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::{date, number};
use crate::model::fold::ReactionChange;

/// Reaction of a user to a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionDocument {
    pub(in crate::store) message_id: MessageId,
    pub(in crate::store) emoji: String,
    pub(in crate::store) user_id: UserId,
    pub(in crate::store) seq: i64,
    pub(in crate::store) at: DateTime,
    pub(in crate::store) is_active: bool,
}

/// A message's id has a fixed length and no emoji has a slash, so the parts cannot be confused.
pub(in crate::store) fn id_of(message: &MessageId, emoji: &str, user: &UserId) -> String {
    format!("{message}/{emoji}/{user}")
}

/// Builds the update that writes a reaction, unless a newer change of it is stored.
///
/// The update compares the seq, see [`crate::store::facets::facet_update`].
pub fn reaction_update(conversation: &ConversationId, change: &ReactionChange) -> Document {
    let written = doc! {
        "conversationId": conversation.as_str(),
        "messageId": change.message.as_str(),
        "emoji": &change.emoji,
        "userId": change.user.as_str(),
        "seq": number(change.seq),
        "at": date(change.at),
        "isActive": change.is_active,
    };
    // A document that is about to be created has no seq.
    let is_older = doc! { "$lt": [{ "$ifNull": ["$seq", 0_i64] }, number(change.seq)] };
    let changed = doc! { "$mergeObjects": ["$$ROOT", { "$literal": written }] };
    doc! {
        "q": { "_id": id_of(&change.message, &change.emoji, &change.user) },
        "u": [{ "$replaceWith": { "$cond": [is_older, changed, "$$ROOT"] } }],
        "upsert": true,
    }
}

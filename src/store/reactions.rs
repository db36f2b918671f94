//! Who reacted to which message: one document per message, emoji and user. What was taken back stays as a tombstone with its number.

use std::collections::HashSet;

use chat_sdk::{ConversationId, MessageId, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::{
    Store, bounded,
    documents::{date, moment, number},
};
use crate::domain::{
    DomainError, Result,
    fold::ReactionChange,
    page::{Page, PageRequest},
    reactions::Reacted,
};

/// A user's reaction to a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionDocument {
    message_id: MessageId,
    emoji: String,
    user_id: UserId,
    seq: i64,
    at: DateTime,
    is_active: bool,
}

/// A message's id has a fixed length and no emoji has a slash, so the parts cannot be confused.
fn id_of(message: &MessageId, emoji: &str, user: &UserId) -> String {
    format!("{message}/{emoji}/{user}")
}

/// The update that writes a reaction, unless a newer change of it is there.
pub fn reaction_update(conversation: &ConversationId, change: &ReactionChange) -> Document {
    doc! {
        "q": {
            "_id": id_of(&change.message, &change.emoji, &change.user),
            "seq": { "$lt": number(change.seq) },
        },
        "u": { "$set": {
            "conversationId": conversation.as_str(),
            "messageId": change.message.as_str(),
            "emoji": &change.emoji,
            "userId": change.user.as_str(),
            "seq": number(change.seq),
            "at": date(change.at),
            "isActive": change.is_active,
        } },
        "upsert": true,
    }
}

impl Store {
    /// Whether `user` has reacted to `message` with `emoji`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn has_reacted(
        &self,
        message: &MessageId,
        emoji: &str,
        user: &UserId,
    ) -> Result<bool> {
        let found = bounded(
            self.reactions
                .find_one(doc! { "_id": id_of(message, emoji, user) })
                .into_future(),
        )
        .await?;
        Ok(found.is_some_and(|reaction| reaction.is_active))
    }

    /// Those of `asked`, messages with an emoji, to which `user` has reacted.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub(super) async fn find_own_reactions(
        &self,
        user: &UserId,
        asked: &[(MessageId, String)],
    ) -> Result<HashSet<(MessageId, String)>> {
        if asked.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<String> = asked
            .iter()
            .map(|(message, emoji)| id_of(message, emoji, user))
            .collect();
        let found: Vec<ReactionDocument> = bounded(async {
            self.reactions
                .find(doc! { "_id": { "$in": ids }, "isActive": true })
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|reaction| (reaction.message_id, reaction.emoji))
            .collect())
    }

    /// Who reacted to `message`, with `emoji` or with any, in the order in which they did.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for an unknown cursor.
    pub async fn find_reaction_page(
        &self,
        message: &MessageId,
        emoji: Option<&str>,
        request: &PageRequest,
    ) -> Result<Page<Reacted>> {
        let mut filter = doc! { "messageId": message.as_str(), "isActive": true };
        if let Some(emoji) = emoji {
            filter.insert("emoji", emoji);
        }
        // One direction only: whichever parameter carries it, a cursor goes on.
        let cursor = [("after", &request.after), ("before", &request.before)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
        if let Some((field, cursor)) = cursor {
            let seq: u64 = cursor
                .parse()
                .map_err(|_| DomainError::invalid(field, "is no cursor of this list"))?;
            filter.insert("seq", doc! { "$gt": number(seq) });
        }
        let found: Vec<ReactionDocument> = bounded(async {
            self.reactions
                .find(filter)
                .sort(doc! { "seq": 1 })
                .limit(i64::from(request.limit) + 1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let reactions: Vec<Reacted> = found
            .into_iter()
            .map(|document| Reacted {
                emoji: document.emoji,
                user: document.user_id,
                at: moment(document.at),
                seq: document.seq.unsigned_abs(),
            })
            .collect();
        Ok(Page::cut(reactions, request.limit, |reaction| {
            reaction.seq.to_string()
        }))
    }
}

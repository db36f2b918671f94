//! Reactions: one document per message, emoji and user.
//!
//! A removed reaction stays as a tombstone with its seq.

use std::collections::{HashMap, HashSet};

use chat_sdk::{MessageId, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::doc;

use super::{
    Store, bounded,
    documents::{moment, number},
    facets::StoredMessage,
};
use crate::{
    model::{
        DomainError, Result,
        entry::Body,
        page::{Page, PageRequest},
        reactions::Reacted,
    },
    store::documents::reactions::{ReactionDocument, id_of},
};

impl Store {
    /// Returns those of `asked` (message, emoji and user) for which the user has reacted.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub(super) async fn find_reactions_at<'a>(
        &self,
        asked: impl Iterator<Item = (&'a MessageId, &'a str, &'a UserId)>,
    ) -> Result<HashSet<(MessageId, String, UserId)>> {
        let ids: Vec<String> = asked
            .map(|(message, emoji, user)| id_of(message, emoji, user))
            .collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let filter = doc! { "_id": { "$in": ids }, "isActive": true };
        let found: Vec<ReactionDocument> =
            bounded(async { self.reactions.find(filter).await?.try_collect().await }).await?;
        let found = found.into_iter();
        Ok(found
            .map(|reaction| (reaction.message_id, reaction.emoji, reaction.user_id))
            .collect())
    }

    /// Returns those of `asked` (message and emoji) to which `user` has reacted.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
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

    /// Lists the reactions to `message`, with `emoji` or with any, in the order in which they were made.
    ///
    /// With `as_of`, it lists them as they were at that seq of the log.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_reaction_page(
        &self,
        message: &StoredMessage,
        emoji: Option<&str>,
        as_of: Option<u64>,
        request: &PageRequest,
    ) -> Result<Page<Reacted>> {
        let after = number_cursor(request)?;
        let reactions = match as_of {
            Some(as_of) if message.changed_after(as_of) => {
                let mut then = self.read_reactions_then(&message.id, as_of).await?;
                then.retain(|reaction| {
                    reaction.seq > after && emoji.is_none_or(|emoji| reaction.emoji == emoji)
                });
                then
            }
            _ => {
                self.read_reactions(&message.id, emoji, after, i64::from(request.limit) + 1)
                    .await?
            }
        };
        Ok(Page::cut(reactions, request.limit, |reaction| {
            reaction.seq.to_string()
        }))
    }

    /// Rebuilds the reactions to `message` as they were at the seq `as_of` from the entries.
    async fn read_reactions_then(&self, message: &MessageId, as_of: u64) -> Result<Vec<Reacted>> {
        let changes = doc! {
            "data.messageId": message.as_str(),
            "type": { "$in": ["reaction.added", "reaction.removed"] },
        };
        let mut active: HashMap<(String, UserId), Reacted> = HashMap::new();
        self.each_change(changes, as_of, |entry| {
            let (reaction, is_added) = match &entry.body {
                Body::ReactionAdded(reaction) => (reaction, true),
                Body::ReactionRemoved(reaction) => (reaction, false),
                _ => return,
            };
            let key = (reaction.emoji.clone(), reaction.user_id.clone());
            if is_added {
                let reacted = Reacted {
                    emoji: reaction.emoji.clone(),
                    user: reaction.user_id.clone(),
                    at: entry.at,
                    seq: entry.seq,
                };
                active.insert(key, reacted);
            } else {
                active.remove(&key);
            }
        })
        .await?;
        let mut reactions: Vec<Reacted> = active.into_values().collect();
        reactions.sort_by_key(|reaction| reaction.seq);
        Ok(reactions)
    }

    /// Reads at most `limit` reactions to `message` after the seq `after`.
    async fn read_reactions(
        &self,
        message: &MessageId,
        emoji: Option<&str>,
        after: u64,
        limit: i64,
    ) -> Result<Vec<Reacted>> {
        let mut filter = doc! { "messageId": message.as_str(), "isActive": true };
        if let Some(emoji) = emoji {
            filter.insert("emoji", emoji);
        }
        filter.insert("seq", doc! { "$gt": number(after) });
        let found: Vec<ReactionDocument> = bounded(async {
            self.reactions
                .find(filter)
                .sort(doc! { "seq": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|document| Reacted {
                emoji: document.emoji,
                user: document.user_id,
                at: moment(document.at),
                seq: document.seq.unsigned_abs(),
            })
            .collect())
    }
}

/// Returns the seq after which a list that is sorted by seq continues.
///
/// The list has one direction: the cursor continues it, whichever parameter carries it.
pub(super) fn number_cursor(request: &PageRequest) -> Result<u64> {
    let cursor = [("after", &request.after), ("before", &request.before)]
        .into_iter()
        .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
    match cursor {
        None => Ok(0),
        Some((field, cursor)) => cursor
            .parse()
            .map_err(|_| DomainError::invalid(field, "is no cursor of this list")),
    }
}

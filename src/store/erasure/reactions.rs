//! A user's own reactions.

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, doc};
use serde::Deserialize;

use super::super::{Store, bounded, documents::moment};
use crate::model::Result;

/// Reaction that is not removed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnReaction {
    /// Key of its document.
    #[serde(rename = "_id")]
    pub key: String,
    /// Id of the conversation.
    #[serde(rename = "conversationId")]
    pub conversation: ConversationId,
    /// Id of the message.
    #[serde(rename = "messageId")]
    pub message: MessageId,
    /// Emoji of the reaction.
    pub emoji: String,
    at: DateTime,
}

impl OwnReaction {
    /// Returns the time of the reaction.
    pub fn at(&self) -> Timestamp {
        moment(self.at)
    }
}

impl Store {
    /// Counts the current reactions of `user`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_reactions_of(&self, user: &UserId) -> Result<u64> {
        let filter = doc! { "userId": user.as_str(), "isActive": true };
        Ok(bounded(self.reactions.count_documents(filter).into_future()).await?)
    }

    /// Lists the current reactions of `user` after the one at `after`, at most `limit`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_reactions_of(
        &self,
        user: &UserId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<OwnReaction>> {
        let filter = doc! {
            "userId": user.as_str(), "isActive": true, "_id": { "$gt": after.unwrap_or_default() },
        };
        let reactions = self.reactions.clone_with_type::<OwnReaction>();
        Ok(bounded(async {
            let find = reactions.find(filter).sort(doc! { "_id": 1 });
            find.limit(i64::from(limit)).await?.try_collect().await
        })
        .await?)
    }

    /// Removes the user's remaining reaction documents.
    ///
    /// They include tombstones and those in deleted conversations.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_reactions_of(&self, user: &UserId) -> Result<()> {
        let filter = doc! { "userId": user.as_str() };
        bounded(self.reactions.delete_many(filter).into_future()).await?;
        Ok(())
    }
}

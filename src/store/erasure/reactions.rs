//! A user's own reactions.

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, doc};
use serde::Deserialize;

use super::super::{Store, bounded, documents::moment};
use crate::domain::Result;

/// A reaction that stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnReaction {
    /// Where it is found.
    #[serde(rename = "_id")]
    pub key: String,
    /// In which conversation.
    #[serde(rename = "conversationId")]
    pub conversation: ConversationId,
    /// To which message.
    #[serde(rename = "messageId")]
    pub message: MessageId,
    /// With what.
    pub emoji: String,
    at: DateTime,
}

impl OwnReaction {
    /// When it was given.
    pub fn at(&self) -> Timestamp {
        moment(self.at)
    }
}

impl Store {
    /// How many reactions of `user` stand.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn count_reactions_of(&self, user: &UserId) -> Result<u64> {
        let filter = doc! { "userId": user.as_str(), "isActive": true };
        Ok(bounded(self.reactions.count_documents(filter).into_future()).await?)
    }

    /// The reactions of `user` that stand, after the one at `after`, at most `limit`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// Removes what is left of the user's reactions, also those that were taken back and those in conversations that are gone.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn remove_reactions_of(&self, user: &UserId) -> Result<()> {
        let filter = doc! { "userId": user.as_str() };
        bounded(self.reactions.delete_many(filter).into_future()).await?;
        Ok(())
    }
}

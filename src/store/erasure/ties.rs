//! Blocks and conversations of a user, and the successors of the user's ownerships.

use chat_sdk::{ConversationId, ConversationType, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::doc;
use serde::Deserialize;

use super::super::{Store, bounded, documents::ParticipantDocument};
use crate::{model::Result, store::documents::blocks::BlockDocument};

impl Store {
    /// Finds every block by `user` or against `user`, as blocking and blocked user.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_blocks_around(&self, user: &UserId) -> Result<Vec<(UserId, UserId)>> {
        let id = user.as_str();
        let sides = [doc! { "userId": id }, doc! { "blockedUserId": id }];
        let mut blocks = Vec::new();
        for mut filter in sides {
            filter.insert("isActive", true);
            let found = self.read_blocks(filter, 0).await?;
            blocks.extend(found.into_iter().map(BlockDocument::into_pair));
        }
        Ok(blocks)
    }

    /// Removes the remaining documents of those blocks, including tombstones.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_blocks_around(&self, user: &UserId) -> Result<()> {
        let around =
            doc! { "$or": [{ "userId": user.as_str() }, { "blockedUserId": user.as_str() }] };
        bounded(self.blocks.delete_many(around).into_future()).await?;
        Ok(())
    }

    /// Lists the conversations of which `user` is a member now, each with a flag for direct ones.
    ///
    /// Deleted conversations are left out.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_active_memberships_of(
        &self,
        user: &UserId,
    ) -> Result<Vec<(ConversationId, bool)>> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "_id")]
            id: ConversationId,
            #[serde(rename = "type")]
            kind: ConversationType,
        }
        let memberships = self.find_memberships_of(user).await?;
        let ids: Vec<&str> = memberships
            .iter()
            .filter(|membership| membership.is_active())
            .map(|membership| membership.conversation.as_str())
            .collect();
        let conversations = self.conversations.clone_with_type::<Kind>();
        let mut kinds = Vec::new();
        for ids in ids.chunks(1000) {
            let filter = doc! { "_id": { "$in": ids }, "isDeleted": false };
            let found: Vec<Kind> = bounded(async {
                let find = conversations.find(filter);
                let find = find.projection(doc! { "_id": 1, "type": 1 });
                find.await?.try_collect().await
            })
            .await?;
            kinds.extend(found);
        }
        Ok(kinds
            .into_iter()
            .map(|found| (found.id, found.kind == ConversationType::Direct))
            .collect())
    }

    /// Returns the owner of `conversation` after `user`.
    ///
    /// It is the longest-standing admin, otherwise the longest-standing member.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_successor(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Option<UserId>> {
        for role in ["admin", "member"] {
            let filter = doc! {
                "conversationId": conversation.as_str(),
                "isActive": true,
                "role": role,
                "userId": { "$ne": user.as_str() },
            };
            let oldest = doc! { "joinedAt": 1, "userId": 1 };
            let found: Option<ParticipantDocument> = bounded(
                self.participants
                    .find_one(filter)
                    .sort(oldest)
                    .into_future(),
            )
            .await?;
            if let Some(found) = found {
                return Ok(Some(found.user_id));
            }
        }
        Ok(None)
    }
}

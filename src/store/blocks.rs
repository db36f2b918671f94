//! Blocks: one document per pair of users. A removed block stays as a tombstone with its seq.

use std::collections::{HashMap, HashSet};

use chat_sdk::UserId;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{Store, bounded, documents::moment};
use crate::{
    model::{
        Result,
        blocks::Blocked,
        page::{Page, PageRequest},
    },
    store::documents::blocks::{BlockDocument, id_of},
};

/// Number of users whose blocks are read at once: each may have thousands.
const USERS_AT_ONCE: usize = 50;

impl Store {
    /// Counts the users that `user` blocks, up to `most`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_blocked(&self, user: &UserId, most: u64) -> Result<u64> {
        let filter = doc! { "userId": user.as_str(), "isActive": true };
        let count = self.blocks.count_documents(filter).limit(most);
        Ok(bounded(count.into_future()).await?)
    }

    /// True if `user` blocks `other`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn is_blocked(&self, user: &UserId, other: &UserId) -> Result<bool> {
        let filter = doc! { "_id": id_of(user, other), "isActive": true };
        Ok(bounded(self.blocks.find_one(filter).into_future())
            .await?
            .is_some())
    }

    /// Returns those `users` who block `other`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_blockers(&self, users: &[UserId], other: &UserId) -> Result<HashSet<UserId>> {
        let ids: Vec<String> = users.iter().map(|user| id_of(user, other)).collect();
        let filter = doc! { "_id": { "$in": ids }, "isActive": true };
        Ok(self
            .read_blocks(filter, 0)
            .await?
            .into_iter()
            .map(|block| block.user_id)
            .collect())
    }

    /// Returns those `others` whom `user` blocks.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_blocked_among(
        &self,
        user: &UserId,
        others: &[UserId],
    ) -> Result<HashSet<UserId>> {
        let ids: Vec<String> = others.iter().map(|other| id_of(user, other)).collect();
        let filter = doc! { "_id": { "$in": ids }, "isActive": true };
        Ok(self
            .read_blocks(filter, 0)
            .await?
            .into_iter()
            .map(|block| block.blocked_user_id)
            .collect())
    }

    /// Returns the users that each of `users` blocks.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_blocked_by(
        &self,
        users: &[UserId],
    ) -> Result<HashMap<UserId, HashSet<UserId>>> {
        let mut blocked: HashMap<UserId, HashSet<UserId>> = HashMap::new();
        for users in users.chunks(USERS_AT_ONCE) {
            let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
            let filter = doc! { "userId": { "$in": ids }, "isActive": true };
            for block in self.read_blocks(filter, 0).await? {
                let of_user = blocked.entry(block.user_id).or_default();
                of_user.insert(block.blocked_user_id);
            }
        }
        Ok(blocked)
    }

    /// Lists the users that `user` blocks, by user id.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_block_page(
        &self,
        user: &UserId,
        request: &PageRequest,
    ) -> Result<Page<Blocked>> {
        let mut filter = doc! { "userId": user.as_str(), "isActive": true };
        if let Some(cursor) = request.after.as_ref().or(request.before.as_ref()) {
            filter.insert("blockedUserId", doc! { "$gt": cursor.as_str() });
        }
        let blocks = self
            .read_blocks(filter, i64::from(request.limit) + 1)
            .await?
            .into_iter()
            .map(|block| Blocked {
                user: block.blocked_user_id,
                at: moment(block.at),
            })
            .collect();
        Ok(Page::cut(blocks, request.limit, |block| {
            block.user.to_string()
        }))
    }

    pub(super) async fn read_blocks(
        &self,
        filter: Document,
        limit: i64,
    ) -> Result<Vec<BlockDocument>> {
        Ok(bounded(async {
            self.blocks
                .find(filter)
                .sort(doc! { "blockedUserId": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?)
    }
}

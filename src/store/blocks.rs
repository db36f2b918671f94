//! Blocks: one document per pair of users. A removed block stays as a tombstone with its seq.

use std::collections::{HashMap, HashSet};

use chat_sdk::UserId;
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::{
    Store, bounded,
    documents::{date, moment, number},
};
use crate::domain::{
    Result,
    blocks::Blocked,
    fold::BlockChange,
    page::{Page, PageRequest},
};

/// Stored block of one user by another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDocument {
    user_id: UserId,
    blocked_user_id: UserId,
    at: DateTime,
}

impl BlockDocument {
    /// Returns the blocking and the blocked user.
    pub fn into_pair(self) -> (UserId, UserId) {
        (self.user_id, self.blocked_user_id)
    }
}

/// The length of the first part keeps the two ids from being confused.
fn id_of(user: &UserId, blocked: &UserId) -> String {
    format!("{}:{user}:{blocked}", user.as_str().len())
}

/// Builds the update that writes a block, unless a newer change of it is stored.
pub fn block_update(change: &BlockChange) -> Document {
    doc! {
        "q": {
            "_id": id_of(&change.user, &change.blocked),
            "seq": { "$lt": number(change.seq) },
        },
        "u": { "$set": {
            "userId": change.user.as_str(),
            "blockedUserId": change.blocked.as_str(),
            "seq": number(change.seq),
            "at": date(change.at),
            "isActive": change.is_active,
        } },
        "upsert": true,
    }
}

/// Number of users whose blocks are read at once: each may have thousands.
const USERS_AT_ONCE: usize = 50;

impl Store {
    /// Counts the users that `user` blocks, up to `most`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_blocked(&self, user: &UserId, most: u64) -> Result<u64> {
        let filter = doc! { "userId": user.as_str(), "isActive": true };
        let count = self.blocks.count_documents(filter).limit(most);
        Ok(bounded(count.into_future()).await?)
    }

    /// True if `user` blocks `other`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn is_blocked(&self, user: &UserId, other: &UserId) -> Result<bool> {
        let filter = doc! { "_id": id_of(user, other), "isActive": true };
        Ok(bounded(self.blocks.find_one(filter).into_future())
            .await?
            .is_some())
    }

    /// Returns those `users` who block `other`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
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
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
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
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
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
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
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

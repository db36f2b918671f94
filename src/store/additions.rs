//! Queries before users become members: numbers of conversations, and users who share one.

use std::collections::HashSet;

use chat_sdk::{ConversationId, UserId};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    options::Hint,
};
use serde::Deserialize;

use super::{Store, bounded};
use crate::model::Result;

/// Number of users per query.
const USERS_AT_ONCE: usize = 200;

impl Store {
    /// Returns those `users` who are members of at least `most` conversations now.
    ///
    /// It counts in the index alone, and for each user no further than `most`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_full_users(&self, users: &[UserId], most: u32) -> Result<HashSet<UserId>> {
        #[derive(Deserialize)]
        struct Full {
            #[serde(rename = "_id")]
            user: UserId,
        }
        let mut full = HashSet::new();
        for some in users.chunks(USERS_AT_ONCE) {
            let ids: Vec<&str> = some.iter().map(UserId::as_str).collect();
            let pipeline = [
                doc! { "$match": { "userId": { "$in": ids }, "isActive": true } },
                doc! { "$group": { "_id": "$userId", "count": { "$sum": 1 } } },
                doc! { "$match": { "count": { "$gte": i64::from(most) } } },
                doc! { "$project": { "_id": 1 } },
            ];
            let found: Vec<Full> = bounded(async {
                self.participants
                    .aggregate(pipeline)
                    .hint(Hint::Name("memberships".to_owned()))
                    .with_type::<Full>()
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            full.extend(found.into_iter().map(|found| found.user));
        }
        Ok(full)
    }

    /// Returns those `users` who share a direct conversation or a group with `user` now.
    ///
    /// Public conversations do not count: anyone may join one to share it.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_sharing(&self, user: &UserId, users: &[UserId]) -> Result<HashSet<UserId>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Pair {
            user_id: UserId,
            conversation_id: ConversationId,
        }
        let own: Vec<ConversationId> = self
            .find_conversations_by_user(std::slice::from_ref(user))
            .await?
            .into_iter()
            .map(|(_, conversation)| conversation)
            .collect();
        let own: Vec<&str> = own.iter().map(ConversationId::as_str).collect();
        let mut sharing = HashSet::new();
        for some in users.chunks(USERS_AT_ONCE) {
            let ids: Vec<&str> = some.iter().map(UserId::as_str).collect();
            let filter = doc! {
                "userId": { "$in": ids }, "isActive": true, "conversationId": { "$in": &own },
            };
            let pairs: Vec<Pair> = bounded(async {
                self.participants
                    .clone_with_type::<Pair>()
                    .find(filter)
                    .projection(doc! { "_id": 0, "userId": 1, "conversationId": 1 })
                    .hint(Hint::Name("memberships".to_owned()))
                    .batch_size(2000)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            let shared: HashSet<&str> = pairs
                .iter()
                .map(|pair| pair.conversation_id.as_str())
                .collect();
            let closed = self.find_closed(shared.into_iter().collect()).await?;
            sharing.extend(
                pairs
                    .into_iter()
                    .filter(|pair| closed.contains(&pair.conversation_id))
                    .map(|pair| pair.user_id),
            );
        }
        Ok(sharing)
    }

    /// Returns those `ids` that users cannot join by themselves.
    async fn find_closed(&self, ids: Vec<&str>) -> Result<HashSet<ConversationId>> {
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: ConversationId,
        }
        let filter: Document = doc! {
            "_id": { "$in": ids }, "type": { "$ne": "public" }, "isDeleted": false,
        };
        let found: Vec<Id> = bounded(async {
            self.conversations
                .clone_with_type::<Id>()
                .find(filter)
                .projection(doc! { "_id": 1 })
                .batch_size(2000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.into_iter().map(|found| found.id).collect())
    }
}

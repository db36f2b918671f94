//! Reads of users.

use std::collections::HashMap;

use chat_sdk::{User, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, doc};

use super::{
    Store, bounded,
    documents::{UserDocument, moment},
};
use crate::model::{
    Result, catalogue,
    page::{Page, PageRequest},
    state::{UserFacts, UserFields},
};

fn noun(document: &UserDocument) -> Option<User> {
    let fields = document.fields();
    (!fields.is_deleted).then(|| catalogue::user(&document.id, &fields.profile, fields.updated_at))
}

impl Store {
    /// Finds one user, unless deleted.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_user(&self, user: &UserId) -> Result<Option<User>> {
        let found = bounded(
            self.users
                .find_one(doc! { "_id": user.as_str() })
                .into_future(),
        )
        .await?;
        Ok(found.as_ref().and_then(noun))
    }

    /// Finds the fields of a user's document, including a deleted user's.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_user_fields(&self, user: &UserId) -> Result<Option<UserFields>> {
        let filter = doc! { "_id": user.as_str() };
        let found = bounded(self.users.find_one(filter).into_future()).await?;
        Ok(found.map(|document| document.fields()))
    }

    /// Returns those `users` who exist, each with the facts that processes cache.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_existing_users(
        &self,
        users: &[&UserId],
    ) -> Result<HashMap<UserId, UserFacts>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Facts {
            #[serde(rename = "_id")]
            id: UserId,
            updated_at: DateTime,
            #[serde(default)]
            tokens_valid_from: i64,
            #[serde(default)]
            ended_sessions: Vec<String>,
            #[serde(default)]
            incarnation: i64,
        }
        let ids: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
        let found: Vec<Facts> = bounded(async {
            self.users
                .clone_with_type::<Facts>()
                .find(doc! { "_id": { "$in": ids }, "isDeleted": false })
                .projection(doc! {
                    "_id": 1, "updatedAt": 1, "tokensValidFrom": 1, "endedSessions": 1, "incarnation": 1,
                })
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|found| {
                let facts = UserFacts {
                    tokens_valid_from: found.tokens_valid_from,
                    ended_sessions: found.ended_sessions,
                    incarnation: found.incarnation.unsigned_abs(),
                    updated_at: moment(found.updated_at).as_millis(),
                };
                (found.id, facts)
            })
            .collect())
    }

    /// Returns the incarnation of each of `users`, including deleted ones.
    ///
    /// It is absent for ids that never existed.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_incarnations(&self, users: &[&UserId]) -> Result<HashMap<UserId, u64>> {
        #[derive(serde::Deserialize)]
        struct Found {
            #[serde(rename = "_id")]
            id: UserId,
            #[serde(default)]
            incarnation: i64,
        }
        let ids: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
        let found: Vec<Found> = bounded(async {
            self.users
                .clone_with_type::<Found>()
                .find(doc! { "_id": { "$in": ids } })
                .projection(doc! { "incarnation": 1 })
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|found| (found.id, found.incarnation.unsigned_abs()))
            .collect())
    }

    /// Lists the users with a search key that begins with `prefix`, by id.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_user_page(&self, prefix: &str, request: &PageRequest) -> Result<Page<User>> {
        // A range, not a pattern: no user input is interpreted.
        let mut filter = doc! {
            "searchKeys": { "$elemMatch": { "$gte": prefix, "$lt": format!("{prefix}\u{10ffff}") } },
        };
        if let Some(cursor) = request.after.as_ref().or(request.before.as_ref()) {
            filter.insert("_id", doc! { "$gt": cursor.as_str() });
        }
        let documents: Vec<UserDocument> = bounded(async {
            self.users
                .find(filter)
                .sort(doc! { "_id": 1 })
                .limit(i64::from(request.limit) + 1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let users: Vec<User> = documents.iter().filter_map(noun).collect();
        Ok(Page::cut(users, request.limit, |user| {
            user.external_user_id.to_string()
        }))
    }
}

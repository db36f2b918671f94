//! Users, read.

use std::collections::HashSet;

use chat_sdk::{User, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::doc;

use super::{Store, bounded, documents::UserDocument};
use crate::domain::{
    Result, catalogue,
    page::{Page, PageRequest},
    state::UserFields,
};

fn noun(document: &UserDocument) -> Option<User> {
    let fields = document.fields();
    (!fields.is_deleted).then(|| catalogue::user(&document.id, &fields.profile, fields.updated_at))
}

impl Store {
    /// One user, unless deleted.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_user(&self, user: &UserId) -> Result<Option<User>> {
        let found = bounded(
            self.users
                .find_one(doc! { "_id": user.as_str() })
                .into_future(),
        )
        .await?;
        Ok(found.as_ref().and_then(noun))
    }

    /// What the document of a user says, a deleted one's too.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_user_fields(&self, user: &UserId) -> Result<Option<UserFields>> {
        let filter = doc! { "_id": user.as_str() };
        let found = bounded(self.users.find_one(filter).into_future()).await?;
        Ok(found.map(|document| document.fields()))
    }

    /// Those of `users` who exist.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_existing_users(&self, users: &[&UserId]) -> Result<HashSet<UserId>> {
        #[derive(serde::Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: UserId,
        }
        let ids: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
        let found: Vec<Id> = bounded(async {
            self.users
                .clone_with_type::<Id>()
                .find(doc! { "_id": { "$in": ids }, "isDeleted": false })
                .projection(doc! { "_id": 1 })
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.into_iter().map(|id| id.id).collect())
    }

    /// Users of whom a search key begins with `prefix`, by id.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_user_page(&self, prefix: &str, request: &PageRequest) -> Result<Page<User>> {
        // A range, not a pattern: nothing that a user types is interpreted.
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

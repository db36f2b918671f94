//! Recomputes the stored keys of names when their rule has changed.
//!
//! Documents are read by id in batches, and the position is stored after each, so that an interrupted process or another one continues from there. A
//! document that changed since it was read got its keys from that change, so it is left alone.

use std::time::Duration;

use chat_sdk::{ConversationId, UserId, text::search_key};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Collection, Store, documents::user_keys, indexes::PrepareError};

/// Version of the rule of [`chat_sdk::text::search_key`] and of [`user_keys`].
///
/// Increment it with every change of either.
const RULE: i32 = 1;
/// Number of documents per batch.
const BATCH: i64 = 500;
/// Maximum time that mongod may work on one batch.
///
/// Only the start waits for it, so it may exceed that of other reads.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Progress of the keys of the current rule.
#[derive(Debug, Deserialize)]
struct Progress {
    /// Rule that all keys follow or will follow.
    rule: i32,
    /// Last document of a collection whose keys are written; absent at its beginning.
    #[serde(default)]
    users: Option<String>,
    #[serde(default)]
    conversations: Option<String>,
    /// True if all keys are written.
    #[serde(default, rename = "isDone")]
    is_done: bool,
}

#[derive(Deserialize)]
struct StoredUser {
    #[serde(rename = "_id")]
    id: UserId,
    #[serde(default)]
    applied: i64,
    profile: StoredProfile,
}

#[derive(Deserialize)]
struct StoredProfile {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct StoredConversation {
    #[serde(rename = "_id")]
    id: ConversationId,
    #[serde(default)]
    applied: i64,
    #[serde(default)]
    name: Option<String>,
}

impl Store {
    /// Brings the keys of users and conversations to the current rule, if they follow another one.
    ///
    /// # Errors
    /// [`PrepareError::Mongo`] if the database is unavailable; the next run continues.
    pub(super) async fn renew_search_keys(&self) -> Result<(), PrepareError> {
        let meta = self.database.collection::<Progress>("meta");
        let found = meta.find_one(doc! { "_id": "searchKeys" }).await?;
        let progress = match found.filter(|progress| progress.rule >= RULE) {
            Some(progress) if progress.is_done => return Ok(()),
            Some(progress) => progress,
            None => {
                let begun = doc! {
                    "$set": { "rule": RULE },
                    "$unset": { "users": "", "conversations": "", "isDone": "" },
                };
                self.note_progress(begun).await?;
                Progress {
                    rule: RULE,
                    users: None,
                    conversations: None,
                    is_done: false,
                }
            }
        };
        let users = doc! { "isDeleted": false };
        self.renew("users", users, progress.users, |user: &StoredUser| {
            let keys = user_keys(&user.id, user.profile.name.as_deref());
            (
                user.id.to_string(),
                user.applied,
                doc! { "searchKeys": keys },
            )
        })
        .await?;
        let conversations = doc! { "name": { "$type": "string" } };
        let after = progress.conversations;
        self.renew(
            "conversations",
            conversations,
            after,
            |conversation: &StoredConversation| {
                let key = conversation.name.as_deref().map(search_key);
                let id = conversation.id.to_string();
                (id, conversation.applied, doc! { "nameKey": key })
            },
        )
        .await?;
        self.note_progress(doc! { "$set": { "isDone": true } })
            .await
    }

    /// Writes the `keys` of each document of a collection, from `after` on.
    async fn renew<T: DeserializeOwned + Send + Sync>(
        &self,
        name: &'static str,
        filter: Document,
        mut after: Option<String>,
        keys: impl Fn(&T) -> (String, i64, Document),
    ) -> Result<(), PrepareError> {
        let collection: Collection<T> = self.database.collection(name);
        loop {
            let mut filter = filter.clone();
            if let Some(after) = &after {
                filter.insert("_id", doc! { "$gt": after });
            }
            let found: Vec<T> = collection
                .find(filter)
                .sort(doc! { "_id": 1 })
                .projection(doc! { "applied": 1, "profile.name": 1, "name": 1 })
                .limit(BATCH)
                .max_time(MAX_TIME)
                .await?
                .try_collect()
                .await?;
            let is_last = (found.len() as i64) < BATCH;
            let mut updates = Vec::with_capacity(found.len());
            for document in &found {
                let (id, applied, keys) = keys(document);
                updates.push(Bson::from(doc! {
                    "q": { "_id": &id, "applied": applied }, "u": { "$set": keys },
                }));
                after = Some(id);
            }
            if !updates.is_empty() {
                let command = doc! {
                    "update": name, "updates": updates, "ordered": false,
                    "maxTimeMS": MAX_TIME.as_millis() as i64,
                };
                self.database.run_command(command).await?;
            }
            if let Some(after) = &after {
                self.note_progress(doc! { "$set": { name: after } }).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn note_progress(&self, update: Document) -> Result<(), PrepareError> {
        self.database
            .collection::<Document>("meta")
            .update_one(doc! { "_id": "searchKeys" }, update)
            .upsert(true)
            .await?;
        Ok(())
    }
}

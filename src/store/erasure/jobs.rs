//! Erasure jobs: the request and its progress.

use std::collections::BTreeMap;

use chat_sdk::{Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, doc};
use serde::{Deserialize, Serialize};

use super::super::{
    Collection, Store, bounded,
    documents::{date, moment, number},
};
use crate::model::{
    Result,
    erasure::{Erasure, OwnMessages},
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErasureDocument {
    #[serde(rename = "_id")]
    user: UserId,
    messages: String,
    started_at: DateTime,
    finished_at: Option<DateTime>,
    #[serde(default)]
    removed: BTreeMap<String, i64>,
}

impl From<ErasureDocument> for Erasure {
    fn from(document: ErasureDocument) -> Self {
        Self {
            user: document.user,
            messages: match document.messages.as_str() {
                "erase" => OwnMessages::Erase,
                _ => OwnMessages::Anonymise,
            },
            started_at: moment(document.started_at),
            finished_at: document.finished_at.map(moment),
            removed: document
                .removed
                .into_iter()
                .map(|(name, count)| (name, count.unsigned_abs()))
                .collect(),
        }
    }
}

impl Store {
    fn erasures(&self) -> Collection<ErasureDocument> {
        self.database.collection("erasures")
    }

    /// Stores a new job in place of an earlier one.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn put_erasure(&self, erasure: &Erasure) -> Result<()> {
        let document = ErasureDocument {
            user: erasure.user.clone(),
            messages: match erasure.messages {
                OwnMessages::Erase => "erase".to_owned(),
                OwnMessages::Anonymise => "anonymise".to_owned(),
            },
            started_at: date(erasure.started_at),
            finished_at: None,
            removed: erasure
                .removed
                .iter()
                .map(|(name, count)| (name.clone(), number(*count)))
                .collect(),
        };
        let filter = doc! { "_id": erasure.user.as_str() };
        let erasures = self.erasures();
        bounded(
            erasures
                .replace_one(filter, &document)
                .upsert(true)
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Finds the job of a user, finished or not.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_erasure(&self, user: &UserId) -> Result<Option<Erasure>> {
        let filter = doc! { "_id": user.as_str() };
        let found = bounded(self.erasures().find_one(filter).into_future()).await?;
        Ok(found.map(Into::into))
    }

    /// Returns the oldest unfinished jobs, at most `limit`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_unfinished_erasures(&self, limit: i64) -> Result<Vec<Erasure>> {
        let found: Vec<ErasureDocument> = bounded(async {
            let cursor = self
                .erasures()
                .find(doc! { "finishedAt": null })
                .sort(doc! { "startedAt": 1 })
                .limit(limit)
                .await?;
            cursor.try_collect().await
        })
        .await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Records the number of removed items of a kind, unless it was recorded before.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn note_removed(&self, user: &UserId, kind: &str, count: u64) -> Result<()> {
        let field = format!("removed.{kind}");
        let filter = doc! { "_id": user.as_str(), &field: { "$exists": false } };
        let update = doc! { "$set": { &field: number(count) } };
        bounded(self.erasures().update_one(filter, update).into_future()).await?;
        Ok(())
    }

    /// Marks a job as done, unless another one replaced it.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn finish_erasure(&self, erasure: &Erasure, at: Timestamp) -> Result<()> {
        let filter = doc! {
            "_id": erasure.user.as_str(),
            "startedAt": date(erasure.started_at),
            "finishedAt": null,
        };
        let update = doc! { "$set": { "finishedAt": date(at) } };
        bounded(self.erasures().update_one(filter, update).into_future()).await?;
        Ok(())
    }
}

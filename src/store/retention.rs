//! Progress of retention: one document for each conversation with a retention time.
//!
//! It holds the seq up to which every message is ended, and the time of the next check.

use chat_sdk::{ConversationId, EventId, MessageId, Timestamp};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{DateTime, Document, doc},
    options::Hint,
};
use serde::Deserialize;

use super::{
    Collection, Store, bounded,
    documents::{date, moment, number},
};
use crate::model::Result;

/// Maximum number of conversations that one command records.
const MAX_NOTED: usize = 1000;

/// Number of conversations per read when all of them are read.
const PAGE: i64 = 10_000;

/// Retention progress of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleared {
    /// Id of the conversation.
    pub conversation: ConversationId,
    /// Seq up to which every message is ended.
    pub through: u64,
    /// Retention time that was in force when it was recorded, in seconds.
    pub noted_seconds: i64,
}

/// Message that will exceed the retention time.
#[derive(Debug, Clone, PartialEq)]
pub struct Aging {
    /// Id of the message.
    pub message: MessageId,
    /// Seq of the message.
    pub seq: u64,
    /// Time at which it was sent.
    pub at: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetentionDocument {
    #[serde(rename = "_id")]
    id: ConversationId,
    #[serde(default)]
    through: i64,
    seconds: i64,
    next_at: DateTime,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingDocument {
    #[serde(rename = "_id")]
    id: ConversationId,
    retention_seconds: Option<i64>,
}

#[derive(Deserialize)]
struct AgingDocument {
    #[serde(rename = "_id")]
    id: EventId,
    seq: i64,
    at: DateTime,
}

impl Store {
    fn retention(&self) -> Collection<RetentionDocument> {
        self.database.collection("retention")
    }

    /// Returns every conversation with a retention time, in seconds.
    ///
    /// Deleted ones are included, because their content is removed too.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_retention_settings(&self) -> Result<Vec<(ConversationId, u32)>> {
        let collection = self.conversations.clone_with_type::<SettingDocument>();
        let mut settings = Vec::new();
        let mut last: Option<SettingDocument> = None;
        loop {
            // The index alone is read, in its order, from the end of the previous page.
            let mut find = collection
                .find(doc! { "retentionSeconds": { "$gt": 0 } })
                .projection(doc! { "retentionSeconds": 1 })
                .sort(doc! { "retentionSeconds": 1, "_id": 1 })
                .hint(Hint::Name("retention".to_owned()))
                .limit(PAGE)
                .batch_size(PAGE as u32);
            if let Some(last) = &last {
                let place = doc! {
                    "retentionSeconds": last.retention_seconds, "_id": last.id.as_str(),
                };
                find = find.min(place);
            }
            let mut page: Vec<SettingDocument> =
                bounded(async { find.await?.try_collect().await }).await?;
            let is_end = (page.len() as i64) < PAGE;
            // The start position belongs to the previous page.
            if let (Some(last), Some(first)) = (&last, page.first())
                && last.id == first.id
            {
                page.remove(0);
            }
            last = page.last().cloned();
            settings.extend(page.into_iter().filter_map(seconds_of));
            if is_end || last.is_none() {
                return Ok(settings);
            }
        }
    }

    /// Returns the recorded retention times, each as of its last check.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_noted_retentions(&self) -> Result<Vec<(ConversationId, u32)>> {
        let collection = self.retention();
        let mut noted = Vec::new();
        let mut filter = doc! { "nextAt": { "$exists": true } };
        loop {
            let page: Vec<RetentionDocument> = bounded(async {
                collection
                    .find(filter.clone())
                    .sort(doc! { "_id": 1 })
                    .limit(PAGE)
                    .batch_size(PAGE as u32)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            let is_last = (page.len() as i64) < PAGE;
            if let Some(last) = page.last() {
                filter.insert("_id", doc! { "$gt": last.id.as_str() });
            }
            let page = page.into_iter();
            noted.extend(
                page.filter_map(|noted| Some((noted.id, u32::try_from(noted.seconds).ok()?))),
            );
            if is_last {
                return Ok(noted);
            }
        }
    }

    /// Records conversations with a new retention time, to be checked from `now` on.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn note_retentions(
        &self,
        settings: &[(ConversationId, u32)],
        now: Timestamp,
    ) -> Result<()> {
        for some in settings.chunks(MAX_NOTED) {
            let updates: Vec<Document> = some
                .iter()
                .map(|(conversation, seconds)| {
                    doc! {
                        "q": { "_id": conversation.as_str() },
                        "u": { "$set": { "seconds": i64::from(*seconds), "nextAt": date(now) } },
                        "upsert": true,
                    }
                })
                .collect();
            let command = doc! {
                "update": "retention", "updates": updates, "ordered": false,
                "writeConcern": { "w": "majority", "j": true },
            };
            bounded(self.database.run_command(command).into_future()).await?;
        }
        Ok(())
    }

    /// Finds the conversations whose check is due at `now`, longest overdue first, at most `limit`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_due_retentions(&self, now: Timestamp, limit: i64) -> Result<Vec<Cleared>> {
        let collection = self.retention();
        let due: Vec<RetentionDocument> = bounded(async {
            collection
                .find(doc! { "nextAt": { "$lte": date(now) } })
                .sort(doc! { "nextAt": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(due
            .into_iter()
            .map(|due| Cleared {
                conversation: due.id,
                through: due.through.unsigned_abs(),
                noted_seconds: due.seconds,
            })
            .collect())
    }

    /// Returns the time of the next check.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn next_retention(&self) -> Result<Option<Timestamp>> {
        let next = bounded(
            self.retention()
                .find_one(doc! { "nextAt": { "$exists": true } })
                .sort(doc! { "nextAt": 1 })
                .into_future(),
        )
        .await?;
        Ok(next.map(|next| moment(next.next_at)))
    }

    /// Returns the retention time of `conversation` in seconds; `None` for unlimited.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_retention_of(&self, conversation: &ConversationId) -> Result<Option<u32>> {
        let found = bounded(
            self.conversations
                .clone_with_type::<SettingDocument>()
                .find_one(doc! { "_id": conversation.as_str() })
                .projection(doc! { "retentionSeconds": 1 })
                .into_future(),
        )
        .await?;
        Ok(found.and_then(seconds_of).map(|(_, seconds)| seconds))
    }

    /// Reads messages of `conversation` after `after`, ascending, at most `limit`, including ended ones.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_aging(
        &self,
        conversation: &ConversationId,
        after: u64,
        limit: i64,
    ) -> Result<Vec<Aging>> {
        let documents: Vec<AgingDocument> = bounded(async {
            self.log
                .clone_with_type::<AgingDocument>()
                .find(doc! {
                    "conversationId": conversation.as_str(),
                    "type": "message.created",
                    "seq": { "$gt": number(after) },
                })
                .sort(doc! { "conversationId": 1, "seq": 1 })
                .hint(Hint::Name("messages".to_owned()))
                .projection(doc! { "seq": 1, "at": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(documents
            .into_iter()
            .map(|document| Aging {
                message: document.id.to_message_id(),
                seq: document.seq.unsigned_abs(),
                at: moment(document.at),
            })
            .collect())
    }

    /// Records that every message up to `cleared.through` is ended, and the time of the next check.
    ///
    /// The time is `None` if no check is needed.
    ///
    /// It does nothing if the setting was recorded anew since.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn advance_retention(
        &self,
        cleared: &Cleared,
        next_at: Option<Timestamp>,
    ) -> Result<()> {
        let mut update = doc! { "$max": { "through": number(cleared.through) } };
        match next_at {
            Some(at) => update.insert("$set", doc! { "nextAt": date(at) }),
            None => update.insert("$unset", doc! { "nextAt": "" }),
        };
        bounded(
            self.retention()
                .update_one(
                    doc! {
                        "_id": cleared.conversation.as_str(),
                        "seconds": cleared.noted_seconds,
                    },
                    update,
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }
}

fn seconds_of(setting: SettingDocument) -> Option<(ConversationId, u32)> {
    let seconds = u32::try_from(setting.retention_seconds?).ok()?;
    Some((setting.id, seconds))
}

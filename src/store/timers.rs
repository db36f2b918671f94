//! Timers of plugins: sets, claims and finishes them.
//!
//! A claim moves `dueAt` into the future, so a timer whose process died is due again by itself. Ends of claims and pauses use the database's clock, so
//! processes with different clocks do not take over each other's work.

use std::time::Duration;

use chat_sdk::{Timestamp, plugin::MAX_TIMERS};
use mongodb::{
    bson::{DateTime, Document, doc},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use super::{
    Collection, Store, bounded,
    documents::{date, moment},
};
use crate::model::Result;

/// Time after which a timer is due again unless its claim is renewed.
pub const TIMER_CLAIM: Duration = Duration::from_secs(15);

/// Timer that this process has claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedTimer {
    /// Key within the plugin.
    pub key: String,
    /// Time for which it was set.
    pub at: Timestamp,
    /// Payload as JSON text.
    pub payload: String,
    /// Number of claims so far, this one included.
    pub attempt: u32,
    id: String,
    claim: String,
}

/// Timer as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimerDocument {
    #[serde(rename = "_id")]
    id: String,
    key: String,
    at: DateTime,
    /// Text, so that no key of the payload can have a meaning for the database.
    payload: String,
    attempts: i64,
}

fn id(plugin: &str, key: &str) -> String {
    format!("{plugin}:{key}")
}

/// Returns the value of `dueAt` after `pause`, by the database's clock.
fn later(pause: Duration) -> Document {
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    doc! { "$add": ["$$NOW", pause] }
}

impl Store {
    fn timers<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection("timers")
    }

    /// Sets or moves the timer `key` of a plugin. Returns false if the plugin has too many others.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn set_timer(
        &self,
        plugin: &str,
        key: &str,
        at: Timestamp,
        payload: &str,
    ) -> Result<bool> {
        let filter = doc! { "_id": id(plugin, key) };
        // Without a claim, an attempt that runs does not remove the timer at its end.
        let change = doc! {
            "$set": {
                "plugin": plugin, "key": key, "at": date(at), "dueAt": date(at), "payload": payload, "attempts": 0_i64,
            },
            "$unset": { "claim": "" },
        };
        let timers = self.timers::<Document>();
        let is_set = bounded(async {
            let moved = timers.update_one(filter.clone(), change.clone()).await?;
            if moved.matched_count == 1 {
                return Ok(true);
            }
            // It reads at most as many keys of an index: some milliseconds. Processes that set timers at once may exceed the bound by their number.
            let count = timers
                .count_documents(doc! { "plugin": plugin })
                .limit(MAX_TIMERS as u64)
                .await?;
            if count >= MAX_TIMERS as u64 {
                return Ok(false);
            }
            timers.update_one(filter, change).upsert(true).await?;
            Ok(true)
        })
        .await?;
        Ok(is_set)
    }

    /// Removes the timer `key` of a plugin. Returns true if it existed.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn cancel_timer(&self, plugin: &str, key: &str) -> Result<bool> {
        let filter = doc! { "_id": id(plugin, key) };
        let removed = bounded(self.timers::<Document>().delete_one(filter).into_future()).await?;
        Ok(removed.deleted_count == 1)
    }

    /// Returns the time at which the next timer of a plugin is due.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn next_timer(&self, plugin: &str) -> Result<Option<Timestamp>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Due {
            due_at: DateTime,
        }
        let next = bounded(
            self.timers::<Due>()
                .find_one(doc! { "plugin": plugin })
                .sort(doc! { "dueAt": 1 })
                .projection(doc! { "_id": 0, "dueAt": 1 })
                .into_future(),
        )
        .await?;
        Ok(next.map(|next| moment(next.due_at)))
    }

    /// Claims the timer of a plugin that is due for the longest time; `None` if none is due.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn claim_timer(&self, plugin: &str, now: Timestamp) -> Result<Option<ClaimedTimer>> {
        // The first condition bounds the index; the second one is the database's clock, which also decides about the end of a claim.
        let filter = doc! {
            "plugin": plugin,
            "dueAt": { "$lte": date(now) },
            "$expr": { "$lte": ["$dueAt", "$$NOW"] },
        };
        let claim = ulid::Ulid::generate().to_string();
        let change = vec![doc! { "$set": {
            "claim": &claim,
            "dueAt": later(TIMER_CLAIM),
            "attempts": { "$add": ["$attempts", 1_i64] },
        } }];
        let found = bounded(
            self.timers::<TimerDocument>()
                .find_one_and_update(filter, change)
                .sort(doc! { "dueAt": 1 })
                .return_document(ReturnDocument::After)
                .into_future(),
        )
        .await?;
        Ok(found.map(|found| ClaimedTimer {
            at: moment(found.at),
            attempt: u32::try_from(found.attempts).unwrap_or(u32::MAX),
            key: found.key,
            payload: found.payload,
            id: found.id,
            claim,
        }))
    }

    /// Makes a claimed timer due again after `pause`. Changes nothing if the claim is no longer valid.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn postpone_timer(&self, timer: &ClaimedTimer, pause: Duration) -> Result<()> {
        let filter = doc! { "_id": &timer.id, "claim": &timer.claim };
        let change = vec![doc! { "$set": { "dueAt": later(pause) } }];
        let timers = self.timers::<Document>();
        bounded(timers.update_one(filter, change).into_future()).await?;
        Ok(())
    }

    /// Removes a claimed timer that was handled. Changes nothing if it was set again meanwhile.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn finish_timer(&self, timer: &ClaimedTimer) -> Result<()> {
        let filter = doc! { "_id": &timer.id, "claim": &timer.claim };
        bounded(self.timers::<Document>().delete_one(filter).into_future()).await?;
        Ok(())
    }
}

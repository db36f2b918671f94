//! Relay work that is set aside.
//!
//! It has entries that the broker refuses permanently, and owners whose documents cannot be brought up to date.
//!
//! An entry is listed for as long as the stream keeps events. An owner is listed until its documents are up to date.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{Store, bounded, database::Collection, documents::number};
use crate::model::{
    Result,
    entry::{Entry, Owner},
};

/// Maximum number of listed entries.
///
/// Beyond it the oldest is no longer listed; it has been delivered like the others.
const MAX_ENTRIES: u64 = 10_000;

/// Numbers of entries and owners that are set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetAside {
    /// Number of entries that the stream does not accept; readers get them from the log.
    pub entries: u64,
    /// Number of conversations and users whose documents cannot be brought up to date with the log.
    pub owners: u64,
}

#[derive(Deserialize)]
struct OwnerDocument {
    owner: String,
}

impl Store {
    fn set_aside(&self) -> Collection<Document> {
        self.database.collection("set_aside")
    }

    /// Lists an entry that the broker refuses. Returns true if it was not listed before.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn set_entry_aside(
        &self,
        entry: &Entry,
        reason: &str,
        keep: Duration,
    ) -> Result<bool> {
        let id = entry.id.as_str();
        let kind = entry.body.kind().as_str();
        self.list_entry(id, &entry.owner, entry.seq, Some(kind), reason, keep)
            .await
    }

    /// Lists an entry of which this version can read only the position.
    ///
    /// Returns true if it was not listed before.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn set_unreadable_aside(
        &self,
        owner: &Owner,
        seq: u64,
        keep: Duration,
    ) -> Result<bool> {
        let id = format!("{}:{seq}", owner.key());
        let reason = "this version cannot read it";
        self.list_entry(&id, owner, seq, None, reason, keep).await
    }

    async fn list_entry(
        &self,
        id: &str,
        owner: &Owner,
        seq: u64,
        kind: Option<&str>,
        reason: &str,
        keep: Duration,
    ) -> Result<bool> {
        let now = DateTime::now();
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let end = DateTime::from_millis(now.timestamp_millis().saturating_add(keep));
        let inserted = bounded(
            self.set_aside()
                .update_one(
                    doc! { "_id": id },
                    doc! { "$setOnInsert": {
                        "what": "entry", "owner": owner.key(), "seq": number(seq), "type": kind,
                        "reason": reason, "at": now, "endsAt": end,
                    } },
                )
                .upsert(true)
                .into_future(),
        )
        .await?;
        let is_new = inserted.upserted_id.is_some();
        if is_new && self.count_set_aside().await?.entries > MAX_ENTRIES {
            self.forget_oldest_entry().await?;
        }
        Ok(is_new)
    }

    async fn forget_oldest_entry(&self) -> Result<()> {
        let collection = self.set_aside();
        let oldest = bounded(
            collection
                .find_one(doc! { "what": "entry" })
                .sort(doc! { "what": 1, "at": 1 })
                .into_future(),
        )
        .await?;
        if let Some(id) = oldest.as_ref().and_then(|oldest| oldest.get("_id")) {
            bounded(collection.delete_one(doc! { "_id": id }).into_future()).await?;
        }
        Ok(())
    }

    /// Lists an owner whose documents could not be brought up to date, for a retry after `pause`.
    ///
    /// Returns true if it was not listed before.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn set_owner_aside(&self, owner: &Owner, pause: Duration) -> Result<bool> {
        let now = DateTime::now();
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let next = DateTime::from_millis(now.timestamp_millis().saturating_add(pause));
        let inserted = bounded(
            self.set_aside()
                .update_one(
                    doc! { "_id": owner_id(owner) },
                    doc! {
                        "$setOnInsert": { "what": "owner", "owner": owner.key(), "at": now },
                        "$set": { "nextAt": next },
                        "$inc": { "tries": 1 },
                    },
                )
                .upsert(true)
                .into_future(),
        )
        .await?;
        Ok(inserted.upserted_id.is_some())
    }

    /// Returns the listed owners that are due for a retry now, at most `limit`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_owners_aside(&self, limit: i64) -> Result<Vec<Owner>> {
        let found: Vec<OwnerDocument> = bounded(async {
            self.set_aside()
                .clone_with_type::<OwnerDocument>()
                .find(doc! { "what": "owner", "nextAt": { "$lte": DateTime::now() } })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let owners = found.iter().map(|found| Owner::from_key(&found.owner));
        Ok(owners.flatten().collect())
    }

    /// Removes an owner from the list.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn take_owner_back(&self, owner: &Owner) -> Result<()> {
        bounded(
            self.set_aside()
                .delete_one(doc! { "_id": owner_id(owner) })
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Counts the listed entries and owners.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_set_aside(&self) -> Result<SetAside> {
        let collection = self.set_aside();
        let count = |what: &'static str| {
            let counted = collection.count_documents(doc! { "what": what });
            bounded(counted.into_future())
        };
        let (entries, owners) = tokio::try_join!(count("entry"), count("owner"))?;
        Ok(SetAside { entries, owners })
    }
}

fn owner_id(owner: &Owner) -> String {
    format!("owner:{}", owner.key())
}

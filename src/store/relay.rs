//! State of the relay: its watermark, its markers, and the log in commit order.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, Timestamp as ClusterTime, doc};
use serde::{Deserialize, Serialize};

use super::{Store, bounded};
use crate::model::{DomainError, Result, entry::Owner};

/// Number of markers kept.
///
/// It limits how far back a loss in the broker is located without a restart from the beginning.
const KEPT_MARKERS: i32 = 16;

/// Marker that the relay put into the stream: everything up to `watermark` lies before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// Time up to which the whole log was in the stream before the marker.
    pub watermark: ClusterTime,
    /// Sequence of the marker in the stream.
    pub stream_seq: i64,
    /// Id of the marker in the stream.
    pub id: String,
}

/// Progress of the relay, shared by all processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayState {
    /// Time up to which everything is in the stream.
    pub watermark: ClusterTime,
    /// Time up to which everything is applied, except for owners that are set aside.
    ///
    /// It is absent until it first passes `watermark`.
    #[serde(default)]
    pub applied_watermark: Option<ClusterTime>,
    /// Watermark of the second, later sweep.
    pub late_watermark: ClusterTime,
    /// Number of rewinds of the watermark; an advance that began before a rewind fails. Deployments store it under its first name.
    #[serde(rename = "winds")]
    pub rewinds: i64,
    /// Newest markers, oldest first.
    #[serde(default)]
    pub markers: Vec<Marker>,
    /// Stream that the markers are in, by its creation time.
    #[serde(default)]
    pub stream: Option<String>,
}

impl RelayState {
    /// Returns the time up to which everything is applied.
    pub fn applied(&self) -> ClusterTime {
        self.applied_watermark.unwrap_or(self.watermark)
    }
}

/// Entry as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepEntry {
    /// Cluster time at which mongod accepted the entry.
    pub ts: ClusterTime,
    /// Owner of the log.
    pub owner: Owner,
    /// Seq in that log.
    pub seq: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SweepDocument {
    ts: ClusterTime,
    conversation_id: String,
    seq: i64,
}

impl Store {
    /// Returns the relay's progress; the first call creates it.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn relay_state(&self) -> Result<RelayState> {
        let relay = self.database.collection::<RelayState>("relay");
        // It almost always exists, and a read costs less than a write that changes nothing.
        let found = bounded(relay.find_one(doc! { "_id": "relay" }).into_future()).await?;
        if let Some(found) = found {
            return Ok(found);
        }
        let zero = ClusterTime {
            time: 0,
            increment: 1,
        };
        let found = bounded(
            relay
                .find_one_and_update(
                    doc! { "_id": "relay" },
                    doc! { "$setOnInsert": {
                        "watermark": zero, "lateWatermark": zero, "winds": 0_i64, "markers": [],
                    } },
                )
                .upsert(true)
                .return_document(mongodb::options::ReturnDocument::After)
                .into_future(),
        )
        .await?;
        found.ok_or_else(|| super::documents::unreadable("relay state"))
    }

    /// Moves the watermark to that of `marker`, if it was neither moved nor rewound since `from` was read.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn advance_relay(
        &self,
        from: &RelayState,
        marker: &Marker,
        stream: &str,
    ) -> Result<bool> {
        let marker_document = doc! {
            "watermark": marker.watermark, "streamSeq": marker.stream_seq, "id": &marker.id,
        };
        self.update_relay(
            doc! { "_id": "relay", "watermark": from.watermark, "winds": from.rewinds },
            doc! {
                "$set": { "watermark": marker.watermark, "stream": stream },
                "$max": { "appliedWatermark": marker.watermark },
                "$push": { "markers": { "$each": [marker_document], "$slice": -KEPT_MARKERS } },
            },
        )
        .await
    }

    /// Moves the watermark of applied entries, unless it is already ahead.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn advance_applied(&self, to: ClusterTime) -> Result<()> {
        self.update_relay(
            doc! { "_id": "relay" },
            doc! { "$max": { "appliedWatermark": to } },
        )
        .await?;
        Ok(())
    }

    /// Moves the watermark of the second sweep.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn advance_late_relay(&self, from: &RelayState, to: ClusterTime) -> Result<bool> {
        self.update_relay(
            doc! { "_id": "relay", "lateWatermark": from.late_watermark, "winds": from.rewinds },
            doc! { "$set": { "lateWatermark": to } },
        )
        .await
    }

    /// Rewinds the relay to `to` and the second sweep to `late`: later entries are swept again.
    ///
    /// `kept` are the markers that the stream still has.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn rewind_relay(
        &self,
        to: ClusterTime,
        late: ClusterTime,
        kept: &[Marker],
    ) -> Result<()> {
        let ids: Vec<&str> = kept.iter().map(|marker| marker.id.as_str()).collect();
        self.update_relay(
            doc! { "_id": "relay" },
            doc! {
                "$min": { "watermark": to, "lateWatermark": late },
                "$inc": { "winds": 1_i64 },
                "$pull": { "markers": { "id": { "$nin": ids } } },
            },
        )
        .await?;
        Ok(())
    }

    async fn update_relay(&self, filter: Document, update: Document) -> Result<bool> {
        let updated = bounded(
            self.database
                .collection::<Document>("relay")
                .update_one(filter, update)
                .into_future(),
        )
        .await?;
        Ok(updated.matched_count == 1)
    }

    /// Returns the cluster time up to which a majority has everything.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable or not a member of a replica set.
    pub async fn majority_time(&self) -> Result<ClusterTime> {
        let hello = bounded(self.database.run_command(doc! { "hello": 1 }).into_future()).await?;
        hello
            .get_document("lastWrite")
            .and_then(|last| last.get_document("majorityOpTime"))
            .ok()
            .and_then(|time| match time.get("ts") {
                Some(Bson::Timestamp(time)) => Some(*time),
                _ => None,
            })
            .ok_or_else(|| {
                DomainError::Unavailable("MongoDB is no replica set; initiate it as one.".into())
            })
    }

    /// Reads entries with `after < ts <= to`, in that order, at most about `limit`.
    ///
    /// It never returns only a part of the entries with the same `ts`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn read_sweep(
        &self,
        after: ClusterTime,
        to: ClusterTime,
        limit: usize,
    ) -> Result<Vec<SweepEntry>> {
        let mut documents: Vec<SweepDocument> = bounded(async {
            self.log
                .clone_with_type::<SweepDocument>()
                .find(doc! { "ts": { "$gt": after, "$lte": to } })
                .projection(doc! { "_id": 0, "ts": 1, "conversationId": 1, "seq": 1 })
                .sort(doc! { "ts": 1, "conversationId": 1, "seq": 1 })
                .hint(mongodb::options::Hint::Name("sweep".to_owned()))
                .limit(limit as i64)
                .batch_size(limit as u32)
                .await?
                .try_collect()
                .await
        })
        .await?;
        if documents.len() == limit
            && let Some(last) = documents.last().map(|document| document.ts)
            && documents
                .first()
                .is_some_and(|document| document.ts != last)
        {
            documents.retain(|document| document.ts != last);
        }
        Ok(documents
            .into_iter()
            .filter_map(|document| {
                Some(SweepEntry {
                    ts: document.ts,
                    owner: Owner::from_key(&document.conversation_id)?,
                    seq: document.seq.unsigned_abs(),
                })
            })
            .collect())
    }
}

/// Returns the cluster time `seconds` earlier, at the end of that second.
pub fn seconds_before(time: ClusterTime, seconds: u32) -> ClusterTime {
    ClusterTime {
        time: time.time.saturating_sub(seconds),
        increment: u32::MAX,
    }
}

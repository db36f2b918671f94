//! What the relay keeps and reads: its watermark, its markers, and the log in the order in which mongod took it in.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, Timestamp as ClusterTime, doc};
use serde::{Deserialize, Serialize};

use super::{Store, bounded};
use crate::domain::{DomainError, Result, entry::Owner};

/// How many markers are kept: how far a loss in the broker is found without starting from the beginning.
const KEPT_MARKERS: i32 = 16;

/// A marker that the relay put into the stream: everything up to `watermark` lies before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// Everything in the log up to here was in the stream before the marker.
    pub watermark: ClusterTime,
    /// Where the marker lies in the stream.
    pub stream_seq: i64,
    /// Its id there.
    pub id: String,
}

/// The relay's progress, shared by all processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayState {
    /// Everything up to here is in the stream.
    pub watermark: ClusterTime,
    /// Everything up to here is applied, except for the owners that are set aside; absent until it is ahead of `watermark` for the first time.
    #[serde(default)]
    pub applied_watermark: Option<ClusterTime>,
    /// The same for the second, later sweep.
    pub late_watermark: ClusterTime,
    /// How often the watermark was wound back; an advance that began before a winding fails.
    pub winds: i64,
    /// The newest markers, oldest first.
    #[serde(default)]
    pub markers: Vec<Marker>,
    /// The stream that they are in, by the moment at which it was made.
    #[serde(default)]
    pub stream: Option<String>,
}

impl RelayState {
    /// Up to where everything is applied.
    pub fn applied(&self) -> ClusterTime {
        self.applied_watermark.unwrap_or(self.watermark)
    }
}

/// An entry as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepEntry {
    /// When mongod took it in.
    pub ts: ClusterTime,
    /// Whose log.
    pub owner: Owner,
    /// Its number there.
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
    /// The relay's progress; made at the first call.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn relay_state(&self) -> Result<RelayState> {
        let relay = self.database.collection::<RelayState>("relay");
        // Nearly always it is there, and a read costs less than a write that changes nothing.
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

    /// Moves the watermark to where `marker` says, if nobody moved or wound it back since `from` was read.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
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
            doc! { "_id": "relay", "watermark": from.watermark, "winds": from.winds },
            doc! {
                "$set": { "watermark": marker.watermark, "stream": stream },
                "$max": { "appliedWatermark": marker.watermark },
                "$push": { "markers": { "$each": [marker_document], "$slice": -KEPT_MARKERS } },
            },
        )
        .await
    }

    /// Moves the watermark of what is applied, unless it is ahead already.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn advance_applied(&self, to: ClusterTime) -> Result<()> {
        self.update_relay(
            doc! { "_id": "relay" },
            doc! { "$max": { "appliedWatermark": to } },
        )
        .await?;
        Ok(())
    }

    /// Moves the second sweep's watermark.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn advance_late_relay(&self, from: &RelayState, to: ClusterTime) -> Result<bool> {
        self.update_relay(
            doc! { "_id": "relay", "lateWatermark": from.late_watermark, "winds": from.winds },
            doc! { "$set": { "lateWatermark": to } },
        )
        .await
    }

    /// Winds the relay back to `to`, and the second sweep to `late`: what follows is swept again. `kept` are the markers that the stream still has.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn wind_relay_back(
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

    /// The cluster time up to which a majority has everything.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`]; also for a server that is no member of a replica set.
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

    /// Entries with `after < ts <= to`, in that order, at most about `limit`; never only a part of those with the same `ts`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
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

/// The same cluster time, `seconds` earlier, at the end of that second.
pub fn seconds_before(time: ClusterTime, seconds: u32) -> ClusterTime {
    ClusterTime {
        time: time.time.saturating_sub(seconds),
        increment: u32::MAX,
    }
}

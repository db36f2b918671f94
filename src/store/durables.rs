//! State of durable consumers, and the log in commit order, to refill events that a durable missed.

use std::time::Duration;

use chat_sdk::{EventId, Timestamp};
use mongodb::bson::doc;
use serde::{Deserialize, Serialize};

use super::{ClusterTime, Collection, Store, bounded, documents::number, pieces::Listing};
use crate::model::{
    Result, bounds,
    durables::{DurableState, KEPT_MARKS, Ledger, Mark},
    entry::Entry,
};

/// Maximum time that one process may lock the position of a durable: longer than finding it takes.
const LOCK: Duration = Duration::from_secs(15);
/// Time to wait for another process to release the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two attempts to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize, Deserialize)]
struct MarkDocument {
    sequence: i64,
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DurableDocument {
    #[serde(rename = "_id")]
    name: String,
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    generation: u32,
    born: i64,
    stream: String,
    server: String,
    marks: Vec<MarkDocument>,
    settled_until: i64,
    skip_before: Option<i64>,
}

impl From<&DurableState> for DurableDocument {
    fn from(state: &DurableState) -> Self {
        Self {
            name: state.name.clone(),
            events: state.events.clone(),
            generation: state.generation,
            born: state.born.as_millis(),
            stream: state.stream.clone(),
            server: state.server.clone(),
            marks: state
                .marks
                .iter()
                .map(|mark| MarkDocument {
                    sequence: number(mark.sequence),
                    id: mark.id.clone(),
                })
                .collect(),
            settled_until: state.settled_until.as_millis(),
            skip_before: state.skip_before.map(Timestamp::as_millis),
        }
    }
}

impl From<DurableDocument> for DurableState {
    fn from(document: DurableDocument) -> Self {
        Self {
            name: document.name,
            events: document.events,
            generation: document.generation,
            born: Timestamp::from_millis(document.born),
            stream: document.stream,
            server: document.server,
            marks: document
                .marks
                .into_iter()
                .map(|mark| Mark {
                    sequence: mark.sequence.unsigned_abs(),
                    id: mark.id,
                })
                .collect(),
            settled_until: Timestamp::from_millis(document.settled_until),
            skip_before: document.skip_before.map(Timestamp::from_millis),
        }
    }
}

impl Store {
    fn durables(&self) -> Collection<DurableDocument> {
        self.database.collection("durables")
    }

    /// Finds an entry by id; `None` if it does not exist or this version cannot read it.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_entry(&self, id: &EventId) -> Result<Option<Entry>> {
        let found = self.log.find_one(doc! { "_id": id.as_str() });
        let found = bounded(found.into_future()).await?;
        Ok(found.and_then(|document| document.entry().ok()))
    }

    /// Reads entries of all logs with `after < ts <= to`, in that order, and returns where to continue.
    ///
    /// It reads at most about `limit` entries and [`bounds::LOG_BATCH`] bytes, and never only a part of the entries with the same `ts`. An entry that
    /// this version cannot read is left out: the relay lists it.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn read_all_logs(
        &self,
        after: ClusterTime,
        to: ClusterTime,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<ClusterTime>)> {
        let listing = Listing {
            filter: doc! { "ts": { "$gt": after, "$lte": to } },
            sort: doc! { "ts": 1, "conversationId": 1, "seq": 1 },
            hint: Some("sweep"),
            limit,
            max_bytes: bounds::LOG_BATCH,
        };
        let mut found = self.find_sized(&self.log, &listing).await?;
        let sizes = found.iter().map(|one| (one.ts, one.len()));
        let is_all = found.len() < limit as usize;
        found.truncate(whole_moments(&sizes.collect::<Vec<_>>(), is_all));
        let next = found.last().and_then(|last| last.ts);
        let documents = self.load(&self.log, found, usize::MAX).await?.items;
        let entries = documents.iter().filter_map(|one| one.entry().ok());
        Ok((entries.collect(), next))
    }
}

/// Returns how many of the entries, given by time and size, are read at once: all of each time.
///
/// More entries may have the last time unless `is_all`.
fn whole_moments(found: &[(Option<ClusterTime>, usize)], is_all: bool) -> usize {
    let moments: Vec<&[(Option<ClusterTime>, usize)]> =
        found.chunk_by(|one, other| one.0 == other.0).collect();
    let complete = if is_all {
        moments.len()
    } else {
        moments.len().saturating_sub(1).max(1)
    };
    let (mut count, mut bytes) = (0, 0);
    for moment in moments.into_iter().take(complete) {
        bytes += moment.iter().map(|(_, size)| size).sum::<usize>();
        if count > 0 && bytes > bounds::LOG_BATCH {
            break;
        }
        count += moment.len();
    }
    count
}

impl Ledger for Store {
    async fn load(&self, name: &str) -> Result<Option<DurableState>> {
        let found = bounded(self.durables().find_one(doc! { "_id": name }).into_future()).await?;
        Ok(found.map(DurableState::from))
    }

    async fn save(&self, state: &DurableState) -> Result<()> {
        let document = DurableDocument::from(state);
        bounded(
            self.durables()
                .replace_one(doc! { "_id": &state.name }, document)
                .upsert(true)
                .into_future(),
        )
        .await?;
        Ok(())
    }

    async fn marker_before(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<(Mark, Timestamp)>> {
        let relay = self.relay_state().await?;
        // Markers of a deleted stream say nothing about this one, whatever their seqs are.
        if relay.stream.as_deref().is_some_and(|known| known != stream) {
            return Ok(None);
        }
        let mut markers = relay.markers.into_iter().rev();
        let passed = markers.find(|marker| marker.stream_seq.unsigned_abs() <= sequence);
        Ok(passed.map(|marker| {
            let until = Timestamp::from_millis(i64::from(marker.watermark.time) * 1000);
            let mark = Mark {
                sequence: marker.stream_seq.unsigned_abs(),
                id: marker.id,
            };
            (mark, until)
        }))
    }

    async fn mark(
        &self,
        name: &str,
        (stream, server): (&str, &str),
        mark: &Mark,
        settled_until: Option<Timestamp>,
    ) -> Result<()> {
        let sequence = number(mark.sequence);
        let mut set = doc! { "server": server };
        if let Some(until) = settled_until {
            set.insert("settledUntil", until.as_millis());
        }
        // An existing mark only shows that the durable is still there, with the server as it is now.
        let same = bounded(
            self.durables()
                .update_one(
                    doc! {
                        "_id": name, "stream": stream,
                        "marks": { "$elemMatch": { "sequence": sequence, "id": &mark.id } },
                    },
                    doc! { "$set": set.clone() },
                )
                .into_future(),
        )
        .await?;
        if same.matched_count == 1 {
            return Ok(());
        }
        bounded(
            self.durables()
                .update_one(
                    doc! {
                        "_id": name, "stream": stream,
                        "marks.sequence": { "$not": { "$gte": sequence } },
                    },
                    doc! {
                        "$set": set,
                        "$push": { "marks": {
                            "$each": [{ "sequence": sequence, "id": &mark.id }],
                            "$slice": -(KEPT_MARKS as i32),
                        } },
                    },
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }

    async fn missing(&self, name: &str) -> Result<u64> {
        let lacking = self.lacking(Some(name)).await?;
        let (missing, _) = self.missing_in_stream(&self.relay_state().await?).await?;
        Ok(missing + lacking.iter().map(|lacking| lacking.entries).sum::<u64>())
    }

    async fn forget(&self, name: &str) -> Result<()> {
        self.remove_refills_of(name).await?;
        bounded(
            self.durables()
                .delete_one(doc! { "_id": name })
                .into_future(),
        )
        .await?;
        Ok(())
    }

    async fn lock(&self, name: &str) -> Result<Option<String>> {
        let holder = ulid::Ulid::generate().to_string();
        let lease = lock_name(name);
        let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
        while tokio::time::Instant::now() < deadline {
            if self.take_lease(&lease, &holder, LOCK).await? {
                return Ok(Some(holder));
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        Ok(None)
    }

    async fn unlock(&self, name: &str, holder: &str) {
        // A lock that is not released expires by itself.
        let _ = self.drop_lease(&lock_name(name), holder).await;
    }
}

fn lock_name(durable: &str) -> String {
    format!("durable:{durable}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(times: &[u32], size: usize, is_all: bool) -> usize {
        let found = times.iter().map(|time| {
            let ts = ClusterTime {
                time: *time,
                increment: 0,
            };
            (Some(ts), size)
        });
        whole_moments(&found.collect::<Vec<_>>(), is_all)
    }

    #[test]
    fn entries_of_one_time_are_read_together_within_the_bound() {
        let half = bounds::LOG_BATCH / 2;
        assert_eq!(count(&[], half, true), 0);
        assert_eq!(count(&[1, 2, 2], 10, true), 3);
        assert_eq!(count(&[1, 2, 2], 10, false), 1);
        assert_eq!(count(&[2, 2], 10, false), 2);
        assert_eq!(count(&[1, 2, 3, 4], half, true), 2);
        assert_eq!(count(&[1, 2, 2, 3], half, true), 1);
        assert_eq!(count(&[1, 1, 1, 3], half, true), 3);
    }
}

//! State of durable consumers, and the log in commit order, to refill events that a durable missed.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chat_sdk::{EventId, Timestamp};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::{ClusterTime, Collection, Store, bounded, documents::LogDocument, documents::number};
use crate::domain::{
    Result,
    durables::{DurableState, KEPT_MARKS, Ledger, Mark},
    entry::{Entry, Owner},
};

/// Maximum time that one process may lock the position of a durable: longer than finding it takes.
const LOCK: Duration = Duration::from_secs(15);
/// Time to wait for another process to release the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
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

    /// Returns the collection `name` of the plugin `plugin`.
    pub fn plugin_collection(&self, plugin: &str, name: &str) -> Collection<Document> {
        self.database.collection(&format!("{plugin}_{name}"))
    }

    /// Returns the second up to which all accepted entries lie before `sequence` of the stream.
    ///
    /// It is derived from the relay's markers.
    async fn settled_until(&self, stream: &str, sequence: u64) -> Result<Option<i64>> {
        let relay = self.relay_state().await?;
        // Markers of a deleted stream say nothing about this one, whatever their seqs are.
        if relay.stream.as_deref().is_some_and(|known| known != stream) {
            return Ok(None);
        }
        let passed = relay
            .markers
            .iter()
            .rev()
            .find(|marker| marker.stream_seq.unsigned_abs() <= sequence);
        Ok(passed.map(|marker| i64::from(marker.watermark.time) * 1000))
    }

    /// Finds an entry by id; `None` if it does not exist or this version cannot read it.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_entry(&self, id: &EventId) -> Result<Option<Entry>> {
        let found = self.log.find_one(doc! { "_id": id.as_str() });
        let found = bounded(found.into_future()).await?;
        Ok(found.and_then(|document| document.entry().ok()))
    }

    /// Reads entries of all logs with `after < ts <= to`, in that order.
    ///
    /// It reads at most about `limit`, and returns where to continue.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn read_all_logs(
        &self,
        after: ClusterTime,
        to: ClusterTime,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<ClusterTime>)> {
        let found = self.read_sweep(after, to, limit).await?;
        let next = found.last().map(|entry| entry.ts);
        let mut numbers: BTreeMap<&Owner, Vec<i64>> = BTreeMap::new();
        for entry in &found {
            numbers
                .entry(&entry.owner)
                .or_default()
                .push(number(entry.seq));
        }
        let mut entries: HashMap<(Owner, u64), Entry> = HashMap::new();
        for (owner, numbers) in numbers {
            let documents: Vec<LogDocument> = bounded(async {
                self.log
                    .find(doc! { "conversationId": owner.key(), "seq": { "$in": numbers } })
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            for document in documents {
                let entry = document.entry()?;
                entries.insert((entry.owner.clone(), entry.seq), entry);
            }
        }
        let entries = found
            .iter()
            .filter_map(|entry| entries.remove(&(entry.owner.clone(), entry.seq)))
            .collect();
        Ok((entries, next))
    }
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

    async fn mark(&self, name: &str, stream: &str, server: &str, mark: &Mark) -> Result<()> {
        let sequence = number(mark.sequence);
        let mut set = doc! { "server": server };
        if let Some(until) = self.settled_until(stream, mark.sequence).await? {
            set.insert("settledUntil", until);
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
        let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
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

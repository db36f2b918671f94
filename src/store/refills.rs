//! Refills: republish events that the stream lost before a durable had acknowledged them.
//!
//! They are republished for that durable alone, from its own position on.
//!
//! A refill is a part of the log, by cluster time. Each durable has its own, so that one that is far behind delays no other, and events that every
//! durable has acknowledged are not republished.

use chat_sdk::Timestamp;
use futures_util::TryStreamExt;
use mongodb::{
    action::Find,
    bson::{Document, Timestamp as ClusterTime, doc},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Store, bounded, database::Collection};
use crate::model::{
    Result,
    durables::{BIRTH_TOLERANCE, CLOCK_MARGIN},
};

/// Maximum number of refills whose entries are counted for one report.
const MAX_COUNTED: usize = 200;

/// Part of the log that is republished for one durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refill {
    /// Id: the durable's name, and the end of the part.
    #[serde(rename = "_id")]
    pub id: String,
    /// Name of the durable.
    pub durable: String,
    /// Time up to which everything was acknowledged: after a further loss, only later entries are refilled.
    pub settled: ClusterTime,
    /// Time up to which everything was put into the stream.
    pub put: ClusterTime,
    /// End of the part; later entries are in the stream for every durable.
    pub until: ClusterTime,
    /// Stream sequence of the last event that was put in; 0 for none.
    pub last: i64,
    /// Stream that `put` and `last` refer to, by its creation time.
    pub stream: String,
}

/// Events that are still to be republished for one durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Name of the durable.
    pub durable: String,
    /// Number of log entries, of any type, that are still to be read.
    pub entries: u64,
    /// Time at which the first of them was written.
    pub since: Timestamp,
}

/// Position in the log up to which a durable had acknowledged.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledPosition {
    #[serde(rename = "_id")]
    name: String,
    born: i64,
    settled_until: i64,
}

impl SettledPosition {
    /// Returns the second up to which everything is acknowledged.
    pub fn seconds(&self) -> u32 {
        seconds(self.settled_until)
    }

    /// Returns the time from which entries may be missing.
    ///
    /// Entries may have been added late before the acknowledged position.
    fn lacks_from(&self) -> ClusterTime {
        let certain = self.settled_until - CLOCK_MARGIN.as_millis() as i64;
        let born = self.born - BIRTH_TOLERANCE.as_millis() as i64;
        ClusterTime {
            time: seconds(certain.max(born)).saturating_sub(1),
            increment: u32::MAX,
        }
    }
}

/// Returns everything that `find` finds.
async fn all<T: DeserializeOwned + Send + Sync>(find: Find<'_, T>) -> Result<Vec<T>> {
    let found = bounded(async { find.batch_size(2000).await?.try_collect().await });
    Ok(found.await?)
}

/// Builds the filter that finds a refill unless it was restarted since it was read.
fn unchanged(refill: &Refill) -> Document {
    doc! { "_id": &refill.id, "put": refill.put, "last": refill.last }
}

fn seconds(millis: i64) -> u32 {
    u32::try_from(millis / 1000).unwrap_or(0)
}

impl Store {
    fn refills(&self) -> Collection<Refill> {
        self.database.collection("refills")
    }

    /// Returns the acknowledged position of every durable.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn settled_positions(&self) -> Result<Vec<SettledPosition>> {
        let durables = self.database.collection::<SettledPosition>("durables");
        let fields = doc! { "born": 1, "settledUntil": 1 };
        all(durables.find(doc! {}).projection(fields)).await
    }

    /// Plans the refills after a loss.
    ///
    /// Republished but unacknowledged events are republished again, and each of `durables` gets what it lacks after `kept` and up to `until`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn plan_refills(
        &self,
        durables: &[SettledPosition],
        kept: ClusterTime,
        until: ClusterTime,
    ) -> Result<()> {
        let again = vec![doc! { "$set": { "put": "$settled", "last": 0_i64 } }];
        bounded(self.refills().update_many(doc! {}, again).into_future()).await?;
        for durable in durables {
            let from = durable.lacks_from().max(kept);
            if from >= until {
                continue;
            }
            let id = format!("{}@{}.{}", durable.name, until.time, until.increment);
            let refill = doc! {
                "durable": &durable.name, "settled": from, "put": from, "until": until,
                "last": 0_i64, "stream": "",
            };
            bounded(
                self.refills()
                    .update_one(doc! { "_id": id }, doc! { "$setOnInsert": refill })
                    .upsert(true)
                    .into_future(),
            )
            .await?;
        }
        Ok(())
    }

    /// Returns all refills, the oldest of each durable first.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn all_refills(&self) -> Result<Vec<Refill>> {
        let refills = self.refills();
        all(refills.find(doc! {}).sort(doc! { "until": 1, "_id": 1 })).await
    }

    /// Stores the progress of a refill, unless it was restarted since `before` was read.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn save_refill(&self, before: &Refill, now: &Refill) -> Result<()> {
        let refills = self.refills();
        bounded(refills.replace_one(unchanged(before), now).into_future()).await?;
        Ok(())
    }

    /// Removes a finished refill, unless it was restarted.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_refill(&self, done: &Refill) -> Result<()> {
        let refills = self.refills();
        bounded(refills.delete_one(unchanged(done)).into_future()).await?;
        Ok(())
    }

    pub(super) async fn remove_refills_of(&self, durable: &str) -> Result<()> {
        let of_durable = doc! { "durable": durable };
        bounded(self.refills().delete_many(of_durable).into_future()).await?;
        Ok(())
    }

    /// Returns what is still to be republished for each durable, or for `durable` alone.
    ///
    /// Durables that lack nothing are left out.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub(super) async fn lacking(&self, durable: Option<&str>) -> Result<Vec<Lacking>> {
        let mut refills = self.all_refills().await?;
        refills.retain(|refill| durable.is_none_or(|durable| refill.durable == durable));
        let mut lacking: Vec<Lacking> = Vec::new();
        for (index, refill) in refills.into_iter().enumerate() {
            let entries = if refill.put >= refill.until {
                0
            } else if index >= MAX_COUNTED {
                // With very many refills, each further one counts as 1: what matters then is that it is not 0.
                1
            } else {
                self.count_entries(refill.put, refill.until).await?
            };
            let since = Timestamp::from_millis(i64::from(refill.settled.time) * 1000);
            match lacking
                .iter_mut()
                .find(|known| known.durable == refill.durable)
            {
                Some(known) => {
                    known.entries += entries;
                    known.since = known.since.min(since);
                }
                None => lacking.push(Lacking {
                    durable: refill.durable,
                    entries,
                    since,
                }),
            }
        }
        Ok(lacking)
    }

    /// Returns the types of events that a durable reads; `None` for all.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn events_of_durable(&self, name: &str) -> Result<Option<Vec<String>>> {
        #[derive(Deserialize)]
        struct Events {
            #[serde(default)]
            events: Option<Vec<String>>,
        }
        let found = bounded(
            self.database
                .collection::<Events>("durables")
                .find_one(doc! { "_id": name })
                .projection(doc! { "events": 1 })
                .into_future(),
        )
        .await?;
        Ok(found.and_then(|found| found.events))
    }
}

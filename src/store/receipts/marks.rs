//! Writes markers in groups.
//!
//! A group is one read of the current markers, then one update of the markers beside one insert of the steps.

use std::collections::HashMap;

use chat_sdk::Timestamp;
use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::{
    document::{AdvanceDocument, MarkerDocument, advance_id, advances_from, find_documents},
    pending::Pending,
};
use crate::{
    model::{
        Result,
        receipts::{Change, Marked, Marker, ReceiptKind},
    },
    store::{Collection, DUPLICATE_KEY, Database, bounded, documents::date, log::Unavailable},
};

type Stored<T> = std::result::Result<T, Unavailable>;

/// Maximum time that mongod may work on a group, in milliseconds.
const WRITE_MAX_TIME_MS: i64 = 1000;

/// Change of a marker in progress.
pub struct Mark {
    /// `_id` of the marker.
    pub id: String,
    /// Change to apply to the marker.
    pub change: Change,
}

/// Writer of markers.
#[derive(Clone)]
pub struct Marks {
    database: Database,
    markers: Collection<MarkerDocument>,
    reads: Collection<AdvanceDocument>,
}

/// One marker in a group.
struct Target {
    before: Marker,
    pending: Pending,
    /// Index in the group of the change that sets each seq to its final value.
    reader: Option<usize>,
    deliverer: Option<usize>,
}

impl Marks {
    /// Creates a writer of the markers in `database`.
    pub fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            markers: database.collection("markers"),
            reads: database.collection("reads"),
        }
    }

    /// Writes a group and answers each change.
    pub async fn write(&self, marks: Vec<Mark>) -> Vec<Result<Marked>> {
        match self.try_write(&marks).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => marks.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn try_write(&self, marks: &[Mark]) -> Result<Vec<Marked>> {
        let ids: Vec<String> = {
            let mut ids: Vec<String> = marks.iter().map(|mark| mark.id.clone()).collect();
            ids.sort();
            ids.dedup();
            ids
        };
        let mut found = find_documents(&self.markers, &ids).await?;
        let targets = targets_of(marks, |id| found.remove(id).unwrap_or_default());
        // One time for the whole group: merged changes count as read at the same time.
        let at = Timestamp::now();
        let mut updates = Vec::new();
        let mut steps = Vec::new();
        for (id, target) in &targets {
            let Target {
                before, pending, ..
            } = target;
            if !pending.changes(before) {
                continue;
            }
            if let Some(seq) = pending.rewound() {
                self.rewind(id, seq).await?;
            }
            // Threads have no receipts.
            if id.starts_with(chat_sdk::ConversationId::PREFIX) {
                let read = pending.reads_to(before).map(|seq| (ReceiptKind::Read, seq));
                let delivered = target
                    .deliverer
                    .map(|_| (ReceiptKind::Delivered, pending.delivered_from(0)));
                for (kind, seq) in read.into_iter().chain(delivered) {
                    steps.push(doc! { "_id": advance_id(id, kind, seq), "at": date(at) });
                }
            }
            updates.push(pending.update(id, at));
        }
        tokio::try_join!(self.update(updates), self.insert_steps(steps))?;
        Ok(marks
            .iter()
            .enumerate()
            .map(|(index, mark)| {
                let target = &targets[&mark.id];
                Marked {
                    before: target.before.clone(),
                    at,
                    has_moved: [target.reader, target.deliverer].contains(&Some(index)),
                }
            })
            .collect())
    }

    /// Removes the steps of a marker beyond `seq`.
    ///
    /// It keeps the time at which everything up to there was read.
    async fn rewind(&self, id: &str, seq: u64) -> Stored<()> {
        let beyond = doc! { "_id": advances_from(id, ReceiptKind::Read, seq) };
        let first = bounded(
            self.reads
                .find_one(beyond)
                .sort(doc! { "_id": 1 })
                .into_future(),
        )
        .await?;
        let Some(first) = first else {
            return Ok(());
        };
        if seq > 0 {
            let kept = doc! { "_id": advance_id(id, ReceiptKind::Read, seq), "at": first.at };
            self.insert_steps(vec![kept]).await?;
        }
        let beyond = doc! { "_id": advances_from(id, ReceiptKind::Read, seq + 1) };
        bounded(self.reads.delete_many(beyond).into_future()).await?;
        Ok(())
    }

    async fn update(&self, updates: Vec<Document>) -> Stored<()> {
        if updates.is_empty() {
            return Ok(());
        }
        let mut command = doc! { "update": "markers" };
        command.insert("updates", updates);
        let reply = self.run(command).await?;
        // Two processes may create the same marker concurrently: the second one's update must be retried.
        if reply.write_errors.is_empty() {
            Ok(())
        } else {
            Err(Unavailable)
        }
    }

    /// Inserts steps. An existing step stays unchanged, because it was first.
    async fn insert_steps(&self, steps: Vec<Document>) -> Stored<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let mut command = doc! { "insert": "reads" };
        command.insert("documents", steps);
        let reply = self.run(command).await?;
        let is_written = |error: &WriteError| error.code == DUPLICATE_KEY;
        if reply.write_errors.iter().all(is_written) {
            Ok(())
        } else {
            Err(Unavailable)
        }
    }

    async fn run(&self, mut command: Document) -> Stored<WriteReply> {
        command.insert("ordered", false);
        command.insert("maxTimeMS", WRITE_MAX_TIME_MS);
        command.insert("writeConcern", doc! { "w": "majority", "j": true });
        let reply = bounded(self.database.run_command(command).into_future()).await?;
        let reply: WriteReply = bson::deserialize_from_document(reply).map_err(|_| Unavailable)?;
        match reply.write_concern_error {
            Some(_) => Err(Unavailable),
            None => Ok(reply),
        }
    }
}

/// Groups the changes by marker, each merged in the order in which they arrived.
fn targets_of(marks: &[Mark], mut before: impl FnMut(&str) -> Marker) -> HashMap<String, Target> {
    let mut targets: HashMap<String, Target> = HashMap::new();
    for (index, mark) in marks.iter().enumerate() {
        let target = targets.entry(mark.id.clone()).or_insert_with(|| Target {
            before: before(&mark.id),
            pending: Pending::default(),
            reader: None,
            deliverer: None,
        });
        let read = |pending: &Pending| pending.read_from(target.before.read_seq);
        let was_read = read(&target.pending);
        target.pending.add(mark.change.clone());
        if read(&target.pending) != was_read {
            target.reader = Some(index);
        }
        if let Change::Delivered(seq) = mark.change {
            let others = target.before.delivered_seq.max(target.before.read_seq);
            let best = target
                .deliverer
                .map_or(others, |index| delivered(&marks[index]));
            if seq > best {
                target.deliverer = Some(index);
            }
        }
    }
    targets
}

fn delivered(mark: &Mark) -> u64 {
    match mark.change {
        Change::Delivered(seq) => seq,
        _ => 0,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteReply {
    #[serde(default)]
    write_errors: Vec<WriteError>,
    #[serde(default)]
    write_concern_error: Option<Document>,
}

#[derive(Deserialize)]
struct WriteError {
    code: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(changes: impl IntoIterator<Item = Change>) -> Vec<Mark> {
        changes
            .into_iter()
            .map(|change| Mark {
                id: "cnv_1:u".to_owned(),
                change,
            })
            .collect()
    }

    fn readers(before: u64, changes: impl IntoIterator<Item = Change>) -> Option<usize> {
        let marks = marks(changes);
        let targets = targets_of(&marks, |_| Marker {
            read_seq: before,
            ..Marker::default()
        });
        targets["cnv_1:u"].reader
    }

    #[test]
    fn of_what_is_written_at_once_the_one_that_goes_farthest_moves_the_marker() {
        use Change::{Read, Unread};
        assert_eq!(readers(0, [Read(3), Read(8), Read(5), Read(8)]), Some(1));
        assert_eq!(readers(9, [Read(3), Read(8)]), None);
        assert_eq!(readers(9, [Read(3), Unread(4)]), Some(1));
        assert_eq!(readers(0, [Read(8), Unread(4), Read(5)]), Some(2));
    }
}

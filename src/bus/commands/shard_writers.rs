//! The writer of each shard, as this process sees it.
//!
//! It is a hint that only decides where commands go; correctness comes from the log's index. The processes exchange heartbeats together with presence
//! (`worker/presence.rs`), which calls [`ShardWriters::update`]; this file knows nothing of messages.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::model::entry::SHARDS;

/// Time without its own heartbeats after which a process considers itself cut off: others may write for its shards.
const ECHO_LIMIT: Duration = Duration::from_secs(3);
/// Minimum tenure of a shard's writer before that writer alone is asked for unapplied entries.
///
/// The relay applies what the previous writer left behind within this time, also if the relay itself died and another process takes over its lease.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// Number of living processes per writing process.
///
/// A writer's group commit costs the database less the larger its groups are: two writers of half the messages each cost a third more than one of all. And
/// one writer writes more than a database takes in.
const PROCESSES_PER_WRITER: usize = 4;

/// The writer of each shard, and the name of this process.
#[derive(Debug)]
pub struct ShardWriters {
    /// Name of this process.
    pub me: Arc<str>,
    view: RwLock<View>,
}

#[derive(Debug)]
struct View {
    /// Time at which this process last received its own heartbeat.
    heard: Option<Instant>,
    /// Names of the living processes that take commands, sorted.
    living: Vec<Arc<str>>,
    shards: Vec<Tenure>,
}

/// Writer of a shard, and the time since which it is the writer.
#[derive(Debug)]
struct Tenure {
    writer: Option<Arc<str>>,
    since: Instant,
}

impl ShardWriters {
    /// Returns the view of a new process `me` that knows no other. It writes by itself if `is_writer`.
    pub fn new(me: Arc<str>, is_writer: bool) -> Self {
        let now = Instant::now();
        let living: Vec<Arc<str>> = is_writer.then(|| Arc::clone(&me)).into_iter().collect();
        let shards = (0..SHARDS).map(|shard| Tenure {
            writer: writer_of(&living, shard),
            since: now,
        });
        let view = View {
            heard: None,
            shards: shards.collect(),
            living,
        };
        Self {
            me,
            view: RwLock::new(view),
        }
    }

    /// Records that this process received its own heartbeat.
    pub fn hear(&self, now: Instant) {
        self.view.write().heard = Some(now);
    }

    /// Updates the writers, given the sorted names of the `living` processes that take commands.
    ///
    /// A process that is cut off counts only itself as living.
    pub fn update(&self, mut living: Vec<Arc<str>>, now: Instant) {
        let mut view = self.view.write();
        if !view.is_heard(now) {
            living.retain(|name| *name == self.me);
        }
        if view.living == living {
            return;
        }
        for (shard, tenure) in (0..SHARDS).zip(&mut view.shards) {
            let writer = writer_of(&living, shard);
            if tenure.writer != writer {
                *tenure = Tenure { writer, since: now };
            }
        }
        view.living = living;
    }

    /// Returns true if this process is the writer of `shard`.
    pub fn is_mine(&self, shard: u8) -> bool {
        self.view.read().shards[usize::from(shard)].writer.as_ref() == Some(&self.me)
    }

    /// Returns the writer of `shard`; `None` if no process writes.
    pub fn owner_of(&self, shard: u8) -> Option<Arc<str>> {
        self.view.read().shards[usize::from(shard)].writer.clone()
    }

    /// Returns true if this process receives its own heartbeats.
    pub fn is_heard(&self) -> bool {
        self.view.read().is_heard(Instant::now())
    }

    /// Returns true if the writer of `shard` knows all its acknowledged but unapplied entries.
    ///
    /// It does if no other process has written for a while.
    pub fn is_steady(&self, shard: u8) -> bool {
        let now = Instant::now();
        let view = self.view.read();
        let tenure = &view.shards[usize::from(shard)];
        let is_long = now.saturating_duration_since(tenure.since) >= STEADY_AFTER;
        is_long && tenure.writer.is_some() && view.is_heard(now)
    }
}

impl View {
    fn is_heard(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.saturating_duration_since(heard) <= ECHO_LIMIT)
    }
}

/// Returns the writer of `shard` among the `living`, which are sorted by name.
///
/// The oldest processes write (names begin with the time of the start), so that a new process changes nothing until there are enough for another writer;
/// rendezvous hashing selects one of them.
fn writer_of(living: &[Arc<str>], shard: u8) -> Option<Arc<str>> {
    let writing = living.len().div_ceil(PROCESSES_PER_WRITER);
    living
        .iter()
        .take(writing)
        .max_by_key(|node| (score(node, shard), Arc::clone(node)))
        .cloned()
}

fn score(node: &str, shard: u8) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in node.bytes().chain([b'/', shard]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV leaves the last byte's influence in the low bits; multiply and fold it up.
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u64) -> Vec<Arc<str>> {
        let name = |n| ulid::Ulid::from_parts(n, rand::random());
        (0..count)
            .map(|n| Arc::from(name(n).to_string().to_lowercase()))
            .collect()
    }

    fn owners(living: &[Arc<str>]) -> Vec<Arc<str>> {
        (0..SHARDS)
            .map(|shard| writer_of(living, shard).expect("somebody writes"))
            .collect()
    }

    #[test]
    fn shards_spread_over_writers_and_stay_where_they_are() {
        let nodes = nodes(16);
        let all = owners(&nodes);
        for node in &nodes[..4] {
            let count = all.iter().filter(|owner| *owner == node).count();
            assert!((4..=32).contains(&count), "{count} of 64 shards");
        }
        let fewer = owners(&nodes[..12]);
        for (before, after) in all.iter().zip(&fewer) {
            assert!(before == after || *before == nodes[3]);
        }
    }

    #[test]
    fn new_process_takes_no_shard_while_there_are_enough_writers() {
        let nodes = nodes(4);
        assert!(owners(&nodes).iter().all(|owner| *owner == nodes[0]));
        assert!(owners(&nodes[1..]).iter().all(|owner| *owner == nodes[1]));
    }

    #[test]
    fn writer_is_steady_after_its_tenure_while_own_heartbeats_arrive() {
        let names = nodes(2);
        let Some(start) = Instant::now().checked_sub(STEADY_AFTER) else {
            return;
        };
        let writers = ShardWriters::new(Arc::clone(&names[1]), true);
        writers.hear(start);
        writers.update(names.clone(), start);
        assert_eq!(writers.owner_of(0).as_ref(), Some(&names[0]));
        assert!(!writers.is_steady(0), "this process is cut off");
        writers.hear(Instant::now());
        assert!(writers.is_steady(0) && writers.is_steady(SHARDS - 1));
        writers.update(names[1..].to_vec(), Instant::now());
        assert_eq!(writers.owner_of(0).as_ref(), Some(&names[1]));
        assert!(!writers.is_steady(0), "the writer is new");
    }

    #[test]
    fn process_that_is_cut_off_writes_by_itself() {
        let names = nodes(2);
        let now = Instant::now();
        let writers = ShardWriters::new(Arc::clone(&names[1]), true);
        writers.update(names.clone(), now);
        assert_eq!(writers.owner_of(0).as_ref(), Some(&names[1]));
        writers.hear(now);
        writers.update(names.clone(), now);
        assert_eq!(writers.owner_of(0).as_ref(), Some(&names[0]));
        writers.update(names.clone(), now + ECHO_LIMIT + Duration::from_millis(1));
        assert_eq!(writers.owner_of(0).as_ref(), Some(&names[1]));
    }
}

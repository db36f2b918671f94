//! Living processes: each sends a heartbeat every second, and a silent one is taken for dead.
//!
//! This is a hint that only decides which process writes for which shard; correctness comes from the log's index.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Bus;
use crate::domain::entry::SHARDS;

/// Time between two heartbeats of a process.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time after its last heartbeat during which a process counts as living.
const LEASE: Duration = Duration::from_secs(4);
/// Time without its own heartbeats after which a process considers itself cut off.
const ECHO_LIMIT: Duration = Duration::from_secs(3);
/// Minimum tenure of a shard's writer before that writer alone is asked for unapplied entries.
///
/// The relay applies what the previous writer left behind within this time, also if the relay itself died and another process takes over its lease.
const STEADY_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heartbeat {
    node: Arc<str>,
    is_writer: bool,
    is_leaving: bool,
}

/// Number of living processes per writing process.
///
/// A writer's group commit costs the database less the larger its groups are: two writers of half the messages each cost a third more than one of all. And
/// one writer writes more than a database takes in.
const PROCESSES_PER_WRITER: usize = 4;

/// The living writers, and the name of this process.
#[derive(Debug, Clone)]
pub struct Writers {
    /// Name of this process.
    pub me: Arc<str>,
    /// All living processes that take commands, including this one if it does.
    pub living: watch::Receiver<Arc<[Arc<str>]>>,
    trust: Arc<Trust>,
}

/// Reliability of the list of living processes.
#[derive(Debug)]
struct Trust {
    started: Instant,
    /// Last receipt of the own heartbeat, in milliseconds since `started`, plus 1; 0 for never.
    heard: AtomicU64,
    /// Bit set of the shards that have had the same writer for [`STEADY_AFTER`].
    steady: AtomicU64,
}

impl Trust {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            heard: AtomicU64::new(0),
            steady: AtomicU64::new(0),
        })
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hear(&self) {
        self.heard.store(self.millis() + 1, Ordering::Release);
    }

    fn is_heard(&self) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        let limit = ECHO_LIMIT.as_millis() as u64;
        heard > 0 && self.millis() + 1 - heard.min(self.millis() + 1) <= limit
    }
}

/// Writer of each shard, and the start of its tenure.
struct Tenures(Vec<(Option<Arc<str>>, Instant)>);

impl Tenures {
    fn new() -> Self {
        let now = Instant::now();
        Self((0..SHARDS).map(|_| (None, now)).collect())
    }

    /// Updates the tenures; returns the shards with the same writer for [`STEADY_AFTER`], as bits.
    fn note(&mut self, writers: &Writers, now: Instant) -> u64 {
        let mut steady = 0;
        for shard in 0..SHARDS {
            let owner = writers.owner_of(shard);
            let (known, since) = &mut self.0[usize::from(shard)];
            if *known != owner {
                *known = owner;
                *since = now;
            } else if known.is_some() && now.duration_since(*since) >= STEADY_AFTER {
                steady |= 1 << shard;
            }
        }
        steady
    }
}

impl Writers {
    /// Returns the writer of `shard`; `None` if no process writes.
    ///
    /// The oldest processes write, so that a new process changes nothing until there are enough for another writer; rendezvous hashing selects one of them.
    pub fn owner_of(&self, shard: u8) -> Option<Arc<str>> {
        let living = self.living.borrow();
        // The list is sorted by name, and names begin with the start time.
        let writing = living.len().div_ceil(PROCESSES_PER_WRITER);
        living
            .iter()
            .take(writing)
            .max_by_key(|node| (score(node, shard), Arc::clone(node)))
            .cloned()
    }

    /// Returns true if this process receives its own heartbeats.
    ///
    /// Otherwise it is cut off: others may write for its shards.
    pub fn is_heard(&self) -> bool {
        self.trust.is_heard()
    }

    /// Returns true if the writer of `shard` knows all its acknowledged but unapplied entries.
    ///
    /// It does if no other process has written for a while.
    pub fn is_steady(&self, shard: u8) -> bool {
        self.is_heard() && self.trust.steady.load(Ordering::Acquire) & (1 << shard) != 0
    }
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

/// Returns the living writers as this process sees them, and the heartbeat task to run for it.
pub fn new(bus: &Bus, is_writer: bool) -> (Writers, Heart) {
    let me: Arc<str> = ulid::Ulid::generate().to_string().to_lowercase().into();
    let initial: Arc<[Arc<str>]> = if is_writer {
        [Arc::clone(&me)].into()
    } else {
        [].into()
    };
    let (living, receiver) = watch::channel(initial);
    let writers = Writers {
        me,
        living: receiver,
        trust: Trust::new(),
    };
    let heart = Heart {
        bus: bus.clone(),
        writers: writers.clone(),
        is_writer,
        living: Arc::new(living),
    };
    (writers, heart)
}

/// Sends this process's heartbeats and receives those of the others.
#[derive(Clone)]
pub struct Heart {
    bus: Bus,
    writers: Writers,
    is_writer: bool,
    living: Arc<watch::Sender<Arc<[Arc<str>]>>>,
}

impl Heart {
    /// Sends heartbeats until `stop`, then announces that this process leaves.
    ///
    /// After a failure it may run again: the living processes are known within a second.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            bus,
            writers,
            is_writer,
            living,
        } = self;
        run(bus, writers, is_writer, &living, stop).await;
    }
}

async fn run(
    bus: Bus,
    writers: Writers,
    is_writer: bool,
    living: &watch::Sender<Arc<[Arc<str>]>>,
    stop: CancellationToken,
) {
    let me = Arc::clone(&writers.me);
    let mut tenures = Tenures::new();
    let subject = bus.subjects.nodes();
    let say = |is_leaving| {
        let heartbeat = Heartbeat {
            node: Arc::clone(&me),
            is_writer,
            is_leaving,
        };
        let payload = serde_json::to_vec(&heartbeat).unwrap_or_default();
        let publish = bus.client.publish(subject.clone(), payload.into());
        // While the server is unreachable a publish may block; the next heartbeat replaces this one.
        async { drop(tokio::time::timeout(Duration::from_millis(500), publish).await) }
    };
    let mut others: HashMap<Arc<str>, Instant> = HashMap::new();
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heartbeats = None;
    loop {
        if heartbeats.is_none() {
            heartbeats = bus.client.subscribe(subject.clone()).await.ok();
        }
        let next = async {
            match &mut heartbeats {
                Some(heartbeats) => heartbeats.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {
                say(true).await;
                let _ = tokio::time::timeout(Duration::from_millis(500), bus.client.flush()).await;
                return;
            }
            _ = ticks.tick() => say(false).await,
            message = next => match message {
                None => heartbeats = None,
                Some(message) => {
                    let Ok(heartbeat) = serde_json::from_slice::<Heartbeat>(&message.payload) else {
                        continue;
                    };
                    if heartbeat.node == me {
                        writers.trust.hear();
                        continue;
                    }
                    if !heartbeat.is_writer {
                        continue;
                    }
                    if heartbeat.is_leaving {
                        others.remove(&heartbeat.node);
                    } else if others.insert(heartbeat.node, Instant::now()).is_none() {
                        // A new process sees this one at once, not only at the next tick.
                        say(false).await;
                    }
                }
            },
        }
        others.retain(|_, seen| seen.elapsed() < LEASE);
        let mut now: Vec<Arc<str>> = others.keys().cloned().collect();
        now.extend(is_writer.then(|| Arc::clone(&me)));
        now.sort();
        living.send_if_modified(|known| {
            let is_new = known[..] != now[..];
            if is_new {
                *known = now.into();
            }
            is_new
        });
        let steady = tenures.note(&writers, Instant::now());
        writers.trust.steady.store(steady, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(nodes: &[Arc<str>]) -> Vec<Arc<str>> {
        let (sender, living) = watch::channel(Arc::from(nodes));
        let writers = Writers {
            me: Arc::clone(&nodes[0]),
            living,
            trust: Trust::new(),
        };
        let owners = (0..SHARDS)
            .map(|shard| writers.owner_of(shard).expect("somebody writes"))
            .collect();
        drop(sender);
        owners
    }

    fn nodes(count: u64) -> Vec<Arc<str>> {
        let name = |n| ulid::Ulid::from_parts(n, rand::random());
        (0..count)
            .map(|n| Arc::from(name(n).to_string().to_lowercase()))
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
        let (living, receiver) = watch::channel(Arc::from(&names[..1]));
        let writers = Writers {
            me: Arc::clone(&names[0]),
            living: receiver,
            trust: Trust::new(),
        };
        let mut tenures = Tenures::new();
        let start = Instant::now();
        assert_eq!(tenures.note(&writers, start), 0);
        let later = start + STEADY_AFTER;
        assert_eq!(tenures.note(&writers, later), u64::MAX);
        living.send_replace(Arc::from(&names[1..]));
        assert_eq!(tenures.note(&writers, later), 0);
        let even_later = later + STEADY_AFTER;
        let steady = tenures.note(&writers, even_later);
        assert_eq!(steady, u64::MAX);
        writers.trust.steady.store(steady, Ordering::Release);
        assert!(!writers.is_steady(0), "nobody hears this process");
        writers.trust.hear();
        assert!(writers.is_steady(0) && writers.is_steady(SHARDS - 1));
    }
}

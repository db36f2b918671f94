//! The announcer: publishes the entries that this process's writer committed, and latest values, at once and with acknowledgements.
//!
//! It gives up early: the sweep publishes the entries that did not arrive. Latest values, which no sweep finds, are kept until the stream has them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_sdk::TraceParent;
use metrics::{Counter, counter};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    time::MissedTickBehavior,
};

use super::{
    Bus, BusError,
    acks::Acks,
    latest::{self, Unpublished},
    publish::ACK_TIMEOUT,
};
use crate::{
    model::{
        bounds,
        entry::Entry,
        latest::{LatestValue, PublishLatest},
        size,
        writers::Announce,
    },
    trace,
};

/// Maximum number of events waiting to be sent; further ones are left to the sweep.
///
/// With those in flight they have at most [`bounds::PUBLISH_QUEUE`] bytes.
const MAX_WAITING: usize = 20_000;
/// Maximum number of events sent and not acknowledged.
const MAX_UNANSWERED: usize = 5_000;
/// Number of events that are handed to the connection together.
const BATCH: usize = 256;
/// Time between attempts to publish latest values that the stream does not have.
const PUBLISH_AGAIN: Duration = Duration::from_millis(500);

/// Publishes the entries that this process committed.
pub struct Announcer {
    queue: mpsc::Sender<Work>,
    held: Arc<AtomicUsize>,
}

/// An item that waits to be published.
enum Work {
    Entry(Arc<Entry>, Held),
    /// A value; without held bytes if it is published again.
    Latest(Box<LatestValue>, TraceParent, Option<Held>),
}

/// Bytes of items that are queued or in flight; they are free again when this is dropped.
struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Held {
    /// Adds `bytes` to `all`; returns `None` if there would be more than [`bounds::PUBLISH_QUEUE`].
    fn new(all: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let before = all.fetch_add(bytes, Ordering::Relaxed);
        let held = Self {
            bytes,
            all: Arc::clone(all),
        };
        (before + bytes <= bounds::PUBLISH_QUEUE).then_some(held)
    }

    /// Adds the bytes of `other`, which has the same counter.
    fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Announcer {
    /// Returns an announcer, and the publisher to run for it.
    pub fn new(bus: Bus) -> (Arc<Self>, Publisher) {
        let (queue, inbox) = mpsc::channel(MAX_WAITING);
        let publisher = Publisher {
            bus,
            inbox: Arc::new(AsyncMutex::new(inbox)),
        };
        let held = Arc::default();
        (Arc::new(Self { queue, held }), publisher)
    }
}

impl Announce for Announcer {
    fn announce(&self, entries: &[Arc<Entry>]) {
        for entry in entries {
            let queued = Held::new(&self.held, size::stored_at_most(entry))
                .map(|held| self.queue.try_send(Work::Entry(Arc::clone(entry), held)));
            if !matches!(queued, Some(Ok(()))) {
                counter!("chat_publish_left_to_sweep_total").increment(1);
            }
        }
    }
}

impl PublishLatest for Announcer {
    fn publish(&self, value: LatestValue) {
        let trace = trace::current().unwrap_or_else(|| TraceParent::of(&value.envelope.id));
        let queued = Held::new(&self.held, latest::size_of(&value)).map(|held| {
            let work = Work::Latest(Box::new(value), trace, Some(held));
            self.queue.try_send(work)
        });
        if !matches!(queued, Some(Ok(()))) {
            counter!("chat_latest_values_lost_total").increment(1);
        }
    }
}

/// Publishes the items of an announcer.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
    /// Queue that outlives a failure: the next run publishes what it holds.
    inbox: Arc<AsyncMutex<mpsc::Receiver<Work>>>,
}

impl Publisher {
    /// Publishes until the last handle of the announcer is dropped.
    ///
    /// After a failure it may run again: the sweep puts back entries that were in flight, and the next latest value replaces a lost one.
    pub async fn run(self) {
        let mut inbox = self.inbox.lock().await;
        match Acks::open(&self.bus.client).await {
            Ok(acks) => {
                let progress = Progress {
                    unpublished: Unpublished::default(),
                    unanswered: 0,
                    outcomes: [
                        counter!("chat_publishes_total", "outcome" => "failed"),
                        counter!("chat_publishes_total", "outcome" => "ok"),
                    ],
                };
                run(&self.bus, &mut inbox, acks, progress).await;
            }
            // The client has ended, and so does the process. Another process publishes the log's entries.
            Err(error) => tracing::warn!(%error, "event publishing stopped"),
        }
    }
}

/// Items handed to the connection that one acknowledgement covers.
enum Sent {
    /// A number of entries, covered by the answer to the last one.
    ///
    /// The stream processes the messages of a connection in order. If it refused an earlier one, the sweep finds that, as it finds entries without an answer.
    Entries(usize, Option<Held>),
    Latest(Box<LatestValue>, TraceParent, Option<Held>),
}

impl Sent {
    fn len(&self) -> usize {
        match self {
            Self::Entries(count, _) => *count,
            Self::Latest(..) => 1,
        }
    }
}

/// Items in flight, and values that must be published again.
struct Progress {
    unpublished: Unpublished,
    /// Number of items handed to the connection and not acknowledged.
    unanswered: usize,
    /// Counters of items that failed, and of items that were stored.
    outcomes: [Counter; 2],
}

impl Progress {
    /// Records the outcome of items that were in flight.
    fn record(&mut self, is_stored: bool, sent: Sent) {
        self.outcomes[usize::from(is_stored)].increment(sent.len() as u64);
        self.unanswered -= sent.len();
        match sent {
            Sent::Latest(value, ..) if is_stored => self.unpublished.done(&value),
            Sent::Latest(value, trace, held) => {
                drop(held);
                self.keep(value, trace);
            }
            Sent::Entries(_, held) => drop(held),
        }
    }

    /// Keeps a value until it can be published.
    fn keep(&mut self, value: Box<LatestValue>, trace: TraceParent) {
        let lost = self.unpublished.failed(value, trace);
        counter!("chat_latest_values_lost_total").increment(lost as u64);
    }
}

async fn run(
    bus: &Bus,
    inbox: &mut mpsc::Receiver<Work>,
    mut acks: Acks<Sent>,
    mut progress: Progress,
) {
    let mut batch = Vec::new();
    let mut is_open = true;
    let mut ticks = tokio::time::interval(PUBLISH_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while is_open || !acks.is_empty() {
        let has_room = is_open && progress.unanswered < MAX_UNANSWERED;
        tokio::select! {
            () = acks.take(|is_stored, sent| progress.record(is_stored, sent)) => {}
            count = inbox.recv_many(&mut batch, BATCH), if has_room => {
                is_open = count > 0;
            }
            _ = ticks.tick() => {
                for sent in acks.take_unanswered(ACK_TIMEOUT) {
                    progress.record(false, sent);
                }
                if is_open && !progress.unpublished.is_empty() && bus.is_connected() {
                    let again = progress.unpublished.take().into_iter();
                    batch.extend(again.map(|(value, trace)| Work::Latest(Box::new(value), trace, None)));
                }
            }
        }
        hand_over(bus, &mut batch, &mut acks, &mut progress).await;
    }
}

/// Hands the items of `batch` to the connection.
async fn hand_over(
    bus: &Bus,
    batch: &mut Vec<Work>,
    acks: &mut Acks<Sent>,
    progress: &mut Progress,
) {
    // All are encoded before the first is sent, so that they leave together and not each in a packet of its own.
    let events: Vec<_> = batch
        .drain(..)
        .map(|work| match &work {
            Work::Entry(entry, _) => (bus.event(entry), work),
            Work::Latest(value, trace, _) => {
                progress.unpublished.begin(value);
                (bus.latest_event(value, *trace), work)
            }
        })
        .collect();
    let last_entry = events
        .iter()
        .rposition(|(event, work)| matches!(work, Work::Entry(..)) && event.is_ok());
    // Entries of this batch for which no acknowledgement was requested yet, and their bytes.
    let (mut unasked, mut unasked_held) = (0, None::<Held>);
    for (index, (event, work)) in events.into_iter().enumerate() {
        let is_asked = matches!(work, Work::Latest(..)) || Some(index) == last_entry;
        let reply = is_asked.then(|| acks.next_reply());
        let outcome = match event {
            Ok(event) => bus.hand_over(event, reply).await,
            Err(error) => Err(error),
        };
        match (outcome, work) {
            (Ok(()), Work::Latest(value, trace, held)) => {
                progress.unanswered += 1;
                acks.sent(Sent::Latest(value, trace, held));
            }
            (Ok(()), Work::Entry(_, held)) => {
                progress.unanswered += 1;
                unasked += 1;
                match &mut unasked_held {
                    Some(unasked) => unasked.join(held),
                    None => unasked_held = Some(held),
                }
                if is_asked {
                    acks.sent(Sent::Entries(unasked, unasked_held.take()));
                    unasked = 0;
                }
            }
            (Err(_), Work::Entry(..)) => {
                counter!("chat_publish_left_to_sweep_total").increment(1);
                if is_asked {
                    // No later acknowledgement covers the entries before it.
                    progress.unanswered -= std::mem::take(&mut unasked);
                }
            }
            (Err(BusError::Rejected(_)), Work::Latest(value, ..)) => {
                // A retry would not help.
                counter!("chat_latest_values_lost_total").increment(1);
                progress.unpublished.done(&value);
            }
            (Err(_), Work::Latest(value, trace, held)) => {
                drop(held);
                progress.keep(value, trace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_takes_no_more_bytes_than_its_bound() {
        let all = Arc::default();
        let half = bounds::PUBLISH_QUEUE / 2;
        let mut first = Held::new(&all, half).expect("there is room");
        let second = Held::new(&all, half).expect("there is room");
        assert!(Held::new(&all, 1).is_none());
        first.join(second);
        assert!(Held::new(&all, 1).is_none());
        drop(first);
        assert_eq!(all.load(Ordering::Relaxed), 0);
        assert!(Held::new(&all, bounds::PUBLISH_QUEUE).is_some());
    }
}

//! The writer: one actor per process that appends commands to the log.
//!
//! A command waits while its owner is loaded, is checked against the fold of everything before it, and joins the batch that is built while the last
//! one is in flight (group commit: no wait when idle; under load, groups begin a few milliseconds apart). After the commit the entry is announced and
//! its effects are applied, concurrently. The caller is answered when the entry is applied, or at the commit for a plain message. The next insert
//! does not wait for the last apply.
//!
//! The actor owns all state; reads and writes run as tasks that send an `Event` back. So every decision is taken in one place, in one order.
//!
//! # Modules
//! - `slot`: jobs, waiters, and the state that is kept of one owner.
//! - `batch`: from command to batch. `lookup` and `loading`: read what a check needs first.
//! - `commit`: from batch to committed. `applying`: from committed to applied.

mod applying;
mod batch;
mod commit;
mod loading;
mod lookup;
mod slot;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use chat_sdk::{ConversationId, EventId};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    applying::{ApplyKind, ApplyQueues},
    lookup::Lookup,
    slot::{Job, Pending, Slot},
};
use super::{
    apply::Loaded,
    backend::{Backend, InsertOutcome, Unavailable},
};
use crate::model::{
    command::Request,
    entry::{Entry, Owner},
    state::{Target, TargetState},
    writers::{Announce, Reply, Writers},
};

/// Maximum number of entries of one insert.
///
/// Beyond it the gain is small and the first entry's wait grows.
const MAX_BATCH: usize = 256;
/// Minimum time between the starts of two groups while many commands arrive.
///
/// It costs a caller half of that on average. At half of the maximum load it saves the database, the broker and this process a fifth of a message's
/// work, which callers then do not wait for.
pub const GATHERING: Duration = Duration::from_millis(3);
/// Maximum time until a live actor processes an order.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);
/// Time to wait before a retry after an unknown outcome, multiplied by the number of attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Handle of this process's writer. Cloning it is cheap.
#[derive(Clone)]
pub struct Writer {
    orders: mpsc::UnboundedSender<Order>,
    behind: Unapplied,
}

/// Owners whose documents may be behind an answer that was given.
///
/// Most readers do not find theirs in it and need not wait.
type Unapplied = Arc<Mutex<HashSet<Owner>>>;

/// Requests to the actor.
enum Order {
    /// Appends a command to the log.
    Append(Box<Job>),
    /// Brings documents up to date with the log, then drops the guard.
    ApplyNow(Vec<Owner>, Arc<DropGuard>),
}

impl Writer {
    /// Creates a writer and the actor that must run for it.
    ///
    /// The actor ends when every handle is gone and every accepted command has been answered. It cannot be restarted: callers wait for what it has in
    /// memory, and only it knows which inserts have an unknown outcome.
    pub fn new<B: Backend>(
        backend: Arc<B>,
        announcer: Arc<dyn Announce>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (orders, inbox) = mpsc::unbounded_channel();
        let behind = Unapplied::default();
        let (events, event_inbox) = mpsc::unbounded_channel();
        let actor = Actor {
            backend,
            announcer,
            events,
            slots: HashMap::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            apply_queues: ApplyQueues::default(),
            gathering: Vec::new(),
            behind: Arc::clone(&behind),
            to_read: Vec::new(),
            is_reading: false,
            is_inserting: false,
            is_applying: false,
            last_batch: 0,
            last_insert: Instant::now(),
            is_pausing: false,
            open_jobs: 0,
            last_drop: Instant::now(),
            loaded_members: 0,
        };
        (Self { orders, behind }, actor.run(inbox, event_inbox))
    }

    /// True if the actor accepts commands: it has processed all orders before this call.
    pub async fn is_taking(&self) -> bool {
        let looked = CancellationToken::new();
        let until = Arc::new(looked.clone().drop_guard());
        let is_sent = self.orders.send(Order::ApplyNow(Vec::new(), until)).is_ok();
        is_sent
            && tokio::time::timeout(ALIVE_WITHIN, looked.cancelled())
                .await
                .is_ok()
    }

    /// Waits until the documents include everything that was answered before this call.
    pub async fn flush(&self) {
        let owners = self.behind.lock().iter().cloned().collect();
        self.wait_applied(owners).await;
    }

    async fn wait_applied(&self, owners: Vec<Owner>) {
        if owners.is_empty() {
            return;
        }
        let applied = CancellationToken::new();
        let until = Arc::new(applied.clone().drop_guard());
        // Without the actor the guard is dropped here: nothing more will be applied.
        let _ = self.orders.send(Order::ApplyNow(owners, until));
        applied.cancelled().await;
    }
}

impl Writers for Writer {
    fn submit(&self, request: Request, reply: Reply) {
        // The actor ends only with the process; the dropped reply then tells the caller.
        let _ = self.orders.send(Order::Append(Box::new(Job {
            request,
            reply,
            target: None,
            attempts: 0,
            possible_seq: 0,
            outcome_unknown: false,
            seen: None,
        })));
    }

    fn apply_now<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>> {
        let owners: Vec<Owner> = {
            let behind = self.behind.lock();
            let owners = conversations.iter().cloned().map(Owner::from);
            owners.filter(|owner| behind.contains(owner)).collect()
        };
        Box::pin(async move {
            self.wait_applied(owners).await;
            Vec::new()
        })
    }
}

enum Event {
    Loaded(Owner, Result<Loaded, Unavailable>),
    DoubtsResolved(
        Owner,
        Loaded,
        Result<HashMap<EventId, Arc<Entry>>, Unavailable>,
    ),
    Inserted(Vec<Pending>, InsertOutcome),
    Applied(ApplyKind, Vec<(Owner, u64)>, Result<Vec<bool>, Unavailable>),
    Repaired(Owner, Result<u64, Unavailable>),
    TargetsRead(Vec<(Job, u64)>, Result<Vec<TargetState>, Unavailable>),
    LookedUp(Job, Lookup, Result<Option<Arc<Entry>>, Unavailable>),
    Retry(Job),
    RetryRepair(Owner),
    PauseOver,
    Gathered,
    Panicked,
}

struct Actor<B> {
    backend: Arc<B>,
    announcer: Arc<dyn Announce>,
    events: mpsc::UnboundedSender<Event>,
    slots: HashMap<Owner, Slot>,
    /// Jobs to check, in order.
    ready: VecDeque<Job>,
    /// Owners with something to apply as a group.
    dirty: Vec<Owner>,
    /// Owners with something to apply separately.
    apply_queues: ApplyQueues,
    /// Owners with messages whose activity is still gathered, because no caller waits for it.
    gathering: Vec<Owner>,
    behind: Unapplied,
    /// Jobs that wait for a read of their target.
    to_read: Vec<(Job, Target)>,
    /// True while such a read is running.
    is_reading: bool,
    is_inserting: bool,
    is_applying: bool,
    /// Number of entries of the last insert.
    last_batch: usize,
    /// Start of the last insert.
    last_insert: Instant,
    /// True if an event will signal that the next insert may begin.
    is_pausing: bool,
    /// Number of tasks that will send an event.
    open_jobs: usize,
    /// Time of the last check for idle owners.
    last_drop: Instant,
    /// Approximate number of members in the loaded states.
    ///
    /// States dropped since the last check are included until the next one.
    loaded_members: usize,
}

impl<B: Backend> Actor<B> {
    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Order>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        let mut orders = Vec::new();
        let mut is_open = true;
        while is_open || self.open_jobs > 0 {
            tokio::select! {
                biased;
                Some(event) = events.recv() => {
                    self.open_jobs -= 1;
                    self.on_event(event);
                }
                count = inbox.recv_many(&mut orders, MAX_BATCH), if is_open => {
                    is_open = count > 0;
                    for order in orders.drain(..) {
                        match order {
                            Order::Append(job) => self.ready.push_back(*job),
                            Order::ApplyNow(owners, until) => self.apply_now(owners, &until),
                        }
                    }
                }
            }
            self.build_batch();
            self.start_reading();
            self.start_apply();
        }
    }

    /// Runs `task` concurrently; its result comes back as an event.
    fn spawn(&mut self, task: impl Future<Output = Event> + Send + 'static) {
        self.open_jobs += 1;
        let events = self.events.clone();
        tokio::spawn(async move {
            // Without its event the actor would wait forever, for example for an insert that is no longer in flight.
            let event = AssertUnwindSafe(task).catch_unwind().await;
            let _ = events.send(event.unwrap_or(Event::Panicked));
        });
    }

    fn slot(&mut self, owner: &Owner) -> &mut Slot {
        if !self.slots.contains_key(owner) {
            self.slots.insert(owner.clone(), Slot::default());
        }
        self.slots.get_mut(owner).expect("inserted just above")
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Loaded(owner, loaded) => self.on_loaded(owner, loaded),
            Event::DoubtsResolved(owner, loaded, found) => {
                self.on_doubts_resolved(owner, loaded, found);
            }
            Event::Inserted(batch, outcome) => self.on_inserted(batch, outcome),
            Event::Applied(kind, runs, matched) => self.on_applied(kind, runs, matched),
            Event::Repaired(owner, applied) => self.on_repaired(owner, applied),
            Event::TargetsRead(jobs, states) => self.on_targets_read(jobs, states),
            Event::LookedUp(job, lookup, found) => self.on_looked_up(job, lookup, found),
            Event::Retry(job) => self.ready.push_back(job),
            Event::PauseOver => self.is_pausing = false,
            Event::Gathered => self.on_gathered(),
            Event::Panicked => panic!("a task of the writer panicked"),
            Event::RetryRepair(owner) => {
                self.slot(&owner).is_applying = false;
                self.mark_dirty(owner);
            }
        }
    }
}

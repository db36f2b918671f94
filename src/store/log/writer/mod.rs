//! The writer: one actor per process that takes commands to the log.
//!
//! A command waits while its owner is loaded, is checked against the fold of everything before it, and joins the batch that is built while the last one
//! is on its way (group commit: no wait when idle; under load groups begin a few milliseconds apart). After the commit the entry is announced and its effects are applied, both
//! at once; the caller hears when it is applied, or at the commit if it is a message and nothing more. The next insert does not wait for the last apply.
//!
//! All state is owned by the actor; reads and writes run as tasks that send an `Event` back. So every decision is taken in one place, in one order.
//!
//! # Cast
//! - `slot`: jobs, those who wait, and what is kept of one owner.
//! - `batch`: from command to batch. `lookup` and `loading`: what a check has to know first, read for it.
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
    applying::{Lane, Lanes},
    lookup::Lookup,
    slot::{Job, Pending, Slot},
};
use super::{
    apply::Loaded,
    backend::{Backend, InsertOutcome, Unavailable},
};
use crate::domain::{
    command::{Announce, Reply, Request, Writers},
    entry::{Entry, Owner},
    state::{Target, TargetState},
};

/// The most entries of one insert. Beyond this the gain is small and the wait of the first grows.
const MAX_BATCH: usize = 256;
/// How far apart groups begin at least while commands come many at a time. It costs a caller half of that on average and saves the database, the broker and
/// this process a fifth of a message's work at half of the load they can take, which callers then do not wait for.
pub(super) const GATHERING: Duration = Duration::from_millis(3);
/// How soon a working actor looks at an order, at the latest.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);
/// The pause before a try after an outcome that nobody learned, times the number of tries.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The way to this process's writer. Cloning it is cheap.
#[derive(Clone)]
pub struct Writer {
    orders: mpsc::UnboundedSender<Order>,
    behind: Unapplied,
}

/// Owners whose documents may be behind what was answered. Most who ask whether theirs are among them need not wait for anything.
type Unapplied = Arc<Mutex<HashSet<Owner>>>;

/// What the actor is asked for.
enum Order {
    /// To take a command to the log.
    Append(Box<Job>),
    /// To bring documents to where the log is, and then to drop the guard.
    Settle(Vec<Owner>, Arc<DropGuard>),
}

impl Writer {
    /// A writer, and the actor that must run for it. The actor ends when every handle is gone and everything taken in has been answered. It cannot run again:
    /// callers wait for what it has in memory, and only it knows which inserts have an unknown outcome.
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
            lanes: Lanes::default(),
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

    /// Whether the actor takes commands: it has looked at what came before this call.
    pub async fn is_taking(&self) -> bool {
        let looked = CancellationToken::new();
        let until = Arc::new(looked.clone().drop_guard());
        let is_sent = self.orders.send(Order::Settle(Vec::new(), until)).is_ok();
        is_sent
            && tokio::time::timeout(ALIVE_WITHIN, looked.cancelled())
                .await
                .is_ok()
    }

    /// Waits until all documents say everything that was answered before this call.
    pub async fn flush(&self) {
        let owners = self.behind.lock().iter().cloned().collect();
        self.settled(owners).await;
    }

    async fn settled(&self, owners: Vec<Owner>) {
        if owners.is_empty() {
            return;
        }
        let settled = CancellationToken::new();
        let until = Arc::new(settled.clone().drop_guard());
        // Without the actor the guard is dropped here: nothing is to come.
        let _ = self.orders.send(Order::Settle(owners, until));
        settled.cancelled().await;
    }
}

impl Writers for Writer {
    fn submit(&self, request: Request, reply: Reply) {
        // The actor is gone only at the end of the process; the dropped reply then tells the caller.
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

    fn settle<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>> {
        let owners: Vec<Owner> = {
            let behind = self.behind.lock();
            let owners = conversations.iter().cloned().map(Owner::from);
            owners.filter(|owner| behind.contains(owner)).collect()
        };
        Box::pin(async move {
            self.settled(owners).await;
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
    Applied(Lane, Vec<(Owner, u64)>, Result<Vec<bool>, Unavailable>),
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
    /// Jobs to be checked, in order.
    ready: VecDeque<Job>,
    /// Owners with something to apply, together with that of others.
    dirty: Vec<Owner>,
    /// Owners with something to apply by itself.
    lanes: Lanes,
    /// Owners with messages whose coming nobody waits to see in the documents.
    gathering: Vec<Owner>,
    behind: Unapplied,
    /// Jobs that wait for a read of what they are about.
    to_read: Vec<(Job, Target)>,
    /// Whether such a read is under way.
    is_reading: bool,
    is_inserting: bool,
    is_applying: bool,
    /// How many entries the last insert had.
    last_batch: usize,
    /// When it began.
    last_insert: Instant,
    /// Whether an event will come when the next may begin.
    is_pausing: bool,
    /// Tasks that will send an event.
    open_jobs: usize,
    /// When idle owners were last looked for.
    last_drop: Instant,
    /// About how many members the loaded states have: those of states that were dropped since are counted until then.
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
                            Order::Settle(owners, until) => self.settle(owners, &until),
                        }
                    }
                }
            }
            self.build_batch();
            self.start_reading();
            self.start_apply();
        }
    }

    /// Runs `task` beside the actor; its event comes back.
    fn spawn(&mut self, task: impl Future<Output = Event> + Send + 'static) {
        self.open_jobs += 1;
        let events = self.events.clone();
        tokio::spawn(async move {
            // Without its event the actor would wait for ever, for example for an insert that is no longer under way.
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
            Event::Applied(lane, runs, matched) => self.on_applied(lane, runs, matched),
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

//! The writer: one actor per process that takes commands to the log.
//!
//! A command waits while its owner is loaded, is checked against the fold of everything before it, and joins the batch that is built while the last one
//! is on its way (group commit: no timer, no wait when idle). After the commit the entry is announced and its effects are applied, both
//! at once; the caller hears when it is applied. The next insert does not wait for the last apply.
//!
//! All state is owned by the actor; reads and writes run as tasks that send an [`Event`] back. So every decision is taken in one place, in one order.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chat_sdk::{EventId, MessageId, Timestamp};
use futures_util::future::try_join_all;
use metrics::{counter, histogram};
use tokio::{sync::mpsc, time::Instant};

use super::{
    apply::{self, Loaded},
    backend::{Backend, Conflict, InsertOutcome, Run, Unavailable},
};
use crate::{
    domain::{
        DomainError,
        command::{Announce, Command, Decision, Outcome, Reply, Request, Writers, decide},
        entry::{Body, Entry, Owner},
        fold::{Effects, fold},
        state::{MessageState, State},
    },
    failpoint,
};

/// The most entries of one insert. Beyond this the gain is small and the wait of the first grows.
const MAX_BATCH: usize = 256;
/// The most owners of one apply.
const MAX_RUNS: usize = 512;
/// How many owners are kept in memory before idle ones are dropped.
const MAX_OWNERS: usize = 20_000;
/// How long an owner is kept that nobody asks for, once there are too many.
const IDLE: Duration = Duration::from_secs(30);
/// How many touched messages an owner remembers. Forgetting makes waiting checks read their message again, so it is done rarely.
const MAX_TOUCHED: usize = 256;
/// The pause before a try after an outcome that nobody learned, times the number of tries.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How many entries are looked at to see whether a refusal rests on all of them. With more, the log is read anew anyway.
const TAIL: usize = 100;

/// The way to this process's writer. Cloning it is cheap.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::UnboundedSender<Job>,
}

impl Writer {
    /// Starts the actor. It ends when every handle is gone and everything taken in has been answered.
    pub fn start<B: Backend>(backend: Arc<B>, announcer: Arc<dyn Announce>) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (events, event_inbox) = mpsc::unbounded_channel();
        let actor = Actor {
            backend,
            announcer,
            events,
            slots: HashMap::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            is_inserting: false,
            is_applying: false,
            last_batch: 0,
            open_jobs: 0,
            last_drop: Instant::now(),
        };
        tokio::spawn(actor.run(inbox, event_inbox));
        Self { commands }
    }
}

impl Writers for Writer {
    fn submit(&self, request: Request, reply: Reply) {
        // The actor is gone only at the end of the process; the dropped reply then tells the caller.
        let _ = self.commands.send(Job {
            request,
            reply,
            target: None,
            attempts: 0,
            maybe_at: 0,
            is_doubtful: false,
            seen: None,
        });
    }
}

/// A command on its way through the actor.
struct Job {
    request: Request,
    reply: Reply,
    /// The message that the check needs, and the number of the log as of which it was read.
    target: Option<(u64, Option<MessageState>)>,
    attempts: u32,
    /// The highest number under which an insert with an unknown outcome may have written it, or may yet; 0 without one.
    maybe_at: u64,
    /// Whether to look for its entry before it is checked again. Without, its id would be refused by the index, one insert for each.
    is_doubtful: bool,
    /// The last number of the log when it was read for this command, after it had come. A refusal rests on nothing older.
    seen: Option<u64>,
}

impl Job {
    fn answer(self, outcome: Result<Outcome, DomainError>) {
        let _ = self.reply.send(outcome);
    }
}

/// A job whose entry is in the insert that is on its way.
struct Pending {
    job: Job,
    entry: Arc<Entry>,
    effects: Effects,
}

enum Event {
    Loaded(Owner, Result<Loaded, Unavailable>),
    DoubtsResolved(
        Owner,
        Loaded,
        Result<HashMap<EventId, Arc<Entry>>, Unavailable>,
    ),
    Inserted(Vec<Pending>, InsertOutcome),
    Applied(Vec<(Owner, u64)>, Result<Vec<bool>, Unavailable>),
    Repaired(Owner, Result<u64, Unavailable>),
    TargetRead(Job, u64, Result<Option<MessageState>, Unavailable>),
    LookedUp(Job, Lookup, Result<Option<Arc<Entry>>, Unavailable>),
    Retry(Job),
    RetryRepair(Owner),
}

/// Why an entry was looked up.
#[derive(Clone, Copy)]
enum Lookup {
    /// Because its id is there.
    SameCommand,
    /// Because its `clientMessageId` is there.
    SameMessage,
    /// Because the check refuses it, or finds it unnecessary: perhaps by its own effect, when it was handed over twice.
    Refused,
}

/// Someone who waits until an entry is applied.
enum Waiter {
    Answer(Reply, Outcome),
    ReadTarget(Box<Job>),
}

/// What the actor knows of one owner.
#[derive(Default)]
struct Slot {
    /// The fold of everything committed, and of the batch on its way; `None` when it has to be read.
    state: Option<State>,
    is_loading: bool,
    /// Jobs that wait for the loading, in order.
    parked: VecDeque<Job>,
    /// Whether the batch that is built or on its way has an entry of this owner.
    in_batch: bool,
    /// Messages touched by entries, and by which number at last.
    touched: HashMap<MessageId, u64>,
    /// What `touched` has forgotten is not above this number.
    touched_floor: u64,
    /// What is committed and not applied.
    run: Option<Run>,
    /// The number up to which everything is applied, being applied, or in `run`.
    scheduled: u64,
    applied: u64,
    is_applying: bool,
    needs_repair: bool,
    waiters: Vec<(u64, Waiter)>,
    last_used: Option<Instant>,
}

impl Slot {
    fn is_idle(&self) -> bool {
        !self.is_loading
            && self.parked.is_empty()
            && !self.in_batch
            && self.run.is_none()
            && !self.is_applying
            && !self.needs_repair
            && self.waiters.is_empty()
    }
}

struct Actor<B> {
    backend: Arc<B>,
    announcer: Arc<dyn Announce>,
    events: mpsc::UnboundedSender<Event>,
    slots: HashMap<Owner, Slot>,
    /// Jobs to be checked, in order.
    ready: VecDeque<Job>,
    /// Owners with something to apply.
    dirty: Vec<Owner>,
    is_inserting: bool,
    is_applying: bool,
    /// How many entries the last insert had.
    last_batch: usize,
    /// Tasks that will send an event.
    open_jobs: usize,
    /// When idle owners were last looked for.
    last_drop: Instant,
}

impl<B: Backend> Actor<B> {
    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Job>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        let mut jobs = Vec::new();
        let mut is_open = true;
        while is_open || self.open_jobs > 0 {
            tokio::select! {
                biased;
                Some(event) = events.recv() => {
                    self.open_jobs -= 1;
                    self.on_event(event);
                }
                count = inbox.recv_many(&mut jobs, MAX_BATCH), if is_open => {
                    is_open = count > 0;
                    self.ready.extend(jobs.drain(..));
                }
            }
            self.build_batch();
            self.start_apply();
        }
    }

    /// Runs `task` beside the actor; its event comes back.
    fn spawn(&mut self, task: impl Future<Output = Event> + Send + 'static) {
        self.open_jobs += 1;
        let events = self.events.clone();
        tokio::spawn(async move {
            let _ = events.send(task.await);
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
            Event::Applied(runs, matched) => self.on_applied(runs, matched),
            Event::Repaired(owner, applied) => self.on_repaired(owner, applied),
            Event::TargetRead(mut job, as_of, target) => match target {
                Ok(target) => {
                    job.target = Some((as_of, target));
                    self.ready.push_back(job);
                }
                Err(Unavailable) => job.answer(Err(DomainError::store_unavailable())),
            },
            Event::LookedUp(job, lookup, found) => self.on_looked_up(job, lookup, found),
            Event::Retry(job) => self.ready.push_back(job),
            Event::RetryRepair(owner) => {
                self.slot(&owner).is_applying = false;
                self.dirty.push(owner);
            }
        }
    }

    // ---- from command to batch ----

    fn build_batch(&mut self) {
        if self.is_inserting || self.ready.is_empty() {
            return;
        }
        // While the last group is being applied, the next waits until it is as large, so that under load few large groups go instead of many small
        // ones. An apply under way always ends, so this never waits for more to come; and a lone command follows a lone command at once.
        if self.is_applying && self.ready.len() < self.last_batch {
            return;
        }
        let mut batch: Vec<Pending> = Vec::new();
        let mut deferred = Vec::new();
        let mut is_ordered = false;
        while batch.len() < MAX_BATCH {
            let Some(job) = self.ready.pop_front() else {
                break;
            };
            self.check(job, &mut batch, &mut deferred, &mut is_ordered);
        }
        // Answers that would rest on entries of the batch itself wait for its outcome.
        for job in deferred.into_iter().rev() {
            self.ready.push_front(job);
        }
        if batch.is_empty() {
            return;
        }
        self.is_inserting = true;
        self.last_batch = batch.len();
        histogram!("chat_log_batch_entries").record(batch.len() as f64);
        let entries: Vec<Arc<Entry>> = batch.iter().map(|p| Arc::clone(&p.entry)).collect();
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            failpoint::hit("append.before_insert");
            let outcome = backend.insert(&entries, is_ordered).await;
            Event::Inserted(batch, outcome)
        });
    }

    fn check(
        &mut self,
        mut job: Job,
        batch: &mut Vec<Pending>,
        deferred: &mut Vec<Job>,
        is_ordered: &mut bool,
    ) {
        if job.reply.is_closed() {
            // The caller has given up; nobody would learn of it.
            return;
        }
        let owner = job.request.owner.clone();
        let slot = self.slot(&owner);
        slot.last_used = Some(Instant::now());
        let Some(state) = &mut slot.state else {
            slot.parked.push_back(job);
            self.start_load(owner);
            return;
        };
        let target = match job.request.target() {
            None => None,
            Some(message) => match &job.target {
                Some((as_of, target))
                    if slot.touched.get(message).unwrap_or(&slot.touched_floor) <= as_of =>
                {
                    target.as_ref()
                }
                _ => {
                    let seq = state.seq();
                    if slot.in_batch {
                        deferred.push(job);
                    } else if slot.applied < seq {
                        slot.waiters.push((seq, Waiter::ReadTarget(Box::new(job))));
                    } else {
                        self.read_target(job, seq);
                    }
                    return;
                }
            },
        };
        let at = Timestamp::now();
        match decide(state, &job.request, target, at) {
            Ok(Decision::Append(body)) => {
                let entry = Arc::new(Entry {
                    id: job.request.event_id.clone(),
                    owner,
                    seq: state.seq() + 1,
                    actor: job.request.actor.clone(),
                    at,
                    body,
                });
                let effects = fold(state, &entry);
                if let Some((message, _)) = &effects.facet {
                    slot.touched.insert(message.clone(), entry.seq);
                }
                *is_ordered |= slot.in_batch;
                slot.in_batch = true;
                batch.push(Pending {
                    job,
                    entry,
                    effects,
                });
            }
            _ if slot.in_batch => deferred.push(job),
            decision => {
                let seq = state.seq();
                match job.seen {
                    // An append is proven by its number; what appends nothing is proven by reading whether the log went on.
                    None => self.look_before_refusal(job, seq),
                    Some(seen) if seen > seq => {
                        // What is new may be its own entry, from another process.
                        job.is_doubtful = true;
                        slot.state = None;
                        slot.parked.push_back(job);
                        self.start_load(owner);
                    }
                    // An insert on its way may yet write it where this check has not looked.
                    Some(_) if job.maybe_at > seq => {
                        job.answer(Err(DomainError::store_unavailable()));
                    }
                    Some(_) => self.answer_without_entry(job, seq, decision),
                }
            }
        }
    }

    fn answer_without_entry(
        &mut self,
        job: Job,
        seq: u64,
        decision: Result<Decision, DomainError>,
    ) {
        match decision {
            Err(refusal) => job.answer(Err(refusal)),
            Ok(_) => {
                let outcome = Outcome {
                    entry: None,
                    is_repeated: true,
                };
                self.answer_when_applied(&job.request.owner, seq, job.reply, outcome);
            }
        }
    }

    fn read_target(&mut self, job: Job, as_of: u64) {
        let Some(id) = job.request.target().cloned() else {
            self.ready.push_back(job);
            return;
        };
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let target = backend.find_message_state(&id).await;
            Event::TargetRead(job, as_of, target)
        });
    }

    fn look_up(&mut self, job: Job, lookup: Lookup) {
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let found = match lookup {
                Lookup::SameMessage => find_same(&*backend, &job.request).await,
                _ => backend.find_by_id(&job.request.event_id).await,
            };
            Event::LookedUp(job, lookup, found)
        });
    }

    fn look_before_refusal(&mut self, mut job: Job, seq: u64) {
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let (found, tail) = tokio::join!(
                find_same(&*backend, &job.request),
                backend.read_log(&job.request.owner, seq, TAIL),
            );
            let found = tail.and_then(|tail| {
                job.seen = Some(tail.last().map_or(seq, |entry| entry.seq));
                found
            });
            Event::LookedUp(job, Lookup::Refused, found)
        });
    }

    fn on_looked_up(
        &mut self,
        job: Job,
        lookup: Lookup,
        found: Result<Option<Arc<Entry>>, Unavailable>,
    ) {
        let Ok(found) = found else {
            job.answer(Err(DomainError::store_unavailable()));
            return;
        };
        match (found, lookup) {
            (Some(entry), Lookup::SameMessage) if !is_same_message(&job.request, &entry) => {
                job.answer(Err(DomainError::Conflict(
                    "This clientMessageId was used for another message in this conversation."
                        .into(),
                )));
            }
            (None, Lookup::Refused) => self.ready.push_front(job),
            (Some(entry), Lookup::Refused)
                if entry.id != job.request.event_id && !is_same_message(&job.request, &entry) =>
            {
                self.ready.push_front(job);
            }
            (Some(entry), _) => {
                let owner = entry.owner.clone();
                let seq = entry.seq;
                if entry.id == job.request.event_id {
                    // Whoever inserted it may have died before it told anybody.
                    self.announcer.announce(std::slice::from_ref(&entry));
                }
                let outcome = Outcome {
                    is_repeated: entry.id != job.request.event_id,
                    entry: Some(entry),
                };
                self.answer_when_applied(&owner, seq, job.reply, outcome);
            }
            // It is there, but a majority does not have it yet.
            (None, Lookup::SameCommand | Lookup::SameMessage) => self.retry_later(job),
        }
    }

    fn retry_later(&mut self, mut job: Job) {
        job.attempts += 1;
        let pause = RETRY_PAUSE * job.attempts;
        self.spawn(async move {
            tokio::time::sleep(pause).await;
            Event::Retry(job)
        });
    }

    // ---- loading ----

    fn start_load(&mut self, owner: Owner) {
        self.start_load_after(Duration::ZERO, owner);
    }

    fn start_load_after(&mut self, pause: Duration, owner: Owner) {
        self.drop_idle();
        let slot = self.slot(&owner);
        if slot.is_loading {
            return;
        }
        slot.is_loading = true;
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let loaded = apply::load(&*backend, &owner).await;
            Event::Loaded(owner, loaded)
        });
    }

    fn drop_idle(&mut self) {
        let now = Instant::now();
        if self.slots.len() < MAX_OWNERS || now - self.last_drop < Duration::from_secs(1) {
            return;
        }
        self.last_drop = now;
        self.slots.retain(|_, slot| {
            !slot.is_idle() || slot.last_used.is_some_and(|used| now - used < IDLE)
        });
    }

    fn on_loaded(&mut self, owner: Owner, loaded: Result<Loaded, Unavailable>) {
        let loaded = match loaded {
            Ok(loaded) if self.slot(&owner).parked.iter().any(|job| job.is_doubtful) => {
                self.resolve_doubts(owner, loaded);
                return;
            }
            loaded => loaded,
        };
        let slot = self.slot(&owner);
        slot.is_loading = false;
        let parked = std::mem::take(&mut slot.parked);
        match loaded {
            Err(Unavailable) => {
                for job in parked {
                    job.answer(Err(DomainError::store_unavailable()));
                }
            }
            Ok(loaded) => {
                slot.applied = slot.applied.max(loaded.run.from);
                slot.scheduled = loaded.run.to;
                // Others may have written since a message was read for a waiting check.
                slot.touched.clear();
                slot.touched_floor = loaded.run.to;
                slot.state = Some(loaded.state);
                // What the documents lack is somebody's unfinished work: repair reads it again and finishes it.
                slot.run = None;
                slot.needs_repair |= !loaded.run.is_empty();
                if slot.needs_repair {
                    self.dirty.push(owner.clone());
                }
                self.release(&owner);
                for job in parked.into_iter().rev() {
                    self.ready.push_front(job);
                }
            }
        }
    }

    /// Looks for the entries of jobs whose insert had an unknown outcome. Whoever came after them waits behind them.
    fn resolve_doubts(&mut self, owner: Owner, loaded: Loaded) {
        let mut ids = Vec::new();
        for job in &mut self.slot(&owner).parked {
            if std::mem::take(&mut job.is_doubtful) {
                ids.push(job.request.event_id.clone());
            }
        }
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let found = try_join_all(ids.iter().map(|id| backend.find_by_id(id))).await;
            let found = found.map(|entries| {
                entries
                    .into_iter()
                    .flatten()
                    .map(|entry| (entry.id.clone(), entry))
                    .collect()
            });
            Event::DoubtsResolved(owner, loaded, found)
        });
    }

    fn on_doubts_resolved(
        &mut self,
        owner: Owner,
        loaded: Loaded,
        found: Result<HashMap<EventId, Arc<Entry>>, Unavailable>,
    ) {
        let Ok(found) = found else {
            self.on_loaded(owner, Err(Unavailable));
            return;
        };
        let slot = self.slot(&owner);
        let (done, waiting): (VecDeque<Job>, VecDeque<Job>) = std::mem::take(&mut slot.parked)
            .into_iter()
            .partition(|job| found.contains_key(&job.request.event_id));
        slot.parked = waiting;
        self.on_loaded(owner.clone(), Ok(loaded));
        for job in done {
            // More than one may have the same id: a command that was handed over twice.
            if let Some(entry) = found.get(&job.request.event_id).cloned() {
                let seq = entry.seq;
                self.announcer.announce(std::slice::from_ref(&entry));
                let outcome = Outcome {
                    entry: Some(entry),
                    is_repeated: false,
                };
                self.answer_when_applied(&owner, seq, job.reply, outcome);
            }
        }
    }

    // ---- from batch to committed ----

    fn on_inserted(&mut self, batch: Vec<Pending>, outcome: InsertOutcome) {
        self.is_inserting = false;
        for pending in &batch {
            self.slot(&pending.entry.owner).in_batch = false;
        }
        let (conflicts, not_tried_from) = match outcome {
            InsertOutcome::Decided {
                conflicts,
                not_tried_from,
            } => (conflicts, not_tried_from),
            InsertOutcome::Unknown => {
                counter!("chat_log_unknown_outcomes_total").increment(1);
                self.doubt(batch);
                return;
            }
        };
        failpoint::hit("append.after_insert");
        let mut committed = Vec::with_capacity(batch.len());
        let mut again = Vec::new();
        let mut conflicts = conflicts.into_iter().peekable();
        for (index, pending) in batch.into_iter().enumerate() {
            let conflict = conflicts.next_if(|(at, _)| *at == index).map(|(_, c)| c);
            if conflict.is_none() && index < not_tried_from {
                committed.push(pending);
                continue;
            }
            // The state was folded with this entry in it; without it, it is wrong.
            self.slot(&pending.entry.owner).state = None;
            let mut job = pending.job;
            job.target = None;
            match conflict {
                Some(Conflict::Seq) => {
                    counter!("chat_log_append_conflicts_total").increment(1);
                    again.push(job);
                }
                Some(Conflict::Id) => self.look_up(job, Lookup::SameCommand),
                Some(Conflict::ClientMessageId) => self.look_up(job, Lookup::SameMessage),
                None => again.push(job),
            }
        }
        for job in again.into_iter().rev() {
            self.ready.push_front(job);
        }
        self.on_committed(committed);
    }

    /// Puts the jobs of an insert with an unknown outcome back to the head of their queues, in order.
    fn doubt(&mut self, batch: Vec<Pending>) {
        for Pending { mut job, entry, .. } in batch.into_iter().rev() {
            job.attempts += 1;
            job.maybe_at = job.maybe_at.max(entry.seq);
            job.is_doubtful = true;
            job.seen = None;
            job.target = None;
            let pause = RETRY_PAUSE * job.attempts;
            let slot = self.slot(&entry.owner);
            slot.state = None;
            slot.parked.push_front(job);
            self.start_load_after(pause, entry.owner.clone());
        }
    }

    fn on_committed(&mut self, committed: Vec<Pending>) {
        counter!("chat_log_appends_total").increment(committed.len() as u64);
        let entries: Vec<Arc<Entry>> = committed.iter().map(|p| Arc::clone(&p.entry)).collect();
        self.announcer.announce(&entries);
        failpoint::hit("append.after_announce");
        for pending in committed {
            let Pending {
                job,
                entry,
                effects,
            } = pending;
            let owner = entry.owner.clone();
            let seq = entry.seq;
            let slot = self.slot(&owner);
            if slot.scheduled + 1 == seq {
                slot.scheduled = seq;
                if slot.run.is_none() {
                    self.dirty.push(owner.clone());
                }
                let slot = self.slot(&owner);
                slot.run
                    .get_or_insert_with(|| Run::at(owner.clone(), seq - 1))
                    .push(effects);
            } else {
                slot.needs_repair = true;
                self.dirty.push(owner.clone());
            }
            let outcome = Outcome {
                entry: Some(entry),
                is_repeated: false,
            };
            self.slot(&owner)
                .waiters
                .push((seq, Waiter::Answer(job.reply, outcome)));
        }
    }

    // ---- from committed to applied ----

    fn start_apply(&mut self) {
        if self.is_applying || self.dirty.is_empty() {
            return;
        }
        let mut runs = Vec::new();
        let mut later = Vec::new();
        for owner in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.slots.get_mut(&owner) else {
                continue;
            };
            if slot.is_applying {
                // Its event will mark it dirty again.
                continue;
            }
            if slot.needs_repair {
                slot.needs_repair = false;
                slot.run = None;
                slot.is_applying = true;
                self.start_repair(owner);
            } else if runs.len() >= MAX_RUNS {
                later.push(owner);
            } else if let Some(run) = slot.run.take() {
                slot.is_applying = true;
                runs.push(run);
            }
        }
        self.dirty = later;
        if runs.is_empty() {
            return;
        }
        self.is_applying = true;
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let matched = backend.write(&runs).await;
            failpoint::hit("append.after_apply");
            let runs = runs.into_iter().map(|run| (run.owner, run.to)).collect();
            Event::Applied(runs, matched)
        });
    }

    fn start_repair(&mut self, owner: Owner) {
        counter!("chat_log_repairs_total").increment(1);
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let applied = apply::bring_up_to_date(&*backend, &owner).await;
            Event::Repaired(owner, applied)
        });
    }

    fn on_applied(&mut self, runs: Vec<(Owner, u64)>, matched: Result<Vec<bool>, Unavailable>) {
        self.is_applying = false;
        let matched = matched.unwrap_or_else(|Unavailable| vec![false; runs.len()]);
        for ((owner, to), matched) in runs.into_iter().zip(matched) {
            let slot = self.slot(&owner);
            slot.is_applying = false;
            if matched {
                slot.applied = slot.applied.max(to);
            } else {
                slot.needs_repair = true;
            }
            self.after_apply(owner);
        }
    }

    fn on_repaired(&mut self, owner: Owner, applied: Result<u64, Unavailable>) {
        match applied {
            Ok(applied) => {
                let slot = self.slot(&owner);
                slot.is_applying = false;
                slot.applied = slot.applied.max(applied);
                // Repair may have written part of what is scheduled, or more.
                if slot.run.as_ref().is_some_and(|run| run.from != applied) {
                    slot.run = None;
                    slot.needs_repair = slot.scheduled > applied;
                }
                slot.scheduled = slot.scheduled.max(applied);
                self.after_apply(owner);
            }
            Err(Unavailable) => {
                self.slot(&owner).needs_repair = true;
                self.spawn(async move {
                    tokio::time::sleep(RETRY_PAUSE * 4).await;
                    Event::RetryRepair(owner)
                });
            }
        }
    }

    fn after_apply(&mut self, owner: Owner) {
        self.release(&owner);
        let slot = self.slot(&owner);
        if slot.needs_repair || slot.run.is_some() {
            self.dirty.push(owner);
        }
    }

    fn answer_when_applied(&mut self, owner: &Owner, seq: u64, reply: Reply, outcome: Outcome) {
        let slot = self.slot(owner);
        if slot.applied >= seq {
            let _ = reply.send(Ok(outcome));
            return;
        }
        slot.waiters.push((seq, Waiter::Answer(reply, outcome)));
        if slot.scheduled < seq || (slot.run.is_none() && !slot.is_applying) {
            slot.needs_repair = true;
            self.dirty.push(owner.clone());
        }
    }

    /// Answers everybody whose entry is applied.
    fn release(&mut self, owner: &Owner) {
        let slot = self.slot(owner);
        let applied = slot.applied;
        if slot.touched.len() > MAX_TOUCHED {
            slot.touched.retain(|_, seq| *seq > applied);
            slot.touched_floor = applied;
        }
        let mut reads = Vec::new();
        let mut index = 0;
        while index < slot.waiters.len() {
            if slot.waiters[index].0 > applied {
                index += 1;
                continue;
            }
            match slot.waiters.remove(index) {
                (_, Waiter::Answer(reply, outcome)) => {
                    let _ = reply.send(Ok(outcome));
                }
                (seq, Waiter::ReadTarget(job)) => reads.push((seq, job)),
            }
        }
        for (seq, job) in reads {
            self.read_target(*job, seq);
        }
    }
}

/// The entry that `request` is already: the message under its `clientMessageId`, or else the entry of its id.
async fn find_same<B: Backend>(
    backend: &B,
    request: &Request,
) -> Result<Option<Arc<Entry>>, Unavailable> {
    if let (Command::SendMessage(message), Some(actor)) = (&request.command, &request.actor)
        && let Some(id) = &message.client_message_id
    {
        return backend
            .find_by_client_message_id(&request.owner, actor, id)
            .await;
    }
    backend.find_by_id(&request.event_id).await
}

fn is_same_message(request: &Request, entry: &Entry) -> bool {
    match (&request.command, &entry.body) {
        (Command::SendMessage(asked), Body::MessageCreated(stored)) => {
            asked.request_hash == stored.request_hash
        }
        _ => false,
    }
}

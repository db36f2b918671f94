//! Model of the database: one primary, a majority that follows it, and commands and answers that are delayed or lost.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    faults::{Fate, Faults, Mutant},
    observer::Observer,
    tables::{Change, Effect, Statement, Tables},
};
use chat_service::{model::entry::Owner, store::log::backend::Conflict};

/// The servers of the replica set.
pub struct Database {
    inner: Mutex<Inner>,
    progress: Notify,
}

pub struct Inner {
    pub rng: StdRng,
    pub faults: Faults,
    pub mutant: Option<Mutant>,
    /// Fates of the next commands, which override the random ones; for scripted runs.
    pub fates: VecDeque<Fate>,
    /// True if replication to the majority is paused; for scripted runs.
    pub is_stalled: bool,
    /// True if only the replication to the majority takes time; for scripted runs.
    pub is_quick: bool,
    pub primary: Tables,
    pub majority: Tables,
    pending: VecDeque<(u64, Change)>,
    written: u64,
    committed: u64,
    /// State of the majority at the end of each term of a primary.
    term_ends: Vec<u64>,
    pub in_flight: usize,
    pub observer: Observer,
}

/// Answer of the primary to the statements of one command.
pub struct Reply {
    pub conflicts: Vec<(usize, Conflict)>,
    pub matched: usize,
}

impl Database {
    pub fn new(seed: u64, faults: Faults, mutant: Option<Mutant>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                rng: StdRng::seed_from_u64(seed),
                faults,
                mutant,
                fates: VecDeque::new(),
                is_stalled: false,
                is_quick: false,
                primary: Tables::default(),
                majority: Tables::default(),
                pending: VecDeque::new(),
                written: 0,
                committed: 0,
                term_ends: Vec::new(),
                in_flight: 0,
                observer: Observer::default(),
            }),
            progress: Notify::new(),
        })
    }

    /// Reads or changes the state of the servers atomically.
    pub fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock())
    }

    /// Returns the seq of the last majority-committed entry of `owner`.
    pub fn majority_seq(&self, owner: &Owner) -> u64 {
        self.inner.lock().majority.last_seq(owner)
    }

    /// Writes a majority-committed change, as another client would.
    pub fn plant(&self, change: Change) {
        let mut inner = self.inner.lock();
        inner.primary.apply(&change);
        inner.majority.apply(&change);
    }

    /// Replicates from the primary to the majority, for ever.
    pub async fn replicate(self: Arc<Self>) {
        loop {
            let pause = self.with(|inner| {
                let lag = inner.faults.lag;
                if inner.is_quick {
                    return 1;
                }
                if inner.rng.random_bool(lag) {
                    inner.rng.random_range(10..150)
                } else {
                    inner.rng.random_range(1..4)
                }
            });
            sleep(Duration::from_millis(pause)).await;
            self.with(Inner::step);
            self.progress.notify_waiters();
        }
    }

    /// Waits until a majority has the write at `optime` in `term`. Returns false if the write was rolled back.
    async fn wait_for_majority(&self, term: usize, optime: u64) -> bool {
        loop {
            let progress = self.progress.notified();
            let outcome = self.with(|inner| match inner.term_ends.get(term) {
                Some(end) => Some(optime <= *end),
                None => (inner.committed >= optime).then_some(true),
            });
            match outcome {
                Some(outcome) => return outcome,
                None => progress.await,
            }
        }
    }

    /// Executes the statements on the primary; returns `None` if it stepped down.
    pub async fn serve(&self, statements: Vec<Statement>, ordered: bool) -> Option<Reply> {
        let (term, mutant) = self.with(|inner| (inner.term_ends.len(), inner.mutant));
        let ordered = ordered && mutant != Some(Mutant::IgnoresOrder);
        let mut reply = Reply {
            conflicts: Vec::new(),
            matched: 0,
        };
        if let Some(Statement::Insert(_)) = statements.first() {
            self.with(|inner| {
                inner
                    .observer
                    .inserts
                    .push((Instant::now(), statements.len()))
            });
        }
        let mut is_refused = false;
        for (index, statement) in statements.iter().enumerate() {
            if index > 0 && self.with(|inner| !inner.is_quick && inner.rng.random_bool(0.1)) {
                sleep(Duration::from_millis(1)).await;
            }
            let mut inner = self.inner.lock();
            if inner.term_ends.len() != term {
                return None;
            }
            match inner.execute(statement) {
                Effect::Done(change) => {
                    inner.write(change);
                    reply.matched += 1;
                }
                Effect::NoMatch => is_refused = true,
                Effect::Conflict(conflict) => {
                    is_refused = true;
                    reply.conflicts.push((index, conflict));
                    if ordered {
                        break;
                    }
                }
            }
        }
        let optime = self.with(|inner| {
            let early = inner.faults.early_refusal;
            if mutant == Some(Mutant::AnswersEarly)
                || (is_refused && reply.matched == 0 && inner.rng.random_bool(early))
            {
                inner.committed
            } else {
                inner.written
            }
        });
        self.wait_for_majority(term, optime).await.then_some(reply)
    }
}

impl Inner {
    fn execute(&mut self, statement: &Statement) -> Effect {
        let seq_first = self.rng.random_bool(0.5);
        self.primary.judge(statement, seq_first, self.mutant)
    }

    fn write(&mut self, change: Change) {
        let is_dropped = match (&change, self.mutant) {
            (Change::Entry(_), Some(Mutant::DropsAnEntry)) => self.rng.random_bool(0.05),
            (Change::Member(..), Some(Mutant::SkipsAMember)) => self.rng.random_bool(0.2),
            (Change::Facet(..), Some(Mutant::SkipsAFacet)) => self.rng.random_bool(0.2),
            _ => false,
        };
        if is_dropped {
            return;
        }
        self.observer.before_write(&self.primary, &change);
        self.primary.apply(&change);
        self.written += 1;
        self.pending.push_back((self.written, change));
    }

    /// Performs one step of the replication.
    fn step(&mut self) {
        if self.is_stalled {
            return;
        }
        let rollback = self.faults.rollback;
        let most = self.pending.len();
        let steps = if most > 1 && self.rng.random_bool(0.3) {
            self.rng.random_range(1..most)
        } else {
            most
        };
        for (optime, change) in self.pending.drain(..steps) {
            self.majority.apply(&change);
            self.committed = optime;
            self.observer.after_commit(&self.majority, &change);
        }
        if self.pending.is_empty() {
            self.committed = self.written;
        }
        if self.rng.random_bool(rollback) {
            self.step_down();
        }
    }

    /// Makes another server the primary, with the state of the majority.
    pub fn step_down(&mut self) {
        self.primary = self.majority.clone();
        self.pending.clear();
        self.term_ends.push(self.committed);
    }
}

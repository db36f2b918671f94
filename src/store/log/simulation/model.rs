//! A model of the database: one primary, a majority that follows it, and everything that can be late or lost between.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_sdk::{EventId, MessageId, UserId};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

use super::{
    faults::{Fate, Faults, Mutant},
    tables::{Change, Effect, Statement, Tables},
    watch::Watch,
};
use crate::{
    domain::{
        entry::{Entry, Owner},
        state::{MessageState, State},
    },
    store::log::backend::{Backend, Conflict, InsertOutcome, Run, Unavailable},
};

/// How long a client waits for an answer, in milliseconds.
const INSERT_ANSWER_TIME: u64 = 3000;
const ANSWER_TIME: u64 = 1600;

/// The servers.
pub struct Database {
    inner: Mutex<Inner>,
    progress: Notify,
}

pub struct Inner {
    rng: StdRng,
    pub faults: Faults,
    mutant: Option<Mutant>,
    /// What the next commands are to come to, ahead of chance; for scripted runs.
    pub fates: VecDeque<Fate>,
    /// Whether the majority gets nothing for now; for scripted runs.
    pub is_stalled: bool,
    pub primary: Tables,
    pub majority: Tables,
    pending: VecDeque<(u64, Change)>,
    written: u64,
    committed: u64,
    /// What a majority had at the end of each term of a primary.
    term_ends: Vec<u64>,
    pub in_flight: usize,
    pub watch: Watch,
}

struct Reply {
    conflicts: Vec<(usize, Conflict)>,
    matched: usize,
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
                primary: Tables::default(),
                majority: Tables::default(),
                pending: VecDeque::new(),
                written: 0,
                committed: 0,
                term_ends: Vec::new(),
                in_flight: 0,
                watch: Watch::default(),
            }),
            progress: Notify::new(),
        })
    }

    /// Looks at or changes what the servers hold, at one moment.
    pub fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock())
    }

    /// The number of the last entry of `owner` that a majority has.
    pub fn majority_seq(&self, owner: &Owner) -> u64 {
        self.inner.lock().majority.last_seq(owner)
    }

    /// Writes a change as another client would have, and a majority has it.
    pub fn plant(&self, change: Change) {
        let mut inner = self.inner.lock();
        inner.primary.apply(&change);
        inner.majority.apply(&change);
    }

    /// Lets the majority follow the primary, for ever.
    pub async fn replicate(self: Arc<Self>) {
        loop {
            let pause = self.with(|inner| {
                let lag = inner.faults.lag;
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

    /// Waits until a majority has what was written up to `optime` in `term`. False when it is gone.
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

    /// Does the statements, as the primary; `None` when it stepped down.
    async fn serve(&self, statements: Vec<Statement>, ordered: bool) -> Option<Reply> {
        let (term, mutant) = self.with(|inner| (inner.term_ends.len(), inner.mutant));
        let ordered = ordered && mutant != Some(Mutant::IgnoresOrder);
        let mut reply = Reply {
            conflicts: Vec::new(),
            matched: 0,
        };
        let mut is_refused = false;
        for (index, statement) in statements.iter().enumerate() {
            if index > 0 && self.with(|inner| inner.rng.random_bool(0.1)) {
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
        self.watch.before_write(&self.primary, &change);
        self.primary.apply(&change);
        self.written += 1;
        self.pending.push_back((self.written, change));
    }

    /// One step of the replication.
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
            self.watch.after_commit(&self.majority, &change);
        }
        if self.pending.is_empty() {
            self.committed = self.written;
        }
        if self.rng.random_bool(rollback) {
            self.step_down();
        }
    }

    /// Another server becomes primary, and has what the majority has.
    pub fn step_down(&mut self) {
        self.primary = self.majority.clone();
        self.pending.clear();
        self.term_ends.push(self.committed);
    }
}

/// The way of one process to the database. When the process is dead, nothing comes back to it any more.
pub struct Process {
    database: Arc<Database>,
    is_dead: AtomicBool,
}

impl Process {
    pub fn new(database: &Arc<Database>) -> Arc<Self> {
        Arc::new(Self {
            database: Arc::clone(database),
            is_dead: AtomicBool::new(false),
        })
    }

    pub fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    async fn pause(&self) {
        let pause = self.database.with(|inner| {
            let slow = inner.faults.slow;
            if inner.rng.random_bool(slow) {
                inner.rng.random_range(20..800)
            } else {
                inner.rng.random_range(0..4)
            }
        });
        sleep(Duration::from_millis(pause)).await;
    }

    async fn command(
        &self,
        mut statements: Vec<Statement>,
        ordered: bool,
        answer_time: u64,
    ) -> Option<Reply> {
        self.alive().await;
        let fate = self.database.with(|inner| {
            inner.in_flight += 1;
            match inner.fates.pop_front() {
                Some(fate) => fate,
                None => inner.faults.of_command(&mut inner.rng, statements.len()),
            }
        });
        let delay = match fate {
            Fate::Answered => 0,
            Fate::Failed {
                delay,
                statements: part,
            } => {
                statements.truncate(part);
                delay
            }
        };
        self.pause().await;
        let database = Arc::clone(&self.database);
        let (sender, answer) = oneshot::channel();
        tokio::spawn(async move {
            sleep(Duration::from_millis(delay)).await;
            let reply = database.serve(statements, ordered).await;
            database.with(|inner| inner.in_flight -= 1);
            if let Some(reply) = reply {
                let _ = sender.send(reply);
            }
        });
        let reply = match fate {
            Fate::Failed { .. } => None,
            Fate::Answered => timeout(Duration::from_millis(answer_time), answer)
                .await
                .ok()
                .and_then(Result::ok),
        };
        self.pause().await;
        self.alive().await;
        reply
    }

    async fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> Result<T, Unavailable> {
        self.alive().await;
        self.pause().await;
        let seen = self.database.with(|inner| {
            let fails = inner.faults.read_fails;
            if inner.rng.random_bool(fails) {
                Err(Unavailable)
            } else if inner.mutant == Some(Mutant::ReadsDirty) {
                Ok(look(&inner.primary))
            } else {
                Ok(look(&inner.majority))
            }
        });
        self.pause().await;
        self.alive().await;
        seen
    }

    async fn update(&self, statements: Vec<Statement>) -> Result<usize, Unavailable> {
        if statements.is_empty() {
            return Ok(0);
        }
        let reply = self.command(statements, false, ANSWER_TIME).await;
        reply.map(|reply| reply.matched).ok_or(Unavailable)
    }
}

impl Backend for Process {
    async fn insert(&self, entries: &[Arc<Entry>], ordered: bool) -> InsertOutcome {
        let statements = entries.iter().cloned().map(Statement::Insert).collect();
        match self.command(statements, ordered, INSERT_ANSWER_TIME).await {
            None => InsertOutcome::Unknown,
            Some(reply) => InsertOutcome::Decided {
                not_tried_from: match reply.conflicts.first() {
                    Some((index, _)) if ordered => index + 1,
                    _ => entries.len(),
                },
                conflicts: reply.conflicts,
            },
        }
    }

    async fn read_documents(&self, owner: &Owner) -> Result<State, Unavailable> {
        let state = self.read(|tables| tables.owner_state(owner)).await?;
        Ok(match state {
            State::User(state) => State::User(state),
            State::Conversation(mut state) => {
                state.members = self.read(|tables| tables.members_of(owner)).await?;
                State::Conversation(state)
            }
        })
    }

    async fn read_applied(&self, owners: &[Owner]) -> Result<Vec<u64>, Unavailable> {
        self.read(|tables| owners.iter().map(|owner| tables.applied(owner)).collect())
            .await
    }

    async fn read_log(
        &self,
        owner: &Owner,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, Unavailable> {
        self.read(|tables| tables.entries(owner, after).take(limit).cloned().collect())
            .await
    }

    async fn find_by_id(&self, id: &EventId) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.read(|tables| tables.find_by_id(id).cloned()).await
    }

    async fn find_by_client_message_id(
        &self,
        owner: &Owner,
        actor: &UserId,
        client_message_id: &str,
    ) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.read(|tables| {
            tables
                .find_by_client_message_id(owner, actor, client_message_id)
                .cloned()
        })
        .await
    }

    async fn find_message_state(
        &self,
        id: &MessageId,
    ) -> Result<Option<MessageState>, Unavailable> {
        self.read(|tables| tables.message_state(id)).await
    }

    async fn write(&self, runs: &[Run]) -> Result<Vec<bool>, Unavailable> {
        let mut members = Vec::new();
        let mut facets = Vec::new();
        for run in runs {
            for (user, member) in &run.members {
                members.push(Statement::Member(
                    run.owner.clone(),
                    user.clone(),
                    member.clone(),
                ));
            }
            for (id, facet) in &run.facets {
                facets.push(Statement::Facet(id.clone(), facet.clone()));
            }
        }
        self.update(members).await?;
        self.update(facets).await?;
        let mut written = vec![false; runs.len()];
        for is_user in [false, true] {
            let part: Vec<usize> = (0..runs.len())
                .filter(|index| matches!(runs[*index].owner, Owner::User(_)) == is_user)
                .collect();
            if part.is_empty() {
                continue;
            }
            let mut statements = Vec::new();
            let mut owners = Vec::new();
            for index in &part {
                statements.push(Statement::Owner(Box::new(runs[*index].clone())));
                owners.push(runs[*index].owner.clone());
            }
            let matched = self.update(statements).await?;
            let applied = match matched == part.len() {
                true => None,
                false => Some(self.read_applied(&owners).await?),
            };
            for (position, index) in part.iter().enumerate() {
                written[*index] = applied
                    .as_ref()
                    .is_none_or(|applied| applied[position] >= runs[*index].to);
            }
        }
        Ok(written)
    }
}

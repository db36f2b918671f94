//! What the actor keeps: jobs on their way, those who wait, and a slot for each owner.
//!
//! Only shapes and what can be read off them. What becomes of a job is decided by the actor; nothing here reads or writes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_sdk::MessageId;
use tokio::time::Instant;

use crate::{
    domain::{
        DomainError,
        command::{Outcome, Reply, Request},
        entry::Entry,
        fold::Effects,
        state::{MessageState, State},
    },
    store::log::backend::Run,
};

/// A command on its way through the actor.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: Reply,
    /// The message that the check needs, and the number of the log as of which it was read.
    pub(super) target: Option<(u64, Option<MessageState>)>,
    pub(super) attempts: u32,
    /// The highest number under which an insert with an unknown outcome may have written it, or may yet; 0 without one.
    pub(super) maybe_at: u64,
    /// Whether to look for its entry before it is checked again. Without, its id would be refused by the index, one insert for each.
    pub(super) is_doubtful: bool,
    /// The last number of the log when it was read for this command, after it had come. A refusal rests on nothing older.
    pub(super) seen: Option<u64>,
}

impl Job {
    pub(super) fn answer(self, outcome: Result<Outcome, DomainError>) {
        let _ = self.reply.send(outcome);
    }
}

/// A job whose entry is in the insert that is on its way.
pub(super) struct Pending {
    pub(super) job: Job,
    pub(super) entry: Arc<Entry>,
    pub(super) effects: Effects,
}

/// Someone who waits until an entry is applied.
pub(super) enum Waiter {
    Answer(Reply, Outcome),
    ReadTarget(Box<Job>),
}

/// What the actor knows of one owner.
#[derive(Default)]
pub(super) struct Slot {
    /// The fold of everything committed, and of the batch on its way; `None` when it has to be read.
    pub(super) state: Option<State>,
    pub(super) is_loading: bool,
    /// Jobs that wait for the loading, in order.
    pub(super) parked: VecDeque<Job>,
    /// Whether the batch that is built or on its way has an entry of this owner.
    pub(super) in_batch: bool,
    /// Messages touched by entries, and by which number at last.
    pub(super) touched: HashMap<MessageId, u64>,
    /// What `touched` has forgotten is not above this number.
    pub(super) touched_floor: u64,
    /// What is committed and not applied.
    pub(super) run: Option<Run>,
    /// The number up to which everything is applied, being applied, or in `run`.
    pub(super) scheduled: u64,
    pub(super) applied: u64,
    pub(super) is_applying: bool,
    pub(super) needs_repair: bool,
    pub(super) waiters: Vec<(u64, Waiter)>,
    pub(super) last_used: Option<Instant>,
}

impl Slot {
    pub(super) fn is_idle(&self) -> bool {
        !self.is_loading
            && self.parked.is_empty()
            && !self.in_batch
            && self.run.is_none()
            && !self.is_applying
            && !self.needs_repair
            && self.waiters.is_empty()
    }
}

//! From command to batch: checks each job against the fold of everything before it.
//!
//! The entries that the job appends join the batch.
//!
//! A job that cannot be decided yet is handed on to where it waits: to loading, to a lookup in the log, or to the end of the batch in flight.

use std::sync::Arc;

use chat_sdk::Timestamp;
use metrics::histogram;
use tokio::time::Instant;

use super::{
    Actor, Event, GATHERING, MAX_BATCH,
    slot::{Job, Known, Pending, Waiter},
};
use crate::{
    failpoint,
    model::{
        DomainError, bounds,
        command::{Decision, Outcome},
        decide::decide,
        entry::Entry,
        fold::fold,
        size,
        state::TargetState,
    },
    store::log::backend::Backend,
};

/// Entries of one insert.
#[derive(Default)]
struct Batch {
    pending: Vec<Pending>,
    /// Jobs whose answer depends on entries of this batch.
    deferred: Vec<Job>,
    /// True if an owner has two entries in the batch.
    is_ordered: bool,
    /// Upper bound of the bytes that the entries take in the log.
    ///
    /// MongoDB accepts a statement of at most 16 MiB.
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.pending.len() >= MAX_BATCH || self.bytes >= bounds::LOG_BATCH
    }
}

impl<B: Backend> Actor<B> {
    pub(super) fn build_batch(&mut self) {
        if self.is_inserting || self.ready.is_empty() {
            return;
        }
        // Under load, few large groups replace many small ones: that halves the database's work. A lone command follows a lone command at once.
        let is_worth_it = self.last_batch <= 1 || self.ready.len() >= self.last_batch * 2;
        if !is_worth_it && self.has_to_gather() {
            return;
        }
        let mut batch = Batch::default();
        while !batch.is_full() {
            let Some(job) = self.ready.pop_front() else {
                break;
            };
            self.check(job, &mut batch);
        }
        let Batch {
            pending,
            deferred,
            is_ordered,
            ..
        } = batch;
        // Answers that depend on entries of this batch wait for its outcome.
        for job in deferred.into_iter().rev() {
            self.ready.push_front(job);
        }
        if pending.is_empty() {
            return;
        }
        self.is_inserting = true;
        self.last_insert = Instant::now();
        self.last_batch = pending.len();
        histogram!("chat_log_batch_entries").record(pending.len() as f64);
        let entries: Vec<Arc<Entry>> = pending.iter().map(|p| Arc::clone(&p.entry)).collect();
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            failpoint::hit("append.before_insert");
            let outcome = backend.insert(&entries, is_ordered).await;
            Event::Inserted(pending, outcome)
        });
    }

    /// True if the next group has to wait for more.
    ///
    /// It waits while the last one is applied, and for a minimum time after the last one began.
    ///
    /// Both conditions end by themselves.
    fn has_to_gather(&mut self) -> bool {
        if self.is_applying {
            return true;
        }
        let at = self.last_insert + GATHERING;
        let is_early = Instant::now() < at;
        if is_early && !self.is_pausing {
            self.is_pausing = true;
            self.spawn(async move {
                tokio::time::sleep_until(at).await;
                Event::PauseOver
            });
        }
        is_early
    }

    fn check(&mut self, mut job: Job, batch: &mut Batch) {
        if job.reply.is_closed() {
            // The caller has given up, so no one would get the answer.
            return;
        }
        let owner = job.request.owner.clone();
        let slot = self.slot(&owner);
        slot.last_used = Some(Instant::now());
        let Some(state) = &slot.state else {
            slot.parked.push_back(job);
            self.start_load(owner);
            return;
        };
        let seq = state.seq();
        let target = match job.request.target() {
            None => None,
            Some(target) => match slot.know(&target, job.target.as_ref()) {
                Known::State(known) => Some(known),
                Known::ToRead(after) => {
                    let applied = slot.applied;
                    if after <= applied {
                        self.to_read.push((job, target));
                    } else if slot.in_batch {
                        batch.deferred.push(job);
                    } else {
                        slot.waiters
                            .push((after.min(seq), Waiter::ReadTarget(Box::new(job))));
                    }
                    return;
                }
            },
        };
        if let Some(TargetState::Members(members)) = &target {
            slot.bring(members);
        }
        let Some(state) = &mut slot.state else {
            return;
        };
        let at = Timestamp::now();
        match decide(state, &job.request, target.as_ref(), at) {
            Ok(Decision::Append(body)) => {
                let entry = Arc::new(Entry {
                    id: job.request.event_id.clone(),
                    owner,
                    seq: state.seq() + 1,
                    actor: job.request.actor.clone(),
                    at,
                    body,
                    trace: job.request.trace,
                });
                let effects = fold(state, &entry);
                slot.touch(&entry, &effects);
                batch.is_ordered |= slot.in_batch;
                slot.in_batch = true;
                batch.bytes += size::stored_at_most(&entry);
                batch.pending.push(Pending {
                    job,
                    entry,
                    effects,
                });
            }
            _ if slot.in_batch => batch.deferred.push(job),
            decision => {
                let seq = state.seq();
                match job.seen {
                    // An append is proven by its seq; a job without an append is proven by reading whether the log advanced.
                    None => self.look_before_refusal(job, seq),
                    Some(seen) if seen > seq => {
                        // The new entry may be its own, from another process.
                        job.outcome_unknown = true;
                        slot.state = None;
                        slot.parked.push_back(job);
                        self.start_load(owner);
                    }
                    // An insert in flight may still write it at a seq that this check has not read.
                    Some(_) if job.possible_seq > seq => {
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
}

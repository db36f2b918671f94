//! From committed to applied: writes the effects of committed entries to the documents.
//!
//! It repairs documents if that fails, and answers the waiting callers.
//!
//! Nobody waits for the activity of a plain message, so it is gathered: what many messages change in their conversation's document within
//! [`APPLIED_WITHIN`] is one write. A change of many documents (deleting a large group) is applied separately, and so is a repair: an owner waits for
//! its own changes, not for another owner's. A reader of the document asks for it first (`apply_now`); every other change to be applied takes the
//! gathered activity along.

use std::{collections::VecDeque, sync::Arc};

use metrics::counter;
use tokio_util::sync::DropGuard;

use super::{
    Actor, Event, RETRY_PAUSE,
    slot::{Job, Waiter},
};
use crate::{
    failpoint,
    model::{
        command::Outcome,
        entry::Owner,
        writers::{APPLIED_WITHIN, Reply},
    },
    store::log::{
        apply,
        backend::{Backend, Run, Unavailable},
    },
};

/// Maximum number of owners of one apply.
const MAX_RUNS: usize = 512;
/// Maximum number of documents that one apply changes before the rest waits for the next.
const MAX_CHANGES: usize = 1000;
/// Maximum number of large changes that are applied concurrently.
const MAX_LARGE: usize = 4;
/// Maximum number of owners that are repaired concurrently.
const MAX_REPAIRS: usize = 16;
/// Maximum number of touched messages that an owner remembers.
///
/// Forgetting them makes waiting checks read their message again, so it is done rarely.
const MAX_TOUCHED: usize = 256;

/// Path of a change to the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApplyKind {
    /// With changes of other owners, one group at a time.
    Group,
    /// Separately, concurrently with the groups.
    Large,
}

/// Owners whose documents are brought up to date outside the groups.
///
/// Each of them has `is_applying` set.
#[derive(Default)]
pub(super) struct ApplyQueues {
    /// Owners with a large change.
    large: VecDeque<Owner>,
    large_in_flight: usize,
    /// Owners whose documents are at another seq than expected.
    to_repair: VecDeque<Owner>,
    repairs_in_flight: usize,
}

impl<B: Backend> Actor<B> {
    /// Records that `owner` has something to apply.
    ///
    /// It is applied now if a caller waits for it, otherwise with the gathered activity.
    pub(super) fn note_unapplied(&mut self, owner: Owner) {
        let slot = self.slot(&owner);
        if !slot.may_wait() {
            self.mark_dirty(owner);
        } else if !std::mem::replace(&mut slot.is_gathering, true) {
            self.gathering.push(owner);
            if self.gathering.len() == 1 {
                self.spawn(async {
                    tokio::time::sleep(APPLIED_WITHIN).await;
                    Event::Gathered
                });
            }
        }
    }

    /// Makes all gathered activity due.
    pub(super) fn on_gathered(&mut self) {
        for owner in std::mem::take(&mut self.gathering) {
            self.slot(&owner).is_gathering = false;
            self.mark_dirty(owner);
        }
    }

    /// Applies everything that is committed of `owners` now, and drops `until` afterwards.
    pub(super) fn apply_now(&mut self, owners: Vec<Owner>, until: &Arc<DropGuard>) {
        for owner in owners {
            let Some(slot) = self.slots.get_mut(&owner) else {
                continue;
            };
            if slot.applied < slot.scheduled || slot.needs_repair {
                let until = Waiter::ReadBarrier {
                    _until: Arc::clone(until),
                };
                slot.waiters.push((slot.scheduled, until));
                self.mark_dirty(owner);
            }
        }
    }

    /// Queues the committed entries of `owner` to be applied.
    ///
    /// If an apply of this owner is running, its end queues the owner again.
    pub(super) fn mark_dirty(&mut self, owner: Owner) {
        let slot = self.slot(&owner);
        if slot.is_applying {
            return;
        }
        if slot.needs_repair {
            slot.is_applying = true;
            self.apply_queues.to_repair.push_back(owner);
        } else if slot.run.as_ref().is_some_and(Run::is_large) {
            slot.is_applying = true;
            self.apply_queues.large.push_back(owner);
        } else {
            self.dirty.push(owner);
        }
    }

    pub(super) fn start_apply(&mut self) {
        self.start_repairs();
        self.start_large();
        if self.is_applying || self.dirty.is_empty() {
            return;
        }
        let mut runs = Vec::new();
        let mut changes = 0;
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
                self.mark_dirty(owner);
                continue;
            }
            let Some(run) = slot.run.take() else {
                // Another process has applied it.
                self.behind.lock().remove(&owner);
                continue;
            };
            if runs.len() >= MAX_RUNS || changes >= MAX_CHANGES {
                slot.run = Some(run);
                later.push(owner);
                continue;
            }
            slot.is_applying = true;
            changes += run.changes();
            runs.push(run);
        }
        self.dirty.extend(later);
        self.start_repairs();
        if !runs.is_empty() {
            self.is_applying = true;
            self.write(runs, ApplyKind::Group);
        }
    }

    /// Starts a large change separately, so that only its own owner waits for it.
    fn start_large(&mut self) {
        while self.apply_queues.large_in_flight < MAX_LARGE
            && let Some(owner) = self.apply_queues.large.pop_front()
        {
            let slot = self.slot(&owner);
            match slot.run.take() {
                Some(run) => {
                    self.apply_queues.large_in_flight += 1;
                    self.write(vec![run], ApplyKind::Large);
                }
                None => {
                    slot.is_applying = false;
                    self.after_apply(owner);
                }
            }
        }
    }

    fn write(&mut self, runs: Vec<Run>, kind: ApplyKind) {
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let matched = backend.write(&runs).await;
            failpoint::hit("append.after_apply");
            let runs = runs.into_iter().map(|run| (run.owner, run.to)).collect();
            Event::Applied(kind, runs, matched)
        });
    }

    fn start_repairs(&mut self) {
        while self.apply_queues.repairs_in_flight < MAX_REPAIRS
            && let Some(owner) = self.apply_queues.to_repair.pop_front()
        {
            self.apply_queues.repairs_in_flight += 1;
            let slot = self.slot(&owner);
            slot.needs_repair = false;
            slot.run = None;
            counter!("chat_log_repairs_total").increment(1);
            let backend = Arc::clone(&self.backend);
            self.spawn(async move {
                let applied = apply::bring_up_to_date(&*backend, &owner).await;
                Event::Repaired(owner, applied)
            });
        }
    }

    pub(super) fn on_applied(
        &mut self,
        kind: ApplyKind,
        runs: Vec<(Owner, u64)>,
        matched: Result<Vec<bool>, Unavailable>,
    ) {
        match kind {
            ApplyKind::Group => self.is_applying = false,
            ApplyKind::Large => self.apply_queues.large_in_flight -= 1,
        }
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

    pub(super) fn on_repaired(&mut self, owner: Owner, applied: Result<u64, Unavailable>) {
        self.apply_queues.repairs_in_flight -= 1;
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
            self.note_unapplied(owner);
        } else {
            self.behind.lock().remove(&owner);
        }
    }

    pub(super) fn answer_when_applied(
        &mut self,
        owner: &Owner,
        seq: u64,
        reply: Reply,
        outcome: Outcome,
    ) {
        let slot = self.slot(owner);
        if slot.applied >= seq {
            let _ = reply.send(Ok(outcome));
            return;
        }
        slot.waiters.push((seq, Waiter::Answer(reply, outcome)));
        if slot.scheduled < seq || (slot.run.is_none() && !slot.is_applying) {
            slot.needs_repair = true;
            self.mark_dirty(owner.clone());
        }
    }

    /// Answers all callers whose entry is applied.
    pub(super) fn release(&mut self, owner: &Owner) {
        let slot = self.slot(owner);
        let applied = slot.applied;
        slot.forget_former();
        if slot.touched.len() > MAX_TOUCHED {
            slot.touched.retain(|_, seq| *seq > applied);
            slot.touched_floor = applied;
        }
        let mut reads: Vec<Job> = Vec::new();
        for (seq, waiter) in std::mem::take(&mut slot.waiters) {
            match waiter {
                waiter if seq > applied => slot.waiters.push((seq, waiter)),
                Waiter::Answer(reply, outcome) => {
                    let _ = reply.send(Ok(outcome));
                }
                Waiter::ReadTarget(job) => reads.push(*job),
                Waiter::ReadBarrier { .. } => {}
            }
        }
        // Their next check finds that the targets can be read.
        self.ready.extend(reads);
    }
}

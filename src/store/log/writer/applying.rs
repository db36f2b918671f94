//! From committed to applied: writes the effects of committed entries to the documents, has them repaired where that fails, and answers
//! whoever waits for it.
//!
//! That a message came is waited for by nobody, so it gathers: what many messages do to the document of their conversation within
//! [`APPLIED_WITHIN`] is one write. A change of many documents (a large group that is deleted) goes by itself, and so does a repair: an owner waits for its own
//! changes, not for another's. Whoever wants to read the document before asks for it (`settle`), and everything else that is to be applied takes it along.

use std::{collections::VecDeque, sync::Arc};

use metrics::counter;
use tokio_util::sync::DropGuard;

use super::{
    Actor, Event, RETRY_PAUSE,
    slot::{Job, Waiter},
};
use crate::{
    domain::{
        command::{APPLIED_WITHIN, Outcome, Reply},
        entry::Owner,
    },
    failpoint,
    store::log::{
        apply,
        backend::{Backend, Run, Unavailable},
    },
};

/// The most owners of one apply.
const MAX_RUNS: usize = 512;
/// How many documents one apply changes before the rest waits for the next.
const MAX_CHANGES: usize = 1000;
/// How many large changes are applied at once.
const MAX_LARGE: usize = 4;
/// How many owners are repaired at once.
const MAX_REPAIRS: usize = 16;
/// How many touched messages an owner remembers. Forgetting makes waiting checks read their message again, so it is done rarely.
const MAX_TOUCHED: usize = 256;

/// The way that a change takes to the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Together with those of other owners, one group at a time.
    Group,
    /// By itself, beside the groups.
    Large,
}

/// Owners whose documents are brought to where the log is beside the groups. What is here `is_applying`.
#[derive(Default)]
pub(super) struct Lanes {
    /// Owners with a large change.
    large: VecDeque<Owner>,
    large_under_way: usize,
    /// Owners whose documents are elsewhere than expected.
    to_repair: VecDeque<Owner>,
    repairs_under_way: usize,
}

impl<B: Backend> Actor<B> {
    /// Notes that there is something to apply for `owner`: now if somebody waits for it, else with what gathers.
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

    /// Everything that has gathered is due.
    pub(super) fn on_gathered(&mut self) {
        for owner in std::mem::take(&mut self.gathering) {
            self.slot(&owner).is_gathering = false;
            self.mark_dirty(owner);
        }
    }

    /// Has everything that is committed of `owners` applied now; `until` is dropped when it is.
    pub(super) fn settle(&mut self, owners: Vec<Owner>, until: &Arc<DropGuard>) {
        for owner in owners {
            let Some(slot) = self.slots.get_mut(&owner) else {
                continue;
            };
            if slot.applied < slot.scheduled || slot.needs_repair {
                let until = Waiter::Settle {
                    _until: Arc::clone(until),
                };
                slot.waiters.push((slot.scheduled, until));
                self.mark_dirty(owner);
            }
        }
    }

    /// Queues what is committed of `owner` to be applied. While something of it is being applied already, the end of that will queue it again.
    pub(super) fn mark_dirty(&mut self, owner: Owner) {
        let slot = self.slot(&owner);
        if slot.is_applying {
            return;
        }
        if slot.needs_repair {
            slot.is_applying = true;
            self.lanes.to_repair.push_back(owner);
        } else if slot.run.as_ref().is_some_and(Run::is_large) {
            slot.is_applying = true;
            self.lanes.large.push_back(owner);
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
            self.write(runs, Lane::Group);
        }
    }

    /// A large change goes by itself, so that nobody but its own owner waits for it.
    fn start_large(&mut self) {
        while self.lanes.large_under_way < MAX_LARGE
            && let Some(owner) = self.lanes.large.pop_front()
        {
            let slot = self.slot(&owner);
            match slot.run.take() {
                Some(run) => {
                    self.lanes.large_under_way += 1;
                    self.write(vec![run], Lane::Large);
                }
                None => {
                    slot.is_applying = false;
                    self.after_apply(owner);
                }
            }
        }
    }

    fn write(&mut self, runs: Vec<Run>, lane: Lane) {
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let matched = backend.write(&runs).await;
            failpoint::hit("append.after_apply");
            let runs = runs.into_iter().map(|run| (run.owner, run.to)).collect();
            Event::Applied(lane, runs, matched)
        });
    }

    fn start_repairs(&mut self) {
        while self.lanes.repairs_under_way < MAX_REPAIRS
            && let Some(owner) = self.lanes.to_repair.pop_front()
        {
            self.lanes.repairs_under_way += 1;
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
        lane: Lane,
        runs: Vec<(Owner, u64)>,
        matched: Result<Vec<bool>, Unavailable>,
    ) {
        match lane {
            Lane::Group => self.is_applying = false,
            Lane::Large => self.lanes.large_under_way -= 1,
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
        self.lanes.repairs_under_way -= 1;
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

    /// Answers everybody whose entry is applied.
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
                Waiter::Settle { .. } => {}
            }
        }
        // Checked again, they find that what they ask for can be read.
        self.ready.extend(reads);
    }
}

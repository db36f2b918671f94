//! From committed to applied: writes the effects of committed entries to the documents, has them repaired where that fails, and answers
//! whoever waits for it.

use std::sync::Arc;

use metrics::counter;

use super::{
    Actor, Event, RETRY_PAUSE,
    slot::{Job, Waiter},
};
use crate::{
    domain::{
        command::{Outcome, Reply},
        entry::Owner,
    },
    failpoint,
    store::log::{
        apply,
        backend::{Backend, Unavailable},
    },
};

/// The most owners of one apply.
const MAX_RUNS: usize = 512;
/// How many touched messages an owner remembers. Forgetting makes waiting checks read their message again, so it is done rarely.
const MAX_TOUCHED: usize = 256;

impl<B: Backend> Actor<B> {
    pub(super) fn start_apply(&mut self) {
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

    pub(super) fn on_applied(
        &mut self,
        runs: Vec<(Owner, u64)>,
        matched: Result<Vec<bool>, Unavailable>,
    ) {
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

    pub(super) fn on_repaired(&mut self, owner: Owner, applied: Result<u64, Unavailable>) {
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
            self.dirty.push(owner.clone());
        }
    }

    /// Answers everybody whose entry is applied.
    pub(super) fn release(&mut self, owner: &Owner) {
        let slot = self.slot(owner);
        let applied = slot.applied;
        if slot.touched.len() > MAX_TOUCHED {
            slot.touched.retain(|_, seq| *seq > applied);
            slot.touched_floor = applied;
        }
        let mut reads: Vec<Job> = Vec::new();
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
                (_, Waiter::ReadTarget(job)) => reads.push(*job),
            }
        }
        // Checked again, they find that what they ask for can be read.
        self.ready.extend(reads);
    }
}

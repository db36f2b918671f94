//! From batch to committed: handles the outcome of an insert, and announces what is in the log.
//!
//! A job whose entry is not known to be in the log goes back: its owner's state is dropped, and the job is checked again or looked up.

use std::sync::Arc;

use metrics::counter;

use super::{
    Actor, RETRY_PAUSE,
    lookup::Lookup,
    slot::{Pending, Waiter},
};
use crate::{
    failpoint,
    model::{command::Outcome, entry::Entry},
    store::log::backend::{Backend, Conflict, InsertOutcome, Run},
};

impl<B: Backend> Actor<B> {
    pub(super) fn on_inserted(&mut self, batch: Vec<Pending>, outcome: InsertOutcome) {
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
                self.requeue_unknown(batch);
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
            // The state was folded with this entry in it, so it is wrong without it.
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
    fn requeue_unknown(&mut self, batch: Vec<Pending>) {
        for Pending { mut job, entry, .. } in batch.into_iter().rev() {
            job.attempts += 1;
            job.possible_seq = job.possible_seq.max(entry.seq);
            job.outcome_unknown = true;
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
            let is_message_alone = effects.is_message_alone();
            let slot = self.slot(&owner);
            if slot.scheduled + 1 == seq {
                slot.scheduled = seq;
                slot.run
                    .get_or_insert_with(|| Run::at(owner.clone(), seq - 1))
                    .push(effects);
            } else {
                slot.needs_repair = true;
            }
            let outcome = Outcome {
                entry: Some(entry),
                is_repeated: false,
            };
            if is_message_alone {
                // The owner is marked as behind before the sender can read.
                self.behind.lock().insert(owner.clone());
                let _ = job.reply.send(Ok(outcome));
            } else {
                slot.waiters.push((seq, Waiter::Answer(job.reply, outcome)));
            }
            self.note_unapplied(owner);
        }
    }
}

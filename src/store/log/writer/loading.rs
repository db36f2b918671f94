//! Loading: reads an owner's state while its jobs wait.
//!
//! It also resolves unknown outcomes and drops idle owners.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chat_sdk::EventId;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{
    Actor, Event,
    slot::{Job, Slot},
};
use crate::{
    model::{
        DomainError,
        command::Outcome,
        entry::{Entry, Owner},
    },
    store::log::{
        apply::{self, Loaded},
        backend::{Backend, Unavailable},
    },
};

/// Number of owners in memory above which idle ones are dropped.
const MAX_OWNERS: usize = 20_000;
/// Number of members in all states above which idle owners are dropped: a few hundred megabytes.
const MAX_MEMBERS: usize = 1_000_000;
/// Time between two checks for idle owners.
const DROP_PAUSE: Duration = Duration::from_secs(1);
/// Time after which an unused owner counts as idle, once there are too many.
const IDLE: Duration = Duration::from_secs(30);

impl<B: Backend> Actor<B> {
    pub(super) fn start_load(&mut self, owner: Owner) {
        self.start_load_after(Duration::ZERO, owner);
    }

    pub(super) fn start_load_after(&mut self, pause: Duration, owner: Owner) {
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
        let is_full = self.slots.len() >= MAX_OWNERS || self.loaded_members >= MAX_MEMBERS;
        if !is_full || now - self.last_drop < DROP_PAUSE {
            return;
        }
        self.last_drop = now;
        // Large states are dropped sooner: a few of them fill the memory that thousands of others need.
        let patience = if self.loaded_members >= MAX_MEMBERS {
            DROP_PAUSE
        } else {
            IDLE
        };
        self.slots.retain(|_, slot| {
            !slot.is_idle() || slot.last_used.is_some_and(|used| now - used < patience)
        });
        self.loaded_members = self.slots.values().map(Slot::members).sum();
    }

    pub(super) fn on_loaded(&mut self, owner: Owner, loaded: Result<Loaded, Unavailable>) {
        let loaded = match loaded {
            Ok(loaded)
                if self
                    .slot(&owner)
                    .parked
                    .iter()
                    .any(|job| job.outcome_unknown) =>
            {
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
                // Another process may have written since a message was read for a waiting check.
                slot.forget_targets(loaded.run.to);
                slot.load(loaded.state);
                let members = slot.members();
                // The documents lack another process's unfinished work: repair reads it again and finishes it.
                slot.run = None;
                slot.needs_repair |= !loaded.run.is_empty();
                if slot.needs_repair {
                    self.mark_dirty(owner.clone());
                }
                self.loaded_members += members;
                self.release(&owner);
                for job in parked.into_iter().rev() {
                    self.ready.push_front(job);
                }
            }
        }
    }

    /// Looks for the entries of jobs whose insert had an unknown outcome.
    ///
    /// Later jobs of the owner wait behind them.
    fn resolve_doubts(&mut self, owner: Owner, loaded: Loaded) {
        let mut ids = Vec::new();
        for job in &mut self.slot(&owner).parked {
            if std::mem::take(&mut job.outcome_unknown) {
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

    pub(super) fn on_doubts_resolved(
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
            // More than one job may have the same id: a command that was forwarded twice.
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
}

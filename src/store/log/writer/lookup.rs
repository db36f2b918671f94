//! Lookups for one job: whether its entry already exists, and the state of its target message.
//!
//! A job that was forwarded twice finds its own entry here and is answered with it.

use std::sync::Arc;

use super::{Actor, Event, RETRY_PAUSE, slot::Job};
use crate::{
    model::{
        DomainError,
        command::{Command, Outcome, Request},
        entry::{Body, Entry},
        messages::other_message,
        state::{Target, TargetState},
    },
    store::log::backend::{Backend, Unavailable},
};

/// Maximum number of entries read to confirm that a refusal accounts for all of them.
///
/// With more, the log is read anew anyway.
const TAIL: usize = 100;
/// Maximum number of targets of one read.
const MAX_TARGETS: usize = 256;
/// Maximum number of users of one such read, unless the first command alone names more.
const MAX_USERS: usize = 1000;

/// Reason for looking up an entry.
#[derive(Clone, Copy)]
pub(super) enum Lookup {
    /// An entry with its id exists.
    SameCommand,
    /// A message with its `clientMessageId` exists.
    SameMessage,
    /// The check refuses it or finds it unnecessary.
    ///
    /// If it was forwarded twice, the reason may be its own effect.
    Refused,
}

impl<B: Backend> Actor<B> {
    /// Reads the targets of waiting jobs: jobs that arrive during a read share the next one.
    ///
    /// So many users who act on one message at once cost a few reads, not one for each.
    pub(super) fn start_reading(&mut self) {
        if self.to_read.is_empty() || self.is_reading {
            return;
        }
        let mut users = 0;
        let fits = |(index, (_, target)): &(usize, &(Job, Target))| {
            if let Target::Members { users: named, .. } = target {
                users += named.len();
            }
            *index == 0 || users <= MAX_USERS
        };
        let waiting = self.to_read.iter().take(MAX_TARGETS).enumerate();
        let count = waiting.take_while(fits).count();
        let (jobs, targets): (Vec<Job>, Vec<Target>) = self.to_read.drain(..count).unzip();
        let jobs: Vec<(Job, u64)> = jobs
            .into_iter()
            .map(|job| {
                // A read that starts now includes everything that is applied now.
                let as_of = self.slot(&job.request.owner).applied;
                (job, as_of)
            })
            .collect();
        self.is_reading = true;
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let states = backend.find_targets(&targets).await;
            Event::TargetsRead(jobs, states)
        });
    }

    pub(super) fn on_targets_read(
        &mut self,
        jobs: Vec<(Job, u64)>,
        states: Result<Vec<TargetState>, Unavailable>,
    ) {
        self.is_reading = false;
        let Ok(states) = states else {
            for (job, _) in jobs {
                job.answer(Err(DomainError::store_unavailable()));
            }
            return;
        };
        for ((mut job, as_of), state) in jobs.into_iter().zip(states) {
            job.target = Some((as_of, state));
            self.ready.push_back(job);
        }
    }

    pub(super) fn look_up(&mut self, job: Job, lookup: Lookup) {
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let found = match lookup {
                Lookup::SameMessage => find_same(&*backend, &job.request).await,
                _ => backend.find_by_id(&job.request.event_id).await,
            };
            Event::LookedUp(job, lookup, found)
        });
    }

    pub(super) fn look_before_refusal(&mut self, mut job: Job, seq: u64) {
        let backend = Arc::clone(&self.backend);
        self.spawn(async move {
            let (found, tail) = tokio::join!(
                find_same(&*backend, &job.request),
                backend.read_log(&job.request.owner, seq, TAIL),
            );
            let found = tail.and_then(|tail| {
                job.seen = Some(tail.entries.last().map_or(seq, |entry| entry.seq));
                found
            });
            Event::LookedUp(job, Lookup::Refused, found)
        });
    }

    pub(super) fn on_looked_up(
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
                job.answer(Err(other_message()));
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
                    // The process that inserted it may have died before announcing it.
                    self.announcer.announce(std::slice::from_ref(&entry));
                }
                let outcome = Outcome {
                    is_repeated: entry.id != job.request.event_id,
                    entry: Some(entry),
                };
                self.answer_when_applied(&owner, seq, job.reply, outcome);
            }
            // The entry exists, but a majority does not have it yet.
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
}

/// Finds the entry that `request` already has.
///
/// It is the message with its `clientMessageId`, otherwise the entry with its id.
async fn find_same<B: Backend>(
    backend: &B,
    request: &Request,
) -> Result<Option<Arc<Entry>>, Unavailable> {
    if let Command::SendMessage(message) = &request.command
        && let Some(id) = &message.client_message_id
    {
        return backend
            .find_by_client_message_id(&request.owner, request.actor.as_ref(), id)
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

//! Bringing documents to where the log is.

use std::{collections::BTreeSet, sync::Arc};

use chat_sdk::{EventId, Timestamp, UserId};

use super::backend::{Backend, Run, Unavailable};
use crate::domain::{
    entry::{Body, Entry, Owner},
    fold::{continued, fold},
    state::State,
};

/// How many entries are read at once.
const PAGE: usize = 500;
/// How often the log is read again without getting further before giving up for now.
const MAX_ATTEMPTS: u32 = 20;

/// The state of a log, as far as a majority has committed it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The fold of all of it.
    pub state: State,
    /// What the documents lack.
    pub run: Run,
}

/// Reads documents and the entries that they lack, and folds.
///
/// A number that is missing while a later one is there gets a `noop`: whoever guessed it never learned the outcome and gave up.
///
/// # Errors
/// [`Unavailable`] when the database is.
pub async fn load<B: Backend>(backend: &B, owner: &Owner) -> Result<Loaded, Unavailable> {
    let mut state = backend.read_documents(owner).await?;
    let mut run = Run::at(owner.clone(), state.seq());
    let mut attempts = 0;
    // The highest number that a record is at which was read after the log. A state rests on all entries up to there, or it would be none of the log's.
    let mut ahead = 0;
    loop {
        let page = backend.read_log(owner, state.seq(), PAGE).await?;
        let is_last = !page.has_more;
        ahead = ahead.max(bring_members(backend, &mut state, &page.entries).await?);
        let mut hole = false;
        for entry in page.entries {
            if entry.seq != state.seq() + 1 {
                hole = true;
                break;
            }
            run.push(fold(&mut state, &entry));
        }
        if is_last && !hole && state.seq() >= ahead {
            return Ok(Loaded { state, run });
        }
        if is_last || hole {
            attempts += 1;
            if attempts > MAX_ATTEMPTS {
                return Err(Unavailable);
            }
        }
        if hole {
            fill_hole(backend, owner, state.seq() + 1).await;
        }
    }
}

/// Brings the stored records that the fold of `entries` continues and that `state` does not know. Answers the highest number that one of them is at.
async fn bring_members<B: Backend>(
    backend: &B,
    state: &mut State,
    entries: &[Arc<Entry>],
) -> Result<u64, Unavailable> {
    let State::Conversation(state) = state else {
        return Ok(0);
    };
    let named = entries.iter().flat_map(|entry| continued(entry));
    let unknown: BTreeSet<&UserId> = named
        .filter(|user| !state.members.contains_key(*user))
        .collect();
    if unknown.is_empty() {
        return Ok(0);
    }
    let unknown: Vec<UserId> = unknown.into_iter().cloned().collect();
    let found = backend.find_members(&state.id, &unknown).await?;
    let ahead = found.iter().map(|(_, member)| member.seq).max();
    for (user, member) in found {
        state.bring(user, member);
    }
    Ok(ahead.unwrap_or(0))
}

async fn fill_hole<B: Backend>(backend: &B, owner: &Owner, seq: u64) {
    let noop = Entry {
        id: EventId::generate(),
        owner: owner.clone(),
        seq,
        actor: None,
        at: Timestamp::now(),
        body: Body::Noop,
        trace: None,
    };
    tracing::warn!(%owner, seq, "a number of the log is missing; trying to fill it with a noop");
    // Whatever becomes of it, the next read tells: the index decides between this and the entry that may yet come.
    let _ = backend.insert(&[Arc::new(noop)], true).await;
}

/// Writes what the documents of `owner` lack, and answers the number that they are at then.
///
/// # Errors
/// [`Unavailable`] when the database is.
pub async fn bring_up_to_date<B: Backend>(backend: &B, owner: &Owner) -> Result<u64, Unavailable> {
    loop {
        let loaded = load(backend, owner).await?;
        if loaded.run.is_empty() {
            return Ok(loaded.run.to);
        }
        let to = loaded.run.to;
        if backend.write(&[loaded.run]).await? == [true] {
            return Ok(to);
        }
    }
}

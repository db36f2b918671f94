//! Brings documents up to date with the log.

use std::{collections::BTreeSet, sync::Arc};

use chat_sdk::{EventId, Timestamp, UserId};

use super::backend::{Backend, Run, Unavailable};
use crate::model::{
    entry::{Body, Entry, Owner},
    fold::{continued, fold},
    state::State,
};

/// Maximum number of entries of one read.
const PAGE: usize = 500;
/// Maximum number of reads without progress before the load fails.
const MAX_ATTEMPTS: u32 = 20;

/// State of a log, up to the newest entry that a majority has committed.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Fold of all entries.
    pub state: State,
    /// Changes that the documents lack.
    pub run: Run,
}

/// Reads the documents and the entries that they lack, and folds them.
///
/// A missing seq below a present one is filled with a `noop`: the writer that guessed it never learned the outcome and gave up.
///
/// # Errors
/// [`Unavailable`] if the database is unavailable.
pub async fn load<B: Backend>(backend: &B, owner: &Owner) -> Result<Loaded, Unavailable> {
    let mut state = backend.read_documents(owner).await?;
    let mut run = Run::at(owner.clone(), state.seq());
    let mut attempts = 0;
    // Highest seq of any record that was read after the log. The state must include all entries up to it; otherwise it matches no position of the
    // log.
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

/// Loads the stored records that the fold of `entries` needs and `state` does not have.
///
/// Returns the highest seq of them.
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
    tracing::warn!(%owner, seq, "a seq of the log is missing; filling it with a noop");
    // The outcome does not matter, because the next read shows it: the index decides between this noop and a late entry.
    let _ = backend.insert(&[Arc::new(noop)], true).await;
}

/// Writes what the documents of `owner` lack, and returns the seq that they are at afterwards.
///
/// # Errors
/// [`Unavailable`] if the database is unavailable.
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

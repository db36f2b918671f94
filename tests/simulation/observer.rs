//! Invariants that are checked at every change of the database and at every announcement.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::tables::{Change, Fields, Tables};
use chat_service::model::{
    entry::{Body, Entry, Owner},
    fold::fold,
    state::State,
    writers::Announce,
};

/// Collects violations.
#[derive(Default)]
pub struct Observer {
    pub faults: Vec<String>,
    /// Time and size of each group of entries that reached the database.
    pub inserts: Vec<(Instant, usize)>,
    /// Number of writes of an owner's document.
    pub owner_writes: usize,
    /// Fold of each log up to the seq of its document.
    folds: BTreeMap<Owner, State>,
}

impl Observer {
    /// Checks that an entry is written only directly after the one before it.
    pub fn before_write(&mut self, primary: &Tables, change: &Change) {
        if let Change::Entry(entry) = change
            && primary.last_seq(&entry.owner) + 1 != entry.seq
        {
            self.faults.push(format!(
                "number {} of {} was written where {} is the last",
                entry.seq,
                entry.owner,
                primary.last_seq(&entry.owner)
            ));
        }
    }

    /// Checks that a majority-committed document is the fold of the log up to its seq, and that the documents it depends on are not behind.
    pub fn after_commit(&mut self, majority: &Tables, change: &Change) {
        let Change::Owner(owner, document) = change else {
            return;
        };
        self.owner_writes += 1;
        let state = self
            .folds
            .entry(owner.clone())
            .or_insert_with(|| State::empty(owner));
        if document.applied <= state.seq() {
            self.faults.push(format!(
                "the document of {owner} went from {} to {}",
                state.seq(),
                document.applied
            ));
            return;
        }
        let to = document.applied;
        for entry in majority
            .entries(owner, state.seq())
            .take_while(|entry| entry.seq <= to)
        {
            if let Body::MessageDeleted(target) = &entry.body
                && majority
                    .facets
                    .get(&target.message_id)
                    .is_none_or(|facets| !facets.contains_key(&(1, String::new())))
            {
                self.faults.push(format!(
                    "{owner} is applied to {to} without the deletion at {}",
                    entry.seq
                ));
            }
            fold(state, entry);
        }
        if state.seq() != to {
            self.faults.push(format!(
                "{owner} is applied to {to} without the log up to there"
            ));
        }
        let is_fold = match (&*state, &document.fields) {
            (State::Conversation(state), Fields::Conversation(fields)) => state.fields == *fields,
            (State::User(state), Fields::User(fields)) => state.fields == *fields,
            _ => false,
        };
        if !is_fold {
            self.faults.push(format!(
                "the document of {owner} at {to} is not the fold of the log"
            ));
        }
        if let State::Conversation(state) = state {
            let stored = majority.members_of(owner);
            for (user, member) in &state.members {
                if stored
                    .get(user)
                    .is_none_or(|stored| stored.seq < member.seq)
                {
                    self.faults
                        .push(format!("member {user} of {owner} is behind number {to}"));
                }
            }
        }
    }
}

/// Records announcements of entries that no majority has.
pub struct Listener(pub Arc<super::database::Database>);

impl Announce for Listener {
    fn announce(&self, entries: &[Arc<Entry>]) {
        self.0.with(|inner| {
            for entry in entries {
                if inner.majority.find_by_id(&entry.id) != Some(entry) {
                    inner.observer.faults.push(format!(
                        "number {} of {} was announced before a majority had it",
                        entry.seq, entry.owner
                    ));
                }
            }
        });
    }
}

//! What must hold at every moment: checked at every change of the database, and at every announcement.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::tables::{Change, Fields, Tables};
use crate::domain::{
    command::Announce,
    entry::{Body, Entry, Owner},
    fold::fold,
    state::State,
};

/// Collects what was broken.
#[derive(Default)]
pub struct Watch {
    pub faults: Vec<String>,
    /// When groups of entries came to the database, and with how many entries.
    pub inserts: Vec<(Instant, usize)>,
    /// How often an owner's document was written.
    pub owner_writes: usize,
    /// The fold of each log up to where its document is.
    folds: BTreeMap<Owner, State>,
}

impl Watch {
    /// An entry is written only behind the one before it.
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

    /// A document that a majority has is the fold of the log up to its number, and nothing it rests on is behind it.
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

/// Notes announcements of what no majority has.
pub struct Listener(pub Arc<super::model::Database>);

impl Announce for Listener {
    fn announce(&self, entries: &[Arc<Entry>]) {
        self.0.with(|inner| {
            for entry in entries {
                if inner.majority.find_by_id(&entry.id) != Some(entry) {
                    inner.watch.faults.push(format!(
                        "number {} of {} was announced before a majority had it",
                        entry.seq, entry.owner
                    ));
                }
            }
        });
    }
}

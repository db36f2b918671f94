//! What a database holds: entries with their unique indexes, and documents.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chat_sdk::{EventId, MessageId, UserId};

use super::faults::Mutant;
use crate::{
    domain::{
        entry::{Body, Entry, Owner},
        fold::{DocumentChange, Facet},
        state::{
            ConversationFields, ConversationState, Member, MessageState, State, UserFields,
            UserState,
        },
    },
    store::log::backend::{Conflict, Run},
};

/// An owner's document.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerDocument {
    pub applied: u64,
    pub fields: Fields,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    Conversation(Option<ConversationFields>),
    User(Option<UserFields>),
}

/// What happened to a message since it was sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facets {
    pub edited: Option<Facet>,
    pub deleted: Option<Facet>,
}

fn seq_of(facet: &Facet) -> u64 {
    match facet {
        Facet::Edited { seq, .. } | Facet::Deleted { seq, .. } => *seq,
    }
}

/// One change of a table, as a replica gets it.
#[derive(Debug, Clone)]
pub enum Change {
    Entry(Arc<Entry>),
    Member(Owner, UserId, Member),
    Facet(MessageId, Facet),
    Owner(Owner, OwnerDocument),
}

/// One statement of a command.
#[derive(Debug, Clone)]
pub enum Statement {
    Insert(Arc<Entry>),
    Member(Owner, UserId, Member),
    Facet(MessageId, Facet),
    Owner(Box<Run>),
}

/// What a statement came to.
pub enum Effect {
    Done(Change),
    Conflict(Conflict),
    NoMatch,
}

/// The collections at one moment.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    pub log: BTreeMap<(Owner, u64, EventId), Arc<Entry>>,
    ids: HashMap<EventId, u64>,
    client_message_ids: HashMap<(Owner, UserId, String), Arc<Entry>>,
    pub owners: BTreeMap<Owner, OwnerDocument>,
    pub members: BTreeMap<(Owner, UserId), Member>,
    pub facets: BTreeMap<MessageId, Facets>,
}

fn first_id() -> EventId {
    "evt_00000000000000000000000000"
        .parse()
        .expect("a valid id")
}

/// The key under which a message is found again by its sender.
pub fn client_key(entry: &Entry) -> Option<(Owner, UserId, String)> {
    let Body::MessageCreated(message) = &entry.body else {
        return None;
    };
    let actor = entry.actor.clone()?;
    let id = message.client_message_id.clone()?;
    Some((entry.owner.clone(), actor, id))
}

impl Tables {
    /// The entries of `owner` after number `after`.
    pub fn entries<'a>(
        &'a self,
        owner: &'a Owner,
        after: u64,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let from = (owner.clone(), after + 1, first_id());
        self.log
            .range(from..)
            .take_while(move |((of, ..), _)| of == owner)
            .map(|(_, entry)| entry)
    }

    /// The number of `owner`'s last entry.
    pub fn last_seq(&self, owner: &Owner) -> u64 {
        self.entries(owner, 0).last().map_or(0, |entry| entry.seq)
    }

    fn has_seq(&self, owner: &Owner, seq: u64) -> bool {
        self.entries(owner, seq - 1)
            .next()
            .is_some_and(|entry| entry.seq == seq)
    }

    pub fn find_by_id(&self, id: &EventId) -> Option<&Arc<Entry>> {
        self.log.values().find(|entry| entry.id == *id)
    }

    pub fn find_by_client_message_id(
        &self,
        owner: &Owner,
        actor: &UserId,
        id: &str,
    ) -> Option<&Arc<Entry>> {
        self.client_message_ids
            .get(&(owner.clone(), actor.clone(), id.to_owned()))
    }

    pub fn applied(&self, owner: &Owner) -> u64 {
        self.owners
            .get(owner)
            .map_or(0, |document| document.applied)
    }

    pub fn owner_state(&self, owner: &Owner) -> State {
        let Some(document) = self.owners.get(owner) else {
            return State::empty(owner);
        };
        match (owner, document.fields.clone()) {
            (Owner::Conversation(id), Fields::Conversation(fields)) => {
                State::Conversation(ConversationState {
                    seq: document.applied,
                    fields,
                    ..ConversationState::empty(id.clone())
                })
            }
            (Owner::User(id), Fields::User(fields)) => State::User(UserState {
                seq: document.applied,
                fields,
                ..UserState::empty(id.clone())
            }),
            _ => panic!("a document of another kind of owner"),
        }
    }

    pub fn members_of(&self, owner: &Owner) -> BTreeMap<UserId, Member> {
        self.members
            .iter()
            .filter(|((of, _), _)| of == owner)
            .map(|((_, user), member)| (user.clone(), member.clone()))
            .collect()
    }

    pub fn message_state(&self, id: &MessageId) -> Option<MessageState> {
        let entry = self.find_by_id(&id.to_event_id())?;
        let (Body::MessageCreated(_), Owner::Conversation(conversation), Some(sender)) =
            (&entry.body, &entry.owner, &entry.actor)
        else {
            return None;
        };
        Some(MessageState {
            sender: sender.clone(),
            conversation: conversation.clone(),
            seq: entry.seq,
            is_deleted: self
                .facets
                .get(id)
                .is_some_and(|facets| facets.deleted.is_some()),
        })
    }

    /// What `statement` does here, with guards and indexes judged as mongod judges them. `seq_first` is the order of the two other indexes.
    pub fn judge(&self, statement: &Statement, seq_first: bool, mutant: Option<Mutant>) -> Effect {
        match statement {
            Statement::Insert(entry) => {
                if self.ids.contains_key(&entry.id) {
                    return Effect::Conflict(Conflict::Id);
                }
                let seq = (mutant != Some(Mutant::NumberTwice)
                    && self.has_seq(&entry.owner, entry.seq))
                .then_some(Conflict::Seq);
                let message = client_key(entry)
                    .filter(|key| {
                        mutant != Some(Mutant::NoMessageIndex)
                            && self.client_message_ids.contains_key(key)
                    })
                    .map(|_| Conflict::ClientMessageId);
                let conflict = if seq_first {
                    seq.or(message)
                } else {
                    message.or(seq)
                };
                conflict.map_or(
                    Effect::Done(Change::Entry(Arc::clone(entry))),
                    Effect::Conflict,
                )
            }
            Statement::Member(owner, user, member) => {
                let stored = self.members.get(&(owner.clone(), user.clone()));
                if mutant != Some(Mutant::NoMemberGuard)
                    && stored.is_some_and(|stored| stored.seq >= member.seq)
                {
                    return Effect::NoMatch;
                }
                Effect::Done(Change::Member(owner.clone(), user.clone(), member.clone()))
            }
            Statement::Facet(id, facet) => {
                let facets = self.facets.get(id);
                let stored = facets.and_then(|facets| match facet {
                    Facet::Edited { .. } => facets.edited.as_ref(),
                    Facet::Deleted { .. } => facets.deleted.as_ref(),
                });
                if !self.ids.contains_key(&id.to_event_id())
                    || stored.is_some_and(|stored| seq_of(stored) >= seq_of(facet))
                {
                    return Effect::NoMatch;
                }
                Effect::Done(Change::Facet(id.clone(), facet.clone()))
            }
            Statement::Owner(run) => {
                let stored = self.owners.get(&run.owner);
                let applied = stored.map_or(0, |document| document.applied);
                if mutant != Some(Mutant::NoOwnerGuard) && applied != run.from {
                    return Effect::NoMatch;
                }
                let mut fields = match (stored, &run.owner) {
                    (Some(document), _) => document.fields.clone(),
                    (None, Owner::Conversation(_)) => Fields::Conversation(None),
                    (None, Owner::User(_)) => Fields::User(None),
                };
                match (&run.document, &mut fields) {
                    (None, _) => {}
                    (
                        Some(DocumentChange::Activity {
                            at,
                            last_message_seq,
                        }),
                        Fields::Conversation(Some(fields)),
                    ) => {
                        fields.last_activity_at = *at;
                        fields.last_message_seq = *last_message_seq;
                    }
                    (Some(DocumentChange::Conversation(new)), Fields::Conversation(fields)) => {
                        *fields = Some(ConversationFields::clone(new));
                    }
                    (Some(DocumentChange::User(new)), Fields::User(fields)) => {
                        *fields = Some(UserFields::clone(new));
                    }
                    (change, _) => panic!("{change:?} for a document of another kind"),
                }
                Effect::Done(Change::Owner(
                    run.owner.clone(),
                    OwnerDocument {
                        applied: run.to,
                        fields,
                    },
                ))
            }
        }
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Entry(entry) => {
                self.ids.insert(entry.id.clone(), entry.seq);
                if let Some(key) = client_key(entry) {
                    self.client_message_ids.insert(key, Arc::clone(entry));
                }
                let key = (entry.owner.clone(), entry.seq, entry.id.clone());
                self.log.insert(key, Arc::clone(entry));
            }
            Change::Member(owner, user, member) => {
                self.members
                    .insert((owner.clone(), user.clone()), member.clone());
            }
            Change::Facet(id, facet) => {
                let facets = self.facets.entry(id.clone()).or_default();
                match facet {
                    Facet::Edited { .. } => facets.edited = Some(facet.clone()),
                    Facet::Deleted { .. } => facets.deleted = Some(facet.clone()),
                }
            }
            Change::Owner(owner, document) => {
                self.owners.insert(owner.clone(), document.clone());
            }
        }
    }
}

//! Contents of a database: entries with their unique indexes, and documents.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chat_sdk::{ConversationId, EventId, MessageId, UserId};

use super::faults::Mutant;
use chat_service::{
    model::{
        entry::{Body, Entry, Owner},
        fold::{DocumentChange, Facet, ReactionChange},
        state::{
            ConversationFields, ConversationState, Member, MessageState, Reactors, State, Target,
            TargetState, UserFields, UserState,
        },
    },
    store::log::backend::{Conflict, Run},
};

/// Document of an owner.
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

/// Latest change of each facet of a message since it was sent.
pub type Facets = BTreeMap<(u8, String), Facet>;

/// Returns the key of a facet.
pub fn key_of(facet: &Facet) -> (u8, String) {
    let (kind, part) = facet.key();
    (kind, part.to_owned())
}

/// Identity of a reaction.
type ReactionKey = (MessageId, String, UserId);

/// Returns the key of a reaction.
pub fn reaction_key(change: &ReactionChange) -> ReactionKey {
    (
        change.message.clone(),
        change.emoji.clone(),
        change.user.clone(),
    )
}

/// One change of a table, as replicated.
#[derive(Debug, Clone)]
pub enum Change {
    Entry(Arc<Entry>),
    Member(Owner, UserId, Member),
    Facet(MessageId, Facet),
    Reaction(ReactionChange),
    Owner(Owner, OwnerDocument),
}

/// One statement of a command.
#[derive(Debug, Clone)]
pub enum Statement {
    Insert(Arc<Entry>),
    Member(Owner, UserId, Member),
    Facet(MessageId, Facet),
    Reaction(ReactionChange),
    Owner(Box<Run>),
}

/// Result of a statement.
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
    client_message_ids: HashMap<ClientKey, Arc<Entry>>,
    pub owners: BTreeMap<Owner, OwnerDocument>,
    pub members: BTreeMap<(Owner, UserId), Member>,
    pub facets: BTreeMap<MessageId, Facets>,
    pub reactions: BTreeMap<ReactionKey, ReactionChange>,
}

fn first_id() -> EventId {
    "evt_00000000000000000000000000"
        .parse()
        .expect("a valid id")
}

/// A log, the sender (`None`: the host), and the client message id that the sender chose.
pub type ClientKey = (Owner, Option<UserId>, String);

/// Returns the key under which a repeated message of a sender is found.
pub fn client_key(entry: &Entry) -> Option<ClientKey> {
    let Body::MessageCreated(message) = &entry.body else {
        return None;
    };
    let id = message.client_message_id.clone()?;
    Some((entry.owner.clone(), entry.actor.clone(), id))
}

impl Tables {
    /// Returns the entries of `owner` after `after`.
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

    /// Returns the seq of the last entry of `owner`.
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
        actor: Option<&UserId>,
        id: &str,
    ) -> Option<&Arc<Entry>> {
        self.client_message_ids
            .get(&(owner.clone(), actor.cloned(), id.to_owned()))
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

    pub fn find_members(
        &self,
        conversation: &ConversationId,
        users: &[UserId],
    ) -> Vec<(UserId, Member)> {
        let owner = Owner::from(conversation.clone());
        let found = users.iter().filter_map(|user| {
            let member = self.members.get(&(owner.clone(), user.clone()))?;
            Some((user.clone(), member.clone()))
        });
        found.collect()
    }

    pub fn target_state(&self, target: &Target) -> TargetState {
        match target {
            Target::Message { message, reaction } => TargetState::Message {
                message: self.message_state(message).map(Box::new),
                has_reacted: reaction.as_ref().is_some_and(|(emoji, user)| {
                    let key = (message.clone(), emoji.clone(), user.clone());
                    let reaction = self.reactions.get(&key);
                    reaction.is_some_and(|reaction| reaction.is_active)
                }),
            },
            Target::Members {
                conversation,
                users,
            } => TargetState::Members(self.find_members(conversation, users)),
        }
    }

    fn message_state(&self, id: &MessageId) -> Option<MessageState> {
        let entry = self.find_by_id(&id.to_event_id())?;
        let (Body::MessageCreated(body), Owner::Conversation(conversation)) =
            (&entry.body, &entry.owner)
        else {
            return None;
        };
        let mut state = MessageState {
            id: id.clone(),
            sender: entry.actor.clone(),
            conversation: conversation.clone(),
            seq: entry.seq,
            thread_id: body.thread_id.clone(),
            is_deleted: false,
            is_expired: false,
            expires_at: None,
            edit_seq: 0,
            reply_count: 0,
            has_expiring_replies: false,
            is_pinned: false,
            reactions: BTreeMap::new(),
        };
        for facet in self.facets.get(id).into_iter().flat_map(Facets::values) {
            match facet.clone() {
                Facet::Edited { seq, .. } => state.edit_seq = state.edit_seq.max(seq),
                Facet::Deleted { is_expired, .. } => {
                    state.is_deleted = true;
                    state.is_expired = is_expired;
                }
                Facet::Restored { .. } => {}
                Facet::Pinned { is_pinned, .. } => state.is_pinned = is_pinned,
                Facet::Replies { count, .. } => state.reply_count = count,
                Facet::Reactions {
                    emoji,
                    count,
                    user_ids,
                    ..
                } => {
                    state.reactions.insert(emoji, Reactors { count, user_ids });
                }
            }
        }
        Some(state)
    }

    /// Returns the result of `statement` on these tables, with guards and indexes as mongod evaluates them. `seq_first` is the order of the two other indexes.
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
                let stored = facets.and_then(|facets| facets.get(&key_of(facet)));
                if !self.ids.contains_key(&id.to_event_id())
                    || stored.is_some_and(|stored| stored.seq() >= facet.seq())
                {
                    return Effect::NoMatch;
                }
                Effect::Done(Change::Facet(id.clone(), facet.clone()))
            }
            Statement::Reaction(change) => {
                let stored = self.reactions.get(&reaction_key(change));
                if stored.is_some_and(|stored| stored.seq >= change.seq) {
                    return Effect::NoMatch;
                }
                Effect::Done(Change::Reaction(change.clone()))
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
                        Some(DocumentChange::Activity { message, removal }),
                        Fields::Conversation(Some(fields)),
                    ) => {
                        if let Some((at, seq)) = message {
                            fields.last_activity_at = *at;
                            fields.last_message_seq = *seq;
                        }
                        fields.last_removal_seq = removal.unwrap_or(fields.last_removal_seq);
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

    /// Applies a change.
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
                facets.insert(key_of(facet), facet.clone());
            }
            Change::Reaction(change) => {
                self.reactions.insert(reaction_key(change), change.clone());
            }
            Change::Owner(owner, document) => {
                self.owners.insert(owner.clone(), document.clone());
            }
        }
    }
}

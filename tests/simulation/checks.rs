//! Checks that run when the simulation has come to rest.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chat_sdk::{EventId, MessageId, Role, UserId};

use super::{
    cluster::{Attempt, Cluster, is_of},
    tables::{Facets, Fields, Tables, client_key, key_of},
};
use chat_service::model::{
    DomainError,
    command::{Command, Decision, Outcome, Request},
    decide::decide,
    entry::{Body, Entry, Owner},
    fold::{Facet, fold},
    state::{MessageState, State, Target, TargetState},
};

/// The whole log of one owner, folded at every seq.
struct History {
    entries: Vec<Arc<Entry>>,
    states: Vec<State>,
}

impl History {
    /// Returns the message `id` as of entry `seq`.
    fn message(&self, id: &MessageId, seq: u64) -> Option<MessageState> {
        let before = &self.entries[..seq as usize];
        let created = before.iter().find(|entry| {
            entry.id == id.to_event_id() && matches!(entry.body, Body::MessageCreated(_))
        })?;
        let Owner::Conversation(conversation) = &created.owner else {
            return None;
        };
        let mut state = MessageState {
            id: id.clone(),
            sender: created.actor.clone(),
            conversation: conversation.clone(),
            seq: created.seq,
            thread_id: match &created.body {
                Body::MessageCreated(message) => message.thread_id.clone(),
                _ => None,
            },
            is_deleted: false,
            is_expired: false,
            expires_at: None,
            edit_seq: 0,
            reply_count: 0,
            has_expiring_replies: false,
            is_pinned: false,
            reactions: BTreeMap::new(),
        };
        for entry in before {
            state.fold(entry);
        }
        Some(state)
    }

    /// Returns the state that a command concerns, as of entry `seq`.
    fn target(&self, target: &Target, seq: u64) -> TargetState {
        let Target::Message {
            message,
            reaction: asked,
        } = target
        else {
            // No check uses it.
            return TargetState::Members(Vec::new());
        };
        let mut has_reacted = false;
        for entry in &self.entries[..seq as usize] {
            let (reaction, is_given) = match &entry.body {
                Body::ReactionAdded(reaction) => (reaction, true),
                Body::ReactionRemoved(reaction) => (reaction, false),
                _ => continue,
            };
            let key = (reaction.emoji.clone(), reaction.user_id.clone());
            if reaction.message_id == *message && asked.as_ref() == Some(&key) {
                has_reacted = is_given;
            }
        }
        TargetState::Message {
            message: self.message(message, seq).map(Box::new),
            has_reacted,
        }
    }

    /// Returns true if `answer` is correct at some seq between `from` and `to`.
    fn explains(
        &self,
        request: &Request,
        from: u64,
        to: u64,
        answer: &Result<Decision, DomainError>,
    ) -> bool {
        let at = chat_sdk::Timestamp::from_millis(0);
        (from..=to).any(|seq| {
            let state = &self.states[seq as usize];
            // The message may be read slightly later than the rest.
            (seq..=to).any(|read| {
                let target = request.target().map(|target| self.target(&target, read));
                decide(state, request, target.as_ref(), at) == *answer
            })
        })
    }
}

/// Runs all checks, and returns the violations.
pub fn check(cluster: &Cluster) -> Vec<String> {
    let mut faults = cluster.faults();
    let attempts = cluster.attempts.lock().clone();
    let tables = cluster.database.with(|inner| inner.majority.clone());
    let mut owners: BTreeSet<Owner> = tables.log.keys().map(|(owner, ..)| owner.clone()).collect();
    owners.extend(attempts.iter().map(|attempt| attempt.request.owner.clone()));
    let mut histories = BTreeMap::new();
    for owner in owners {
        let entries: Vec<_> = tables.entries(&owner, 0).cloned().collect();
        if let Some((index, entry)) = entries
            .iter()
            .enumerate()
            .find(|(index, entry)| entry.seq != *index as u64 + 1)
        {
            faults.push(format!(
                "{owner} has number {} at place {}",
                entry.seq,
                index + 1
            ));
            continue;
        }
        let mut state = State::empty(&owner);
        let mut states = vec![state.clone()];
        for entry in &entries {
            fold(&mut state, entry);
            states.push(state.clone());
        }
        histories.insert(owner, History { entries, states });
    }
    check_uniqueness(&tables, &mut faults);
    for (owner, history) in &histories {
        check_preconditions(history, &attempts, &mut faults);
        check_rules(history, &mut faults);
        check_documents(owner, history, &tables, &mut faults);
    }
    for (index, attempt) in attempts.iter().enumerate() {
        if let Some(history) = histories.get(&attempt.request.owner)
            && let Some(fault) = check_answer(attempt, history, &attempts)
        {
            faults.push(format!("attempt {index} {fault}: {attempt:?}"));
        }
    }
    for (first, second) in cluster.in_order.lock().iter() {
        let number = |index: usize| match &attempts[index].answer {
            Some(Ok(Outcome {
                entry: Some(entry),
                is_repeated: false,
            })) => Some(entry.seq),
            _ => None,
        };
        // A caller that was not yet a member at the request may be overtaken: its first command is looked up before it is refused.
        let Attempt {
            request, asked_at, ..
        } = &attempts[*first];
        let was_right = histories.get(&request.owner).is_some_and(|history| {
            let at = chat_sdk::Timestamp::from_millis(0);
            decide(&history.states[*asked_at as usize], request, None, at).is_ok()
        });
        if let (Some(one), Some(other)) = (number(*first), number(*second))
            && one > other
            && was_right
        {
            faults.push(format!(
                "attempts {first} and {second} changed places: {one}, {other}"
            ));
        }
    }
    faults
}

fn check_uniqueness(tables: &Tables, faults: &mut Vec<String>) {
    let mut ids: BTreeSet<&EventId> = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for entry in tables.log.values() {
        if !ids.insert(&entry.id) {
            faults.push(format!("{} is there twice", entry.id));
        }
        if let Some(key) = client_key(entry)
            && !keys.insert(key)
        {
            faults.push(format!(
                "number {} of {} is a message again",
                entry.seq, entry.owner
            ));
        }
    }
}

/// Checks every entry against the rules of its command, at the log position before it.
fn check_preconditions(history: &History, attempts: &[Attempt], faults: &mut Vec<String>) {
    let requests: HashMap<&EventId, &Request> = attempts
        .iter()
        .map(|attempt| (&attempt.request.event_id, &attempt.request))
        .collect();
    for entry in &history.entries {
        let Some(request) = requests.get(&entry.id) else {
            faults.push(format!(
                "nobody asked for number {} of {}",
                entry.seq, entry.owner
            ));
            continue;
        };
        let before = entry.seq - 1;
        let target = request
            .target()
            .map(|target| history.target(&target, before));
        let decision = decide(
            &history.states[before as usize],
            request,
            target.as_ref(),
            entry.at,
        );
        if decision != Ok(Decision::Append(entry.body.clone())) {
            faults.push(format!(
                "number {} of {} does not follow: {decision:?} for {entry:?}",
                entry.seq, entry.owner
            ));
        }
    }
}

/// Second implementation of the rules, independent of the domain's.
fn check_rules(history: &History, faults: &mut Vec<String>) {
    let mut roles: BTreeMap<UserId, Role> = BTreeMap::new();
    let mut senders: BTreeMap<MessageId, UserId> = BTreeMap::new();
    let mut deleted: BTreeSet<MessageId> = BTreeSet::new();
    let mut is_over = false;
    for entry in &history.entries {
        let role = entry
            .actor
            .as_ref()
            .and_then(|actor| roles.get(actor))
            .copied();
        let is_right = match &entry.body {
            Body::ConversationCreated(created) => {
                roles = created
                    .members
                    .iter()
                    .map(|m| (m.user_id.clone(), m.role))
                    .collect();
                entry.seq == 1
            }
            Body::MessageCreated(_) => {
                senders.extend(
                    entry
                        .actor
                        .clone()
                        .map(|actor| (entry.id.to_message_id(), actor)),
                );
                role.is_some()
            }
            Body::MessageUpdated(edit) => {
                role.is_some()
                    && senders.get(&edit.message_id) == entry.actor.as_ref()
                    && !deleted.contains(&edit.message_id)
            }
            Body::MessageDeleted(target) => {
                let sender = senders.get(&target.message_id);
                sender.is_some()
                    && (sender == entry.actor.as_ref() || role >= Some(Role::Admin))
                    && deleted.insert(target.message_id.clone())
            }
            Body::MessageRestored(restored) => {
                role >= Some(Role::Admin) && deleted.remove(&restored.message_id)
            }
            Body::MessagePinned(target) | Body::MessageUnpinned(target) => {
                role >= Some(Role::Admin) && senders.contains_key(&target.message_id)
            }
            Body::ReactionAdded(reaction) | Body::ReactionRemoved(reaction) => {
                role.is_some()
                    && entry.actor.as_ref() == Some(&reaction.user_id)
                    && senders.contains_key(&reaction.message_id)
                    && !deleted.contains(&reaction.message_id)
            }
            Body::ConversationUpdated(_) => role >= Some(Role::Admin),
            Body::ConversationDeleted => {
                roles.clear();
                is_over = true;
                role == Some(Role::Owner)
            }
            Body::ParticipantAdded(joined) => {
                let is_new = joined.user_ids.iter().all(|id| !roles.contains_key(id));
                roles.extend(joined.user_ids.iter().map(|id| (id.clone(), joined.role)));
                is_new && !is_over && joined.conversation.participant_count as usize == roles.len()
            }
            Body::ParticipantRemoved(left) => {
                let is_there = left.user_ids.iter().all(|id| roles.remove(id).is_some());
                let has_owner = roles.is_empty() || roles.values().any(|role| *role == Role::Owner);
                // If members of a conversation without an owner came back by joining, nobody can be the last owner.
                is_there && role.is_some() && (has_owner || role < Some(Role::Owner))
            }
            Body::ParticipantUpdated(change) => {
                change
                    .role
                    .is_some_and(|role| roles.insert(change.user_id.clone(), role).is_some())
                    && role == Some(Role::Owner)
                    && roles.values().any(|role| *role == Role::Owner)
            }
            Body::UserSynced(_) => {
                is_over = false;
                true
            }
            Body::UserUpdated(_) => entry.seq > 1 && !is_over,
            Body::UserDeleted => !std::mem::replace(&mut is_over, true) && entry.seq > 1,
            // No actor of the simulation blocks or disconnects users, or is a plugin.
            Body::UserBlocked(_)
            | Body::Plugin(_)
            | Body::UserUnblocked(_)
            | Body::UserDisconnected(_)
            | Body::Noop => false,
        };
        if !is_right {
            faults.push(format!("number {} breaks a rule: {entry:?}", entry.seq));
        }
    }
}

fn check_documents(owner: &Owner, history: &History, tables: &Tables, faults: &mut Vec<String>) {
    let state = history
        .states
        .last()
        .expect("there is one before the first entry");
    let Some(document) = tables.owners.get(owner) else {
        if state.seq() > 0 {
            faults.push(format!("{owner} has no document"));
        }
        return;
    };
    if document.applied != state.seq() {
        faults.push(format!(
            "{owner} is at {} of {}",
            document.applied,
            state.seq()
        ));
    }
    let is_right = match (state, &document.fields) {
        (State::Conversation(state), Fields::Conversation(fields)) => {
            state.fields == *fields && state.members == tables.members_of(owner)
        }
        (State::User(state), Fields::User(fields)) => state.fields == *fields,
        _ => false,
    };
    if !is_right {
        faults.push(format!(
            "the documents of {owner} are not the fold of its log"
        ));
    }
    let mut facets: BTreeMap<MessageId, Facets> = BTreeMap::new();
    let mut state = State::empty(owner);
    for entry in &history.entries {
        let Some((id, facet)) = fold(&mut state, entry).facet else {
            continue;
        };
        let facets: &mut Facets = facets.entry(id).or_default();
        facets.insert(key_of(&facet), facet);
    }
    check_counts(owner, history, &facets, faults);
    for entry in &history.entries {
        let id = entry.id.to_message_id();
        if facets.get(&id) != tables.facets.get(&id) {
            faults.push(format!(
                "message {} of {owner} is not the fold of its log",
                entry.seq
            ));
        }
    }
}

/// Returns true if the reaction and reply counts of a message match a recount.
fn check_counts(
    owner: &Owner,
    history: &History,
    facets: &BTreeMap<MessageId, Facets>,
    faults: &mut Vec<String>,
) {
    let mut reactors: BTreeMap<(MessageId, String), BTreeSet<UserId>> = BTreeMap::new();
    let mut replies: BTreeMap<MessageId, u32> = BTreeMap::new();
    for entry in &history.entries {
        match &entry.body {
            Body::ReactionAdded(reaction) => {
                let key = (reaction.message_id.clone(), reaction.emoji.clone());
                if !reactors
                    .entry(key)
                    .or_default()
                    .insert(reaction.user_id.clone())
                {
                    faults.push(format!("{owner} has a reaction twice at {}", entry.seq));
                }
            }
            Body::ReactionRemoved(reaction) => {
                let key = (reaction.message_id.clone(), reaction.emoji.clone());
                if !reactors.entry(key).or_default().remove(&reaction.user_id) {
                    faults.push(format!("{owner} takes back nothing at {}", entry.seq));
                }
            }
            Body::MessageCreated(message) => {
                if let Some(root) = &message.thread_id {
                    *replies.entry(root.clone()).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    for (message, facets) in facets {
        for facet in facets.values() {
            let (said, counted) = match facet {
                Facet::Reactions { emoji, count, .. } => {
                    let key = (message.clone(), emoji.clone());
                    let counted = reactors.get(&key).map_or(0, BTreeSet::len) as u32;
                    (*count, counted)
                }
                Facet::Replies { count, .. } => {
                    (*count, replies.get(message).copied().unwrap_or(0))
                }
                _ => continue,
            };
            if said != counted {
                faults.push(format!(
                    "{message} of {owner} says {said} instead of {counted}"
                ));
            }
        }
    }
}

/// Returns the violations in the answer to an attempt.
fn check_answer(attempt: &Attempt, history: &History, attempts: &[Attempt]) -> Option<String> {
    let Attempt {
        request,
        asked_at,
        answered_at,
        ..
    } = attempt;
    let own = history
        .entries
        .iter()
        .find(|entry| entry.id == request.event_id);
    let copies = attempts
        .iter()
        .filter(|other| other.request.event_id == request.event_id)
        .count();
    let same_message = |entry: &&Arc<Entry>| {
        let Command::SendMessage(asked) = &request.command else {
            return false;
        };
        asked.client_message_id.is_some()
            && client_key(entry).is_some_and(|(_, actor, id)| {
                actor == request.actor && Some(id) == asked.client_message_id
            })
    };
    let earlier = history.entries.iter().find(same_message);
    match attempt.answer.as_ref()? {
        Ok(Outcome {
            entry: Some(entry),
            is_repeated,
        }) => {
            if history.entries.get(entry.seq as usize - 1) != Some(entry) {
                return Some("was acknowledged and is not in the log".into());
            }
            if !is_of(request, &entry.body) || entry.actor != request.actor {
                return Some("was answered with another entry".into());
            }
            let is_own = entry.id == request.event_id;
            let is_known = is_own || (*is_repeated && same_message(&entry));
            if !is_known {
                return Some("was answered with another's entry".into());
            }
            if *is_repeated && is_own && copies == 1 {
                return Some("was called a repetition of itself".into());
            }
            if copies == 1 && is_own && entry.seq <= *asked_at {
                return Some("was there before it was asked for".into());
            }
            None
        }
        Ok(Outcome { entry: None, .. }) => {
            if own.is_some_and(|own| copies == 1 || own.seq <= *asked_at) {
                return Some("was done and called unnecessary".into());
            }
            let is_right =
                history.explains(request, *asked_at, *answered_at, &Ok(Decision::Nothing));
            (!is_right).then(|| "was called unnecessary and was not".into())
        }
        Err(DomainError::Unavailable(_)) => None,
        Err(refusal) => {
            if own.is_some_and(|own| copies == 1 || own.seq <= *asked_at) {
                return Some("was done and refused".into());
            }
            if let Some(earlier) = earlier
                && is_of(request, &earlier.body)
                && earlier.seq <= *asked_at
            {
                return Some("repeats a message that is there and was refused".into());
            }
            if let Some(earlier) = earlier
                && !is_of(request, &earlier.body)
                && earlier.seq <= *answered_at
                && matches!(refusal, DomainError::Conflict(_))
            {
                return None;
            }
            let is_right =
                history.explains(request, *asked_at, *answered_at, &Err(refusal.clone()));
            (!is_right).then(|| "was refused for no reason".into())
        }
    }
}

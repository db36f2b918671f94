//! State of the actor: jobs in progress, waiters, and a slot for each owner.
//!
//! It holds only data and what can be derived from it. The actor decides about jobs; nothing here reads or writes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_sdk::{MessageId, UserId};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use crate::{
    model::{
        DomainError,
        command::{Outcome, Request},
        entry::Entry,
        fold::Effects,
        state::{Member, MessageState, State, Target, TargetState},
        writers::Reply,
    },
    store::log::backend::Run,
};

/// Command in progress in the actor.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: Reply,
    /// State of the target that the check needs, with the seq of the log at which it was read.
    pub(super) target: Option<(u64, TargetState)>,
    pub(super) attempts: u32,
    /// Highest seq at which an insert with an unknown outcome may have written it, or may yet.
    ///
    /// It is 0 without one.
    pub(super) possible_seq: u64,
    /// True if its entry is looked up before the next check.
    ///
    /// Otherwise the index would reject its id, at the price of an insert.
    pub(super) outcome_unknown: bool,
    /// Last seq of the log when it was read for this command, after its arrival.
    ///
    /// A refusal depends on nothing older.
    pub(super) seen: Option<u64>,
}

impl Job {
    pub(super) fn answer(self, outcome: Result<Outcome, DomainError>) {
        let _ = self.reply.send(outcome);
    }
}

/// Job whose entry is in the insert in flight.
pub(super) struct Pending {
    pub(super) job: Job,
    pub(super) entry: Arc<Entry>,
    pub(super) effects: Effects,
}

/// Caller that waits until an entry is applied.
pub(super) enum Waiter {
    Answer(Reply, Outcome),
    ReadTarget(Box<Job>),
    /// A reader of the documents continues when the last clone of this guard is dropped.
    ReadBarrier {
        _until: Arc<DropGuard>,
    },
}

/// Maximum number of messages that an owner keeps for checks.
const MAX_MESSAGES: usize = 64;

/// Number of former members of a state above which those with a stored record are forgotten.
const MAX_FORMER: usize = 256;

/// Object that an entry changed and a check may need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Touched {
    Message(MessageId),
    Reaction(MessageId, String, UserId),
    /// User whose membership ended.
    Former(UserId),
}

/// Result of looking for a check's target in the slot.
pub(super) enum Known {
    /// The target's state.
    State(TargetState),
    /// Not known: it must be read once everything up to this seq is applied.
    ToRead(u64),
}

/// State that the actor keeps of one owner.
#[derive(Default)]
pub(super) struct Slot {
    /// Fold of everything committed and of the batch in flight; `None` if it must be read.
    pub(super) state: Option<State>,
    pub(super) is_loading: bool,
    /// Jobs that wait for loading, in order.
    pub(super) parked: VecDeque<Job>,
    /// True if the batch that is built or in flight has an entry of this owner.
    pub(super) in_batch: bool,
    /// Messages as they are at `state`, for consecutive checks.
    pub(super) messages: HashMap<MessageId, MessageState>,
    /// Messages and reactions touched by entries, with the seq of the newest such entry.
    pub(super) touched: HashMap<Touched, u64>,
    /// Former members in `state`, with the seq of the entry that last changed them.
    ///
    /// They are kept until that entry is applied.
    former: Vec<(u64, UserId)>,
    /// Upper bound of the seqs that `touched` has forgotten.
    pub(super) touched_floor: u64,
    /// Committed entries that are not yet applied.
    pub(super) run: Option<Run>,
    /// Seq up to which everything is applied, being applied, or in `run`.
    pub(super) scheduled: u64,
    pub(super) applied: u64,
    pub(super) is_applying: bool,
    pub(super) needs_repair: bool,
    /// True if the owner is among those whose messages gather.
    pub(super) is_gathering: bool,
    pub(super) waiters: Vec<(u64, Waiter)>,
    pub(super) last_used: Option<Instant>,
}

impl Slot {
    /// Returns what is known of `target`: kept here, or `read` for the job and not changed since.
    pub(super) fn know(&mut self, target: &Target, read: Option<&(u64, TargetState)>) -> Known {
        match target {
            Target::Message { message, reaction } => {
                self.know_message(message, reaction.as_ref(), read)
            }
            Target::Members { users, .. } => self.know_members(users, read),
        }
    }

    fn last_change(&self, key: &Touched) -> u64 {
        *self.touched.get(key).unwrap_or(&self.touched_floor)
    }

    fn know_message(
        &mut self,
        message: &MessageId,
        reaction: Option<&(String, UserId)>,
        read: Option<&(u64, TargetState)>,
    ) -> Known {
        let is_kept = self.messages.contains_key(message);
        let of_message = if is_kept {
            0
        } else {
            self.last_change(&Touched::Message(message.clone()))
        };
        let of_reaction = reaction.map(|(emoji, user)| {
            self.last_change(&Touched::Reaction(
                message.clone(),
                emoji.clone(),
                user.clone(),
            ))
        });
        let last_change = of_message.max(of_reaction.unwrap_or(0));
        let read = read.filter(|(as_of, _)| last_change <= *as_of);
        if read.is_none() && !(is_kept && of_reaction.is_none()) {
            return Known::ToRead(last_change);
        }
        if !is_kept && let Some(found) = read.and_then(|(_, state)| state.message()) {
            if self.messages.len() >= MAX_MESSAGES {
                self.messages.clear();
            }
            self.messages.insert(message.clone(), found.clone());
        }
        Known::State(TargetState::Message {
            message: self.messages.get(message).cloned().map(Box::new),
            has_reacted: read.is_some_and(|(_, state)| state.has_reacted()),
        })
    }

    /// Returns what is known of `users`.
    ///
    /// Only members that `state` lacks must be read: it has all current members, and all former ones until their leaving is applied.
    fn know_members(&self, users: &[UserId], read: Option<&(u64, TargetState)>) -> Known {
        let Some(State::Conversation(state)) = &self.state else {
            return Known::State(TargetState::Members(Vec::new()));
        };
        let mut unknown = users
            .iter()
            .filter(|user| !state.members.contains_key(*user))
            .peekable();
        if unknown.peek().is_none() {
            return Known::State(TargetState::Members(Vec::new()));
        }
        let changes = unknown.map(|user| self.last_change(&Touched::Former(user.clone())));
        let last_change = changes.max().unwrap_or(0);
        match read {
            Some((as_of, state)) if last_change <= *as_of => Known::State(state.clone()),
            _ => Known::ToRead(last_change),
        }
    }

    /// Stores a loaded state.
    pub(super) fn load(&mut self, state: State) {
        self.former.clear();
        if let State::Conversation(state) = &state {
            let former = state
                .members
                .iter()
                .filter(|(_, member)| !member.is_active());
            self.former
                .extend(former.map(|(user, member)| (member.seq, user.clone())));
        }
        self.state = Some(state);
    }

    /// Adds the stored records of these users to `state`.
    pub(super) fn bring(&mut self, members: &[(UserId, Member)]) {
        if self.former.len() > MAX_FORMER {
            self.forget_former();
        }
        let Some(State::Conversation(state)) = &mut self.state else {
            return;
        };
        for (user, member) in members {
            if !member.is_active() && !state.members.contains_key(user) {
                self.former.push((member.seq, user.clone()));
            }
            state.bring(user.clone(), member.clone());
        }
    }

    /// Returns the number of members in the state.
    pub(super) fn members(&self) -> usize {
        match &self.state {
            Some(State::Conversation(state)) => state.members.len(),
            _ => 0,
        }
    }

    /// Forgets former members whose record is stored by now.
    ///
    /// A conversation may have had any number of them.
    pub(super) fn forget_former(&mut self) {
        let Some(State::Conversation(state)) = &mut self.state else {
            self.former.clear();
            return;
        };
        let applied = self.applied;
        self.former.retain(|(seq, user)| {
            if *seq <= applied {
                state.forget_former(user, applied);
            }
            *seq > applied
        });
    }

    /// Records what `entry`, which `state` now includes, changes beside the state.
    pub(super) fn touch(&mut self, entry: &Entry, effects: &Effects) {
        if let Some((message, _)) = &effects.facet {
            if let Some(kept) = self.messages.get_mut(message) {
                kept.fold(entry);
            }
            self.touched
                .insert(Touched::Message(message.clone()), entry.seq);
        }
        if let Some(reaction) = &effects.reaction {
            let key = Touched::Reaction(
                reaction.message.clone(),
                reaction.emoji.clone(),
                reaction.user.clone(),
            );
            self.touched.insert(key, entry.seq);
        }
        for (user, member) in &effects.members {
            if !member.is_active() {
                self.touched
                    .insert(Touched::Former(user.clone()), entry.seq);
                self.former.push((entry.seq, user.clone()));
            }
        }
    }

    /// Forgets everything derived from an invalid state.
    ///
    /// Other processes may have changed everything up to seq `to`.
    pub(super) fn forget_targets(&mut self, to: u64) {
        self.messages.clear();
        self.touched.clear();
        self.touched_floor = to;
    }

    /// True if no caller waits for what is to be applied, so that it may gather.
    pub(super) fn may_wait(&self) -> bool {
        !self.needs_repair
            && self.waiters.is_empty()
            && self.run.as_ref().is_none_or(Run::is_activity)
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.is_loading
            && self.parked.is_empty()
            && !self.in_batch
            && self.run.is_none()
            && !self.is_applying
            && !self.needs_repair
            && self.waiters.is_empty()
    }
}

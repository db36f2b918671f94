//! What the actor keeps: jobs on their way, those who wait, and a slot for each owner.
//!
//! Only shapes and what can be read off them. What becomes of a job is decided by the actor; nothing here reads or writes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_sdk::{MessageId, UserId};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use crate::{
    domain::{
        DomainError,
        command::{Outcome, Reply, Request},
        entry::Entry,
        fold::Effects,
        state::{Member, MessageState, State, Target, TargetState},
    },
    store::log::backend::Run,
};

/// A command on its way through the actor.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: Reply,
    /// What the check needs beside the state, and the number of the log as of which it was read.
    pub(super) target: Option<(u64, TargetState)>,
    pub(super) attempts: u32,
    /// The highest number under which an insert with an unknown outcome may have written it, or may yet; 0 without one.
    pub(super) possible_seq: u64,
    /// Whether to look for its entry before it is checked again. Without, its id would be refused by the index, one insert for each.
    pub(super) outcome_unknown: bool,
    /// The last number of the log when it was read for this command, after it had come. A refusal rests on nothing older.
    pub(super) seen: Option<u64>,
}

impl Job {
    pub(super) fn answer(self, outcome: Result<Outcome, DomainError>) {
        let _ = self.reply.send(outcome);
    }
}

/// A job whose entry is in the insert that is on its way.
pub(super) struct Pending {
    pub(super) job: Job,
    pub(super) entry: Arc<Entry>,
    pub(super) effects: Effects,
}

/// Someone who waits until an entry is applied.
pub(super) enum Waiter {
    Answer(Reply, Outcome),
    ReadTarget(Box<Job>),
    /// Whoever reads the documents next goes on when the last of these is dropped.
    Settle {
        _until: Arc<DropGuard>,
    },
}

/// How many messages an owner keeps for checks.
const MAX_MESSAGES: usize = 64;

/// How many former members a state has before those are forgotten whose record is stored.
const MAX_FORMER: usize = 256;

/// Something that an entry changed and a check may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Touched {
    Message(MessageId),
    Reaction(MessageId, String, UserId),
    /// A user whose membership ended.
    Former(UserId),
}

/// What a check may be told of its target.
pub(super) enum Known {
    /// This.
    State(TargetState),
    /// Nothing yet: it has to be read, once everything up to this number is applied.
    ToRead(u64),
}

/// What the actor knows of one owner.
#[derive(Default)]
pub(super) struct Slot {
    /// The fold of everything committed, and of the batch on its way; `None` when it has to be read.
    pub(super) state: Option<State>,
    pub(super) is_loading: bool,
    /// Jobs that wait for the loading, in order.
    pub(super) parked: VecDeque<Job>,
    /// Whether the batch that is built or on its way has an entry of this owner.
    pub(super) in_batch: bool,
    /// Messages as they are at `state`, for checks that come one after another.
    pub(super) messages: HashMap<MessageId, MessageState>,
    /// Messages and reactions touched by entries, and by which number at last.
    pub(super) touched: HashMap<Touched, u64>,
    /// Former members that `state` has, with the entry that last changed them. It keeps them until that is applied.
    former: Vec<(u64, UserId)>,
    /// What `touched` has forgotten is not above this number.
    pub(super) touched_floor: u64,
    /// What is committed and not applied.
    pub(super) run: Option<Run>,
    /// The number up to which everything is applied, being applied, or in `run`.
    pub(super) scheduled: u64,
    pub(super) applied: u64,
    pub(super) is_applying: bool,
    pub(super) needs_repair: bool,
    /// Whether the actor has it among the owners whose messages gather.
    pub(super) is_gathering: bool,
    pub(super) waiters: Vec<(u64, Waiter)>,
    pub(super) last_used: Option<Instant>,
}

impl Slot {
    /// What is known of `target`: kept, or `read` for the job, as far as nothing has changed it since.
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
        let of_message = match is_kept {
            true => 0,
            false => self.last_change(&Touched::Message(message.clone())),
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

    /// Only of those whom `state` does not know the record has to be read: it has everyone whose membership goes on, or ended and is not applied.
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

    /// Takes a state in that was read.
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

    /// Lets `state` know the stored records of these users.
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

    /// How many members its state has.
    pub(super) fn members(&self) -> usize {
        match &self.state {
            Some(State::Conversation(state)) => state.members.len(),
            _ => 0,
        }
    }

    /// Forgets those former members whose record is stored by now: a conversation may have had any number of them.
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

    /// Notes what `entry`, which `state` has in it now, changes beside the state.
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

    /// Forgets what followed from a state that no longer holds; everything up to number `to` may have been changed by others.
    pub(super) fn forget_targets(&mut self, to: u64) {
        self.messages.clear();
        self.touched.clear();
        self.touched_floor = to;
    }

    /// Whether nobody waits for what is to be applied, and it may gather a while.
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

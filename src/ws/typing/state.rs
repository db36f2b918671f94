//! What a node shows, until when, and what its own sockets do.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, UserId};
use serde::{Deserialize, Serialize};

use crate::store::TypingRules;

/// How many indicators a node shows at once; more are not taken in.
const MAX_SHOWN: usize = 100_000;

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivityKind {
    /// Writes.
    Typing,
    /// Records.
    Recording,
}

impl ActivityKind {
    /// The event that tells of it.
    pub fn event(self) -> &'static str {
        match self {
            Self::Typing => "user:typing",
            Self::Recording => "user:recording",
        }
    }
}

/// Who does what where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityKey {
    /// Where.
    pub conversation_id: ConversationId,
    /// Who.
    pub user_id: UserId,
    /// What.
    pub doing: ActivityKind,
}

/// What is shown on this node, and what its own sockets do.
#[derive(Default)]
pub struct State {
    /// What is shown, by conversation, and until when.
    pub(super) shown: HashMap<ConversationId, Vec<(ActivityKey, Instant)>>,
    pub(super) count: usize,
    /// When to look at what is shown again.
    pub(super) deadlines: BTreeSet<(Instant, ActivityKey)>,
    /// What sockets of this node do, and when the other nodes were last told.
    pub(super) told: HashMap<ActivityKey, Instant>,
    /// Which of it which socket does.
    pub(super) by_socket: HashMap<u64, Vec<ActivityKey>>,
    pub(super) rules: HashMap<ConversationId, (Arc<TypingRules>, Instant)>,
    /// Grows whenever rules are forgotten: what was read before is not remembered after.
    pub(super) forgotten: u64,
}

impl State {
    /// Until when an act is shown, if it is.
    pub fn until(&self, act: &ActivityKey) -> Option<Instant> {
        let acts = self.shown.get(&act.conversation_id)?;
        let found = acts.iter().find(|(known, _)| known == act)?;
        Some(found.1)
    }

    /// Shows an act for `ttl` from now on. Answers whether it was not shown before.
    pub fn show(&mut self, act: &ActivityKey, ttl: Duration) -> bool {
        let until = Instant::now() + ttl;
        let acts = self.shown.entry(act.conversation_id.clone()).or_default();
        if let Some((_, known)) = acts.iter_mut().find(|(known, _)| known == act) {
            *known = until;
            return false;
        }
        if self.count >= MAX_SHOWN {
            return false;
        }
        acts.push((act.clone(), until));
        self.count += 1;
        self.deadlines.insert((until, act.clone()));
        true
    }

    /// Shows an act no more. Answers whether it was shown. Its deadline is passed over when it comes.
    pub fn hide(&mut self, act: &ActivityKey) -> bool {
        let Some(acts) = self.shown.get_mut(&act.conversation_id) else {
            return false;
        };
        let before = acts.len();
        acts.retain(|(known, _)| known != act);
        let is_hidden = acts.len() < before;
        if acts.is_empty() {
            self.shown.remove(&act.conversation_id);
        }
        if is_hidden {
            self.count -= 1;
        }
        is_hidden
    }

    /// Notes that `socket` does `act`. Answers whether the nodes must be told.
    pub fn begin_own(&mut self, socket: u64, act: &ActivityKey, ttl: Duration) -> bool {
        let acts = self.by_socket.entry(socket).or_default();
        if !acts.contains(act) {
            acts.push(act.clone());
        }
        let now = Instant::now();
        let is_fresh = self
            .told
            .get(act)
            .is_some_and(|at| now.duration_since(*at) < ttl / 2);
        if !is_fresh {
            self.told.insert(act.clone(), now);
        }
        !is_fresh
    }

    /// Notes that no socket of this node does `act` any more. Answers whether one did.
    pub fn end_own(&mut self, act: &ActivityKey) -> bool {
        let was_told = self.told.remove(act).is_some();
        if was_told {
            self.by_socket.retain(|_, acts| {
                acts.retain(|other| other != act);
                !acts.is_empty()
            });
        }
        was_told
    }
}

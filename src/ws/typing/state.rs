//! Indicators shown on a node, their expiry, and the activities of its own sockets.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, UserId};
use serde::{Deserialize, Serialize};

use crate::store::TypingRules;

/// Maximum number of indicators on a node; further ones are ignored.
const MAX_SHOWN: usize = 100_000;

/// Kind of a user's activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivityKind {
    /// The user is typing.
    Typing,
    /// The user is recording.
    Recording,
}

impl ActivityKind {
    /// Returns the event that carries it.
    pub fn event(self) -> &'static str {
        match self {
            Self::Typing => "user:typing",
            Self::Recording => "user:recording",
        }
    }
}

/// Key of an activity: conversation, user and kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityKey {
    /// Conversation in which the user is active.
    pub conversation_id: ConversationId,
    /// The active user.
    pub user_id: UserId,
    /// Kind of the activity.
    pub doing: ActivityKind,
}

/// Indicators shown on this node, and the activities of its own sockets.
#[derive(Default)]
pub struct State {
    /// Indicators by conversation, each with its expiry.
    pub(super) shown: HashMap<ConversationId, Vec<(ActivityKey, Instant)>>,
    pub(super) count: usize,
    /// Times at which indicators are checked for expiry.
    pub(super) deadlines: BTreeSet<(Instant, ActivityKey)>,
    /// Activities of this node's sockets, with the time they were last sent to the other nodes.
    pub(super) told: HashMap<ActivityKey, Instant>,
    /// Activities by socket id.
    pub(super) by_socket: HashMap<u64, Vec<ActivityKey>>,
    pub(super) rules: HashMap<ConversationId, (Arc<TypingRules>, Instant)>,
    /// Generation of the rules cache: grows with every drop, so that rules read before it are not cached.
    pub(super) forgotten: u64,
}

impl State {
    /// Returns the expiry of an indicator, if it is shown.
    pub fn until(&self, act: &ActivityKey) -> Option<Instant> {
        let acts = self.shown.get(&act.conversation_id)?;
        let found = acts.iter().find(|(known, _)| known == act)?;
        Some(found.1)
    }

    /// Shows an indicator for `ttl` from now on; returns true if it was not shown before.
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

    /// Hides an indicator; returns true if it was shown. Its deadline is ignored when it comes.
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

    /// Records an activity of `socket`; returns true if the other nodes must be notified.
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

    /// Removes an activity from all sockets of this node; returns true if one had it.
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

//! The board: what every node said of its users, and what the world was told.
//!
//! Each node numbers what it says; who missed something asks for all of it. A node that is silent for the lease is dead, and its users are there no more
//! unless they are elsewhere. What the world was told of a user is known from the stream, which every process reads. Where that differs from what the
//! nodes say, one process settles it: by rendezvous hashing over the living processes. Two may do so for a moment, under the same id, so that the stream
//! keeps one; and what was not heard of in the stream is said again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use chat_sdk::{EventId, Timestamp, UserId};

use super::{
    Change, Chosen, Entry, GossipEnvelope, GossipMessage, LEASE, Shown, Viewer, note, shown,
};

/// A node as others know it.
#[derive(Debug)]
struct Node {
    heard: Instant,
    /// The same moment by the clock.
    heard_at: i64,
    version: u64,
    /// Whether everything up to `version` is known.
    is_known: bool,
    is_settler: bool,
    users: HashMap<UserId, Entry>,
    /// The parts of [`GossipMessage::All`] that came so far.
    parts: HashMap<UserId, Entry>,
}

/// What the world was told of a user.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) id: Option<EventId>,
    pub(super) shown: Shown,
}

/// What the nodes said, and what the world was told.
#[derive(Debug)]
pub struct PresenceTable {
    pub(super) me: Arc<str>,
    nodes: HashMap<Arc<str>, Node>,
    /// What the stream told of those who are not offline.
    pub(super) told: HashMap<UserId, Told>,
    /// What this process settled and the stream has not told yet.
    pub(super) settled: HashMap<UserId, (Told, Instant)>,
    /// Who may look otherwise than the world was told.
    pub(super) dirty: HashSet<UserId>,
    /// When those were last there who are gone and not settled yet.
    pub(super) left: HashMap<UserId, i64>,
}

impl PresenceTable {
    /// The board of a new process, which knows of nobody.
    pub fn new() -> Self {
        let me: Arc<str> = ulid::Ulid::generate().to_string().to_lowercase().into();
        let own = Node::new(Instant::now());
        Self {
            nodes: HashMap::from([(Arc::clone(&me), own)]),
            me,
            told: HashMap::new(),
            settled: HashMap::new(),
            dirty: HashSet::new(),
            left: HashMap::new(),
        }
    }

    /// A note of this process.
    pub fn note(&self, word: GossipMessage) -> GossipEnvelope {
        GossipEnvelope {
            node: Arc::clone(&self.me),
            word,
        }
    }

    /// That this process lives.
    pub fn beat(&self) -> GossipEnvelope {
        let own = self.nodes.get(&self.me);
        self.note(GossipMessage::Beat {
            version: own.map_or(0, |own| own.version),
            is_settler: own.is_some_and(|own| own.is_settler),
        })
    }

    /// How `user` looks.
    pub fn shown(&self, user: &UserId, eye: Viewer) -> Shown {
        shown(self.entries(user), eye)
    }

    pub(super) fn entries<'a>(&'a self, user: &'a UserId) -> impl Iterator<Item = &'a Entry> {
        self.nodes
            .values()
            .filter_map(move |node| node.users.get(user))
    }

    /// `user` on this node.
    pub fn own(&self, user: &UserId) -> Option<&Entry> {
        self.nodes.get(&self.me)?.users.get(user)
    }

    /// How many users this node has.
    pub fn own_len(&self) -> usize {
        self.nodes.get(&self.me).map_or(0, |own| own.users.len())
    }

    /// Changes users of this node. Returns what the other nodes must hear, if anything; many changes become several notes.
    pub fn change_own(&mut self, changes: Vec<Change>) -> Vec<GossipEnvelope> {
        let mut notes = Vec::new();
        if changes.is_empty() {
            return notes;
        }
        let me = Arc::clone(&self.me);
        for users in note::cut(changes, |change| (&change.user, change.entry.as_ref())) {
            let Some(own) = self.nodes.get_mut(&me) else {
                break;
            };
            own.version += 1;
            let version = own.version;
            self.apply(&me, users.clone());
            notes.push(self.note(GossipMessage::Changes { version, users }));
        }
        notes
    }

    /// Puts newer choices on this node's own users. Returns what the other nodes must hear.
    pub fn choose_own(&mut self, chosen: &HashMap<UserId, Chosen>) -> Vec<GossipEnvelope> {
        let now = Timestamp::now().as_millis();
        let changes = chosen
            .iter()
            .filter_map(|(user, chosen)| {
                let own = self.own(user)?;
                let entry = Entry {
                    chosen: chosen.clone(),
                    ..own.clone()
                };
                (chosen.at > own.chosen.at).then(|| Change::here(user.clone(), entry, now))
            })
            .collect();
        self.change_own(changes)
    }

    /// Puts a choice on the board before the node that has the user says it, so that who chose sees it at once.
    pub fn choose(&mut self, user: &UserId, chosen: &Chosen) {
        for (name, node) in &mut self.nodes {
            // Its own users a node changes with a number.
            if *name != self.me
                && let Some(entry) = node.users.get_mut(user)
                && chosen.at > entry.chosen.at
            {
                entry.chosen = chosen.clone();
                self.dirty.insert(user.clone());
            }
        }
    }

    fn apply(&mut self, node: &Arc<str>, changes: Vec<Change>) {
        let Some(node) = self.nodes.get_mut(node) else {
            return;
        };
        for change in changes {
            match change.entry {
                Some(entry) => {
                    self.left.remove(&change.user);
                    node.users.insert(change.user.clone(), entry);
                }
                None => {
                    node.users.remove(&change.user);
                    self.left.insert(change.user.clone(), change.at);
                }
            }
            self.dirty.insert(change.user);
        }
    }

    /// Takes in what a node said. Answers what to say to it.
    pub fn take(&mut self, note: GossipEnvelope, now: Instant) -> Vec<GossipEnvelope> {
        let GossipEnvelope { node: name, word } = note;
        if name == self.me {
            return Vec::new();
        }
        let settlers = self.settlers();
        let node = self
            .nodes
            .entry(Arc::clone(&name))
            .or_insert_with(|| Node::new(now));
        node.heard = now;
        node.heard_at = Timestamp::now().as_millis();
        let mut answer = Vec::new();
        match word {
            GossipMessage::Hello => {
                answer = self.all();
                answer.push(self.beat());
            }
            GossipMessage::Beat {
                version,
                is_settler,
            } => {
                node.is_settler = is_settler;
                if version != node.version || !node.is_known {
                    node.is_known = false;
                    answer.push(self.note(GossipMessage::Ask { of: name }));
                }
            }
            GossipMessage::Bye => node.is_settler = false,
            GossipMessage::Changes { version, users } => {
                if node.is_known && version == node.version + 1 {
                    node.version = version;
                    self.apply(&name, users);
                } else if version > node.version {
                    node.is_known = false;
                    answer.push(self.note(GossipMessage::Ask { of: name }));
                }
            }
            GossipMessage::All {
                version,
                is_first,
                is_last,
                users,
            } => {
                if is_first {
                    node.parts.clear();
                }
                node.parts.extend(users);
                if is_last {
                    let all = std::mem::take(&mut node.parts);
                    if !node.is_known || version > node.version {
                        node.version = version;
                        node.is_known = true;
                        self.replace(&name, all);
                    }
                }
            }
            GossipMessage::Ask { of } if of == self.me => answer = self.all(),
            GossipMessage::Ask { .. } => {}
            GossipMessage::Chosen { user, chosen } => {
                let chosen = HashMap::from([(user, chosen)]);
                answer.extend(self.choose_own(&chosen));
            }
        }
        self.note_settlers(&settlers);
        answer
    }

    /// Replaces everything that is known of a node's users.
    fn replace(&mut self, name: &Arc<str>, all: HashMap<UserId, Entry>) {
        let now = Timestamp::now().as_millis();
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        for (user, entry) in &all {
            self.left.remove(user);
            if node.users.get(user) != Some(entry) {
                self.dirty.insert(user.clone());
            }
        }
        for user in node.users.keys().filter(|user| !all.contains_key(*user)) {
            self.left.insert(user.clone(), now);
            self.dirty.insert(user.clone());
        }
        node.users = all;
    }

    /// Everything that this node has to say of its users.
    fn all(&self) -> Vec<GossipEnvelope> {
        let Some(own) = self.nodes.get(&self.me) else {
            return Vec::new();
        };
        let users: Vec<(UserId, Entry)> = own
            .users
            .iter()
            .map(|(user, entry)| (user.clone(), entry.clone()))
            .collect();
        let parts = note::cut(users, |(user, entry)| (user, Some(entry)));
        let count = parts.len();
        let parts = parts.into_iter().enumerate().map(|(index, users)| {
            self.note(GossipMessage::All {
                version: own.version,
                is_first: index == 0,
                is_last: index + 1 == count,
                users,
            })
        });
        parts.collect()
    }

    /// Whether this process waits for nobody's users any more.
    pub fn is_complete(&self) -> bool {
        self.nodes.values().all(|node| node.is_known)
    }

    /// Lets this process settle from now on. What the others have is taken for told where somebody settles already: they saw to it.
    pub fn begin_to_settle(&mut self) {
        let settlers = self.settlers();
        let others: HashSet<UserId> = self
            .nodes
            .iter()
            .filter(|(name, _)| **name != self.me && !settlers.is_empty())
            .flat_map(|(_, node)| node.users.keys().cloned())
            .collect();
        for user in others {
            let shown = self.shown(&user, Viewer::Other);
            if !shown.is_offline() {
                self.told.entry(user).or_insert(Told { id: None, shown });
            }
        }
        if let Some(own) = self.nodes.get_mut(&self.me) {
            own.is_settler = true;
        }
        self.note_settlers(&settlers);
    }

    /// Lets this process settle nothing any more.
    pub fn end(&mut self) -> GossipEnvelope {
        if let Some(own) = self.nodes.get_mut(&self.me) {
            own.is_settler = false;
        }
        self.note(GossipMessage::Bye)
    }

    /// Gives every node another lease: this process was away itself and could not hear them.
    pub fn renew_leases(&mut self, now: Instant) {
        for node in self.nodes.values_mut() {
            node.heard = now;
        }
    }

    /// Drops the nodes that were silent for the lease, with their users.
    pub fn expire(&mut self, now: Instant) {
        let settlers = self.settlers();
        let dead: Vec<Arc<str>> = self
            .nodes
            .iter()
            .filter(|(name, node)| **name != self.me && now.duration_since(node.heard) > LEASE)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in dead {
            let Some(node) = self.nodes.remove(&name) else {
                continue;
            };
            tracing::info!(node = %name, users = node.users.len(), "a process is silent; its users count as gone");
            for user in node.users.into_keys() {
                self.left.insert(user.clone(), node.heard_at);
                self.dirty.insert(user);
            }
        }
        self.note_settlers(&settlers);
    }

    pub(super) fn settlers(&self) -> Vec<Arc<str>> {
        let settlers = self.nodes.iter().filter(|(_, node)| node.is_settler);
        let mut names: Vec<Arc<str>> = settlers.map(|(name, _)| Arc::clone(name)).collect();
        names.sort();
        names
    }

    /// Looks at everybody again when others settle than before: what the old ones left undone is the new ones' to do.
    fn note_settlers(&mut self, before: &[Arc<str>]) {
        if self.settlers() != before {
            self.look_at_all();
        }
    }

    /// Looks at everybody again: at those who are there, and those of whom the world was told that they are.
    pub fn look_at_all(&mut self) {
        let present = self.nodes.values().flat_map(|node| node.users.keys());
        self.dirty.extend(present.chain(self.told.keys()).cloned());
    }
}

impl Default for PresenceTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    /// A node that has said nothing yet: it has no users.
    fn new(now: Instant) -> Self {
        Self {
            heard: now,
            heard_at: Timestamp::now().as_millis(),
            version: 0,
            is_known: true,
            is_settler: false,
            users: HashMap::new(),
            parts: HashMap::new(),
        }
    }
}

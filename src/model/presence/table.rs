//! Presence table: the users that every node reported, and the presence that was published.
//!
//! Each node numbers its changes; a node that missed one asks for the full list. A node that is silent for the lease is dead, and its users are
//! offline unless they are on another node. The published presence of a user is known from the stream, which every process reads. If it differs from
//! what the nodes report, one process, chosen by rendezvous hashing over the living processes, publishes the change. Two may do so for a moment, with
//! the same event id, so that the stream keeps one; a change that does not appear in the stream is published again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use chat_sdk::{EventId, Timestamp, UserId};

use super::{
    Change, Chosen, Entry, GossipEnvelope, GossipMessage, LEASE, Viewer, VisiblePresence,
    WRITER_LEASE, gossip, shown,
};

/// A node, as other nodes know it.
#[derive(Debug)]
struct Node {
    heard: Instant,
    /// Time of the last message by the wall clock, in milliseconds since 1970.
    heard_at: i64,
    version: u64,
    /// True if all changes up to `version` are known.
    is_known: bool,
    is_publisher: bool,
    is_writer: bool,
    users: HashMap<UserId, Entry>,
    /// Parts of [`GossipMessage::All`] received so far.
    parts: HashMap<UserId, Entry>,
}

/// Published presence of a user.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Published {
    pub(super) id: Option<EventId>,
    pub(super) shown: VisiblePresence,
}

/// Users that the nodes reported, and the published presence of users.
#[derive(Debug)]
pub struct PresenceTable {
    pub(super) me: Arc<str>,
    nodes: HashMap<Arc<str>, Node>,
    /// Presence of users who are not offline, as the stream published it.
    pub(super) published: HashMap<UserId, Published>,
    /// Changes that this process published and the stream has not delivered yet.
    pub(super) unconfirmed: HashMap<UserId, (Published, Instant)>,
    /// Users whose presence may differ from what was published.
    pub(super) dirty: HashSet<UserId>,
    /// Time when users were last online who are gone and whose departure is not published yet.
    pub(super) left: HashMap<UserId, i64>,
    /// Users whose presence the stream has delivered since this process began; `None` once nobody asks any more.
    ///
    /// The database may still hold an older presence of them.
    pub(super) delivered: Option<HashSet<UserId>>,
}

impl PresenceTable {
    /// Returns the table of the new process `me`, without users. `is_writer` says whether the process takes commands.
    pub fn new(me: Arc<str>, is_writer: bool) -> Self {
        let own = Node {
            is_writer,
            ..Node::new(Instant::now())
        };
        Self {
            nodes: HashMap::from([(Arc::clone(&me), own)]),
            me,
            published: HashMap::new(),
            unconfirmed: HashMap::new(),
            dirty: HashSet::new(),
            left: HashMap::new(),
            delivered: Some(HashSet::new()),
        }
    }

    /// Returns a gossip message of this process.
    pub fn envelope(&self, message: GossipMessage) -> GossipEnvelope {
        GossipEnvelope {
            node: Arc::clone(&self.me),
            message,
        }
    }

    /// Returns the heartbeat of this process.
    pub fn beat(&self) -> GossipEnvelope {
        let own = self.nodes.get(&self.me);
        self.envelope(GossipMessage::Beat {
            version: own.map_or(0, |own| own.version),
            is_publisher: own.is_some_and(|own| own.is_publisher),
            is_writer: own.is_some_and(|own| own.is_writer),
        })
    }

    /// Returns the presence of `user`.
    pub fn shown(&self, user: &UserId, viewer: Viewer) -> VisiblePresence {
        shown(self.entries(user), viewer)
    }

    pub(super) fn entries<'a>(&'a self, user: &'a UserId) -> impl Iterator<Item = &'a Entry> {
        self.nodes
            .values()
            .filter_map(move |node| node.users.get(user))
    }

    /// Returns the entry of `user` on this node.
    pub fn own(&self, user: &UserId) -> Option<&Entry> {
        self.nodes.get(&self.me)?.users.get(user)
    }

    /// Returns the number of users on this node.
    pub fn own_len(&self) -> usize {
        self.nodes.get(&self.me).map_or(0, |own| own.users.len())
    }

    /// Changes users of this node. Returns the messages for the other nodes; many changes become several.
    pub fn change_own(&mut self, changes: Vec<Change>) -> Vec<GossipEnvelope> {
        let mut notes = Vec::new();
        if changes.is_empty() {
            return notes;
        }
        let me = Arc::clone(&self.me);
        for users in gossip::cut(changes, |change| (&change.user, change.entry.as_ref())) {
            let Some(own) = self.nodes.get_mut(&me) else {
                break;
            };
            own.version += 1;
            let version = own.version;
            self.apply(&me, users.clone());
            notes.push(self.envelope(GossipMessage::Changes { version, users }));
        }
        notes
    }

    /// Applies newer chosen statuses to this node's own users. Returns the messages for the other nodes.
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

    /// Applies a chosen status before the user's node announces it, so that the user sees it at once.
    pub fn choose(&mut self, user: &UserId, chosen: &Chosen) {
        for (name, node) in &mut self.nodes {
            // A node changes its own users only together with its version number.
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

    /// Applies a message of another node. Returns the messages to answer with.
    pub fn take(&mut self, note: GossipEnvelope, now: Instant) -> Vec<GossipEnvelope> {
        let GossipEnvelope {
            node: name,
            message,
        } = note;
        if name == self.me {
            return Vec::new();
        }
        let publishers = self.publishers();
        let node = self
            .nodes
            .entry(Arc::clone(&name))
            .or_insert_with(|| Node::new(now));
        node.heard = now;
        node.heard_at = Timestamp::now().as_millis();
        let mut answer = Vec::new();
        match message {
            GossipMessage::Hello => {
                answer = self.all();
                answer.push(self.beat());
            }
            GossipMessage::Beat {
                version,
                is_publisher,
                is_writer,
            } => {
                node.is_publisher = is_publisher;
                node.is_writer = is_writer;
                if version != node.version || !node.is_known {
                    node.is_known = false;
                    answer.push(self.envelope(GossipMessage::Ask { of: name }));
                }
            }
            GossipMessage::Bye => {
                node.is_publisher = false;
                node.is_writer = false;
            }
            GossipMessage::Changes { version, users } => {
                if node.is_known && version == node.version + 1 {
                    node.version = version;
                    self.apply(&name, users);
                } else if version > node.version {
                    node.is_known = false;
                    answer.push(self.envelope(GossipMessage::Ask { of: name }));
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
        self.check_publishers(&publishers);
        answer
    }

    /// Replaces all users of a node.
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

    /// Returns the messages that list all users of this node.
    fn all(&self) -> Vec<GossipEnvelope> {
        let Some(own) = self.nodes.get(&self.me) else {
            return Vec::new();
        };
        let users: Vec<(UserId, Entry)> = own
            .users
            .iter()
            .map(|(user, entry)| (user.clone(), entry.clone()))
            .collect();
        let parts = gossip::cut(users, |(user, entry)| (user, Some(entry)));
        let count = parts.len();
        let parts = parts.into_iter().enumerate().map(|(index, users)| {
            self.envelope(GossipMessage::All {
                version: own.version,
                is_first: index == 0,
                is_last: index + 1 == count,
                users,
            })
        });
        parts.collect()
    }

    /// Returns true if no node's list of users is still awaited.
    pub fn is_complete(&self) -> bool {
        self.nodes.values().all(|node| node.is_known)
    }

    /// Lets this process publish changes from now on.
    ///
    /// If other processes publish already, the present users of the other nodes count as published.
    pub fn begin_publishing(&mut self) {
        let publishers = self.publishers();
        let others: HashSet<UserId> = self
            .nodes
            .iter()
            .filter(|(name, _)| **name != self.me && !publishers.is_empty())
            .flat_map(|(_, node)| node.users.keys().cloned())
            .collect();
        for user in others {
            let shown = self.shown(&user, Viewer::Other);
            if !shown.is_offline() {
                self.published
                    .entry(user)
                    .or_insert(Published { id: None, shown });
            }
        }
        if let Some(own) = self.nodes.get_mut(&self.me) {
            own.is_publisher = true;
        }
        self.check_publishers(&publishers);
    }

    /// Stops this process from publishing changes.
    pub fn end(&mut self) -> GossipEnvelope {
        if let Some(own) = self.nodes.get_mut(&self.me) {
            own.is_publisher = false;
        }
        self.envelope(GossipMessage::Bye)
    }

    /// Renews the lease of every node: this process itself was paused and could not receive their messages.
    pub fn renew_leases(&mut self, now: Instant) {
        for node in self.nodes.values_mut() {
            node.heard = now;
        }
    }

    /// Drops the nodes that were silent for the lease, with their users.
    pub fn expire(&mut self, now: Instant) {
        let publishers = self.publishers();
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
            tracing::info!(node = %name, users = node.users.len(), "presence lease of a process expired");
            for user in node.users.into_keys() {
                self.left.insert(user.clone(), node.heard_at);
                self.dirty.insert(user);
            }
        }
        self.check_publishers(&publishers);
    }

    /// Returns the sorted names of the living processes that take commands, this one included if it does.
    pub fn living_writers(&self, now: Instant) -> Vec<Arc<str>> {
        let is_living = |name: &Arc<str>, node: &Node| {
            *name == self.me || now.duration_since(node.heard) < WRITER_LEASE
        };
        let writers = self.nodes.iter().filter(|(_, node)| node.is_writer);
        let living = writers.filter(|(name, node)| is_living(name, node));
        let mut names: Vec<Arc<str>> = living.map(|(name, _)| Arc::clone(name)).collect();
        names.sort();
        names
    }

    pub(super) fn publishers(&self) -> Vec<Arc<str>> {
        let publishers = self.nodes.iter().filter(|(_, node)| node.is_publisher);
        let mut names: Vec<Arc<str>> = publishers.map(|(name, _)| Arc::clone(name)).collect();
        names.sort();
        names
    }

    /// Checks all users again if the set of publishing processes changed.
    ///
    /// The new ones take over what the old ones left undone.
    fn check_publishers(&mut self, before: &[Arc<str>]) {
        if self.publishers() != before {
            self.check_all();
        }
    }

    /// Marks all users for a check: those on the nodes, and those published as not offline.
    pub fn check_all(&mut self) {
        let present = self.nodes.values().flat_map(|node| node.users.keys());
        self.dirty
            .extend(present.chain(self.published.keys()).cloned());
    }
}

impl Node {
    /// Returns a node that has reported no users yet.
    fn new(now: Instant) -> Self {
        Self {
            heard: now,
            heard_at: Timestamp::now().as_millis(),
            version: 0,
            is_known: true,
            is_publisher: false,
            is_writer: false,
            users: HashMap::new(),
            parts: HashMap::new(),
        }
    }
}

//! The board: what every node said of its users, and what the world was told.
//!
//! Each node numbers what it says; who missed something asks for all of it. A node that is silent for the lease is dead, and its users are there no more
//! unless they are elsewhere. What the world was told of a user is known from the stream, which every process reads. Where that differs from what the
//! nodes say, one process settles it: by rendezvous hashing over the living processes. Two may do so for a moment, under the same id, so that the stream
//! keeps one; and what was not heard of in the stream is said again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{EventId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Chosen, Eye, LEASE, Shown, shown};

/// How long the stream may take to show what was settled, before it is said again.
const HEAR_WITHIN: Duration = Duration::from_secs(5);
/// How many users one note carries: it stays far below what the server takes (1 MiB) also with the longest ids and texts.
const USERS_PER_NOTE: usize = 400;

/// A user on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Whether one of their sockets there did something within the threshold.
    pub is_active: bool,
    /// What they chose to look like.
    pub chosen: Chosen,
    /// When they came, in milliseconds since 1970.
    pub since: i64,
}

/// A change of a node's users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    user: UserId,
    /// How they are there; `None` when they are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Entry>,
    /// When, in milliseconds since 1970.
    at: i64,
}

impl Change {
    /// `user` is there since or otherwise than before.
    pub fn here(user: UserId, entry: Entry, at: i64) -> Self {
        Self {
            user,
            entry: Some(entry),
            at,
        }
    }

    /// `user` is gone since `at`.
    pub fn gone(user: UserId, at: i64) -> Self {
        Self {
            user,
            entry: None,
            at,
        }
    }
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Word {
    /// It is new and knows nothing: everybody says everything.
    Hello,
    /// It lives, and this is how far what it said goes.
    Beat {
        /// The number of its last change.
        version: u64,
        /// Whether it settles what the world is told.
        is_settler: bool,
    },
    /// It ends, and settles nothing any more. Its users count as there for the lease, in which they find another node.
    Bye,
    /// Some of its users changed.
    Changes {
        /// The number of this change.
        version: u64,
        /// Who.
        users: Vec<Change>,
    },
    /// All of its users, or the next part of them.
    All {
        /// The number of its last change.
        version: u64,
        /// Whether this is the first part.
        is_first: bool,
        /// Whether this is the last part.
        is_last: bool,
        /// Who.
        users: Vec<(UserId, Entry)>,
    },
    /// Node `of` is asked for all of its users.
    Ask {
        /// Who is asked.
        of: Arc<str>,
    },
    /// A user chose what to look like; the node that has them says it with the user.
    Chosen {
        /// Who.
        user: UserId,
        /// What.
        chosen: Chosen,
    },
}

/// What a node says, and which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    node: Arc<str>,
    #[serde(flatten)]
    word: Word,
}

impl Note {
    /// What is said.
    pub fn word(&self) -> &Word {
        &self.word
    }
}

/// A change of how a user looks, for the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The event's id: the same for everybody who settles this change.
    pub id: EventId,
    /// Who.
    pub user: UserId,
    /// How they look.
    pub shown: Shown,
    /// When they were last there, when they look offline.
    pub last_seen: Option<Timestamp>,
}

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
    /// The parts of [`Word::All`] that came so far.
    parts: HashMap<UserId, Entry>,
}

/// What the world was told of a user.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    id: Option<EventId>,
    shown: Shown,
}

/// What the nodes said, and what the world was told.
#[derive(Debug)]
pub struct Board {
    me: Arc<str>,
    nodes: HashMap<Arc<str>, Node>,
    /// What the stream told of those who are not offline.
    told: HashMap<UserId, Told>,
    /// What this process settled and the stream has not told yet.
    settled: HashMap<UserId, (Told, Instant)>,
    /// Who may look otherwise than the world was told.
    dirty: HashSet<UserId>,
    /// When those were last there who are gone and not settled yet.
    left: HashMap<UserId, i64>,
}

impl Board {
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
    pub fn note(&self, word: Word) -> Note {
        Note {
            node: Arc::clone(&self.me),
            word,
        }
    }

    /// That this process lives.
    pub fn beat(&self) -> Note {
        let own = self.nodes.get(&self.me);
        self.note(Word::Beat {
            version: own.map_or(0, |own| own.version),
            is_settler: own.is_some_and(|own| own.is_settler),
        })
    }

    /// How `user` looks.
    pub fn shown(&self, user: &UserId, eye: Eye) -> Shown {
        shown(self.entries(user), eye)
    }

    fn entries<'a>(&'a self, user: &'a UserId) -> impl Iterator<Item = &'a Entry> {
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

    /// Changes users of this node. Answers what the other nodes must hear, if anything.
    pub fn change_own(&mut self, changes: Vec<Change>) -> Option<Note> {
        if changes.is_empty() {
            return None;
        }
        let me = Arc::clone(&self.me);
        let own = self.nodes.get_mut(&me)?;
        own.version += 1;
        let version = own.version;
        self.apply(&me, changes.clone());
        Some(self.note(Word::Changes {
            version,
            users: changes,
        }))
    }

    /// Puts newer choices on this node's own users. Answers what the other nodes must hear.
    pub fn choose_own(&mut self, chosen: &HashMap<UserId, Chosen>) -> Option<Note> {
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
    pub fn take(&mut self, note: Note, now: Instant) -> Vec<Note> {
        let Note { node: name, word } = note;
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
            Word::Hello => {
                answer = self.all();
                answer.push(self.beat());
            }
            Word::Beat {
                version,
                is_settler,
            } => {
                node.is_settler = is_settler;
                if version != node.version || !node.is_known {
                    node.is_known = false;
                    answer.push(self.note(Word::Ask { of: name }));
                }
            }
            Word::Bye => node.is_settler = false,
            Word::Changes { version, users } => {
                if node.is_known && version == node.version + 1 {
                    node.version = version;
                    self.apply(&name, users);
                } else if version > node.version {
                    node.is_known = false;
                    answer.push(self.note(Word::Ask { of: name }));
                }
            }
            Word::All {
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
            Word::Ask { of } if of == self.me => answer = self.all(),
            Word::Ask { .. } => {}
            Word::Chosen { user, chosen } => {
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
    fn all(&self) -> Vec<Note> {
        let Some(own) = self.nodes.get(&self.me) else {
            return Vec::new();
        };
        let users: Vec<(UserId, Entry)> = own
            .users
            .iter()
            .map(|(user, entry)| (user.clone(), entry.clone()))
            .collect();
        let count = users.len().div_ceil(USERS_PER_NOTE).max(1);
        let mut parts = users.chunks(USERS_PER_NOTE);
        (0..count)
            .map(|index| {
                self.note(Word::All {
                    version: own.version,
                    is_first: index == 0,
                    is_last: index + 1 == count,
                    users: parts.next().unwrap_or_default().to_vec(),
                })
            })
            .collect()
    }

    /// Whether this process waits for nobody's users any more.
    pub fn is_complete(&self) -> bool {
        self.nodes.values().all(|node| node.is_known)
    }

    /// Lets this process settle from now on. What the others have is taken for told: they saw to it.
    pub fn begin_to_settle(&mut self) {
        let settlers = self.settlers();
        let others: HashSet<UserId> = self
            .nodes
            .iter()
            .filter(|(name, _)| **name != self.me)
            .flat_map(|(_, node)| node.users.keys().cloned())
            .collect();
        for user in others {
            let shown = self.shown(&user, Eye::Other);
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
    pub fn end(&mut self) -> Note {
        if let Some(own) = self.nodes.get_mut(&self.me) {
            own.is_settler = false;
        }
        self.note(Word::Bye)
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

    fn settlers(&self) -> Vec<Arc<str>> {
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

    /// Whether it is news to this process that `user` looks like `shown`, as the stream tells now.
    pub fn is_news(&self, user: &UserId, shown: &Shown) -> bool {
        let told = self.told.get(user);
        told.is_none_or(|told| told.shown != *shown)
    }

    /// Takes in what the stream told of `user`.
    pub fn hear(&mut self, id: &EventId, user: &UserId, shown: Shown) {
        if self
            .settled
            .get(user)
            .is_some_and(|(settled, _)| settled.id.as_ref() == Some(id))
        {
            self.settled.remove(user);
        }
        if shown.is_offline() {
            self.told.remove(user);
        } else {
            let id = Some(id.clone());
            self.told.insert(user.clone(), Told { id, shown });
        }
    }

    /// Whether this process is the first of those that settle.
    pub fn is_first_settler(&self) -> bool {
        self.settlers().first() == Some(&self.me)
    }

    /// Takes in that the world was once told that `user` is there, by a process that is gone. Answers whether they look offline.
    pub fn remember_told(&mut self, user: &UserId, shown: Shown, last_seen: i64) -> bool {
        if self.told.contains_key(user) || !self.shown(user, Eye::Other).is_offline() {
            return false;
        }
        self.told.insert(user.clone(), Told { id: None, shown });
        self.left.insert(user.clone(), last_seen);
        true
    }

    /// What this process must tell the world now.
    pub fn settle(&mut self, now: Instant) -> Vec<Transition> {
        let settlers = self.settlers();
        let dirty = std::mem::take(&mut self.dirty);
        let mine = dirty.into_iter().filter(|user| {
            let owner = settlers.iter().max_by_key(|name| score(name, user));
            owner == Some(&self.me)
        });
        let mine: Vec<UserId> = mine.collect();
        mine.into_iter()
            .filter_map(|user| self.settle_one(user, now))
            .collect()
    }

    /// What this process must tell the world of `user`, whoever else may be the one to do so.
    pub fn settle_one(&mut self, user: UserId, now: Instant) -> Option<Transition> {
        let shown = self.shown(&user, Eye::Other);
        let told = self.told.get(&user);
        let known = match self.settled.get(&user) {
            Some((settled, at)) if now.duration_since(*at) < HEAR_WITHIN => Some(settled),
            _ => told,
        };
        if known.map_or(shown.is_offline(), |known| known.shown == shown) {
            if shown.is_offline() {
                self.left.remove(&user);
            }
            return None;
        }
        let since = self.entries(&user).map(|entry| entry.since).min();
        let id = transition_id(known, since, &user, &shown);
        let last_seen = shown.is_offline().then(|| {
            let left = self.left.get(&user).copied();
            left.map_or_else(Timestamp::now, Timestamp::from_millis)
        });
        let settled = Told {
            id: Some(id.clone()),
            shown: shown.clone(),
        };
        self.settled.insert(user.clone(), (settled, now));
        Some(Transition {
            id,
            user,
            shown,
            last_seen,
        })
    }

    /// Forgets what the stream should have told by now, so that it is settled again.
    pub fn forget_unheard(&mut self, now: Instant) {
        let told = &self.told;
        let dirty = &mut self.dirty;
        self.settled.retain(|user, (settled, at)| {
            let is_waiting = now.duration_since(*at) < HEAR_WITHIN;
            let is_told = told.get(user).map_or(settled.shown.is_offline(), |told| {
                told.shown == settled.shown
            });
            if !is_waiting && !is_told {
                dirty.insert(user.clone());
            }
            is_waiting
        });
    }
}

impl Default for Board {
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

fn score(name: &str, user: &UserId) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in user.as_str().bytes().chain([b'/']).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// The id of the event that follows `known`: the same for all who know the same.
fn transition_id(
    known: Option<&Told>,
    since: Option<i64>,
    user: &UserId,
    shown: &Shown,
) -> EventId {
    let mut hash = Sha256::new();
    match (known.and_then(|known| known.id.as_ref()), since) {
        (Some(id), _) => hash.update(id.as_str()),
        (None, Some(since)) => hash.update(since.to_be_bytes()),
        (None, None) => return EventId::generate(),
    }
    hash.update([shown.status as u8]);
    hash.update(shown.text.as_deref().unwrap_or_default());
    hash.update([0]);
    hash.update(user.as_str());
    let hash = hash.finalize();
    let random = hash
        .iter()
        .take(10)
        .fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    let now = Timestamp::now().as_millis().unsigned_abs();
    // Ids begin with the time; a minute of it, so that who settles the same a moment later gives the same id.
    let ulid = ulid::Ulid::from_parts(now - now % 60_000, random);
    format!("{}{}", EventId::PREFIX, ulid.to_string().to_lowercase())
        .parse()
        .unwrap_or_else(|_| EventId::generate())
}

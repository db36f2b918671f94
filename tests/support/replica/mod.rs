//! A client-side model of one user's view: it reads REST once, at connecting, then only uses what sockets push.
//!
//! The proof of completeness is `apply(events, old state) == fresh state`: [`Replica::show`] must equal what [`fresh`] reads by REST, for every user.
//!
//! # To add a resource or an event
//! - An event that changes a resource which is shown already (a message, a member, a conversation): an arm in `apply` of that resource's file.
//! - Something with a list or an answer of its own: a file with a [`Noun`] (per conversation) or an [`Overview`] (per user), entered in [`NOUNS`] or [`OVERVIEWS`].
//! - An event that no file knows fails the test that saw it. Fields that cannot be compared are in [`left_out`], with the reason.

mod conversations;
mod differences;
pub mod left_out;
mod members;
mod messages;
mod presence;
mod receipts;
mod unread;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::client::User;

pub use differences::differences;
pub use watcher::{Watcher, hear_all, settle};

/// The resources per conversation, in the order in which they apply an event: the conversation itself last, so that the others see it as it was before.
const NOUNS: &[Noun] = &[
    messages::NOUN,
    members::NOUN,
    receipts::NOUN,
    conversations::NOUN,
];
/// The resources per user, over all conversations.
const OVERVIEWS: &[Overview] = &[conversations::LIST, unread::OVERVIEW, presence::OVERVIEW];
/// Presence frames, which also arrive without any operation.
pub const OF_PRESENCE: &[&str] = &["user:online", "user:away", "user:offline"];
/// Private frames of the user, sent to former members too.
const ONES_OWN: &[&str] = &["conversation:read", "draft:updated"];
/// Frames about the socket itself.
const OF_THE_SOCKET: &[&str] = &["ack", "connected", "rooms", "error", "reconnect"];

/// Something that a conversation has and REST answers.
pub struct Noun {
    /// Its name in a view.
    pub name: &'static str,
    /// Reads it by REST; null where the answer is 404.
    pub load: for<'a> fn(&'a User, &'a str) -> BoxFuture<'a, Value>,
    /// Stores what `load` read.
    pub store: fn(&mut Room, Value),
    /// The value that `load` would read now, according to the events.
    pub show: fn(&Room) -> Value,
    /// Applies an event to the room. Returns true if this resource knows the event.
    pub apply: fn(&mut Room, &Frame) -> bool,
}

/// Something that a user has over all conversations.
pub struct Overview {
    /// Its name in a view.
    pub name: &'static str,
    /// Reads it by REST.
    pub load: for<'a> fn(&'a User) -> BoxFuture<'a, Value>,
    /// The value that `load` would read now, according to the events.
    pub show: fn(&Replica) -> Value,
}

/// A pushed event.
pub struct Frame<'a> {
    /// Its name.
    pub event: &'a str,
    /// Its seq in the conversation's log; `None` for an event that is in no log.
    pub seq: Option<u64>,
    /// Its data.
    pub data: &'a Value,
}

impl Frame<'_> {
    /// A text of the data.
    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.data[field]
            .as_str()
            .unwrap_or_else(|| panic!("{} has no {field}: {}", self.event, self.data))
    }

    /// Copies fields of the data to `noun`; a field that the data lacks stays unchanged.
    pub fn copy(&self, noun: &mut Value, fields: &[&str]) {
        for field in fields {
            if let Some(value) = self.data.get(field) {
                noun[*field] = value.clone();
            }
        }
    }

    /// The texts of a list in the data.
    pub fn texts(&self, field: &str) -> Vec<String> {
        let items = self.data[field].as_array().into_iter().flatten();
        items
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    }
}

/// One conversation, as the user of the replica sees it.
#[derive(Default)]
pub struct Room {
    /// The user of the replica.
    pub me: String,
    /// The conversation's id.
    pub id: String,
    /// True if the user is a member.
    pub is_member: bool,
    /// True if the conversation was deleted while the user was a member.
    pub is_deleted: bool,
    /// Seq of the newest entry that is applied.
    pub seq: u64,
    /// The conversation itself.
    pub conversation: Value,
    /// The members by user id.
    pub members: BTreeMap<String, Value>,
    /// The messages by number.
    pub messages: BTreeMap<u64, Value>,
    /// Seq up to which the user has read.
    pub read_seq: u64,
    /// The members' read positions, in the order of their events.
    pub reads: Vec<receipts::Step>,
    /// The members' delivery positions, in the order of their events.
    pub deliveries: Vec<receipts::Step>,
    /// Names of resources that a client has to reload now, because an event announced a change without carrying it.
    pub stale: BTreeSet<&'static str>,
    /// Seq of the conversation before the rest was read by REST: the snapshot holds everything up to it.
    pub position: u64,
    /// Seq up to which the messages are a snapshot of REST.
    pub messages_at: u64,
    /// Seq that REST answered at connecting; events up to it are part of the snapshot.
    loaded: u64,
    /// The id of each event that came.
    events: BTreeMap<u64, String>,
    /// The greatest id of each private event that is in no log.
    last_words: BTreeMap<String, String>,
}

/// The view of one user.
#[derive(Default)]
pub struct Replica {
    user: String,
    rooms: BTreeMap<String, Room>,
    /// Presence of other users, as far as it is known.
    presence: BTreeMap<String, Value>,
    /// True if a user became visible whose presence is not known yet.
    knows_not_who_is_there: bool,
    /// Names of resources and overviews that are not compared; a test that adds one states the reason.
    pub without: BTreeSet<&'static str>,
    /// Number of entries that were delivered repeatedly.
    pub repeats: usize,
}

impl Replica {
    /// Loads the current answers of REST to `user`.
    pub async fn load(user: &User) -> Self {
        let mut replica = Self {
            user: user.id.clone(),
            ..Self::default()
        };
        for (id, position) in conversations::positions(user).await {
            let room = replica.room(&id);
            room.is_member = true;
            room.position = position;
            for noun in NOUNS {
                (noun.store)(room, (noun.load)(user, &id).await);
            }
            room.loaded = room.seq;
        }
        replica.presence = presence::read(user).await;
        replica
    }

    fn room(&mut self, id: &str) -> &mut Room {
        let me = &self.user;
        self.rooms.entry(id.to_owned()).or_insert_with(|| Room {
            me: me.clone(),
            id: id.to_owned(),
            ..Room::default()
        })
    }

    /// The conversations of which this user is a member, and those that they left.
    pub fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    /// Takes in a frame.
    ///
    /// # Panics
    /// For what may not come: a gap, another event under a number that was given, anything of a conversation in which the user is no member, an event
    /// that no noun knows.
    #[track_caller]
    pub fn apply(&mut self, frame: &Value) {
        let event = frame["event"].as_str().expect("a frame has a name");
        let data = &frame["data"];
        if OF_PRESENCE.contains(&event) {
            let who = data["userId"].as_str().expect("a user").to_owned();
            self.presence.insert(who, data["status"].clone());
        }
        if OF_THE_SOCKET.contains(&event) || OF_PRESENCE.contains(&event) {
            return;
        }
        let user = self.user.clone();
        let id = data["conversationId"].as_str().or(data["id"].as_str());
        let id = id.unwrap_or_else(|| panic!("{user}: {event} names no conversation: {frame}"));
        let seq = frame["seq"].as_u64();
        let begins = matches!(event, "conversation:new" | "conversation:joined");
        self.knows_not_who_is_there |= begins || event == "participant:added";
        if ONES_OWN.contains(&event) && !self.rooms.get(id).is_some_and(|room| room.is_member) {
            // The event was under way when the user left.
            return;
        }
        let room = match self.rooms.get_mut(id) {
            Some(room) => room,
            None if begins => self.room(id),
            None => panic!("{user} got what they may not see: {frame}"),
        };
        if ONES_OWN.contains(&event) {
            // The event is in no log: two nodes may deliver out of order, so the greatest id wins.
            let id = frame["id"].as_str().expect("an id").to_owned();
            let last = room.last_words.entry(event.to_owned()).or_default();
            if id < *last {
                return;
            }
            *last = id;
        }
        if let Some(seq) = seq {
            let event_id = frame["id"].as_str().expect("a numbered event has an id");
            if seq <= room.seq {
                match room.events.get(&seq) {
                    Some(known) => assert_eq!(known, event_id, "{user}: {seq} is two events"),
                    None => assert!(seq <= room.loaded, "{user}: {seq} came too late: {frame}"),
                }
                self.repeats += 1;
                return;
            }
            assert!(
                seq == room.seq + 1 || begins && !room.is_member,
                "{user}: after number {} of {id} came {frame}",
                room.seq
            );
            room.events.insert(seq, event_id.to_owned());
            room.seq = seq;
        }
        assert!(
            room.is_member != begins,
            "{user} got what they may not see: {frame}"
        );
        let frame = Frame { event, seq, data };
        let known = NOUNS.iter().filter(|noun| (noun.apply)(room, &frame));
        assert!(
            known.count() > 0 || event == "seq:skip",
            "{user}: nothing in tests/support/replica knows {event}: {data}"
        );
    }

    /// Reloads what events changed without carrying the new value, as a client would. It waits until the conversation itself is as far as the events, because
    /// an event may arrive a moment before REST shows it. Values that cannot be read yet stay stale.
    pub async fn refresh(&mut self, user: &User) {
        if std::mem::take(&mut self.knows_not_who_is_there) {
            self.presence = presence::read(user).await;
        }
        for room in self.rooms.values_mut() {
            if room.stale.is_empty() {
                continue;
            }
            let position = conversations::position(user, &room.id).await;
            if room.is_member && position < room.seq {
                continue;
            }
            let stale = room.stale.clone();
            if room.is_member {
                room.stale.clear();
                room.position = position;
            }
            let is_stale = |noun: &&Noun| stale.contains(noun.name);
            // A former member cannot ask for the current position, so their messages are reloaded with the next look.
            for noun in NOUNS.iter().filter(is_stale) {
                (noun.store)(room, (noun.load)(user, &room.id).await);
            }
        }
    }

    /// Marks what a resume does not deliver to be reloaded: the user's read positions and drafts.
    pub fn resumed(&mut self) {
        for room in self.rooms.values_mut().filter(|room| room.is_member) {
            room.stale.insert(conversations::NOUN.name);
        }
    }

    /// Everything that the user sees, of their own conversations and of `others`.
    pub fn show(&self, others: &[String]) -> Value {
        let mut view = Map::new();
        for overview in OVERVIEWS {
            view.insert(overview.name.to_owned(), (overview.show)(self));
        }
        for id in self.ids_with(others) {
            let nothing = Room::default();
            let room = self.rooms.get(&id).unwrap_or(&nothing);
            let parts = NOUNS
                .iter()
                .map(|noun| (noun.name.to_owned(), (noun.show)(room)));
            view.insert(id, Value::Object(parts.collect()));
        }
        Value::Object(view)
    }

    fn ids_with(&self, others: &[String]) -> BTreeSet<String> {
        self.rooms.keys().chain(others).cloned().collect()
    }

    /// Conversations whose events are not complete yet, compared with the list of REST.
    async fn missing(&self, user: &User) -> Vec<String> {
        let mut positions = conversations::positions(user).await;
        let mut missing: Vec<String> = Vec::new();
        for room in self.rooms.values() {
            let mut position = positions.remove(&room.id);
            if position.is_none() && room.conversation["preferences"]["hidden"] == true {
                // It is in no list.
                position =
                    Some(conversations::position(user, &room.id).await).filter(|seq| *seq > 0);
            }
            let knows_all = match position {
                Some(seq) => room.is_member && room.seq >= seq,
                None => !room.is_member,
            };
            if !knows_all {
                missing.push(room.id.clone());
            }
        }
        missing.extend(positions.into_keys());
        missing
    }

    /// The differences between this view and the current answers of REST, for the user's conversations and for `others`.
    pub async fn compare(&self, user: &User, others: &[String]) -> Vec<String> {
        let mut fresh = fresh(user, &self.ids_with(others)).await;
        let mut own = self.show(others);
        left_out::strip(self, &mut own, &mut fresh);
        for view in [&mut own, &mut fresh] {
            for name in &self.without {
                for part in view.as_object_mut().into_iter().flat_map(Map::values_mut) {
                    part.as_object_mut().map(|part| part.remove(*name));
                }
                view.as_object_mut().map(|view| view.remove(*name));
            }
        }
        differences(&own, &fresh)
    }
}

/// Everything that REST answers to `user`, of these conversations.
async fn fresh(user: &User, ids: &BTreeSet<String>) -> Value {
    let mut view = Map::new();
    for overview in OVERVIEWS {
        view.insert(overview.name.to_owned(), (overview.load)(user).await);
    }
    for id in ids {
        let mut parts = Map::new();
        for noun in NOUNS {
            parts.insert(noun.name.to_owned(), (noun.load)(user, id).await);
        }
        view.insert(id.clone(), Value::Object(parts));
    }
    Value::Object(view)
}

/// A list in pieces, whole; null where the answer is 404.
async fn read_list(user: &User, path: &str, items: &str, cursor: &str) -> Value {
    let mut all = Vec::new();
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}limit=100");
    let mut at = path.clone();
    loop {
        let answer = user.get(&at).await;
        if answer.status == 404 {
            return Value::Null;
        }
        let mut page = answer.expect(200);
        match page[items].take() {
            Value::Array(found) => all.extend(found),
            other => panic!("{path} answers no {items} but {other}"),
        }
        if page["hasMore"] != true {
            return Value::Array(all);
        }
        let next = page["nextCursor"].as_str().expect("a cursor");
        at = format!("{path}&{cursor}={next}");
    }
}

/// One object; null where the answer is 404.
async fn read_one(user: &User, path: &str) -> Value {
    let answer = user.get(path).await;
    match answer.status {
        404 => Value::Null,
        _ => answer.expect(200),
    }
}

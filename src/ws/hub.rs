//! The hub: which sockets hear of which conversation, and in which order.
//!
//! The stream may lose, repeat and reorder; sockets never see it. Per conversation the next number is delivered, an older one dropped, and a gap waits for a
//! moment, then is read from the log. Membership follows the entries themselves: who is added hears from that entry on, who is removed up to it.

mod gaps;
mod intake;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use chat_sdk::{ConversationId, UserId};
use metrics::gauge;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Semaphore, task::yield_now};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    catch_up::READING_AT_ONCE,
    close::CloseReason,
    cursor::Seal,
    lately::RecentMemberships,
    memory::{CachedEvent, EventCache},
    push::{MembershipChange, Push},
    socket::{Outgoing, Socket},
};
use crate::{
    bounds,
    domain::known_users,
    store::{MembershipOf, Store},
};

/// How many entries that came too early are kept per conversation; more are read again.
const MAX_HELD: usize = 512;
/// How many rooms or memberships are looked at before the hub's lock is given back.
const TURN: usize = 128;

/// What [`Hub::join`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinOutcome {
    /// The socket hears everything after this number, and nothing before it.
    Live(u64),
    /// The socket was in already, and may have heard of it.
    AlreadyJoined,
    /// Nobody has said yet where the conversation is: [`Hub::begin`] must.
    PositionUnknown,
    /// The room was made by the entry that made somebody a member. On a node that has just started that entry may be minutes old, and what came after
    /// it is still to come by: where the conversation is, the documents know. See [`Hub::confirm`].
    NeedsCheck,
    /// The membership has ended meanwhile; the socket hears nothing.
    NotMember,
}

/// The sockets of this node and what they listen to.
pub struct Hub {
    store: Arc<Store>,
    /// Seals the cursors that pushes carry.
    pub seal: Arc<Seal>,
    state: Mutex<State>,
    /// Who may read from the store what was missed.
    pub catch_ups: Semaphore,
    watermark: AtomicU64,
    next_socket: AtomicU64,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<ConversationId, Room>,
    users: HashMap<UserId, Vec<Arc<Socket>>>,
    memory: EventCache,
    /// How many bytes of entries came too early.
    held_bytes: usize,
    /// Rooms that wait for an entry. While there is one, markers are not passed.
    gaps: usize,
    /// How many such tasks there ever were.
    waits: u64,
    /// Rooms of which nobody has said yet where they are. While there is one, markers are not passed.
    unknown: usize,
    /// Whose membership began or ended in the last minutes, and by which number.
    lately: RecentMemberships,
    /// Why all sockets are ended, also those that come later; `None` as long as they are not.
    ending: Option<CloseReason>,
}

/// A conversation with sockets on this node.
#[derive(Default)]
struct Room {
    /// The number to be delivered next; `None` until somebody has read where the conversation is.
    next: Option<u64>,
    sockets: Vec<Arc<Socket>>,
    /// What came too early.
    held: BTreeMap<u64, Arc<Push>>,
    /// The highest number that is known to exist.
    highest: u64,
    /// The task that waits for a missing entry, by its number.
    waiting: Option<u64>,
    /// Whether an entry made it, and nobody has compared it with the documents yet.
    is_unconfirmed: bool,
}

impl Hub {
    /// A hub without sockets.
    pub fn new(store: Arc<Store>, seal: Seal) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            store,
            seal: Arc::new(seal),
            state: Mutex::new(State::default()),
            catch_ups: Semaphore::new(READING_AT_ONCE),
            watermark: AtomicU64::new(0),
            next_socket: AtomicU64::new(1),
            this: this.clone(),
        })
    }

    /// A number for a new socket.
    pub fn next_socket_id(&self) -> u64 {
        self.next_socket.fetch_add(1, Ordering::Relaxed)
    }

    /// The last marker that was passed with nothing held back, as a cluster time.
    pub fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// Lets `socket` hear of its user's memberships from now on. Must come before memberships are read, so that none is missed between.
    /// Refuses with false when the user has `most` sockets here already.
    pub fn register(&self, socket: &Arc<Socket>, most: usize) -> bool {
        let mut state = self.state.lock();
        let sockets = state.users.entry(socket.user.clone()).or_default();
        if sockets.len() >= most {
            return false;
        }
        sockets.push(Arc::clone(socket));
        gauge!("chat_ws_sockets").increment(1.0);
        if let Some(reason) = state.ending {
            socket.end(reason);
        }
        true
    }

    /// Brings the memberships of `user`, as the documents say them, to what came by here. The socket must be registered: what comes from then on comes to it.
    pub async fn overlay(&self, user: &UserId, memberships: &mut Vec<MembershipOf>) {
        let joined = self.state.lock().lately.joined_by(user);
        if !joined.is_empty() {
            let known: HashSet<ConversationId> = memberships
                .iter()
                .map(|membership| membership.conversation.clone())
                .collect();
            let new = joined.into_iter().filter(|id| !known.contains(id));
            memberships.extend(new.map(|conversation| MembershipOf {
                conversation,
                intervals: Vec::new(),
                former_until: 0,
            }));
        }
        for some in memberships.chunks_mut(TURN) {
            {
                let state = self.state.lock();
                for membership in some {
                    state.lately.overlay(user, membership);
                }
            }
            yield_now().await;
        }
        // What was forgotten in the meantime the documents knew.
        memberships.retain(|membership| !membership.intervals.is_empty());
    }

    /// The number with which `user` became a member of `conversation`, if that came by here lately.
    pub fn joined_at(&self, user: &UserId, conversation: &ConversationId) -> Option<u64> {
        self.state.lock().lately.began(conversation, user)
    }

    /// Lets `socket` hear of a conversation in which its user's membership began with number `joined`, unless the hub saw that membership end.
    pub fn join(
        &self,
        socket: &Arc<Socket>,
        conversation: &ConversationId,
        joined: u64,
    ) -> JoinOutcome {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state
            .lately
            .ended(conversation, &socket.user, joined)
            .is_some()
        {
            return JoinOutcome::NotMember;
        }
        let room = match state.rooms.get_mut(conversation) {
            Some(room) => room,
            None => {
                state.unknown += 1;
                state.rooms.entry(conversation.clone()).or_default()
            }
        };
        let is_new = socket.joined(conversation);
        if is_new {
            room.sockets.push(Arc::clone(socket));
        }
        match room.next {
            Some(_) if room.is_unconfirmed => JoinOutcome::NeedsCheck,
            Some(_) if !is_new => JoinOutcome::AlreadyJoined,
            Some(next) => JoinOutcome::Live(next - 1),
            None => JoinOutcome::PositionUnknown,
        }
    }

    /// Says that the documents of `conversation` are at number `applied`, so that everything after it is delivered from now on. Answers
    /// false when somebody else has said so before.
    pub fn begin(&self, conversation: &ConversationId, applied: u64) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let highest = state.memory.last_seq(conversation).unwrap_or(0);
        let Some(room) = state.rooms.get_mut(conversation) else {
            return false;
        };
        if room.next.is_some() {
            return false;
        }
        room.next = Some(applied + 1);
        room.highest = room.highest.max(highest);
        state.unknown -= 1;
        self.deliver(state, conversation);
        true
    }

    /// Says that the documents of `conversation` were at number `applied`: a room that is there too is like any other from now on.
    pub fn confirm(&self, conversation: &ConversationId, applied: u64) {
        let mut state = self.state.lock();
        if let Some(room) = state.rooms.get_mut(conversation)
            && room.next.is_some_and(|next| next > applied)
        {
            room.is_unconfirmed = false;
        }
    }

    /// The last number of `conversation` that was delivered here, where it is known.
    pub fn position(&self, conversation: &ConversationId) -> Option<u64> {
        let state = self.state.lock();
        state.rooms.get(conversation)?.next.map(|next| next - 1)
    }

    /// What this node remembers of `conversation` after number `after` up to `to`, if it remembers all of it and none of it has an end: as much as is given
    /// at once, but at least one entry.
    pub fn remembered(
        &self,
        conversation: &ConversationId,
        (after, to): (u64, u64),
        watermark: u64,
    ) -> Option<Vec<Push>> {
        let events = {
            let memory = &self.state.lock().memory;
            if !memory.may_retell(conversation, after) {
                return None;
            }
            memory.range(conversation, after, to, bounds::RESUME_CHUNK)?
        };
        events
            .iter()
            .map(|event| push_of(conversation, event, watermark))
            .collect()
    }

    /// When anything of `conversation` last came by, in seconds by this machine's clock; `None` when that is minutes ago.
    pub fn active_at(&self, conversation: &ConversationId) -> Option<u64> {
        self.state.lock().memory.last_at(conversation)
    }

    /// Takes `socket` out of one conversation.
    pub fn leave(&self, socket: &Socket, conversation: &ConversationId) {
        let mut state = self.state.lock();
        remove_from_room(&mut state, conversation, |other| other.id == socket.id);
    }

    /// Takes `socket` out of everything.
    pub fn unregister(&self, socket: &Socket) {
        {
            let mut state = self.state.lock();
            if let Some(sockets) = state.users.get_mut(&socket.user) {
                sockets.retain(|other| other.id != socket.id);
                if sockets.is_empty() {
                    state.users.remove(&socket.user);
                }
            }
        }
        loop {
            let rooms = socket.rooms_after(None, TURN);
            if rooms.is_empty() {
                break;
            }
            let mut state = self.state.lock();
            for conversation in rooms {
                remove_from_room(&mut state, &conversation, |other| other.id == socket.id);
                socket.left(&conversation);
            }
            // Others may be waiting for the lock.
            MutexGuard::unlock_fair(state);
        }
        gauge!("chat_ws_sockets").decrement(1.0);
    }

    /// Gives `text`, which is in no log, to every socket that hears of `conversation`, but not to those of `except`.
    pub fn tell_room(
        &self,
        conversation: &ConversationId,
        text: &Utf8Bytes,
        except: Option<&UserId>,
    ) {
        let text = Arc::new(text.clone());
        let state = self.state.lock();
        let sockets = state.rooms.get(conversation).map(|room| &room.sockets);
        for socket in sockets.into_iter().flatten() {
            if Some(&socket.user) != except {
                socket.push(Outgoing::Live(Arc::clone(&text)));
            }
        }
    }

    /// Gives `text`, which is in no log, to every socket of `user` on this node.
    pub fn tell_user(&self, user: &UserId, text: &Utf8Bytes) {
        let text = Arc::new(text.clone());
        let state = self.state.lock();
        for socket in state.users.get(user).into_iter().flatten() {
            socket.push(Outgoing::Live(Arc::clone(&text)));
        }
    }

    /// The sockets that hear of `conversation`.
    pub fn sockets_of(&self, conversation: &ConversationId) -> Vec<Arc<Socket>> {
        let state = self.state.lock();
        let room = state.rooms.get(conversation);
        room.map(|room| room.sockets.clone()).unwrap_or_default()
    }

    /// Whether a socket on this node hears of `conversation`.
    pub fn has_room(&self, conversation: &ConversationId) -> bool {
        self.state.lock().rooms.contains_key(conversation)
    }

    /// Ends those sockets of `user` on this node whose token is from before `valid_from` (milliseconds since 1970). An event of that comes again at times;
    /// who has come back since stays.
    fn end_revoked(&self, user: &UserId, valid_from: i64) {
        let state = self.state.lock();
        for socket in state.users.get(user).into_iter().flatten() {
            if !known_users::is_valid(socket.issued_at(), valid_from) {
                socket.end(CloseReason::Unauthenticated);
            }
        }
    }

    /// Ends every socket.
    pub fn end_all(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        state.ending = Some(reason);
        for socket in state.users.values().flatten() {
            socket.end(reason);
        }
    }

    /// How many sockets there are.
    pub fn len(&self) -> usize {
        self.state.lock().users.values().map(Vec::len).sum()
    }

    /// Whether there is no socket.
    pub fn is_empty(&self) -> bool {
        self.state.lock().users.is_empty()
    }

    /// Takes in an entry that came from the stream or the log.
    fn ingest(&self, state: &mut State, push: Push) {
        let conversation = push.conversation.clone();
        let push = Arc::new(push);
        if !state.rooms.contains_key(&conversation) {
            // No socket here listens; but the entry may make a user of this node a member, from this very number on.
            if !joins_somebody(state, &push) {
                return;
            }
            let highest = state.memory.last_seq(&conversation).unwrap_or(0);
            let room = Room {
                next: Some(push.seq),
                highest,
                is_unconfirmed: true,
                ..Room::default()
            };
            state.rooms.insert(conversation.clone(), room);
        }
        let Some(room) = state.rooms.get_mut(&conversation) else {
            return;
        };
        room.highest = room.highest.max(push.seq);
        match room.next {
            Some(next) if push.seq < next => return,
            Some(next) if push.seq == next && room.held.is_empty() => {
                room.next = Some(next + 1);
                send(state, &conversation, &push);
            }
            _ => hold(&mut state.held_bytes, room, push),
        }
        self.deliver(state, &conversation);
    }

    /// Notes that `conversation` has an entry `seq` that is read from the log alone.
    fn fetch_up_to(&self, conversation: &ConversationId, seq: u64) {
        let mut state = self.state.lock();
        if let Some(room) = state.rooms.get_mut(conversation) {
            room.highest = room.highest.max(seq);
            self.deliver(&mut state, conversation);
        }
    }

    /// Delivers what is in order, and waits for what is missing.
    fn deliver(&self, state: &mut State, conversation: &ConversationId) {
        loop {
            let Some(room) = state.rooms.get_mut(conversation) else {
                return;
            };
            let Some(next) = room.next else {
                return;
            };
            while let Some((seq, _)) = room.held.first_key_value()
                && *seq < next
                && let Some((_, passed)) = room.held.pop_first()
            {
                state.held_bytes -= passed.held_len();
            }
            let held = room.held.remove(&next);
            if let Some(push) = &held {
                state.held_bytes -= push.held_len();
            }
            let due = held.or_else(|| {
                let remembered = (room.highest >= next)
                    .then(|| state.memory.event(conversation, next))
                    .flatten()?;
                push_of(conversation, remembered, self.watermark()).map(Arc::new)
            });
            if let Some(push) = due {
                room.next = Some(next + 1);
                send(state, conversation, &push);
                continue;
            }
            let is_behind = room.highest >= next;
            if is_behind
                && room.waiting.is_none()
                && let Some(hub) = self.this.upgrade()
            {
                state.waits += 1;
                state.gaps += 1;
                room.waiting = Some(state.waits);
                tokio::spawn(hub.close_gap(conversation.clone(), state.waits));
            }
            return;
        }
    }
}

/// Keeps `push` until the entries before it were delivered, unless too much is kept: then it is read from the log.
fn hold(held_bytes: &mut usize, room: &mut Room, push: Arc<Push>) {
    let bytes = push.held_len();
    // The next one is always taken: it is delivered at once.
    let is_next = room.next == Some(push.seq);
    let has_room = room.held.len() < MAX_HELD && *held_bytes + bytes <= bounds::HELD_EVENTS;
    if (is_next || has_room) && !room.held.contains_key(&push.seq) {
        *held_bytes += bytes;
        room.held.insert(push.seq, push);
    }
}

fn push_of(conversation: &ConversationId, event: &CachedEvent, watermark: u64) -> Option<Push> {
    Push::from_envelope(
        conversation.clone(),
        event.seq,
        event.kind,
        &event.payload,
        watermark,
    )
}

fn joins_somebody(state: &State, push: &Push) -> bool {
    match push.change() {
        MembershipChange::Joined(users) => users.iter().any(|user| state.users.contains_key(user)),
        _ => false,
    }
}

/// Gives `push` to everybody in the room, and lets membership follow it.
fn send(state: &mut State, conversation: &ConversationId, push: &Arc<Push>) {
    let State { rooms, users, .. } = state;
    let Some(room) = rooms.get_mut(conversation) else {
        return;
    };
    if let MembershipChange::Joined(joined) = push.change() {
        for socket in joined.iter().filter_map(|user| users.get(user)).flatten() {
            socket.began(conversation, push.seq);
            if socket.joined(conversation) {
                room.sockets.push(Arc::clone(socket));
            }
        }
    }
    for socket in &room.sockets {
        socket.push(Outgoing::Logged(Arc::clone(push)));
    }
    match push.change() {
        MembershipChange::Left(left) => {
            for socket in left.iter().filter_map(|user| users.get(user)).flatten() {
                socket.ceased(conversation, push.seq);
            }
            remove_from_room(state, conversation, |socket| left.contains(&socket.user));
        }
        MembershipChange::Closed => remove_from_room(state, conversation, |_| true),
        MembershipChange::None | MembershipChange::Joined(_) => {}
    }
}

fn remove_from_room(
    state: &mut State,
    conversation: &ConversationId,
    is_gone: impl Fn(&Socket) -> bool,
) {
    let Some(room) = state.rooms.get_mut(conversation) else {
        return;
    };
    room.sockets.retain(|socket| {
        let is_gone = is_gone(socket);
        if is_gone {
            socket.left(conversation);
        }
        !is_gone
    });
    if room.sockets.is_empty() {
        if room.waiting.is_some() {
            state.gaps -= 1;
        }
        if room.next.is_none() {
            state.unknown -= 1;
        }
        let held = room.held.values().map(|push| push.held_len());
        state.held_bytes -= held.sum::<usize>();
        state.rooms.remove(conversation);
    }
}

#[cfg(test)]
#[path = "tests_hub.rs"]
mod tests;

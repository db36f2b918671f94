//! The hub: delivers entries to the sockets that are subscribed to a conversation, in the order of their seqs.
//!
//! The stream may lose, repeat and reorder entries; sockets never see that. Per conversation the hub delivers the next seq and drops older ones; a gap is given
//! a moment to close, then is read from the log. Membership follows the entries themselves: a new member receives entries from the one that adds them, a
//! removed member up to the one that removes them.

mod cache;
mod gaps;
mod intake;
pub(super) mod memberships;
mod own_logs;

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
    close::CloseReason,
    hub::{
        cache::{CachedEvent, EventCache},
        memberships::RecentMemberships,
        own_logs::OwnLog,
    },
    push::{MembershipChange, Outgoing, Push},
    resume::cursor::Seal,
    socket::Socket,
};
use crate::{
    domain::known_users::Revocation,
    model::bounds,
    store::{MembershipOf, Store},
};

/// Maximum number of catch-ups of a process that read from the store concurrently.
const READING_AT_ONCE: usize = 16;
/// Maximum number of early entries held per conversation; entries beyond it are read from the log.
const MAX_HELD: usize = 512;
/// Number of rooms or memberships that are processed before the hub's lock is released.
const TURN: usize = 128;

/// Result of [`Hub::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinOutcome {
    /// The socket receives every entry after this seq, and none before it.
    Live(u64),
    /// The socket was in the room already, and may have received entries.
    AlreadyJoined,
    /// The conversation's position is not known yet: [`Hub::begin`] must set it.
    PositionUnknown,
    /// The room was created from a replayed entry; confirm its position against MongoDB before use.
    ///
    /// On a node that has just started, the entry that added a member may be minutes old, with its successors still to come. See [`Hub::confirm`].
    NeedsCheck,
    /// The membership has ended in the meantime; the socket receives nothing.
    NotMember,
}

/// The sockets of this node and their subscriptions.
pub struct Hub {
    store: Arc<Store>,
    /// Seals the cursors of pushes.
    pub seal: Arc<Seal>,
    state: Mutex<State>,
    /// Limits the number of catch-ups that read from the store concurrently.
    pub catch_ups: Semaphore,
    watermark: AtomicU64,
    next_socket: AtomicU64,
    /// True if sockets receive events of users' own logs.
    follows_own_logs: bool,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<ConversationId, Room>,
    users: HashMap<UserId, Vec<Arc<Socket>>>,
    /// Positions of the own logs of these users, if sockets receive their events.
    own_logs: HashMap<UserId, OwnLog>,
    cache: EventCache,
    /// Total size of the held entries, in bytes.
    held_bytes: usize,
    /// Number of rooms that wait for an entry. While it is not 0, markers do not advance the watermark.
    gaps: usize,
    /// Number of gap tasks that were ever started; the id of the newest one.
    waits: u64,
    /// Number of rooms with an unknown position. While it is not 0, markers do not advance the watermark.
    unknown: usize,
    /// Memberships that began or ended in the last minutes, with their seqs.
    memberships: RecentMemberships,
    /// Reason for closing all sockets, later ones too; `None` while the node is not stopping.
    ending: Option<CloseReason>,
}

/// A conversation with sockets on this node.
#[derive(Default)]
struct Room {
    /// Seq of the next entry to deliver; `None` until the conversation's position has been read.
    next: Option<u64>,
    sockets: Vec<Arc<Socket>>,
    /// Early entries, held until the gap before them is closed.
    held: BTreeMap<u64, Arc<Push>>,
    /// Highest seq that is known to exist.
    highest: u64,
    /// Id of the task that waits for a missing entry.
    waiting: Option<u64>,
    /// True if an entry created the room, and its position has not been confirmed by the documents yet.
    is_unconfirmed: bool,
}

impl Hub {
    /// Returns a hub without sockets.
    pub fn new(store: Arc<Store>, seal: Seal) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            store,
            seal: Arc::new(seal),
            state: Mutex::new(State::default()),
            catch_ups: Semaphore::new(READING_AT_ONCE),
            watermark: AtomicU64::new(0),
            next_socket: AtomicU64::new(1),
            follows_own_logs: own_logs::are_followed(),
            this: this.clone(),
        })
    }

    /// Returns an id for a new socket.
    pub fn next_socket_id(&self) -> u64 {
        self.next_socket.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the cluster time of the last marker that was passed with no entry held back.
    pub fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// Registers a socket for its user's memberships; false if the user has `most` sockets here already.
    ///
    /// Must be called before the memberships are read, so that none is missed in between.
    pub fn register(&self, socket: &Arc<Socket>, most: usize) -> bool {
        let mut state = self.state.lock();
        let sockets = state.users.entry(socket.user.clone()).or_default();
        if sockets.len() >= most {
            return false;
        }
        sockets.push(Arc::clone(socket));
        if self.follows_own_logs {
            state.own_logs.entry(socket.user.clone()).or_default();
        }
        gauge!("chat_ws_sockets").increment(1.0);
        if let Some(reason) = state.ending {
            socket.end(reason);
        }
        true
    }

    /// Applies recently seen changes to the memberships of `user` as the documents have them.
    ///
    /// The socket must be registered first: it receives the changes that arrive from then on.
    pub async fn overlay(&self, user: &UserId, memberships: &mut Vec<MembershipOf>) {
        let joined = self.state.lock().memberships.joined_by(user);
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
                    state.memberships.overlay(user, membership);
                }
            }
            yield_now().await;
        }
        // Changes that the cache has dropped in the meantime were in the documents.
        memberships.retain(|membership| !membership.intervals.is_empty());
    }

    /// Returns the seq at which `user` joined `conversation`, if this node saw that entry recently.
    pub fn joined_at(&self, user: &UserId, conversation: &ConversationId) -> Option<u64> {
        self.state.lock().memberships.began(conversation, user)
    }

    /// Subscribes a socket to a conversation, unless the hub has seen its user's membership end.
    ///
    /// That membership began at seq `joined`.
    pub fn join(
        &self,
        socket: &Arc<Socket>,
        conversation: &ConversationId,
        joined: u64,
    ) -> JoinOutcome {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state
            .memberships
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

    /// Sets the position of `conversation` to its documents' seq `applied`; false if set before.
    ///
    /// Every later entry is delivered from now on.
    pub fn begin(&self, conversation: &ConversationId, applied: u64) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let highest = state.cache.last_seq(conversation).unwrap_or(0);
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

    /// Confirms a room's position if its documents were at seq `applied` and the room is not behind them.
    pub fn confirm(&self, conversation: &ConversationId, applied: u64) {
        let mut state = self.state.lock();
        if let Some(room) = state.rooms.get_mut(conversation)
            && room.next.is_some_and(|next| next > applied)
        {
            room.is_unconfirmed = false;
        }
    }

    /// Returns the last seq of `conversation` that was delivered here, if its position is known.
    pub fn position(&self, conversation: &ConversationId) -> Option<u64> {
        let state = self.state.lock();
        state.rooms.get(conversation)?.next.map(|next| next - 1)
    }

    /// Returns cached pushes after seq `after` up to `to`; `None` if one is missing or expires.
    ///
    /// At most as much as is delivered in one chunk, but at least one entry.
    pub fn remembered(
        &self,
        conversation: &ConversationId,
        (after, to): (u64, u64),
        watermark: u64,
    ) -> Option<Vec<Push>> {
        let events = {
            let cache = &self.state.lock().cache;
            if !cache.may_retell(conversation, after) {
                return None;
            }
            cache.range(conversation, after, to, bounds::RESUME_CHUNK)?
        };
        events
            .iter()
            .map(|event| push_of(conversation, event, watermark))
            .collect()
    }

    /// Returns the time of the last event of `conversation`; `None` if that is minutes ago.
    ///
    /// In seconds by this machine's clock.
    pub fn active_at(&self, conversation: &ConversationId) -> Option<u64> {
        self.state.lock().cache.last_at(conversation)
    }

    /// Unsubscribes a socket from one conversation.
    pub fn leave(&self, socket: &Socket, conversation: &ConversationId) {
        let mut state = self.state.lock();
        remove_from_room(&mut state, conversation, |other| other.id == socket.id);
    }

    /// Removes a socket from the hub and from all its rooms.
    pub fn unregister(&self, socket: &Socket) {
        {
            let mut state = self.state.lock();
            if let Some(sockets) = state.users.get_mut(&socket.user) {
                sockets.retain(|other| other.id != socket.id);
                if sockets.is_empty() {
                    state.users.remove(&socket.user);
                    state.own_logs.remove(&socket.user);
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
            // Other threads may be waiting for the lock.
            MutexGuard::unlock_fair(state);
        }
        gauge!("chat_ws_sockets").decrement(1.0);
    }

    /// Sends a live frame to every socket in the room of `conversation`, except those of `except`.
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

    /// Sends a live frame to every socket of `user` on this node.
    pub fn tell_user(&self, user: &UserId, text: &Utf8Bytes) {
        let text = Arc::new(text.clone());
        let state = self.state.lock();
        for socket in state.users.get(user).into_iter().flatten() {
            socket.push(Outgoing::Live(Arc::clone(&text)));
        }
    }

    /// Returns the sockets in the room of `conversation`.
    pub fn sockets_of(&self, conversation: &ConversationId) -> Vec<Arc<Socket>> {
        let state = self.state.lock();
        let room = state.rooms.get(conversation);
        room.map(|room| room.sockets.clone()).unwrap_or_default()
    }

    /// Returns true if a socket on this node is subscribed to `conversation`.
    pub fn has_room(&self, conversation: &ConversationId) -> bool {
        self.state.lock().rooms.contains_key(conversation)
    }

    /// Closes the sockets of `user` on this node whose tokens were revoked.
    ///
    /// A revocation event may be repeated; a user who has reconnected with a newer token stays connected.
    fn end_revoked(&self, user: &UserId, revocation: &Revocation) {
        let state = self.state.lock();
        for socket in state.users.get(user).into_iter().flatten() {
            if !revocation.spares(&socket.token()) {
                socket.end(CloseReason::Unauthenticated);
            }
        }
    }

    /// Closes all sockets.
    pub fn end_all(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        state.ending = Some(reason);
        for socket in state.users.values().flatten() {
            socket.end(reason);
        }
    }

    /// Returns the number of sockets.
    pub fn len(&self) -> usize {
        self.state.lock().users.values().map(Vec::len).sum()
    }

    /// Returns true if there is no socket.
    pub fn is_empty(&self) -> bool {
        self.state.lock().users.is_empty()
    }

    /// Processes an entry from the stream or the log.
    fn ingest(&self, state: &mut State, push: Push) {
        let conversation = push.conversation.clone();
        let push = Arc::new(push);
        if !state.rooms.contains_key(&conversation) {
            // No socket here is subscribed; but the entry may make a user of this node a member, starting with this entry.
            if !joins_somebody(state, &push) {
                return;
            }
            let highest = state.cache.last_seq(&conversation).unwrap_or(0);
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

    /// Records that `conversation` has an entry `seq` that can only be read from the log.
    fn fetch_up_to(&self, conversation: &ConversationId, seq: u64) {
        let mut state = self.state.lock();
        if let Some(room) = state.rooms.get_mut(conversation) {
            room.highest = room.highest.max(seq);
            self.deliver(&mut state, conversation);
        }
    }

    /// Delivers the entries that are in order, and starts a gap task if one is missing.
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
                    .then(|| state.cache.event(conversation, next))
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

/// Holds `push` until the entries before it are delivered.
///
/// At the limit it is dropped, and later read from the log.
fn hold(held_bytes: &mut usize, room: &mut Room, push: Arc<Push>) {
    let bytes = push.held_len();
    // The next entry is always accepted: it is delivered at once.
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

/// Delivers `push` to all sockets in the room, and applies its membership change.
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
            let left: HashSet<&UserId> = left.iter().collect();
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
mod tests;

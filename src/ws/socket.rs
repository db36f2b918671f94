//! A socket as the hub sees it: where to put pushes, and how to end it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chat_sdk::{ConversationId, UserId};
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    close::CloseReason,
    cursor::Seal,
    flush::Lane,
    outlet::{SocketWriter, WriteBuffer},
    push::Push,
};
use crate::{
    bounds,
    domain::audience::{Interval, begin_interval, is_pushed, keep_newest},
    store::MembershipOf,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The most pushes that may wait for a slow reader.
const MAX_QUEUED: usize = 1024;

/// The most pushes for which an idle queue keeps room.
const MAX_IDLE: usize = 8;
/// The most pushes that are taken out of the queue together.
const BATCH: usize = 64;
/// After how many bytes no more pushes are taken together.
const BATCH_BYTES: usize = 64 * 1024;

/// What waits to be written to a socket.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// An entry of a log: numbered, with a cursor.
    Logged(Arc<Push>),
    /// Something that is in no log: a frame's text. Behind a pointer, because it lies in many queues.
    Live(Arc<Utf8Bytes>),
}

impl Outgoing {
    fn wire_len(&self) -> usize {
        match self {
            Self::Logged(push) => push.wire_len(),
            Self::Live(text) => text.len(),
        }
    }
}

/// Who empties the queue of a socket.
#[derive(Debug)]
pub enum WakeTarget {
    /// Its own task, which is told here.
    Task(Notify),
    /// A flusher, through the outlet; its own task where the client is slow.
    Flusher(Arc<SocketWriter>, Lane),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Outgoing>,
    bytes: usize,
    /// Whether it was emptied: whoever does that must be told of the next. Nobody is told before it was looked at for the first time.
    is_idle: bool,
}

/// The hub's end of a socket.
#[derive(Debug)]
pub struct Socket {
    /// Its number on this node.
    pub id: u64,
    /// Whose it is.
    pub user: UserId,
    queue: Mutex<Queue>,
    exit: WakeTarget,
    /// When its token was issued (seconds since 1970); the least number where it does not say.
    issued_at: AtomicI64,
    /// The conversations that it hears of. Changed by the hub alone, together with its rooms.
    rooms: Mutex<BTreeSet<ConversationId>>,
    /// When its user was a member, of conversations where that began after their first entry.
    seen: Mutex<HashMap<ConversationId, Vec<Interval>>>,
    ending: Mutex<Option<CloseReason>>,
}

impl Socket {
    /// A socket. `issued_at` is its token's (seconds since 1970).
    pub fn new(id: u64, user: UserId, issued_at: Option<i64>, exit: WakeTarget) -> Arc<Self> {
        Arc::new(Self {
            id,
            user,
            queue: Mutex::default(),
            exit,
            issued_at: AtomicI64::new(issued_at.unwrap_or(i64::MIN)),
            rooms: Mutex::default(),
            seen: Mutex::default(),
            ending: Mutex::new(None),
        })
    }

    /// Notes that it has a new token.
    pub fn renew(&self, issued_at: Option<i64>) {
        self.issued_at
            .store(issued_at.unwrap_or(i64::MIN), Ordering::Relaxed);
    }

    /// When its token was issued (seconds since 1970).
    pub fn issued_at(&self) -> Option<i64> {
        Some(self.issued_at.load(Ordering::Relaxed)).filter(|at| *at != i64::MIN)
    }

    /// Queues something. At the bound the socket is ended instead; nobody waits.
    pub fn push(self: &Arc<Self>, outgoing: Outgoing) {
        let (is_full, was_idle) = {
            let mut queue = self.queue.lock();
            let is_full = queue.bytes > bounds::SOCKET_QUEUE || queue.waiting.len() >= MAX_QUEUED;
            if !is_full {
                queue.bytes += outgoing.wire_len();
                queue.waiting.push_back(outgoing);
            }
            (is_full, std::mem::take(&mut queue.is_idle))
        };
        if is_full && self.end(CloseReason::TooSlow) {
            counter!("chat_ws_slow_readers_total").increment(1);
        }
        if was_idle {
            match &self.exit {
                WakeTarget::Task(alert) => alert.notify_one(),
                WakeTarget::Flusher(_, lane) => {
                    if lane.send(Arc::clone(self)).is_err() {
                        self.end(CloseReason::Restarting);
                    }
                }
            }
        }
    }

    /// Moves what waits to `batch`, as much as is written together. Answers whether more waits; if not, whoever empties the queue is told of the next.
    pub fn take(&self, batch: &mut Vec<Outgoing>) -> bool {
        let mut queue = self.queue.lock();
        let before = queue.bytes;
        while batch.len() < BATCH && before - queue.bytes < BATCH_BYTES {
            let Some(outgoing) = queue.waiting.pop_front() else {
                break;
            };
            queue.bytes -= outgoing.wire_len();
            batch.push(outgoing);
        }
        queue.is_idle = queue.waiting.is_empty();
        if queue.is_idle && queue.waiting.capacity() > MAX_IDLE {
            queue.waiting = VecDeque::new();
        }
        !queue.is_idle
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().waiting.is_empty()
    }

    /// Writes what waits, as far as the client takes it.
    pub fn flush(&self, seal: &Seal, scratch: &mut WriteBuffer) {
        if let WakeTarget::Flusher(outlet, _) = &self.exit {
            outlet.flush(self, seal, scratch);
        }
    }

    /// Waits until there is something to do for the socket's own task: it ends, or what is to be written waits for it. May come once too often.
    pub async fn alerted(&self) {
        self.alert().notified().await;
    }

    fn alert(&self) -> &Notify {
        match &self.exit {
            WakeTarget::Task(alert) => alert,
            WakeTarget::Flusher(outlet, _) => &outlet.alert,
        }
    }

    /// Waits until the socket is to end. Answers why.
    pub async fn ended(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.ending() {
                return reason;
            }
            self.alerted().await;
        }
    }

    /// Notes when its user was a member, as the documents say it; what came by meanwhile stays.
    pub fn learn(&self, memberships: &[MembershipOf]) {
        let mut seen = self.seen.lock();
        for membership in memberships {
            // One that began with the first entry and goes on needs no note; one that ended does, for when it begins again.
            if matches!(membership.intervals[..], [] | [(..=1, None)]) {
                continue;
            }
            let mut intervals = membership.intervals.clone();
            let known = seen.remove(&membership.conversation).unwrap_or_default();
            let last = membership.joined_seq();
            intervals.extend(known.into_iter().filter(|(joined, _)| *joined > last));
            keep_newest(&mut intervals);
            seen.insert(membership.conversation.clone(), intervals);
        }
    }

    /// Notes that its user became a member of `conversation` with number `seq`.
    pub fn began(&self, conversation: &ConversationId, seq: u64) {
        if seq > 1 {
            let mut seen = self.seen.lock();
            let intervals = seen.entry(conversation.clone()).or_default();
            if intervals.last().is_none_or(|(joined, _)| *joined < seq) {
                begin_interval(intervals, seq);
            }
        }
    }

    /// Notes that its user's membership in `conversation` ended with number `seq`.
    pub fn ceased(&self, conversation: &ConversationId, seq: u64) {
        let mut seen = self.seen.lock();
        let intervals = seen
            .entry(conversation.clone())
            // Who is not written down was in from the first entry.
            .or_insert_with(|| vec![(1, None)]);
        if let Some((joined, left @ None)) = intervals.last_mut()
            && *joined < seq
        {
            *left = Some(seq);
        }
    }

    /// Whether its user was a member of `conversation` at number `seq`.
    pub fn was_there(&self, conversation: &ConversationId, seq: u64) -> bool {
        let seen = self.seen.lock();
        let intervals = seen.get(conversation);
        intervals.is_none_or(|intervals| is_pushed(intervals, seq))
    }

    /// Notes that it hears of `conversation` now. Answers false when it did already.
    pub fn joined(&self, conversation: &ConversationId) -> bool {
        self.rooms.lock().insert(conversation.clone())
    }

    /// Notes that it hears of `conversation` no more.
    pub fn left(&self, conversation: &ConversationId) {
        self.rooms.lock().remove(conversation);
    }

    /// Whether it hears of `conversation`.
    pub fn hears_of(&self, conversation: &ConversationId) -> bool {
        self.rooms.lock().contains(conversation)
    }

    /// At most `most` of the conversations that it hears of, in their order: the first ones after `after`.
    pub fn rooms_after(&self, after: Option<&ConversationId>, most: usize) -> Vec<ConversationId> {
        let rooms = self.rooms.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = rooms.range::<ConversationId, _>((from, Bound::Unbounded));
        range.take(most).cloned().collect()
    }

    /// Ends the socket for `reason`, unless it is ending. Answers whether this was the first time.
    pub fn end(&self, reason: CloseReason) -> bool {
        let mut ending = self.ending.lock();
        if ending.is_some() {
            return false;
        }
        *ending = Some(reason);
        self.alert().notify_one();
        true
    }

    /// Why the socket is ending, if it is.
    pub fn ending(&self) -> Option<CloseReason> {
        *self.ending.lock()
    }
}

//! A socket as the hub sees it: where to put pushes, and how to end it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use chat_sdk::{ConversationId, UserId};
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::{close::CloseReason, push::Push};
use crate::{domain::audience::is_pushed, store::MembershipOf};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A membership: the numbers with which it began and, if it did, ended.
type Interval = (u64, Option<u64>);

/// The most pushes that may wait for a slow reader.
const MAX_QUEUED: usize = 1024;
/// The most bytes that may wait for a slow reader: 512 KiB. One large event may exceed it alone.
const MAX_QUEUED_BYTES: usize = 512 * 1024;

/// What waits to be written to a socket.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// An entry of a log: numbered, with a cursor.
    Logged(Arc<Push>),
    /// Something that is in no log: a frame as it is written. Behind a pointer, because every socket sets room for a block of these aside.
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

/// The hub's end of a socket.
#[derive(Debug)]
pub struct Socket {
    /// Its number on this node.
    pub id: u64,
    /// Whose it is.
    pub user: UserId,
    queue: mpsc::Sender<Outgoing>,
    queued_bytes: AtomicUsize,
    /// When its token was issued (seconds since 1970); the least number where it does not say.
    issued_at: AtomicI64,
    /// The conversations that it hears of. Changed by the hub alone, together with its rooms.
    rooms: Mutex<Vec<ConversationId>>,
    /// When its user was a member, of conversations where that began after their first entry.
    seen: Mutex<HashMap<ConversationId, Vec<Interval>>>,
    ending: Mutex<Option<CloseReason>>,
    /// Told when `ending` is set.
    pub ended: Notify,
}

impl Socket {
    /// A socket and its end of the queue. `issued_at` is its token's (seconds since 1970).
    pub fn new(
        id: u64,
        user: UserId,
        issued_at: Option<i64>,
    ) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (queue, inbox) = mpsc::channel(MAX_QUEUED);
        let socket = Self {
            id,
            user,
            queue,
            queued_bytes: AtomicUsize::new(0),
            issued_at: AtomicI64::new(issued_at.unwrap_or(i64::MIN)),
            rooms: Mutex::new(Vec::new()),
            seen: Mutex::default(),
            ending: Mutex::new(None),
            ended: Notify::new(),
        };
        (Arc::new(socket), inbox)
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
    pub fn push(&self, outgoing: Outgoing) {
        let queued = self
            .queued_bytes
            .fetch_add(outgoing.wire_len(), Ordering::Relaxed);
        let is_full = queued > MAX_QUEUED_BYTES || self.queue.try_send(outgoing).is_err();
        if is_full && self.end(CloseReason::TooSlow) {
            counter!("chat_ws_slow_readers_total").increment(1);
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
            seen.insert(membership.conversation.clone(), intervals);
        }
    }

    /// Notes that its user became a member of `conversation` with number `seq`.
    pub fn began(&self, conversation: &ConversationId, seq: u64) {
        if seq > 1 {
            let mut seen = self.seen.lock();
            let intervals = seen.entry(conversation.clone()).or_default();
            if intervals.last().is_none_or(|(joined, _)| *joined < seq) {
                intervals.push((seq, None));
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
        let mut rooms = self.rooms.lock();
        let is_new = !rooms.contains(conversation);
        if is_new {
            rooms.push(conversation.clone());
        }
        is_new
    }

    /// Notes that it hears of `conversation` no more.
    pub fn left(&self, conversation: &ConversationId) {
        self.rooms.lock().retain(|room| room != conversation);
    }

    /// Whether it hears of `conversation`.
    pub fn hears_of(&self, conversation: &ConversationId) -> bool {
        self.rooms.lock().contains(conversation)
    }

    /// The conversations that it hears of.
    pub fn rooms(&self) -> Vec<ConversationId> {
        self.rooms.lock().clone()
    }

    /// Notes that `outgoing` left the queue.
    pub fn sent(&self, outgoing: &Outgoing) {
        self.queued_bytes
            .fetch_sub(outgoing.wire_len(), Ordering::Relaxed);
    }

    /// Ends the socket for `reason`, unless it is ending. Answers whether this was the first time.
    pub fn end(&self, reason: CloseReason) -> bool {
        let mut ending = self.ending.lock();
        if ending.is_some() {
            return false;
        }
        *ending = Some(reason);
        self.ended.notify_one();
        true
    }

    /// Why the socket is ending, if it is.
    pub fn ending(&self) -> Option<CloseReason> {
        *self.ending.lock()
    }
}

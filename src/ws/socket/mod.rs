//! A socket as seen by the hub: its queue of pushes, and its end.

pub mod closing;
pub mod connection;
pub mod flush;
pub mod writer;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use chat_sdk::{ConversationId, UserId};
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    close::CloseReason,
    push::{Outgoing, Reader},
    resume::cursor::Seal,
    socket::{
        flush::FlushQueue,
        writer::{SocketWriter, WriteBuffer},
    },
};
use crate::{
    domain::known_users::TokenIssue,
    model::{
        bounds,
        visibility::{Interval, begin_interval, is_member_at, keep_newest},
    },
    store::MembershipOf,
};

/// Maximum number of queued pushes for a slow reader.
const MAX_QUEUED: usize = 1024;

/// Capacity above which an empty queue is freed, in pushes.
const MAX_IDLE: usize = 8;
/// Maximum number of pushes taken out of the queue together.
const BATCH: usize = 64;
/// Number of bytes after which no more pushes are taken together.
const BATCH_BYTES: usize = 64 * 1024;

/// Task that empties the queue of a socket, and how to wake it.
#[derive(Debug)]
pub enum WakeTarget {
    /// The socket's own task, notified here.
    Task(Notify),
    /// A flusher, which writes through the socket writer; the socket's own task if the client is slow.
    Flusher(Arc<SocketWriter>, FlushQueue),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Outgoing>,
    bytes: usize,
    /// True if the queue was emptied, and its reader must be woken for the next item.
    ///
    /// False before it is first read.
    is_idle: bool,
}

/// The hub's end of a socket.
#[derive(Debug)]
pub struct Socket {
    /// Id of the socket on this node.
    pub id: u64,
    /// User of the socket.
    pub user: UserId,
    queue: Mutex<Queue>,
    exit: WakeTarget,
    /// Issue of its token.
    token: Mutex<TokenIssue>,
    /// Conversations that the socket is subscribed to. Changed only by the hub, together with its rooms.
    rooms: Mutex<BTreeSet<ConversationId>>,
    /// Membership intervals of the user, for conversations joined after their first entry.
    seen: Mutex<HashMap<ConversationId, Vec<Interval>>>,
    ending: Mutex<Option<CloseReason>>,
}

impl Socket {
    /// Returns a new socket whose token is `token`.
    pub fn new(id: u64, user: UserId, token: TokenIssue, exit: WakeTarget) -> Arc<Self> {
        Arc::new(Self {
            id,
            user,
            queue: Mutex::default(),
            exit,
            token: Mutex::new(token),
            rooms: Mutex::default(),
            seen: Mutex::default(),
            ending: Mutex::new(None),
        })
    }

    /// Records that the socket has a new token.
    pub fn renew(&self, token: TokenIssue) {
        *self.token.lock() = token;
    }

    /// Returns the issue of its token.
    pub fn token(&self) -> TokenIssue {
        self.token.lock().clone()
    }

    /// Queues an item; if the queue is full, closes the socket instead of waiting.
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
                WakeTarget::Flusher(_, queue) => {
                    if queue.send(Arc::clone(self)).is_err() {
                        self.end(CloseReason::Restarting);
                    }
                }
            }
        }
    }

    /// Moves the next items to `batch`; returns true if more are queued.
    ///
    /// If none are, the reader of the queue is woken for the next item.
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

    /// Returns true if the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().waiting.is_empty()
    }

    /// Writes the queue, as far as the client takes it.
    pub fn flush(&self, seal: &Seal, scratch: &mut WriteBuffer) {
        if let WakeTarget::Flusher(writer, _) = &self.exit {
            writer.flush(self, seal, scratch);
        }
    }

    /// Waits for work of the socket's own task: its end, or kept bytes. May return spuriously.
    pub async fn alerted(&self) {
        self.alert().notified().await;
    }

    fn alert(&self) -> &Notify {
        match &self.exit {
            WakeTarget::Task(alert) => alert,
            WakeTarget::Flusher(writer, _) => &writer.alert,
        }
    }

    /// Waits for the end of the socket and returns the reason.
    pub async fn ended(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.ending() {
                return reason;
            }
            self.alerted().await;
        }
    }

    /// Records the user's membership intervals from the documents; newer changes stay.
    pub fn learn(&self, memberships: &[MembershipOf]) {
        let mut seen = self.seen.lock();
        for membership in memberships {
            // An open membership from the first entry on needs no record; one that ended does, in case it begins again.
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

    /// Records that the user became a member of `conversation` at `seq`.
    pub fn began(&self, conversation: &ConversationId, seq: u64) {
        if seq > 1 {
            let mut seen = self.seen.lock();
            let intervals = seen.entry(conversation.clone()).or_default();
            if intervals.last().is_none_or(|(joined, _)| *joined < seq) {
                begin_interval(intervals, seq);
            }
        }
    }

    /// Records that the user's membership in `conversation` ended at `seq`.
    pub fn ceased(&self, conversation: &ConversationId, seq: u64) {
        let mut seen = self.seen.lock();
        let intervals = seen
            .entry(conversation.clone())
            // Without a record the user has been a member since the first entry.
            .or_insert_with(|| vec![(1, None)]);
        if let Some((joined, left @ None)) = intervals.last_mut()
            && *joined < seq
        {
            *left = Some(seq);
        }
    }

    /// Records a subscription to `conversation`; false if there was one already.
    pub fn joined(&self, conversation: &ConversationId) -> bool {
        self.rooms.lock().insert(conversation.clone())
    }

    /// Removes the subscription to `conversation`.
    pub fn left(&self, conversation: &ConversationId) {
        self.rooms.lock().remove(conversation);
    }

    /// Returns true if the socket is subscribed to `conversation`.
    pub fn hears_of(&self, conversation: &ConversationId) -> bool {
        self.rooms.lock().contains(conversation)
    }

    /// Returns at most `most` of its conversations after `after`, in order.
    pub fn rooms_after(&self, after: Option<&ConversationId>, most: usize) -> Vec<ConversationId> {
        let rooms = self.rooms.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = rooms.range::<ConversationId, _>((from, Bound::Unbounded));
        range.take(most).cloned().collect()
    }

    /// Ends the socket for `reason`, unless it is ending already. Returns true for the first call.
    pub fn end(&self, reason: CloseReason) -> bool {
        let mut ending = self.ending.lock();
        if ending.is_some() {
            return false;
        }
        *ending = Some(reason);
        self.alert().notify_one();
        true
    }

    /// Returns the reason for which the socket is ending, if it is.
    pub fn ending(&self) -> Option<CloseReason> {
        *self.ending.lock()
    }
}

impl Reader for Socket {
    fn user(&self) -> &UserId {
        &self.user
    }

    fn was_there(&self, conversation: &ConversationId, seq: u64) -> bool {
        let seen = self.seen.lock();
        let intervals = seen.get(conversation);
        intervals.is_none_or(|intervals| is_member_at(intervals, seq))
    }
}

//! What one client is given, in which order and with which cursors, whatever carries it: a WebSocket or an event stream.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_sdk::{ConversationId, Timestamp, UserId};
use serde_json::json;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    Node,
    catch_up::{self, CatchUp, MissedRange},
    cursor::Seal,
    frame,
    push::Push,
    socket::{Outgoing, Socket},
    tracker::{CursorTracker, now_seconds},
};
use crate::domain::Result;

/// The most rooms of one frame: about 33 KB.
const ROOMS_AT_ONCE: usize = 1000;

/// What a client was given so far, as far as that decides what it is given next.
#[derive(Debug)]
pub struct DeliveryState {
    /// What the queue may repeat; see [`CatchUp::given`].
    given: HashMap<ConversationId, u64>,
    tracker: CursorTracker,
}

/// What a client is given first: what it missed, then `connected`, then the rest of its rooms. It is read as fast as the client takes it.
pub struct InitialFrames {
    socket: Arc<Socket>,
    feed: DeliveryState,
    reset: Option<&'static str>,
    missed: VecDeque<MissedRange>,
    watermark: u64,
    /// While it catches up, a client that goes away resumes from its own cursor and what it got since; nothing else of it has moved yet.
    progress: Option<CursorTracker>,
    resume: Option<String>,
    next: Next,
}

/// What comes next in a greeting.
enum Next {
    Reset,
    Missed,
    Connected,
    /// The rooms after this one.
    Rooms(ConversationId),
    Nothing,
}

impl InitialFrames {
    /// The greeting of `socket`, which is registered and was caught up. `resume` is what the client resumes from.
    pub fn new(socket: &Arc<Socket>, caught_up: CatchUp, resume: Option<String>) -> Box<Self> {
        let mut tracker = CursorTracker::at(caught_up.watermark);
        if let Some(cursor) = &caught_up.cursor {
            // Another node may be further than this one: what it had passed was given, and stays given.
            tracker.watermark = tracker.watermark.max(cursor.watermark);
        }
        tracker.remember(caught_up.positions);
        if let Some(cursor) = &caught_up.cursor {
            let now = now_seconds();
            let positions = cursor.positions.iter();
            tracker.remember(positions.map(|(id, seq)| (id.clone(), *seq, now)));
        }
        // Boxed: it is used once, and must not stay part of an idle socket.
        Box::new(Self {
            socket: Arc::clone(socket),
            feed: DeliveryState {
                given: caught_up.given,
                tracker,
            },
            reset: caught_up.reset,
            missed: caught_up.missed,
            watermark: caught_up.watermark,
            progress: caught_up.cursor.map(|cursor| CursorTracker {
                watermark: cursor.watermark,
                positions: cursor
                    .positions
                    .into_iter()
                    .map(|(id, seq)| (id, seq, u64::MAX))
                    .collect(),
            }),
            resume,
            next: Next::Reset,
        })
    }

    /// The next frames; `None` when all were given.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] when the store is away; the socket is then closed, and the client resumes from what it got.
    pub async fn next(&mut self, node: &Node) -> Result<Option<Vec<Utf8Bytes>>> {
        match &self.next {
            Next::Reset => {
                self.next = Next::Missed;
                let reset = self.reset.iter();
                let frames = reset.map(|why| frame::event("sync:reset", &json!({ "reason": why })));
                Ok(Some(frames.collect()))
            }
            Next::Missed => {
                let pushes = catch_up::read_chunk(node, self.watermark, &mut self.missed).await?;
                if pushes.is_empty() {
                    self.next = Next::Connected;
                }
                let seal = &node.hub.seal;
                Ok(Some(
                    pushes.iter().map(|push| self.missed(seal, push)).collect(),
                ))
            }
            Next::Connected => {
                let rooms = self.rooms(None);
                let connected = json!({
                    "userId": self.socket.user,
                    "socketId": format!("sck_{}", self.socket.id),
                    "rooms": rooms,
                    "hasMoreRooms": self.has_more_rooms(),
                    "resumed": self.resume.is_some() && self.reset.is_none(),
                    "cursor": self.feed.tracker.cursor(&node.hub.seal, &self.socket.user),
                    "timestamp": Timestamp::now(),
                });
                Ok(Some(vec![frame::event("connected", &connected)]))
            }
            Next::Rooms(after) => {
                let after = after.clone();
                let rooms = self.rooms(Some(&after));
                let rooms = json!({ "rooms": rooms, "hasMore": self.has_more_rooms() });
                Ok(Some(vec![frame::event("rooms", &rooms)]))
            }
            Next::Nothing => Ok(None),
        }
    }

    /// What the client is given from now on.
    pub fn into_feed(self) -> DeliveryState {
        self.feed
    }

    /// The frame of a missed entry.
    fn missed(&mut self, seal: &Seal, push: &Push) -> Utf8Bytes {
        self.feed.tracker.note(push);
        let progress = self.progress.as_mut();
        let cursor = progress.and_then(|progress| progress.advance(push, seal, &self.socket.user));
        let resume = self.resume.as_deref().unwrap_or_default();
        push.text(&self.socket, cursor.as_deref().unwrap_or(resume))
    }

    /// The rooms of one frame after `after`.
    fn rooms(&mut self, after: Option<&ConversationId>) -> Vec<ConversationId> {
        let mut rooms = self.socket.rooms_after(after, ROOMS_AT_ONCE + 1);
        let has_more = rooms.len() > ROOMS_AT_ONCE;
        rooms.truncate(ROOMS_AT_ONCE);
        self.next = match rooms.last() {
            Some(last) if has_more => Next::Rooms(last.clone()),
            _ => Next::Nothing,
        };
        rooms
    }

    fn has_more_rooms(&self) -> bool {
        matches!(self.next, Next::Rooms(_))
    }
}

impl DeliveryState {
    /// The frame of what came out of the queue of `socket`; `None` for what was given before.
    pub fn frame(&mut self, seal: &Seal, socket: &Socket, outgoing: Outgoing) -> Option<Utf8Bytes> {
        let push = match outgoing {
            Outgoing::Logged(push) => push,
            Outgoing::Live(text) => return Some(Utf8Bytes::clone(&text)),
        };
        if !self.given.is_empty() {
            match self.given.get(&push.conversation) {
                Some(given) if push.seq <= *given => return None,
                Some(_) => drop(self.given.remove(&push.conversation)),
                None => {}
            }
        }
        self.tracker.note(&push);
        Some(push.text(socket, &self.tracker.cursor(seal, &socket.user)))
    }

    /// The cursor of `user`, whose client was given all that is in its queue. `watermark` is the hub's from before the queue was seen to be empty.
    pub fn rest(&mut self, seal: &Seal, user: &UserId, watermark: u64) -> String {
        self.tracker.pass(watermark);
        self.tracker.cursor(seal, user)
    }
}

//! The first frames of a client: what it missed, then `connected`, then its rooms.

use std::{collections::VecDeque, sync::Arc};

use chat_sdk::{ConversationId, Timestamp};
use serde_json::json;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{CatchUp, MissedRange, cursor::Seal, read_chunk, tracker::CursorTracker};
use crate::{
    model::Result,
    ws::{
        Node,
        commands::frame,
        delivery::DeliveryState,
        push::{Push, now_seconds},
        socket::Socket,
    },
};

/// Maximum number of rooms in one frame: about 33 KB.
const ROOMS_AT_ONCE: usize = 1000;

/// First frames of a client: missed entries, then `connected`, then the rest of its rooms.
///
/// They are produced as fast as the client takes them.
pub struct InitialFrames {
    socket: Arc<Socket>,
    feed: DeliveryState,
    reset: Option<&'static str>,
    missed: VecDeque<MissedRange>,
    /// Missed entries of the reader's own log.
    own: Vec<Push>,
    watermark: u64,
    /// Resume position during catch-up: the client's own cursor and what it received since.
    ///
    /// No other position has moved yet.
    progress: Option<CursorTracker>,
    resume: Option<String>,
    next: Next,
}

/// State of the initial frames: what comes next.
enum Next {
    Reset,
    Missed,
    Connected,
    /// The rooms after this one.
    Rooms(ConversationId),
    Nothing,
}

impl InitialFrames {
    /// Returns the initial frames of a registered and caught-up `socket`; `resume` is the client's cursor.
    pub fn new(socket: &Arc<Socket>, caught_up: CatchUp, resume: Option<String>) -> Box<Self> {
        let mut tracker = CursorTracker::at(caught_up.watermark);
        if let Some(cursor) = &caught_up.cursor {
            // Another node may be ahead of this one: what its watermark covers has been delivered, and stays delivered.
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
            own: caught_up.own,
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

    /// Returns the next frames; `None` at the end.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the store does not answer; the socket is then closed, and the client resumes from what it received.
    pub async fn next(&mut self, node: &Node) -> Result<Option<Vec<Utf8Bytes>>> {
        match &self.next {
            Next::Reset => {
                self.next = Next::Missed;
                let reset = self.reset.iter();
                let frames = reset.map(|why| frame::event("sync:reset", &json!({ "reason": why })));
                let mut frames: Vec<Utf8Bytes> = frames.collect();
                let seal = &node.hub.seal;
                let own = std::mem::take(&mut self.own);
                frames.extend(own.iter().map(|push| self.missed(seal, push)));
                Ok(Some(frames))
            }
            Next::Missed => {
                let pushes = read_chunk(node, self.watermark, &mut self.missed).await?;
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

    /// Returns the delivery state for the events that follow.
    pub fn into_feed(self) -> DeliveryState {
        self.feed
    }

    /// Returns the frame of a missed entry.
    fn missed(&mut self, seal: &Seal, push: &Push) -> Utf8Bytes {
        self.feed.tracker.note(push);
        let progress = self.progress.as_mut();
        let cursor = progress.and_then(|progress| progress.advance(push, seal, &self.socket.user));
        let resume = self.resume.as_deref().unwrap_or_default();
        push.text(&*self.socket, cursor.as_deref().unwrap_or(resume))
    }

    /// Returns the rooms of one frame, those after `after`.
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

//! What one client is given, in which order and with which cursors, whatever carries it: a WebSocket or an event stream.

use std::{collections::HashMap, sync::Arc};

use chat_sdk::{ConversationId, Timestamp, UserId};
use serde_json::json;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    catch_up::CatchUp,
    cursor::Seal,
    frame,
    hub::Hub,
    push::Push,
    socket::{Outgoing, Socket},
    tracker::{Tracker, now_seconds},
};

/// What a client was given so far, as far as that decides what it is given next.
#[derive(Debug)]
pub struct Feed {
    /// What the queue may repeat; see [`CatchUp::given`].
    given: HashMap<ConversationId, u64>,
    tracker: Tracker,
}

/// What a client is given first, frame by frame: what it missed, then `connected`.
pub struct Greeting {
    seal: Arc<Seal>,
    socket: Arc<Socket>,
    reset: Option<Utf8Bytes>,
    missed: std::vec::IntoIter<Push>,
    /// While it catches up, a client that goes away resumes from its own cursor and what it got since; nothing else of it has moved yet.
    progress: Option<Tracker>,
    resume: String,
    connected: Option<Utf8Bytes>,
}

impl Feed {
    /// The feed of `socket`, which is registered and was caught up. `watermark` is the hub's from before it was registered; `resume` what the client
    /// resumes from.
    pub fn begin(
        hub: &Arc<Hub>,
        socket: &Arc<Socket>,
        watermark: u64,
        caught_up: CatchUp,
        resume: Option<&str>,
    ) -> (Self, Box<Greeting>) {
        let mut tracker = Tracker::at(watermark);
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
        for push in &caught_up.pushes {
            tracker.note(push);
        }
        let connected = json!({
            "userId": socket.user,
            "socketId": format!("sck_{}", socket.id),
            "rooms": socket.rooms(),
            "resumed": resume.is_some() && caught_up.reset.is_none(),
            "cursor": tracker.cursor(&hub.seal, &socket.user),
            "timestamp": Timestamp::now(),
        });
        let greeting = Greeting {
            seal: Arc::clone(&hub.seal),
            socket: Arc::clone(socket),
            reset: caught_up
                .reset
                .map(|reason| frame::event("sync:reset", &json!({ "reason": reason }))),
            missed: caught_up.pushes.into_iter(),
            progress: caught_up.cursor.map(|cursor| Tracker {
                watermark: cursor.watermark,
                positions: cursor
                    .positions
                    .into_iter()
                    .map(|(id, seq)| (id, seq, u64::MAX))
                    .collect(),
            }),
            resume: resume.unwrap_or_default().to_owned(),
            connected: Some(frame::event("connected", &connected)),
        };
        let given = caught_up.given;
        // Boxed: it is used once, and must not stay part of an idle socket.
        (Self { given, tracker }, Box::new(greeting))
    }

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

impl Iterator for Greeting {
    type Item = Utf8Bytes;

    fn next(&mut self) -> Option<Utf8Bytes> {
        if let Some(reset) = self.reset.take() {
            return Some(reset);
        }
        let Some(push) = self.missed.next() else {
            return self.connected.take();
        };
        let progress = self.progress.as_mut();
        let cursor =
            progress.and_then(|progress| progress.advance(&push, &self.seal, &self.socket.user));
        Some(push.text(&self.socket, cursor.as_deref().unwrap_or(&self.resume)))
    }
}

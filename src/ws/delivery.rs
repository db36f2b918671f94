//! State of what a client has received, for both transports: a WebSocket and an event stream. It decides what is sent next, with which cursor.

use std::collections::HashMap;

use chat_sdk::{ConversationId, UserId};

use super::{
    push::{Outgoing, Reader},
    resume::{cursor::Seal, tracker::CursorTracker},
};

/// State of what a client has received, as far as it decides what is sent next.
#[derive(Debug)]
pub struct DeliveryState {
    /// Highest seq per conversation that the queue may repeat; see `CatchUp::given` of `resume`.
    pub(super) given: HashMap<ConversationId, u64>,
    pub(super) tracker: CursorTracker,
}

impl DeliveryState {
    /// Puts the frame of an item from the queue of `reader` into `text`, in place of its content; false if the item was delivered before.
    pub fn write_frame(
        &mut self,
        text: &mut String,
        seal: &Seal,
        reader: &impl Reader,
        outgoing: &Outgoing,
    ) -> bool {
        let push = match outgoing {
            Outgoing::Logged(push) => push,
            Outgoing::Live(live) => {
                text.clear();
                text.push_str(live);
                return true;
            }
        };
        if !self.given.is_empty() {
            match self.given.get(&push.conversation) {
                Some(given) if push.seq <= *given => return false,
                Some(_) => drop(self.given.remove(&push.conversation)),
                None => {}
            }
        }
        self.tracker.note(push);
        push.write_to(text, reader, &self.tracker, seal);
        true
    }

    /// Returns the cursor of `user` when the queue is empty and everything in it was delivered.
    ///
    /// `watermark` is the hub's from before the queue was found empty.
    pub fn rest(&mut self, seal: &Seal, user: &UserId, watermark: u64) -> String {
        self.tracker.pass(watermark);
        self.tracker.cursor(seal, user)
    }
}

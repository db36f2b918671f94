//! Tracking of what a socket has received, as far as its cursors need it.

use chat_sdk::{ConversationId, UserId};

use super::cursor::{MAX_POSITIONS, Seal};
use crate::ws::push::Push;

/// Delivered positions of one socket, the source of its cursors.
#[derive(Debug)]
pub struct CursorTracker {
    /// Cluster time of the last marker that was passed with no entry held back.
    pub watermark: u64,
    /// Conversations with the last delivered seq and its time, in seconds by this machine's clock.
    pub positions: Vec<(ConversationId, u64, u64)>,
}

/// Time after delivery in which an entry's cluster time may exceed the watermark, by clock skew.
const CLOCK_SLACK_SECONDS: u64 = 2;

impl CursorTracker {
    /// Returns the tracker of a socket that has received everything up to `watermark`.
    pub fn at(watermark: u64) -> Self {
        Self {
            watermark,
            positions: Vec::new(),
        }
    }

    /// Records that `push` was delivered.
    pub fn note(&mut self, push: &Push) {
        self.watermark = self.watermark.max(push.watermark);
        // Most sockets receive entries of the same conversation repeatedly.
        if let [(conversation, seq, at)] = &mut self.positions[..]
            && *conversation == push.conversation
        {
            (*seq, *at) = (push.seq, push.at);
            return;
        }
        let passed = self.watermark >> 32;
        self.positions.retain(|(conversation, _, at)| {
            *conversation != push.conversation && at + CLOCK_SLACK_SECONDS > passed
        });
        self.positions
            .push((push.conversation.clone(), push.seq, push.at));
        if self.positions.len() > MAX_POSITIONS {
            self.positions.remove(0);
        }
    }

    /// Records that everything up to `watermark` was delivered.
    pub fn pass(&mut self, watermark: u64) {
        self.watermark = self.watermark.max(watermark);
        let passed = self.watermark >> 32;
        self.positions
            .retain(|(_, _, at)| at.saturating_add(CLOCK_SLACK_SECONDS) > passed);
    }

    /// Records positions without a delivery, if the watermark does not cover them; keeps the most recent.
    pub fn remember(&mut self, positions: impl IntoIterator<Item = (ConversationId, u64, u64)>) {
        let passed = self.watermark >> 32;
        for (conversation, seq, at) in positions {
            if at.saturating_add(CLOCK_SLACK_SECONDS) <= passed {
                continue;
            }
            match self
                .positions
                .iter_mut()
                .find(|(known, _, _)| *known == conversation)
            {
                Some((_, known, known_at)) => {
                    *known = seq.max(*known);
                    *known_at = at.max(*known_at);
                }
                None => self.positions.push((conversation, seq, at)),
            }
        }
        self.positions.sort_by_key(|(_, _, at)| *at);
        let superfluous = self.positions.len().saturating_sub(MAX_POSITIONS);
        self.positions.drain(..superfluous);
    }

    /// Returns the cursor after `push`, with all earlier positions; `None` if they no longer fit.
    pub fn advance(&mut self, push: &Push, seal: &Seal, user: &UserId) -> Option<String> {
        match self
            .positions
            .iter_mut()
            .find(|(id, _, _)| *id == push.conversation)
        {
            Some((_, seq, _)) => *seq = push.seq,
            None => self
                .positions
                .push((push.conversation.clone(), push.seq, u64::MAX)),
        }
        (self.positions.len() <= MAX_POSITIONS).then(|| self.cursor(seal, user))
    }

    /// Returns true if the cursor names only the position of `push`, which was just noted: it is then the same for all such sockets.
    pub fn is_only_at(&self, push: &Push) -> bool {
        self.watermark == push.watermark
            && matches!(&self.positions[..], [(id, seq, _)] if *seq == push.seq && *id == push.conversation)
    }

    /// Returns the current cursor for the user of the socket.
    pub fn cursor(&self, seal: &Seal, user: &UserId) -> String {
        seal.seal(user, self.watermark, self.positions())
    }

    /// Returns the current cursor without its signature.
    pub fn position(&self, seal: &Seal) -> String {
        seal.seal_position(self.watermark, self.positions())
    }

    fn positions(&self) -> impl Iterator<Item = (&ConversationId, u64)> {
        self.positions.iter().map(|(id, seq, _)| (id, *seq))
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::EventType;

    use super::*;

    fn push(conversation: &ConversationId, seq: u64, watermark: u64, at: u64) -> Push {
        let payload = br#"{"id":"evt","data":{}}"#;
        let kind = EventType::MessageCreated;
        let push = Push::from_envelope(conversation.clone(), seq, kind, payload, watermark);
        let mut push = push.expect("is an envelope");
        push.at = at;
        push
    }

    #[test]
    fn tracker_keeps_one_position_per_conversation_until_a_marker_passes_it() {
        let (one, two) = (ConversationId::generate(), ConversationId::generate());
        let passed = |seconds: u64| seconds << 32;
        let mut tracker = CursorTracker::at(passed(100));
        tracker.note(&push(&one, 1, passed(100), 101));
        tracker.note(&push(&one, 2, passed(100), 102));
        assert_eq!(tracker.positions, [(one.clone(), 2, 102)]);
        tracker.note(&push(&two, 7, passed(100), 103));
        assert_eq!(
            tracker.positions,
            [(one.clone(), 2, 102), (two.clone(), 7, 103)]
        );
        // The marker is beyond the delivered entry of the first conversation.
        tracker.note(&push(&two, 8, passed(104), 105));
        assert_eq!(tracker.positions, [(two.clone(), 8, 105)]);
        // A push made before a marker that the socket has passed does not have everything that its cursor needs.
        tracker.pass(passed(105));
        tracker.note(&push(&two, 9, passed(104), 105));
        assert_eq!(tracker.watermark, passed(105));
    }
}

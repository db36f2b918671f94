//! What this node remembers of the stream: the last minutes of every conversation, bounded in bytes.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chat_sdk::{ConversationId, EventType};

/// The most bytes of remembered events: 64 MiB.
const MAX_BYTES: usize = 64 << 20;
/// How long an event is remembered at most.
const MAX_AGE: Duration = Duration::from_secs(300);
/// What remembering an event costs beside its payload.
const OVERHEAD: usize = 160;

/// A remembered event.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its number.
    pub seq: u64,
    /// What it is.
    pub kind: EventType,
    /// Its envelope, as JSON.
    pub payload: Bytes,
    /// When it came by, in seconds by this machine's clock.
    pub at: u64,
}

/// The remembered events.
#[derive(Debug, Default)]
pub struct Memory {
    conversations: HashMap<ConversationId, VecDeque<Remembered>>,
    /// Whose oldest event is the oldest of all, in order.
    order: VecDeque<(ConversationId, Instant, usize)>,
    bytes: usize,
}

impl Memory {
    /// Remembers an event, if it follows what is remembered of its conversation. After a gap the memory of the conversation begins anew.
    pub fn note(&mut self, conversation: &ConversationId, event: Remembered) {
        let now = Instant::now();
        let bytes = event.payload.len() + OVERHEAD;
        let events = match self.conversations.get_mut(conversation) {
            Some(events) => events,
            None => self.conversations.entry(conversation.clone()).or_default(),
        };
        match events.back().map(|last| last.seq) {
            Some(last) if event.seq <= last => return,
            Some(last) if event.seq > last + 1 => {
                // What is left in `order` for these is dropped one by one without finding them.
                self.bytes -= events
                    .iter()
                    .map(|old| old.payload.len() + OVERHEAD)
                    .sum::<usize>();
                events.clear();
            }
            _ => {}
        }
        events.push_back(event);
        self.bytes += bytes;
        self.order.push_back((conversation.clone(), now, bytes));
        while self
            .order
            .front()
            .is_some_and(|(_, at, _)| self.bytes > MAX_BYTES || now - *at > MAX_AGE)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((conversation, _, _)) = self.order.pop_front() else {
            return;
        };
        if let Some(events) = self.conversations.get_mut(&conversation) {
            if let Some(old) = events.pop_front() {
                self.bytes -= old.payload.len() + OVERHEAD;
            }
            if events.is_empty() {
                self.conversations.remove(&conversation);
            }
        }
    }

    /// The newest number seen of a conversation.
    pub fn last_seq(&self, conversation: &ConversationId) -> Option<u64> {
        self.conversations
            .get(conversation)?
            .back()
            .map(|event| event.seq)
    }

    /// When something of a conversation last came by, in seconds by this machine's clock.
    pub fn last_at(&self, conversation: &ConversationId) -> Option<u64> {
        self.conversations
            .get(conversation)?
            .back()
            .map(|event| event.at)
    }

    /// Everything after number `after` up to `to`, if all of it is remembered.
    pub fn range(
        &self,
        conversation: &ConversationId,
        after: u64,
        to: u64,
    ) -> Option<Vec<Remembered>> {
        let events = self.conversations.get(conversation)?;
        let first = events.front()?.seq;
        let last = events.back()?.seq;
        if first > after + 1 || last < to {
            return None;
        }
        let wanted = events
            .iter()
            .filter(|event| event.seq > after && event.seq <= to);
        Some(wanted.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Remembered {
        Remembered {
            seq,
            kind: EventType::Noop,
            payload: Bytes::from_static(b"{}"),
            at: 0,
        }
    }

    #[test]
    fn a_range_is_answered_whole_or_not_at_all() {
        let mut memory = Memory::default();
        let conversation = ConversationId::generate();
        for seq in [3, 4, 5, 5, 4] {
            memory.note(&conversation, event(seq));
        }
        let range = |memory: &Memory, after, to| {
            memory
                .range(&conversation, after, to)
                .map(|events| events.iter().map(|event| event.seq).collect::<Vec<_>>())
        };
        assert_eq!(range(&memory, 2, 5), Some(vec![3, 4, 5]));
        assert_eq!(range(&memory, 1, 5), None);
        assert_eq!(range(&memory, 3, 6), None);
        memory.note(&conversation, event(8));
        assert_eq!(range(&memory, 4, 8), None);
        assert_eq!(range(&memory, 7, 8), Some(vec![8]));
    }
}

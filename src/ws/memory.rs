//! What this node remembers of the stream: the last minutes of every conversation, bounded in bytes.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chat_sdk::{ConversationId, EventType};

use crate::bounds;

/// How long an event is remembered at most.
const MAX_AGE: Duration = Duration::from_secs(300);
/// What remembering an event costs beside its payload: its place in two queues, and its part of what is kept per conversation.
const OVERHEAD: usize = 320;

/// A remembered event.
#[derive(Debug, Clone)]
pub struct CachedEvent {
    /// Its number.
    pub seq: u64,
    /// What it is.
    pub kind: EventType,
    /// Its envelope, as JSON.
    pub payload: Bytes,
    /// When it came by, in seconds by this machine's clock.
    pub at: u64,
}

impl CachedEvent {
    /// The first number that may still be told to who missed it, when this event says that something before will be, or is, gone for good.
    fn closes(&self) -> Option<u64> {
        let has = |field: &[u8]| self.payload.windows(field.len()).any(|part| part == field);
        match self.kind {
            // A message with an end: by the time somebody asks, it may have come. A key of the host's own of that name costs a read, no more.
            EventType::MessageCreated if has(b"\"expiresAt\":") => Some(self.seq + 1),
            EventType::MessageDeleted if has(b"\"isExpired\":true") => Some(self.seq),
            _ => None,
        }
    }
}

/// The remembered events.
#[derive(Debug, Default)]
pub struct EventCache {
    conversations: HashMap<ConversationId, VecDeque<CachedEvent>>,
    /// From which number on a conversation's events may be told again; where nothing is said, all may.
    open_from: HashMap<ConversationId, u64>,
    /// Whose oldest event is the oldest of all, in order.
    order: VecDeque<(ConversationId, Instant, usize)>,
    bytes: usize,
}

impl EventCache {
    /// Remembers an event, if it follows what is remembered of its conversation. After a gap the memory of the conversation begins anew.
    pub fn note(&mut self, conversation: &ConversationId, mut event: CachedEvent) {
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
        if let Some(from) = event.closes() {
            self.open_from.insert(conversation.clone(), from);
        }
        // The payload is a part of what the connection read at once: to keep it would keep all of that, and the connection would read into new memory.
        event.payload = Bytes::copy_from_slice(&event.payload);
        events.push_back(event);
        self.bytes += bytes;
        self.order.push_back((conversation.clone(), now, bytes));
        while self
            .order
            .front()
            .is_some_and(|(_, at, _)| self.bytes > bounds::EVENT_MEMORY || now - *at > MAX_AGE)
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
                self.open_from.remove(&conversation);
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

    /// Whether what came after number `after` may be told to who missed it. What has an end may not: the log knows whether it is over.
    pub fn may_retell(&self, conversation: &ConversationId, after: u64) -> bool {
        self.open_from
            .get(conversation)
            .is_none_or(|from| after + 1 >= *from)
    }

    /// What follows number `after` up to `to`, if all of it is remembered: as much as has `max_bytes`, but at least one event.
    pub fn range(
        &self,
        conversation: &ConversationId,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Option<Vec<CachedEvent>> {
        let events = self.conversations.get(conversation)?;
        let first = events.front()?.seq;
        let last = events.back()?.seq;
        if first > after + 1 || last < to {
            return None;
        }
        let mut bytes = 0;
        let wanted = events
            .iter()
            .filter(|event| event.seq > after && event.seq <= to)
            .take_while(|event| {
                let is_first = bytes == 0;
                bytes += event.payload.len();
                is_first || bytes <= max_bytes
            });
        Some(wanted.cloned().collect())
    }

    /// The event with number `seq`, if it is remembered.
    pub fn event(&self, conversation: &ConversationId, seq: u64) -> Option<&CachedEvent> {
        let events = self.conversations.get(conversation)?;
        // The numbers are dense: after a gap the memory begins anew.
        let index = seq.checked_sub(events.front()?.seq)?;
        events.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> CachedEvent {
        CachedEvent {
            seq,
            kind: EventType::Noop,
            payload: Bytes::from_static(b"{}"),
            at: 0,
        }
    }

    #[test]
    fn a_range_is_answered_whole_or_not_at_all() {
        let mut memory = EventCache::default();
        let conversation = ConversationId::generate();
        for seq in [3, 4, 5, 5, 4] {
            memory.note(&conversation, event(seq));
        }
        let range = |memory: &EventCache, after, to| {
            memory
                .range(&conversation, after, to, usize::MAX)
                .map(|events| events.iter().map(|event| event.seq).collect::<Vec<_>>())
        };
        assert_eq!(range(&memory, 2, 5), Some(vec![3, 4, 5]));
        assert_eq!(range(&memory, 1, 5), None);
        assert_eq!(range(&memory, 3, 6), None);
        memory.note(&conversation, event(8));
        assert_eq!(range(&memory, 4, 8), None);
        assert_eq!(range(&memory, 7, 8), Some(vec![8]));
        assert_eq!(
            memory.event(&conversation, 8).map(|event| event.seq),
            Some(8)
        );
        for seq in [5, 7, 9] {
            assert!(memory.event(&conversation, seq).is_none(), "{seq}");
        }
    }

    #[test]
    fn a_range_has_about_as_many_bytes_as_are_wanted() {
        let mut memory = EventCache::default();
        let conversation = ConversationId::generate();
        for seq in 1..=9 {
            memory.note(&conversation, event(seq));
        }
        let count = |max_bytes| {
            let range = memory.range(&conversation, 0, 9, max_bytes);
            range.expect("is remembered").len()
        };
        assert_eq!((count(0), count(5), count(6), count(100)), (1, 2, 3, 9));
    }

    #[test]
    fn many_large_events_are_forgotten_before_they_exceed_the_bound() {
        let mut memory = EventCache::default();
        let large = Bytes::from(vec![b'x'; bounds::EVENT]);
        for _ in 0..2 * bounds::EVENT_MEMORY / bounds::EVENT {
            let payload = large.clone();
            let event = CachedEvent {
                payload,
                ..event(1)
            };
            memory.note(&ConversationId::generate(), event);
        }
        let bytes: usize = memory
            .conversations
            .values()
            .flatten()
            .map(|one| one.payload.len())
            .sum();
        assert!(
            bytes <= bounds::EVENT_MEMORY && bytes == memory.bytes - OVERHEAD * memory.order.len()
        );
    }

    #[test]
    fn what_has_an_end_is_not_told_again() {
        let mut memory = EventCache::default();
        let conversation = ConversationId::generate();
        let told = |seq, kind, payload: &'static [u8]| CachedEvent {
            kind,
            payload: Bytes::from_static(payload),
            ..event(seq)
        };
        memory.note(&conversation, event(1));
        assert!(memory.may_retell(&conversation, 0));
        let expiring = br#"{"data":{"content":"x","expiresAt":"2026-01-15T10:30:00.000Z"}}"#;
        memory.note(&conversation, told(2, EventType::MessageCreated, expiring));
        assert!(!memory.may_retell(&conversation, 1));
        assert!(memory.may_retell(&conversation, 2));
        memory.note(
            &conversation,
            told(3, EventType::MessageCreated, br#"{"data":{"content":"y"}}"#),
        );
        let expired = br#"{"data":{"messageId":"m","isExpired":true}}"#;
        memory.note(&conversation, told(4, EventType::MessageDeleted, expired));
        assert!(!memory.may_retell(&conversation, 2));
        assert!(memory.may_retell(&conversation, 3));
    }
}

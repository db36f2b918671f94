//! Event cache: the last minutes of every conversation as seen in the stream, bounded in bytes.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chat_sdk::{ConversationId, EventType};

use crate::model::bounds;

/// Maximum age of a cached event.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Memory per cached event beside its payload, in bytes.
///
/// It covers the slots in two queues, and a share of the per-conversation state.
const OVERHEAD: usize = 320;

/// A cached event.
#[derive(Debug, Clone)]
pub struct CachedEvent {
    /// Seq of the event.
    pub seq: u64,
    /// Type of the event.
    pub kind: EventType,
    /// Envelope of the event, as JSON.
    pub payload: Bytes,
    /// Time of arrival, in seconds by this machine's clock.
    pub at: u64,
}

impl CachedEvent {
    /// Returns the first seq that may still be served from the cache, if this event limits that.
    ///
    /// It does if a message up to here expires later, or has expired.
    fn closes(&self) -> Option<u64> {
        let has = |field: &[u8]| self.payload.windows(field.len()).any(|part| part == field);
        match self.kind {
            // A message that expires may have done so by the time it is requested. A host's own metadata key of that name costs one read of the log, nothing else.
            EventType::MessageCreated if has(b"\"expiresAt\":") => Some(self.seq + 1),
            EventType::MessageDeleted if has(b"\"isExpired\":true") => Some(self.seq),
            _ => None,
        }
    }
}

/// The cached events of all conversations.
#[derive(Debug, Default)]
pub struct EventCache {
    conversations: HashMap<ConversationId, VecDeque<CachedEvent>>,
    /// First seq of a conversation that may be served from the cache; without an entry all may.
    open_from: HashMap<ConversationId, u64>,
    /// Conversations by the arrival of their cached events, oldest first.
    order: VecDeque<(ConversationId, Instant, usize)>,
    bytes: usize,
}

impl EventCache {
    /// Caches an event if it is newer than the cached ones; at a gap the conversation's cache is cleared.
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
                // The entries of `order` for these events find nothing to remove later, and are dropped one by one.
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
        // The payload is a slice of the connection's read buffer: keeping it would keep the whole buffer, and make the connection allocate a new one.
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

    /// Returns the highest seq seen of a conversation.
    pub fn last_seq(&self, conversation: &ConversationId) -> Option<u64> {
        self.conversations
            .get(conversation)?
            .back()
            .map(|event| event.seq)
    }

    /// Returns the time of a conversation's last event, in seconds by this machine's clock.
    pub fn last_at(&self, conversation: &ConversationId) -> Option<u64> {
        self.conversations
            .get(conversation)?
            .back()
            .map(|event| event.at)
    }

    /// Returns true if the events after seq `after` may be served from the cache.
    ///
    /// Messages that expire may not: only the log knows whether they have.
    pub fn may_retell(&self, conversation: &ConversationId, after: u64) -> bool {
        self.open_from
            .get(conversation)
            .is_none_or(|from| after + 1 >= *from)
    }

    /// Returns the events after seq `after` up to `to`, if all of them are cached.
    ///
    /// At most `max_bytes`, but at least one event.
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

    /// Returns the event with `seq`, if it is cached.
    pub fn event(&self, conversation: &ConversationId, seq: u64) -> Option<&CachedEvent> {
        let events = self.conversations.get(conversation)?;
        // Seqs in the cache have no gaps: at a gap it is cleared.
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
    fn range_is_complete_or_none() {
        let mut cache = EventCache::default();
        let conversation = ConversationId::generate();
        for seq in [3, 4, 5, 5, 4] {
            cache.note(&conversation, event(seq));
        }
        let range = |cache: &EventCache, after, to| {
            cache
                .range(&conversation, after, to, usize::MAX)
                .map(|events| events.iter().map(|event| event.seq).collect::<Vec<_>>())
        };
        assert_eq!(range(&cache, 2, 5), Some(vec![3, 4, 5]));
        assert_eq!(range(&cache, 1, 5), None);
        assert_eq!(range(&cache, 3, 6), None);
        cache.note(&conversation, event(8));
        assert_eq!(range(&cache, 4, 8), None);
        assert_eq!(range(&cache, 7, 8), Some(vec![8]));
        assert_eq!(
            cache.event(&conversation, 8).map(|event| event.seq),
            Some(8)
        );
        for seq in [5, 7, 9] {
            assert!(cache.event(&conversation, seq).is_none(), "{seq}");
        }
    }

    #[test]
    fn range_is_limited_in_bytes() {
        let mut cache = EventCache::default();
        let conversation = ConversationId::generate();
        for seq in 1..=9 {
            cache.note(&conversation, event(seq));
        }
        let count = |max_bytes| {
            let range = cache.range(&conversation, 0, 9, max_bytes);
            range.expect("is remembered").len()
        };
        assert_eq!((count(0), count(5), count(6), count(100)), (1, 2, 3, 9));
    }

    #[test]
    fn large_events_are_evicted_within_the_memory_bound() {
        let mut cache = EventCache::default();
        let large = Bytes::from(vec![b'x'; bounds::EVENT]);
        for _ in 0..2 * bounds::EVENT_MEMORY / bounds::EVENT {
            let payload = large.clone();
            let event = CachedEvent {
                payload,
                ..event(1)
            };
            cache.note(&ConversationId::generate(), event);
        }
        let bytes: usize = cache
            .conversations
            .values()
            .flatten()
            .map(|one| one.payload.len())
            .sum();
        assert!(
            bytes <= bounds::EVENT_MEMORY && bytes == cache.bytes - OVERHEAD * cache.order.len()
        );
    }

    #[test]
    fn expiring_messages_are_not_served_from_the_cache() {
        let mut cache = EventCache::default();
        let conversation = ConversationId::generate();
        let told = |seq, kind, payload: &'static [u8]| CachedEvent {
            kind,
            payload: Bytes::from_static(payload),
            ..event(seq)
        };
        cache.note(&conversation, event(1));
        assert!(cache.may_retell(&conversation, 0));
        let expiring = br#"{"data":{"content":"x","expiresAt":"2026-01-15T10:30:00.000Z"}}"#;
        cache.note(&conversation, told(2, EventType::MessageCreated, expiring));
        assert!(!cache.may_retell(&conversation, 1));
        assert!(cache.may_retell(&conversation, 2));
        cache.note(
            &conversation,
            told(3, EventType::MessageCreated, br#"{"data":{"content":"y"}}"#),
        );
        let expired = br#"{"data":{"messageId":"m","isExpired":true}}"#;
        cache.note(&conversation, told(4, EventType::MessageDeleted, expired));
        assert!(!cache.may_retell(&conversation, 2));
        assert!(cache.may_retell(&conversation, 3));
    }
}

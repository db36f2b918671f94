//! Latest values that the stream does not have yet: while the server is unreachable, and until each one is acknowledged.
//!
//! They are in no log, so no sweep finds them. The newest of each is kept here and published again. The kept values end with the process: then the next
//! value replaces them, or clients read the state by REST.

use std::collections::{BTreeMap, HashMap};

use chat_sdk::{EventId, EventType, TraceParent, UserId, events::EventData};

use crate::model::{bounds, entry::Owner, latest::LatestValue};

/// Maximum number of kept values; beyond it the oldest is dropped.
///
/// They also have at most [`bounds::LATEST_KEPT`] bytes.
const MAX_KEPT: usize = 10_000;
/// Size of a value without the text of a draft, in bytes.
const FIXED: usize = 1024;

/// Returns the size of a value, in bytes.
pub(super) fn size_of(value: &LatestValue) -> usize {
    let text = match &value.envelope.data {
        EventData::DraftUpdated(updated) => updated.draft.as_ref().map_or(0, String::len),
        _ => 0,
    };
    FIXED + text
}

/// Identity of a value over time: owner, kind and user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    owner: Owner,
    kind: EventType,
    actor: Option<UserId>,
}

impl Key {
    fn of(value: &LatestValue) -> Self {
        Self {
            owner: value.owner.clone(),
            kind: value.envelope.kind,
            actor: value.envelope.actor_id.clone(),
        }
    }
}

/// Newest values that are in flight or could not be published.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    /// Event id of the newest value in flight.
    under_way: HashMap<Key, EventId>,
    /// Kept values, each with its position in the order of failure.
    kept: HashMap<Key, (u64, Box<LatestValue>, TraceParent)>,
    order: BTreeMap<u64, Key>,
    next: u64,
    /// Total size of the kept values, in bytes.
    bytes: usize,
}

impl Unpublished {
    /// Returns true if no value waits to be published again.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Records that `value` is being published; it replaces an earlier one.
    pub(super) fn begin(&mut self, value: &LatestValue) {
        let key = Key::of(value);
        self.forget(&key);
        self.under_way.insert(key, value.envelope.id.clone());
    }

    /// Records that the stream has `value`.
    pub(super) fn done(&mut self, value: &LatestValue) {
        let key = Key::of(value);
        if self.under_way.get(&key) == Some(&value.envelope.id) {
            self.under_way.remove(&key);
        }
    }

    /// Keeps `value`, which may not be in the stream, unless a newer one was sent.
    ///
    /// Returns the number of values dropped for it.
    pub(super) fn failed(&mut self, value: Box<LatestValue>, trace: TraceParent) -> usize {
        let key = Key::of(&value);
        if self.under_way.get(&key) != Some(&value.envelope.id) {
            return 0;
        }
        self.under_way.remove(&key);
        // Presence is announced repeatedly until the stream shows it; an old value would be wrong by then.
        if matches!(key.owner, Owner::User(_)) {
            return 1;
        }
        self.forget(&key);
        self.bytes += size_of(&value);
        self.order.insert(self.next, key.clone());
        self.kept.insert(key, (self.next, value, trace));
        self.next += 1;
        let mut lost = 0;
        while (self.kept.len() > MAX_KEPT || self.bytes > bounds::LATEST_KEPT)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            if let Some((_, value, _)) = self.kept.remove(&oldest) {
                self.bytes -= size_of(&value);
            }
            lost += 1;
        }
        lost
    }

    /// Removes and returns all kept values, oldest first.
    pub(super) fn take(&mut self) -> Vec<(LatestValue, TraceParent)> {
        self.bytes = 0;
        let order = std::mem::take(&mut self.order).into_values();
        let mut kept = std::mem::take(&mut self.kept);
        order
            .filter_map(|key| kept.remove(&key))
            .map(|(_, value, trace)| (*value, trace))
            .collect()
    }

    fn forget(&mut self, key: &Key) {
        if let Some((place, value, _)) = self.kept.remove(key) {
            self.order.remove(&place);
            self.bytes -= size_of(&value);
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::{ConversationId, events::DraftUpdated};

    use super::*;

    fn draft(conversation: &ConversationId, text: &str) -> Box<LatestValue> {
        let data = EventData::DraftUpdated(DraftUpdated {
            conversation_id: conversation.clone(),
            draft: Some(text.to_owned()),
        });
        let value = LatestValue::new(conversation.clone(), None, EventType::DraftUpdated, data);
        Box::new(value)
    }

    fn trace() -> TraceParent {
        TraceParent::begin()
    }

    fn values_of(unpublished: &mut Unpublished) -> Vec<LatestValue> {
        let taken = unpublished.take().into_iter();
        taken.map(|(value, _)| value).collect()
    }

    #[test]
    fn only_the_newest_failed_value_is_published_again() {
        let [one, other] = [ConversationId::generate(), ConversationId::generate()];
        let mut unpublished = Unpublished::default();
        let values = [draft(&one, "a"), draft(&other, "b"), draft(&one, "c")];
        for value in &values {
            unpublished.begin(value);
            assert_eq!(unpublished.failed(value.clone(), trace()), 0);
        }
        assert_eq!(
            values_of(&mut unpublished),
            [&values[1], &values[2]].map(|value| (**value).clone())
        );
        assert!(unpublished.is_empty());
    }

    #[test]
    fn failed_value_is_dropped_after_a_newer_one_was_sent() {
        let one = ConversationId::generate();
        let (old, new) = (draft(&one, "old"), draft(&one, "new"));
        let mut unpublished = Unpublished::default();
        unpublished.begin(&old);
        unpublished.begin(&new);
        unpublished.failed(old.clone(), trace());
        assert!(unpublished.is_empty());
        unpublished.done(&new);
        unpublished.failed(old, trace());
        assert!(unpublished.is_empty());
    }

    #[test]
    fn kept_values_are_bounded_in_number() {
        let mut unpublished = Unpublished::default();
        let values: Vec<_> = (0..MAX_KEPT + 3)
            .map(|_| draft(&ConversationId::generate(), "x"))
            .collect();
        let mut lost = 0;
        for value in &values {
            unpublished.begin(value);
            lost += unpublished.failed(value.clone(), trace());
        }
        assert_eq!(lost, 3);
        assert_eq!(
            values_of(&mut unpublished).first(),
            values.get(3).map(|value| &**value)
        );
    }

    #[test]
    fn kept_values_are_bounded_in_bytes() {
        let mut unpublished = Unpublished::default();
        let text = "x".repeat(64 * 1024);
        let mut lost = 0;
        for _ in 0..1_000 {
            let value = draft(&ConversationId::generate(), &text);
            unpublished.begin(&value);
            lost += unpublished.failed(value, trace());
        }
        let kept = values_of(&mut unpublished).len();
        assert_eq!(kept + lost, 1_000);
        assert!(kept * text.len() <= bounds::LATEST_KEPT, "{kept}");
        assert!(kept > 400, "{kept}");
    }
}

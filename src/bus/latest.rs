//! Latest values that the stream does not have: while the server is away, and until one is acknowledged.
//!
//! They stand in no log, so that no sweep finds them. Here the newest of each is kept and published again. What a process keeps ends with it: then
//! the next value tells, or REST does.

use std::collections::{BTreeMap, HashMap};

use chat_sdk::{EventId, EventType, TraceParent, UserId, events::EventData};

use crate::{
    bounds,
    domain::{entry::Owner, latest::LatestValue},
};

/// How many values are kept, and at most [`bounds::LATEST_KEPT`] bytes of them. Beyond it the oldest is given up.
const MAX_KEPT: usize = 10_000;
/// What a value takes beside the text of a draft.
const FIXED: usize = 1024;

fn size_of(value: &LatestValue) -> usize {
    let text = match &value.envelope.data {
        EventData::DraftUpdated(updated) => updated.draft.as_ref().map_or(0, String::len),
        _ => 0,
    };
    FIXED + text
}

/// What makes two values the same thing at two times: whose, of what kind, by whom.
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

/// The newest of each value that is on its way or could not be published.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    /// The newest that was handed to the connection and not acknowledged yet.
    under_way: HashMap<Key, EventId>,
    /// Each with its place in the order in which they failed.
    kept: HashMap<Key, (u64, Box<LatestValue>, TraceParent)>,
    order: BTreeMap<u64, Key>,
    next: u64,
    /// How many bytes all that is kept takes.
    bytes: usize,
}

impl Unpublished {
    /// Whether nothing waits to be published again.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Notes that `value` is being published: what was there before counts no more.
    pub(super) fn begin(&mut self, value: &LatestValue) {
        let key = Key::of(value);
        self.forget(&key);
        self.under_way.insert(key, value.envelope.id.clone());
    }

    /// Notes that the stream has `value`.
    pub(super) fn done(&mut self, value: &LatestValue) {
        let key = Key::of(value);
        if self.under_way.get(&key) == Some(&value.envelope.id) {
            self.under_way.remove(&key);
        }
    }

    /// Keeps `value`, which the stream may not have, unless a newer one went out since. Answers how many were given up for it.
    pub(super) fn failed(&mut self, value: Box<LatestValue>, trace: TraceParent) -> usize {
        let key = Key::of(&value);
        if self.under_way.get(&key) != Some(&value.envelope.id) {
            return 0;
        }
        self.under_way.remove(&key);
        // Who is there is settled until the stream shows it; an old word on it would be wrong by then.
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

    /// Takes out everything that waits, oldest first.
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
    fn only_the_newest_of_what_failed_is_published_again() {
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
    fn what_fails_after_a_newer_one_went_out_is_over() {
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
    fn what_is_kept_is_bounded() {
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
    fn what_is_kept_is_bounded_in_bytes() {
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

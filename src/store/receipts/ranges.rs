//! Ranges of a conversation's log whose messages are counted.

use chat_sdk::ConversationId;
use mongodb::bson::{Document, doc};

use crate::store::documents::number;

/// Seqs of a conversation's log whose messages are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeqRanges {
    /// Conversation of the ranges.
    pub conversation: ConversationId,
    /// First and last seq of each range, both inclusive, ascending.
    pub ranges: Vec<(u64, u64)>,
}

impl SeqRanges {
    /// Number of seqs from which a span is counted separately, in the index alone.
    ///
    /// Shorter spans are read together.
    pub const LARGE: u64 = 100;
    /// Maximum number of seqs counted by one command, so that each command is answered in time.
    pub(super) const CHUNK: u64 = 100_000;
    /// Maximum number of large spans that are counted concurrently.
    pub(super) const AT_ONCE: usize = 8;

    /// Returns the number of seqs.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(from, to)| to - from + 1).sum()
    }

    /// True if there is nothing to count.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True if `seq` is in one of the ranges.
    pub(super) fn contains(&self, seq: u64) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(from, to)| (*from..=*to).contains(&seq))
    }
}

/// Maximum number of ranges per command: mongod's work on a filter grows with them.
const MAX_RANGES: usize = 256;

/// Splits `items` into groups with at most [`MAX_RANGES`] ranges together.
///
/// A single item may have more.
pub(super) fn in_groups<T>(items: &[T], ranges: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut groups = Vec::new();
    let (mut from, mut together) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        let count = ranges(item);
        if index > from && together + count > MAX_RANGES {
            groups.push(&items[from..index]);
            (from, together) = (index, 0);
        }
        together += count;
    }
    if from < items.len() {
        groups.push(&items[from..]);
    }
    groups
}

pub(super) fn in_range(conversation: &ConversationId, from: u64, to: u64) -> Document {
    doc! {
        "conversationId": conversation.as_str(),
        "seq": { "$gte": number(from), "$lte": number(to) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_a_bounded_number_of_ranges_and_every_item_once() {
        let items = [100, 100, 56, 1, 300, 2];
        let groups = in_groups(&items, |ranges| *ranges);
        assert_eq!(groups, [&[100, 100, 56][..], &[1], &[300], &[2]]);
        assert!(in_groups(&[], |ranges: &usize| *ranges).is_empty());
    }
}

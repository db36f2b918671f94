//! Who may see which entries: the one home of that rule.
//!
//! Pushing (socket, resume) shows an entry only inside a membership. History shows what [`Audience`] says.

use chat_sdk::HistoryVisibility;

use super::state::{ConversationFields, Member};

/// What part of a conversation's log one user may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The readable numbers, ascending, both ends inclusive; `u64::MAX` is an open end.
    ranges: Vec<(u64, u64)>,
    /// For who left: the number up to which they know what became of a message.
    as_of: Option<u64>,
}

impl Audience {
    /// The audience that sees everything: the host.
    pub fn everything() -> Self {
        Self {
            ranges: vec![(1, u64::MAX)],
            as_of: None,
        }
    }

    /// What `member` may read: from the start of the conversation (under `joined`: from joining) to where they left. For who left it stays as it
    /// was then.
    pub fn of(fields: &ConversationFields, member: &Member) -> Self {
        let end = |left: Option<u64>| left.unwrap_or(u64::MAX);
        let visibility = member.left_under.filter(|_| !member.is_active());
        let ranges = match visibility.unwrap_or(fields.settings.history_visibility) {
            HistoryVisibility::Joined => member
                .intervals
                .iter()
                .map(|(joined, left)| (*joined, end(*left)))
                .collect(),
            HistoryVisibility::Full => member
                .intervals
                .last()
                .map(|(_, left)| (1, end(*left)))
                .into_iter()
                .collect(),
        };
        Self {
            ranges,
            as_of: member.intervals.last().and_then(|(_, left)| *left),
        }
    }

    /// Whether number `seq` may be read.
    pub fn sees(&self, seq: u64) -> bool {
        self.ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// The readable numbers.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// The readable numbers from `from` to `to`, both inclusive.
    pub fn within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.ranges
            .iter()
            .map(|(first, last)| (from.max(*first), to.min(*last)))
            .filter(|(first, last)| first <= last)
            .collect()
    }

    /// What may be read, as a text that differs when that does.
    pub fn key(&self) -> String {
        let mut key = String::new();
        for (from, to) in &self.ranges {
            if *to == u64::MAX {
                key.push_str(&format!("{from}- "));
            } else {
                key.push_str(&format!("{from}-{to} "));
            }
        }
        key
    }

    /// The number up to which changes of a message are known; `None` for all.
    pub fn as_of(&self) -> Option<u64> {
        self.as_of
    }
}

/// Whether an entry is pushed to somebody with these membership intervals.
pub fn is_pushed(intervals: &[(u64, Option<u64>)], seq: u64) -> bool {
    intervals
        .iter()
        .any(|(joined, left)| *joined <= seq && left.is_none_or(|left| seq <= left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_asked_for() {
        let audience = Audience {
            ranges: vec![(3, 7), (12, u64::MAX)],
            as_of: None,
        };
        assert_eq!(audience.within(1, 20), [(3, 7), (12, 20)]);
        assert_eq!(audience.within(5, 12), [(5, 7), (12, 12)]);
        assert!(audience.within(8, 11).is_empty());
        assert!(audience.within(9, 8).is_empty());
    }

    #[test]
    fn the_key_tells_one_audience_from_another() {
        let audience = Audience {
            ranges: vec![(3, 7), (12, u64::MAX)],
            as_of: None,
        };
        assert_eq!(audience.key(), "3-7 12- ");
        assert_eq!(Audience::everything().key(), "1- ");
    }
}

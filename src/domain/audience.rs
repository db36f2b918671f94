//! Who may see which entries: the one home of that rule.
//!
//! Pushing (socket, resume) shows an entry only inside a membership. History shows what [`Audience`] says.

use chat_sdk::HistoryVisibility;

use super::state::{ConversationFields, Member};

/// Numbers of a log during which a user was a member: `[joined, left]`, both inclusive; `None` while they are.
pub type Interval = (u64, Option<u64>);

/// How many intervals are kept of one member and conversation. Of more the oldest are dropped; under `historyVisibility: joined` the member
/// then no longer sees what was written during those.
pub const MAX_INTERVALS: usize = 100;

/// Begins a membership with number `seq`.
///
/// Earlier intervals that follow one another with nothing between become one. The newest stays by itself: its beginning says when the user joined.
pub fn begin_interval(intervals: &mut Vec<Interval>, seq: u64) {
    if let [.., (_, end @ Some(_)), (joined, left)] = intervals.as_mut_slice()
        && end.is_some_and(|end| end + 1 == *joined)
    {
        *end = *left;
        intervals.pop();
    }
    if let Some((_, left @ None)) = intervals.last_mut() {
        // Its end was not seen; it lies before this beginning.
        *left = Some(seq.saturating_sub(1));
    }
    intervals.push((seq, None));
    keep_newest(intervals);
}

/// Drops the oldest of more than [`MAX_INTERVALS`] intervals.
pub fn keep_newest(intervals: &mut Vec<Interval>) {
    let excess = intervals.len().saturating_sub(MAX_INTERVALS);
    intervals.drain(..excess);
}

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
pub fn is_pushed(intervals: &[Interval], seq: u64) -> bool {
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
    fn intervals_without_anything_between_become_one() {
        let mut intervals = Vec::new();
        for joined in [1, 3, 5, 9] {
            begin_interval(&mut intervals, joined);
            intervals.last_mut().expect("begun").1 = Some(joined + 1);
        }
        assert_eq!(intervals, [(1, Some(6)), (9, Some(10))]);
        begin_interval(&mut intervals, 11);
        assert_eq!(intervals, [(1, Some(6)), (9, Some(10)), (11, None)]);
        begin_interval(&mut intervals, 20);
        assert_eq!(intervals, [(1, Some(6)), (9, Some(19)), (20, None)]);
    }

    #[test]
    fn the_oldest_of_many_intervals_are_dropped() {
        let mut intervals = Vec::new();
        for round in 0..MAX_INTERVALS as u64 + 5 {
            begin_interval(&mut intervals, round * 10);
            intervals.last_mut().expect("begun").1 = Some(round * 10 + 1);
        }
        assert_eq!(intervals.len(), MAX_INTERVALS);
        assert_eq!(intervals[0], (50, Some(51)));
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

//! Rules for which user may see which entries; no other module decides this.
//!
//! Delivery (socket, resume) includes an entry only during a membership. History includes what [`Audience`] allows.

use chat_sdk::HistoryVisibility;

use super::state::{ConversationFields, Member};

/// Range of seqs during which a user was a member: `[joined, left]`, both inclusive.
///
/// `left` is `None` if the user is still a member.
pub type Interval = (u64, Option<u64>);

/// Maximum number of intervals kept per member and conversation; the oldest are dropped.
///
/// Under `historyVisibility: joined` the member then no longer sees what was written during the dropped ones.
pub const MAX_INTERVALS: usize = 100;

/// Begins a membership at `seq`.
///
/// Adjacent earlier intervals are merged. The newest stays separate: its beginning is the time of joining.
pub fn begin_interval(intervals: &mut Vec<Interval>, seq: u64) {
    if let [.., (_, end @ Some(_)), (joined, left)] = intervals.as_mut_slice()
        && end.is_some_and(|end| end + 1 == *joined)
    {
        *end = *left;
        intervals.pop();
    }
    if let Some((_, left @ None)) = intervals.last_mut() {
        // The end of that membership was not seen; it lies before this beginning.
        *left = Some(seq.saturating_sub(1));
    }
    intervals.push((seq, None));
    keep_newest(intervals);
}

/// Drops the oldest intervals if there are more than [`MAX_INTERVALS`].
pub fn keep_newest(intervals: &mut Vec<Interval>) {
    let excess = intervals.len().saturating_sub(MAX_INTERVALS);
    intervals.drain(..excess);
}

/// The part of a conversation's log that one user may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Ranges of readable seqs, ascending, both ends inclusive; `u64::MAX` is an open end.
    ranges: Vec<(u64, u64)>,
    /// For a former member: the last seq whose changes of messages are visible.
    as_of: Option<u64>,
}

impl Audience {
    /// Returns the audience that sees everything: the host.
    pub fn everything() -> Self {
        Self {
            ranges: vec![(1, u64::MAX)],
            as_of: None,
        }
    }

    /// Returns what `member` may read: from the start of the conversation to where they left.
    ///
    /// Under `joined` it begins where they joined. For a former member the rule at the time of leaving stays in force.
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

    /// Returns true if `seq` may be read.
    pub fn sees(&self, seq: u64) -> bool {
        self.ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// Returns the ranges of readable seqs.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Returns the ranges of readable seqs from `from` to `to`, both inclusive.
    pub fn within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.ranges
            .iter()
            .map(|(first, last)| (from.max(*first), to.min(*last)))
            .filter(|(first, last)| first <= last)
            .collect()
    }

    /// Returns a text that identifies what may be read: equal for equal ranges only.
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

    /// Returns the last seq whose changes of messages are visible; `None` if all are.
    pub fn as_of(&self) -> Option<u64> {
        self.as_of
    }
}

/// Returns true if an entry is delivered to a user with these membership intervals.
pub fn is_pushed(intervals: &[Interval], seq: u64) -> bool {
    intervals
        .iter()
        .any(|(joined, left)| *joined <= seq && left.is_none_or(|left| seq <= left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_limited_to_the_requested_seqs() {
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
    fn adjacent_intervals_are_merged() {
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
    fn the_oldest_intervals_beyond_the_limit_are_dropped() {
        let mut intervals = Vec::new();
        for round in 0..MAX_INTERVALS as u64 + 5 {
            begin_interval(&mut intervals, round * 10);
            intervals.last_mut().expect("begun").1 = Some(round * 10 + 1);
        }
        assert_eq!(intervals.len(), MAX_INTERVALS);
        assert_eq!(intervals[0], (50, Some(51)));
    }

    #[test]
    fn the_key_identifies_an_audience() {
        let audience = Audience {
            ranges: vec![(3, 7), (12, u64::MAX)],
            as_of: None,
        };
        assert_eq!(audience.key(), "3-7 12- ");
        assert_eq!(Audience::everything().key(), "1- ");
    }
}

//! Rules for which user may see which entries. No other module decides this: reads, sockets, event streams and resume ask here.
//!
//! - Delivery includes an entry only during a membership ([`is_member_at`]).
//! - A read includes what the [`Audience`] of the caller includes: the memberships, and the history that `historyVisibility` allows.
//! - An entry that a member receives or reads may have content for one member only, or for the members who may see the message that it concerns
//!   ([`ContentLimits`]). All others get the seq alone, so that they can prove that nothing is missing.
//! - A block has content for nobody in a conversation's log: the blocked user must not detect it. Presence hides it in the same way.
//!
//! Hosts, plugins and webhooks read every event; only `noop` is published to none of them.

use chat_sdk::{EventType, HistoryVisibility, UserId, events::ParticipantUpdated};
use serde::Deserialize;

use super::{
    entry::{Body, Entry},
    state::{ConversationFields, Member, MessageState},
};

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

/// Returns true if the entry `seq` is delivered to a user with these membership intervals.
pub fn is_member_at(intervals: &[Interval], seq: u64) -> bool {
    intervals
        .iter()
        .any(|(joined, left)| *joined <= seq && left.is_none_or(|left| seq <= left))
}

/// Returns the seq of `message` if members who join later may not see it: their entries about it must have no content.
pub fn hidden_from_later_members(
    fields: &ConversationFields,
    message: &MessageState,
) -> Option<u64> {
    (fields.settings.history_visibility == HistoryVisibility::Joined).then_some(message.seq)
}

/// Members for whom an entry has content, of all who receive it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentLimits {
    only: Only,
    /// Seq of the message that the entry concerns, if only members of that time may see it.
    message_seq: Option<u64>,
}

/// Members for whom an entry has content, whatever they see of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Only {
    /// All members.
    #[default]
    All,
    /// One member: settings that they made for themselves.
    Member(UserId),
    /// None: a block, or an event of a plugin for hosts.
    Nobody,
}

impl ContentLimits {
    /// Returns the limits of an entry.
    pub fn of_entry(entry: &Entry) -> Self {
        let only = match &entry.body {
            Body::ParticipantUpdated(change) if change.role.is_none() => {
                Only::private(&change.user_id, change.preferences.is_some())
            }
            Body::Plugin(event) => Only::of_plugin_event(event.kind),
            _ => Only::All,
        };
        Self {
            only,
            message_seq: entry.body.message_seq(),
        }
    }

    /// Returns the limits of a published event; `data` is the JSON of its data.
    ///
    /// # Errors
    /// If the data is not that of an event of `kind`.
    pub fn of_event(kind: EventType, data: &str) -> serde_json::Result<Self> {
        /// Fields of an event that refer to a message.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct About {
            message_seq: Option<u64>,
        }

        match kind {
            EventType::ParticipantUpdated => {
                let updated: ParticipantUpdated = serde_json::from_str(data)?;
                let only = if updated.is_private() {
                    Only::private(&updated.user_id, updated.preferences.is_some())
                } else {
                    Only::All
                };
                Ok(Self {
                    only,
                    message_seq: None,
                })
            }
            EventType::MessageUpdated
            | EventType::MessageDeleted
            | EventType::MessageRestored
            | EventType::MessagePinned
            | EventType::MessageUnpinned
            | EventType::ReactionAdded
            | EventType::ReactionRemoved => {
                let About { message_seq } = serde_json::from_str(data)?;
                Ok(Self {
                    only: Only::All,
                    message_seq,
                })
            }
            EventType::Plugin(_) => Ok(Self {
                only: Only::of_plugin_event(kind),
                message_seq: None,
            }),
            _ => Ok(Self::default()),
        }
    }

    /// Returns true if the entry has content for all members.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if the entry has content for `user`; `sees` returns true if they may see a message.
    pub fn allow(&self, user: &UserId, sees: impl FnOnce(u64) -> bool) -> bool {
        let is_for_user = match &self.only {
            Only::All => true,
            Only::Member(only) => only == user,
            Only::Nobody => false,
        };
        is_for_user && self.message_seq.is_none_or(sees)
    }
}

impl Only {
    /// Returns who sees a private change of `user`'s membership: a change of their settings, or else a block.
    fn private(user: &UserId, has_preferences: bool) -> Self {
        if has_preferences {
            Self::Member(user.clone())
        } else {
            Self::Nobody
        }
    }

    /// Returns who sees an event of a plugin: nobody, if no socket receives it. It is for hosts then.
    fn of_plugin_event(kind: EventType) -> Self {
        if kind.socket_event().is_some() {
            Self::All
        } else {
            Self::Nobody
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::{ConversationId, EventId, MessageId, Preferences, Role, Timestamp};

    use super::*;
    use crate::model::{
        catalogue,
        entry::{MessageTarget, ParticipantChange},
    };

    #[test]
    fn an_entry_and_its_event_have_the_same_limits() {
        let alice: UserId = "alice".parse().expect("a user id");
        let change = ParticipantChange::of(alice.clone());
        let target = |message_seq| MessageTarget {
            message_id: MessageId::generate(),
            message_seq,
        };
        let settings = ParticipantChange {
            preferences: Some(Preferences::default()),
            ..change.clone()
        };
        let block = ParticipantChange {
            is_blocking: Some(true),
            ..change.clone()
        };
        let role = ParticipantChange {
            role: Some(Role::Admin),
            ..change
        };
        for (body, alice_sees, bob_sees) in [
            (Body::ParticipantUpdated(settings), true, false),
            (Body::ParticipantUpdated(block), false, false),
            (Body::ParticipantUpdated(role), true, true),
            (Body::MessagePinned(target(Some(3))), false, false),
            (Body::MessagePinned(target(Some(4))), true, true),
            (Body::MessagePinned(target(None)), true, true),
        ] {
            let entry = Entry {
                id: EventId::generate(),
                owner: ConversationId::generate().into(),
                seq: 5,
                actor: None,
                at: Timestamp::now(),
                body,
                trace: None,
            };
            let limits = ContentLimits::of_entry(&entry);
            let envelope = catalogue::envelope(&entry);
            let data = serde_json::to_string(&envelope.data).expect("encodes");
            let of_event = ContentLimits::of_event(envelope.kind, &data).expect("an event");
            assert_eq!(limits, of_event, "{:?}", entry.body);
            let bob: UserId = "bob".parse().expect("a user id");
            let shown = [&alice, &bob].map(|user| limits.allow(user, |seq| seq > 3));
            assert_eq!(shown, [alice_sees, bob_sees], "{:?}", entry.body);
        }
    }

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

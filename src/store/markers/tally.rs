//! Counts short spans for many readers at once.
//!
//! One read gets the messages, from which each reader's own count is computed.
//!
//! The rule of what counts exists twice: here for a message that was read, and in `count` as a filter for mongod, because long spans are counted in
//! the index alone. A test compares the two for messages of every kind.

use std::collections::HashMap;

use chat_sdk::{ConversationId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    options::Hint,
};
use serde::Deserialize;

use super::{
    super::{Collection, Database, bounded, log::Unavailable},
    count::{SeqRanges, in_groups, in_range},
};
use crate::domain::{
    Result,
    markers::Counts,
    messages::{MENTION_ALL, MENTION_HERE},
};

/// Maximum number of spans per command: for the longest spans, that is some thousand messages.
const SPANS_AT_ONCE: usize = 64;

/// Span to count for a user.
pub struct UnreadQuery {
    /// User whose unread messages are counted.
    pub user: UserId,
    /// Span to count.
    pub span: SeqRanges,
}

/// Result of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tallied {
    /// Counts of unread messages.
    pub counts: Counts,
    /// Earliest expiry of the counted messages (milliseconds since 1970), if one expires.
    pub next_expiry: Option<i64>,
    /// Seq of the newest entry that deleted or restored one of the span's messages; 0 without one.
    pub removal_seq: u64,
}

/// Reader of spans.
#[derive(Clone)]
pub struct Tallies {
    log: Collection<CountedMessage>,
}

/// Fields of a message that decide whether it counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountedMessage {
    conversation_id: ConversationId,
    seq: i64,
    #[serde(default)]
    actor_id: Option<UserId>,
    data: CountedData,
    #[serde(default)]
    deleted: Option<Removal>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountedData {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    here: Vec<String>,
    #[serde(default)]
    expires_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Removal {
    seq: i64,
    #[serde(default)]
    is_restored: bool,
}

impl CountedMessage {
    fn counts_for(&self, user: &UserId, now: Timestamp) -> bool {
        self.actor_id.as_ref() != Some(user)
            && self.data.kind.as_deref() != Some("system")
            && !self.data.silent
            && self
                .deleted
                .as_ref()
                .is_none_or(|removal| removal.is_restored)
            && self.data.expires_at.is_none_or(|at| at > now.as_millis())
    }

    fn mentions(&self, user: &UserId) -> bool {
        self.data.mentions.iter().any(|name| {
            name == user.as_str()
                || name == MENTION_ALL
                || name == MENTION_HERE && self.data.here.iter().any(|here| here == user.as_str())
        })
    }
}

impl Tallies {
    /// Creates a reader of `database`.
    pub fn new(database: &Database) -> Self {
        Self {
            log: database.collection("log"),
        }
    }

    /// Counts a group and answers each query.
    pub async fn count(&self, tallies: Vec<UnreadQuery>) -> Vec<Result<Tallied>> {
        let mut answers = Vec::with_capacity(tallies.len());
        let groups = tallies
            .chunks(SPANS_AT_ONCE)
            .flat_map(|some| in_groups(some, |tally| tally.span.ranges.len()));
        for some in groups {
            match self.try_count(some).await {
                Ok(counted) => answers.extend(counted.into_iter().map(Ok)),
                Err(error) => answers.extend(some.iter().map(|_| Err(error.into()))),
            }
        }
        answers
    }

    async fn try_count(
        &self,
        tallies: &[UnreadQuery],
    ) -> std::result::Result<Vec<Tallied>, Unavailable> {
        let ranges = merged(tallies.iter().map(|tally| &tally.span));
        let mut by_conversation: HashMap<ConversationId, Vec<CountedMessage>> = HashMap::new();
        if !ranges.is_empty() {
            let found: Vec<CountedMessage> = bounded(async {
                self.log
                    .find(doc! { "$or": ranges, "type": "message.created" })
                    .projection(doc! {
                        "_id": 0, "conversationId": 1, "seq": 1, "actorId": 1, "data.type": 1, "data.silent": 1, "data.mentions": 1,
                        "data.here": 1, "data.expiresAt": 1, "deleted.seq": 1, "deleted.isRestored": 1,
                    })
                    .hint(Hint::Name("owner_seq".to_owned()))
                    .batch_size(10_000)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            for message in found {
                let conversation = message.conversation_id.clone();
                by_conversation
                    .entry(conversation)
                    .or_default()
                    .push(message);
            }
        }
        let now = Timestamp::now();
        let none = Vec::new();
        Ok(tallies
            .iter()
            .map(|UnreadQuery { user, span }| {
                let messages = by_conversation.get(&span.conversation).unwrap_or(&none);
                tallied(messages, user, span, now)
            })
            .collect())
    }
}

fn tallied(
    messages: &[CountedMessage],
    user: &UserId,
    span: &SeqRanges,
    now: Timestamp,
) -> Tallied {
    let mut tallied = Tallied::default();
    for message in messages {
        if !span.contains(message.seq.unsigned_abs()) {
            continue;
        }
        if let Some(removal) = &message.deleted {
            tallied.removal_seq = tallied.removal_seq.max(removal.seq.unsigned_abs());
        }
        if !message.counts_for(user, now) {
            continue;
        }
        tallied.counts.unread += 1;
        tallied.counts.mentions += u64::from(message.mentions(user));
        let expiries = [tallied.next_expiry, message.data.expires_at];
        tallied.next_expiry = expiries.into_iter().flatten().min();
    }
    tallied
}

/// Merges the ranges of all spans, each seq once: readers of one conversation ask for much the same.
fn merged<'a>(spans: impl Iterator<Item = &'a SeqRanges>) -> Vec<Document> {
    let mut ranges: Vec<(&ConversationId, u64, u64)> = spans
        .flat_map(|span| {
            let of_span = span.ranges.iter();
            of_span.map(|(from, to)| (&span.conversation, *from, *to))
        })
        .collect();
    ranges.sort();
    let mut merged: Vec<(&ConversationId, u64, u64)> = Vec::new();
    for (conversation, from, to) in ranges {
        match merged.last_mut() {
            Some((last, _, end)) if *last == conversation && from <= end.saturating_add(1) => {
                *end = to.max(*end);
            }
            _ => merged.push((conversation, from, to)),
        }
    }
    merged
        .into_iter()
        .map(|(conversation, from, to)| in_range(conversation, from, to))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_readers_ask_for_is_read_once() {
        let a: ConversationId = ConversationId::generate();
        let span = |ranges: &[(u64, u64)]| SeqRanges {
            conversation: a.clone(),
            ranges: ranges.to_vec(),
        };
        let spans = [span(&[(1, 4), (9, 9)]), span(&[(3, 6)]), span(&[(7, 7)])];
        let expected = vec![in_range(&a, 1, 7), in_range(&a, 9, 9)];
        assert_eq!(merged(spans.iter()), expected);
    }
}

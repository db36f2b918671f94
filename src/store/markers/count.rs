//! Counts unread messages from the log.

use std::collections::HashMap;

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::super::{
    Store, bounded, documents::number, facets::StoredMessage, log::Unavailable, messages::Wanted,
};
use crate::domain::{
    Result,
    audience::Audience,
    markers::Counts,
    messages::{MENTION_ALL, MENTION_HERE},
};

type Stored<T> = std::result::Result<T, Unavailable>;

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
    const CHUNK: u64 = 100_000;
    /// Maximum number of large spans that are counted concurrently.
    const AT_ONCE: usize = 8;

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

    fn filters(&self) -> Vec<Document> {
        let range = |(from, to): &(u64, u64)| in_range(&self.conversation, *from, *to);
        self.ranges.iter().map(range).collect()
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

/// Builds the filter of the messages that count as unread for `user`.
///
/// It excludes the user's own, system, silent, deleted and expired messages.
fn countable(user: &UserId) -> Document {
    doc! {
        "type": "message.created",
        "actorId": { "$ne": user.as_str() },
        "data.type": { "$ne": "system" },
        "data.silent": { "$ne": true },
        // The facet exists if the message was ever deleted; `isRestored` says whether it is back.
        "deleted.isRestored": { "$ne": false },
        "data.expiresAt": { "$not": { "$lte": Timestamp::now().as_millis() } },
    }
}

/// Builds an expression over a message that is true if it mentions `user`.
fn mentions_expression(user: &UserId) -> Document {
    let list = |name: &str| doc! { "$ifNull": [name, []] };
    let is_in = |what: &str, name: &str| doc! { "$in": [{ "$literal": what }, list(name)] };
    doc! { "$or": [
        is_in(user.as_str(), "$data.mentions"),
        is_in(MENTION_ALL, "$data.mentions"),
        { "$and": [is_in(MENTION_HERE, "$data.mentions"), is_in(user.as_str(), "$data.here")] },
    ] }
}

/// Builds a filter that finds the messages that mention `user` by the index.
fn mentions_filter(user: &UserId) -> Document {
    doc! {
        "data.mentions": { "$in": [user.as_str(), MENTION_ALL, MENTION_HERE] },
        "$or": [
            { "data.mentions": { "$in": [user.as_str(), MENTION_ALL] } },
            { "data.here": user.as_str() },
        ],
    }
}

fn totals(user: &UserId, by: &str) -> Document {
    doc! { "$group": {
        "_id": by,
        "unread": { "$sum": 1_i64 },
        "mentions": { "$sum": { "$cond": [mentions_expression(user), 1_i64, 0_i64] } },
    } }
}

#[derive(Deserialize)]
struct Totals {
    #[serde(rename = "_id")]
    id: Option<String>,
    unread: i64,
    mentions: i64,
}

impl Totals {
    fn counts(&self) -> Counts {
        Counts {
            unread: self.unread.unsigned_abs(),
            mentions: self.mentions.unsigned_abs(),
        }
    }
}

impl Store {
    /// Counts the unread messages of `user` in each of `spans`, in their order.
    ///
    /// No conversation may occur twice.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_unread(&self, user: &UserId, spans: &[SeqRanges]) -> Result<Vec<Counts>> {
        let (large, small): (Vec<&SeqRanges>, Vec<&SeqRanges>) = spans
            .iter()
            .partition(|span| span.len() >= SeqRanges::LARGE);
        let large: Vec<_> = large
            .into_iter()
            .map(|span| self.count_large(user, span))
            .collect();
        let one_by_one = stream::iter(large)
            .buffer_unordered(SeqRanges::AT_ONCE)
            .try_collect::<Vec<_>>();
        let (large, small) = tokio::try_join!(one_by_one, self.count_small(user, &small))?;
        let counts: HashMap<String, Counts> = large.into_iter().chain(small).collect();
        let of_span = |span: &SeqRanges| counts.get(span.conversation.as_str()).copied();
        Ok(spans
            .iter()
            .map(|span| of_span(span).unwrap_or_default())
            .collect())
    }

    /// Counts short spans together by reading their messages.
    ///
    /// For few messages that is cheaper than a walk through the wide index.
    async fn count_small(
        &self,
        user: &UserId,
        spans: &[&SeqRanges],
    ) -> Stored<Vec<(String, Counts)>> {
        let mut counts = Vec::new();
        for some in in_groups(spans, |span| span.ranges.len()) {
            let ranges: Vec<Document> = some.iter().flat_map(|span| span.filters()).collect();
            if ranges.is_empty() {
                continue;
            }
            let mut filter = countable(user);
            filter.insert("$or", ranges);
            let totals = self
                .count_by(filter, totals(user, "$conversationId"), "owner_seq")
                .await?;
            let totals = totals.into_iter();
            counts.extend(totals.filter_map(|total| Some((total.id.clone()?, total.counts()))));
        }
        Ok(counts)
    }

    async fn count_by(
        &self,
        filter: Document,
        group: Document,
        index: &str,
    ) -> Stored<Vec<Totals>> {
        let found: Vec<Document> = bounded(async {
            self.log
                .aggregate([doc! { "$match": filter }, group])
                .hint(mongodb::options::Hint::Name(index.to_owned()))
                .await?
                .try_collect()
                .await
        })
        .await?;
        found
            .into_iter()
            .map(|document| bson::deserialize_from_document(document).map_err(|_| Unavailable))
            .collect()
    }

    /// Counts a long span in the index alone, in chunks.
    async fn count_large(&self, user: &UserId, span: &SeqRanges) -> Stored<(String, Counts)> {
        let mut counts = Counts::default();
        for (from, to) in &span.ranges {
            let mut from = *from;
            while from <= *to {
                let end = to.min(&(from + SeqRanges::CHUNK - 1)).to_owned();
                let mut unread = in_range(&span.conversation, from, end);
                unread.extend(countable(user));
                let mut mentions = unread.clone();
                mentions.extend(mentions_filter(user));
                let (unread, mentions) = tokio::try_join!(
                    self.count_in(unread, "messages"),
                    self.count_in(mentions, "mentions"),
                )?;
                counts = counts + Counts { unread, mentions };
                from = end + 1;
            }
        }
        Ok((span.conversation.to_string(), counts))
    }

    /// The `count` command takes half the time of an aggregation.
    async fn count_in(&self, filter: Document, index: &str) -> Stored<u64> {
        #[derive(Deserialize)]
        struct Reply {
            n: i64,
        }
        let command = doc! {
            "count": "log",
            "query": filter,
            "hint": index,
            "readConcern": { "level": "majority" },
        };
        let reply = bounded(self.database.run_command(command).into_future()).await?;
        let reply: Reply = bson::deserialize_from_document(reply).map_err(|_| Unavailable)?;
        Ok(reply.n.unsigned_abs())
    }

    /// Counts the unread replies to `root` in `ranges` for `user`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_unread_replies(
        &self,
        user: &UserId,
        root: &MessageId,
        ranges: &[(u64, u64)],
    ) -> Result<Counts> {
        if ranges.is_empty() {
            return Ok(Counts::default());
        }
        let ranges: Vec<Document> = ranges
            .iter()
            .map(|(from, to)| doc! { "seq": { "$gte": number(*from), "$lte": number(*to) } })
            .collect();
        let mut filter = countable(user);
        filter.insert("data.threadId", root.as_str());
        filter.insert("$or", ranges);
        let totals = self
            .count_by(filter, totals(user, "$data.threadId"), "threads")
            .await?;
        Ok(totals.first().map(Totals::counts).unwrap_or_default())
    }

    /// Returns the earliest expiry after `since` of a message of `conversation`, or `None`.
    ///
    /// Times are in milliseconds since 1970.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_next_expiry(
        &self,
        conversation: &ConversationId,
        since: Timestamp,
    ) -> Result<Option<i64>> {
        #[derive(Deserialize)]
        struct Expiring {
            data: Time,
        }
        #[derive(Deserialize)]
        struct Time {
            #[serde(rename = "expiresAt")]
            expires_at: i64,
        }
        let filter = doc! {
            "conversationId": conversation.as_str(),
            "type": "message.created",
            "data.expiresAt": { "$gt": since.as_millis() },
        };
        let found = bounded(
            self.log
                .clone_with_type::<Expiring>()
                .find_one(filter)
                .sort(doc! { "data.expiresAt": 1 })
                .projection(doc! { "_id": 0, "data.expiresAt": 1 })
                .hint(mongodb::options::Hint::Name("expiring".to_owned()))
                .into_future(),
        )
        .await?;
        Ok(found.map(|message| message.data.expires_at))
    }

    /// Finds the newest message of `conversation` that `audience` sees, up to seq `to`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_newest_message(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        to: u64,
    ) -> Result<Option<StoredMessage>> {
        if audience.within(1, to).is_empty() {
            return Ok(None);
        }
        let wanted = Wanted {
            range: (1, to),
            direction: -1,
            limit: 1,
            max_bytes: 0,
        };
        let mut found = self.read_messages(conversation, audience, wanted).await?;
        Ok(found.items.pop())
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

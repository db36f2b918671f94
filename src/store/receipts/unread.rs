//! Counts unread messages from the log: long ranges in the index alone, short ones together with those of other readers (`short_ranges`).

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};
use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::{
    ranges::{SeqRanges, in_range},
    unread_rule::{mentions_filter, unread_filter},
};
use crate::{
    model::{DomainError, Result, receipts::Counts, visibility::Audience},
    store::{
        Store, bounded, documents::number, facets::StoredMessage, log::Unavailable,
        message_reader::Wanted,
    },
};

type Stored<T> = std::result::Result<T, Unavailable>;

impl Store {
    /// Counts the unread messages of `user` in each of `spans`, in their order.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_unread(&self, user: &UserId, spans: &[SeqRanges]) -> Result<Vec<Counts>> {
        let (large, short): (Vec<_>, Vec<_>) = spans
            .iter()
            .enumerate()
            .partition(|(_, span)| span.len() >= SeqRanges::LARGE);
        let large: Vec<_> = large
            .into_iter()
            .map(|(index, span)| async move { Ok((index, self.count_large(user, span).await?)) })
            .collect();
        let short = short.into_iter().map(|(index, span)| async move {
            let count = self.count_short(user, span.clone()).await?;
            Ok::<_, DomainError>((index, count.counts))
        });
        let large = stream::iter(large)
            .buffer_unordered(SeqRanges::AT_ONCE)
            .try_collect::<Vec<_>>();
        let (large, short) = tokio::try_join!(large, try_join_all(short))?;
        let mut counts = vec![Counts::default(); spans.len()];
        for (index, count) in large.into_iter().chain(short) {
            counts[index] = count;
        }
        Ok(counts)
    }

    /// Counts a long span in the index alone, in chunks.
    async fn count_large(&self, user: &UserId, span: &SeqRanges) -> Stored<Counts> {
        let mut counts = Counts::default();
        for (from, to) in &span.ranges {
            let mut from = *from;
            while from <= *to {
                let end = to.min(&(from + SeqRanges::CHUNK - 1)).to_owned();
                let range = in_range(&span.conversation, from, end);
                counts = counts + self.count_by(range, user, ["messages", "mentions"]).await?;
                from = end + 1;
            }
        }
        Ok(counts)
    }

    /// Counts the unread messages of `user` that match `filter`, and those among them that mention the user, each in one of `indexes`.
    async fn count_by(
        &self,
        filter: Document,
        user: &UserId,
        indexes: [&str; 2],
    ) -> Stored<Counts> {
        let mut unread = filter;
        unread.extend(unread_filter(user));
        let mut mentions = unread.clone();
        mentions.extend(mentions_filter(user));
        let (unread, mentions) = tokio::try_join!(
            self.count_in(unread, indexes[0]),
            self.count_in(mentions, indexes[1]),
        )?;
        Ok(Counts { unread, mentions })
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
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
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
        // Not `$or` itself, which the filter of mentions has.
        let filter = doc! { "data.threadId": root.as_str(), "$and": [{ "$or": ranges }] };
        Ok(self.count_by(filter, user, ["threads", "threads"]).await?)
    }

    /// Returns the earliest expiry after `since` of a message of `conversation`, or `None`.
    ///
    /// Times are in milliseconds since 1970.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
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
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
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

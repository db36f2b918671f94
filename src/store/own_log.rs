//! Reads of a user's own log, for the sockets of that user.

use chat_sdk::UserId;
use futures_util::TryStreamExt;
use mongodb::bson::{Timestamp as ClusterTime, doc};
use serde::Deserialize;

use super::{Store, bounded, documents::number, pieces::Listing};
use crate::model::{
    Result,
    entry::{Entry, Owner},
    page::Piece,
};

#[derive(Deserialize)]
struct Seq {
    seq: i64,
}

impl Store {
    /// Returns the seq of the newest entry of a user's own log; 0 without one.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_newest_own_seq(&self, user: &UserId) -> Result<u64> {
        let filter = doc! { "conversationId": Owner::User(user.clone()).key() };
        let found: Vec<Seq> = bounded(async {
            self.log
                .clone_with_type::<Seq>()
                .find(filter)
                .sort(doc! { "conversationId": -1, "seq": -1 })
                .projection(doc! { "_id": 0, "seq": 1 })
                .limit(1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.first().map_or(0, |newest| newest.seq.unsigned_abs()))
    }

    /// Reads entries of a user's own log after `after` up to `to`, ascending, those that mongod accepted after `since`.
    ///
    /// It reads at most `limit` and `max_bytes`, but at least one.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_own_entries(
        &self,
        user: &UserId,
        (after, to): (u64, u64),
        since: Option<ClusterTime>,
        (limit, max_bytes): (u32, usize),
    ) -> Result<Piece<Entry>> {
        let mut filter = doc! {
            "conversationId": Owner::User(user.clone()).key(),
            "seq": { "$gt": number(after), "$lte": number(to) },
        };
        if let Some(since) = since {
            filter.insert("ts", doc! { "$gt": since });
        }
        let listing = Listing {
            filter,
            sort: doc! { "conversationId": 1, "seq": 1 },
            hint: None,
            limit,
            max_bytes,
        };
        let piece = self.read_piece(&self.log, listing).await?;
        piece.try_map(|document| document.entry())
    }
}

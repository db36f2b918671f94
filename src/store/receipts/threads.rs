//! The field `userId` of thread markers, by which a user's own are found.
//!
//! The `_id` of a thread marker begins with the thread's root, and a user's memberships do not name the threads that the user read. An earlier version
//! stored thread markers without the field: the first start of this version adds it.

use std::time::Duration;

use chat_sdk::MessageId;
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use serde::Deserialize;

use super::document::reader_of_thread;
use crate::store::{Store, indexes::PrepareError};

/// Number of markers per batch.
const BATCH: i64 = 5000;
/// Maximum time that mongod may work on one batch; only the start waits for it.
const MAX_TIME: Duration = Duration::from_secs(30);

impl Store {
    /// Adds the field to thread markers of an earlier version, once.
    ///
    /// # Errors
    /// [`PrepareError::Mongo`] if the database is unavailable; the next run continues.
    pub(in crate::store) async fn name_thread_readers(&self) -> Result<(), PrepareError> {
        #[derive(Deserialize)]
        struct Unnamed {
            #[serde(rename = "_id")]
            id: String,
        }
        let meta = self.database.collection::<Document>("meta");
        let done = doc! { "_id": "threadReaders" };
        if meta.find_one(done.clone()).await?.is_some() {
            return Ok(());
        }
        let markers = self.database.collection::<Unnamed>("markers");
        let mut after = MessageId::PREFIX.to_owned();
        loop {
            let of_threads =
                doc! { "$gt": &after, "$lt": format!("{}\u{10ffff}", MessageId::PREFIX) };
            let found: Vec<Unnamed> = markers
                .find(doc! { "_id": of_threads, "userId": { "$exists": false } })
                .sort(doc! { "_id": 1 })
                .projection(doc! { "_id": 1 })
                .limit(BATCH)
                .max_time(MAX_TIME)
                .await?
                .try_collect()
                .await?;
            let Some(last) = found.last() else {
                break;
            };
            after = last.id.clone();
            let named = found.iter().filter_map(|marker| {
                let user = reader_of_thread(&marker.id)?;
                Some(doc! { "q": { "_id": &marker.id }, "u": { "$set": { "userId": user } } })
            });
            let updates: Vec<Bson> = named.map(Bson::from).collect();
            let command = doc! {
                "update": "markers", "updates": updates, "ordered": false,
                "maxTimeMS": MAX_TIME.as_millis() as i64,
            };
            self.database.run_command(command).await?;
        }
        meta.update_one(done, doc! { "$set": { "isDone": true } })
            .upsert(true)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_of_a_thread_names_its_reader() {
        let root = "msg_01hzx3v7k9q2m4n6p8r0s2t4v6";
        assert_eq!(reader_of_thread(&format!("{root}:a:b")), Some("a:b"));
        assert_eq!(
            reader_of_thread("cnv_01hzx3v7k9q2m4n6p8r0s2t4v6:alice"),
            None
        );
    }
}

//! Leases: the right of one process among many to do a task.
//!
//! They use the database's clock alone, so clocks need not agree.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};

use super::{Store, bounded};
use crate::model::Result;

impl Store {
    /// Takes or renews the lease `name` for `holder`. Returns true if `holder` has it now.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn take_lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool> {
        let filter = doc! {
            "_id": name,
            "$or": [{ "holder": holder }, { "$expr": { "$lt": ["$until", "$$NOW"] } }],
        };
        let renewal = vec![doc! { "$set": {
            "holder": holder,
            "until": { "$add": ["$$NOW", ttl.as_millis() as i64] },
        } }];
        let leases = self.database.collection::<Document>("leases");
        let taken = bounded(async {
            let updated = leases.update_one(filter, renewal).await?;
            if updated.matched_count == 1 {
                return Ok(true);
            }
            // Either another process holds it or it does not exist; insert a free one for the next attempt. The statement above is never an upsert:
            // an upsert cannot compare with the database's clock.
            let free = doc! { "$setOnInsert": { "holder": "", "until": DateTime::from_millis(0) } };
            leases
                .update_one(doc! { "_id": name }, free)
                .upsert(true)
                .await?;
            Ok(false)
        })
        .await?;
        Ok(taken)
    }

    /// Releases the lease.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn drop_lease(&self, name: &str, holder: &str) -> Result<()> {
        bounded(
            self.database
                .collection::<Document>("leases")
                .delete_one(doc! { "_id": name, "holder": holder })
                .into_future(),
        )
        .await?;
        Ok(())
    }
}

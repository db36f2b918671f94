//! Leases: who of many may do a thing that one should do. By the database's clock alone, so clocks need not agree.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};

use super::{Store, bounded};
use crate::domain::Result;

impl Store {
    /// Takes the lease `name` for `holder`, or renews it. Answers whether `holder` has it now.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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
            // Somebody else holds it, or nobody ever did; then it is there for the next try. Never an upsert above: it may not compare with
            // the database's clock.
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

    /// Gives the lease back.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

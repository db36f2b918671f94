//! Leases: who of many may do a thing that one should do. By the database's clock alone, so clocks need not agree.

use std::time::Duration;

use mongodb::{
    bson::{Document, doc},
    error::ErrorKind,
};

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
        let outcome = bounded(async {
            let updated = self
                .database
                .collection::<Document>("leases")
                .update_one(filter, renewal)
                .upsert(true)
                .await;
            match updated {
                // Somebody else holds it: the filter did not match, and the upsert found the id taken.
                Err(error) if is_duplicate_key(&error) => Ok(false),
                other => other.map(|_| true),
            }
        })
        .await?;
        Ok(outcome)
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

fn is_duplicate_key(error: &mongodb::error::Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(error)) => error.code == 11000,
        ErrorKind::Command(error) => error.code == 11000,
        _ => false,
    }
}

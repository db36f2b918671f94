//! Database behind the store.
//!
//! Only this file and `collection` name the driver's reading types: what they return has a time limit.

use std::time::Duration;

use mongodb::{
    action::RunCommand,
    bson::{Document, RawDocumentBuf},
};

use super::{collection::within_time, log::Unavailable};

pub use super::collection::Collection;

/// Error code of mongod for a duplicate key.
pub const DUPLICATE_KEY: i32 = 11000;
/// Maximum time of a read before its caller gets an unavailable error.
const READ_TIMEOUT: Duration = Duration::from_millis(1600);

/// Database whose reads end by themselves: each has a `maxTimeMS`.
#[derive(Clone)]
pub struct Database(mongodb::Database);

impl From<mongodb::Database> for Database {
    fn from(database: mongodb::Database) -> Self {
        Self(database)
    }
}

impl Database {
    /// Ends the client of this database, after the cursors that are being closed.
    pub async fn close(&self) {
        self.0.client().clone().shutdown().await;
    }

    /// Returns the collection `name`.
    pub fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.0.collection(name).into()
    }

    /// Runs a command. A command without a time limit gets the limit of a read.
    pub fn run_command(&self, command: Document) -> RunCommand<'_> {
        self.0.run_command(within_time(command))
    }

    /// Runs an encoded write, which sets its own time limit.
    pub fn run_raw_write(&self, command: RawDocumentBuf) -> RunCommand<'_> {
        self.0.run_raw_command(command)
    }
}

/// Waits a bounded time for an answer of MongoDB.
///
/// The driver has no time-out of its own for a server that is reachable and silent.
pub async fn bounded<T>(
    operation: impl Future<Output = mongodb::error::Result<T>>,
) -> Result<T, Unavailable> {
    match tokio::time::timeout(READ_TIMEOUT, operation).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            // The kind names codes and addresses, never content: filters are not part of it.
            tracing::warn!(error = %error.kind, "MongoDB failed");
            Err(Unavailable)
        }
        Err(_) => {
            tracing::warn!("MongoDB did not answer in time");
            Err(Unavailable)
        }
    }
}

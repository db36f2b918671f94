//! Database behind the store.
//!
//! Only this file and the SDK's collection name the driver's reading types: what they return has a time limit.

pub use chat_sdk::plugin::Collection;
use chat_sdk::plugin::within_time;
use mongodb::{
    action::RunCommand,
    bson::{Document, RawDocumentBuf},
};

/// Database whose reads end by themselves: each has a `maxTimeMS`.
#[derive(Clone)]
pub struct Database(mongodb::Database);

impl From<mongodb::Database> for Database {
    fn from(database: mongodb::Database) -> Self {
        Self(database)
    }
}

impl Database {
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

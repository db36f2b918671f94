//! The database behind the store. Only this file and the SDK's collection name the driver's own types that read: what they hand out carries a time limit.

pub use chat_sdk::plugin::Collection;
use chat_sdk::plugin::within_time;
use mongodb::{
    action::RunCommand,
    bson::{Document, RawDocumentBuf},
};

/// A database whose reads end by themselves: each carries a `maxTimeMS`.
#[derive(Clone)]
pub struct Database(mongodb::Database);

impl From<mongodb::Database> for Database {
    fn from(database: mongodb::Database) -> Self {
        Self(database)
    }
}

impl Database {
    /// The collection `name`.
    pub fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.0.collection(name).into()
    }

    /// Runs a command; one that does not say how long it may take may take as long as a read.
    pub fn run_command(&self, command: Document) -> RunCommand<'_> {
        self.0.run_command(within_time(command))
    }

    /// Runs an encoded write. It says itself how long it may take.
    pub fn run_raw_write(&self, command: RawDocumentBuf) -> RunCommand<'_> {
        self.0.run_raw_command(command)
    }
}

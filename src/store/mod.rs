//! The only module that uses MongoDB: the log and the documents derived from it.
//!
//! Every read is on the primary and sees only what a majority has committed. Only [`log`] writes what follows from the log's fold. This module knows
//! the domain's types and rules of state, and no HTTP, socket or broker.

mod additions;
mod backlog;
mod blocks;
mod consumers;
mod conversations;
mod database;
mod documents;
mod durables;
mod erasure;
mod expiry;
mod facets;
mod indexes;
mod leases;
pub mod log;
mod markers;
mod messages;
mod participants;
mod pieces;
mod presence;
mod reactions;
mod refills;
mod relay;
mod resume;
mod retention;
mod scheduled;
mod search_keys;
mod set_aside;
mod settled;
mod users;
mod versions;

use std::{future::Future, time::Duration};

use chat_sdk::MessageId;
use mongodb::{
    Client,
    options::{
        ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria,
        WriteConcern,
    },
};
use tokio::sync::Semaphore;

pub use backlog::Backlog;
pub use conversations::{ArchiveFilter, ConversationRow, LastMessages};
pub use erasure::{CONVERSATIONS_AT_ONCE, OwnReaction, PrivateData};
pub use expiry::Expiring;
pub use facets::StoredMessage;
pub use indexes::PrepareError;
pub use markers::{AccessQuery, MessageAccess, SeqRanges, Tallied};
/// Time by the clock of the MongoDB cluster.
pub use mongodb::bson::Timestamp as ClusterTime;
pub use participants::{Membership, MembershipOf, TypingRules};
pub use presence::LeftOnline;
pub use refills::{Lacking, Refill, SettledPosition};
pub use relay::{Marker, RelayState, SweepEntry, seconds_before};
pub use resume::MissedSince;
pub use retention::{Aging, Cleared};
pub use scheduled::{DueScheduled, InsertedScheduled, scheduled_cursor};
pub use set_aside::SetAside;

use crate::{domain::DomainError, group::Group};
use blocks::BlockDocument;
use database::{Collection, Database};
use documents::{ConversationDocument, LogDocument, ParticipantDocument, UserDocument};
use log::Unavailable;
use markers::Markers;
use presence::PresenceDocument;
use reactions::ReactionDocument;
use settled::ReadBarrier;

/// Maximum time of a read before its caller gets an unavailable error.
const READ_TIMEOUT: Duration = Duration::from_millis(1600);
/// Maximum time to look for a reachable server.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_millis(1000);
/// Maximum number of connections of a process. Group commit needs few; reads need some.
const MAX_CONNECTIONS: u32 = 64;

/// Database of the service.
pub struct Store {
    database: Database,
    log: Collection<LogDocument>,
    conversations: Collection<ConversationDocument>,
    participants: Collection<ParticipantDocument>,
    users: Collection<UserDocument>,
    reactions: Collection<ReactionDocument>,
    blocks: Collection<BlockDocument>,
    presence: Collection<PresenceDocument>,
    markers: Markers,
    /// Barrier that brings documents up to date with the log before a read.
    pub(crate) settled: ReadBarrier,
    /// Readers of single messages.
    one_message: Group<MessageId, Result<Option<StoredMessage>, DomainError>>,
    /// Budget in KiB of large documents that may be fetched at a time.
    large_reads: Semaphore,
}

impl Store {
    /// Creates a store on the database `name` at `uri`, without connecting yet.
    ///
    /// It must be called within a runtime, because marks have their own tasks.
    ///
    /// # Errors
    /// Fails if the driver does not understand the URI, or if a name does not resolve.
    pub async fn connect(uri: &str, name: &str) -> mongodb::error::Result<Self> {
        let mut options = ClientOptions::parse(uri).await?;
        options
            .app_name
            .get_or_insert_with(|| "chat-service".to_owned());
        options.server_selection_timeout = Some(SERVER_SELECTION_TIMEOUT);
        options.connect_timeout = Some(SERVER_SELECTION_TIMEOUT);
        options.max_pool_size = Some(options.max_pool_size.unwrap_or(MAX_CONNECTIONS));
        let client = Client::with_options(options)?;
        let database = Database::from(
            client.database_with_options(
                name,
                DatabaseOptions::builder()
                    .read_concern(ReadConcern::majority())
                    .write_concern(
                        WriteConcern::builder()
                            .w(mongodb::options::Acknowledgment::Majority)
                            .journal(true)
                            .build(),
                    )
                    .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
                    .build(),
            ),
        );
        let settled = ReadBarrier::default();
        Ok(Self {
            log: database.collection("log"),
            conversations: database.collection("conversations"),
            participants: database.collection("participants"),
            users: database.collection("users"),
            reactions: database.collection("reactions"),
            blocks: database.collection("blocks"),
            presence: database.collection("presence"),
            markers: Markers::start(&database, &settled),
            settled,
            one_message: messages::start_reading(&database),
            large_reads: Semaphore::new(pieces::LARGE_READS_KIB as usize),
            database,
        })
    }

    /// Checks that the server answers.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if it does not.
    pub async fn ping(&self) -> Result<(), DomainError> {
        bounded(
            self.database
                .run_command(mongodb::bson::doc! { "ping": 1 })
                .into_future(),
        )
        .await?;
        Ok(())
    }
}

/// Returns the number of bytes that `entry` takes in the log.
#[cfg(test)]
pub(crate) fn stored_len(entry: &crate::domain::entry::Entry) -> usize {
    let document = documents::log_document(entry).expect("an entry can be encoded");
    document.as_bytes().len()
}

impl From<Unavailable> for DomainError {
    fn from(_: Unavailable) -> Self {
        DomainError::store_unavailable()
    }
}

/// Waits a bounded time for an answer of MongoDB.
///
/// The driver has no time-out of its own for a server that is reachable and silent.
async fn bounded<T>(
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

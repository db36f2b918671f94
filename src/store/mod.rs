//! The only module that uses MongoDB: the log and the documents derived from it.
//!
//! Every read is on the primary and sees only what a majority has committed. Only [`log`] writes what follows from the log's fold. This module knows
//! the domain's types and rules of state, and no HTTP, socket or broker.

mod additions;
mod audience;
mod backlog;
mod blocks;
mod collection;
mod consumers;
mod conversation_order;
mod conversations;
mod database;
mod documents;
mod durables;
mod erasure;
mod expiry;
mod facets;
mod held;
mod hook_verdicts;
mod indexes;
mod leases;
pub mod log;
mod membership;
mod message_reader;
mod messages;
mod own_log;
mod participants;
mod pieces;
mod plugin_documents;
mod presence;
mod reactions;
mod read_barrier;
mod receipts;
mod refills;
mod registrations;
mod relay;
mod resume;
mod retention;
mod scheduled;
mod search_keys;
mod set_aside;
mod timers;
mod users;
mod versions;

use std::time::Duration;

use chat_sdk::MessageId;
use mongodb::{
    Client,
    options::{
        ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria,
        WriteConcern,
    },
};
use tokio::sync::Semaphore;

pub use audience::{NewMessage, NewMessages};
pub use backlog::Backlog;
pub use conversations::{ArchiveFilter, ConversationRow, LastMessages};
pub use erasure::{CONVERSATIONS_AT_ONCE, OwnReaction, PrivateData};
pub use expiry::Expiring;
pub use facets::StoredMessage;
pub use held::InsertedHeld;
pub use hook_verdicts::{Claimed, VerdictKey};
pub use indexes::PrepareError;
pub use membership::{Membership, MembershipOf, TypingRules};
/// Time by the clock of the MongoDB cluster.
pub use mongodb::bson::Timestamp as ClusterTime;
pub use presence::LeftOnline;
pub use receipts::{AccessQuery, MessageAccess, RangeCount, SeqRanges};
pub use refills::{Lacking, Refill, SettledPosition};
pub use relay::{Marker, RelayState, SweepEntry, seconds_before};
pub use resume::MissedSince;
pub use retention::{Aging, Cleared};
pub use scheduled::{DueScheduled, InsertedScheduled, scheduled_cursor};
pub use set_aside::SetAside;
pub use timers::{ClaimedTimer, TIMER_CLAIM};

use crate::{
    group::Group,
    model::{DomainError, bounds},
};
use database::{Collection, DUPLICATE_KEY, Database, bounded};
use documents::{
    ConversationDocument, LogDocument, ParticipantDocument, UserDocument, blocks::BlockDocument,
    presence::PresenceDocument, reactions::ReactionDocument,
};
use read_barrier::ReadBarrier;
use receipts::Markers;

/// Maximum time to look for a reachable server.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_millis(1000);
/// Maximum time for which the end of the client is awaited.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of connections of a process. Group commit needs few; reads need some.
const MAX_CONNECTIONS: u32 = 64;
/// [`bounds::LARGE_READS`] in KiB.
const LARGE_READS_KIB: u32 = (bounds::LARGE_READS / 1024) as u32;

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
    pub(crate) read_barrier: ReadBarrier,
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
        let read_barrier = ReadBarrier::default();
        Ok(Self {
            log: database.collection("log"),
            conversations: database.collection("conversations"),
            participants: database.collection("participants"),
            users: database.collection("users"),
            reactions: database.collection("reactions"),
            blocks: database.collection("blocks"),
            presence: database.collection("presence"),
            markers: Markers::start(&database, &read_barrier),
            read_barrier,
            one_message: message_reader::start_reading(&database),
            large_reads: Semaphore::new(LARGE_READS_KIB as usize),
            database,
        })
    }

    /// Ends the client, so that no work of the driver is left when the runtime ends. Waits at most five seconds.
    pub async fn close(&self) {
        // After this time the rest ends with the process.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.database.close()).await;
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

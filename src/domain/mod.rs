//! The domain layer: the operations of the product, one file per resource. Their rules are in [`model`](crate::model).
//!
//! A change enters as an operation (`messages::send`), becomes a [`Request`], goes to the writer of its owner's shard, is checked there by a pure
//! `check_*` function of `model` against the fold of the log, and is appended. Reads query the store.
//!
//! This module contains no HTTP, socket, broker or database driver types.

mod additions;
pub mod audience;
pub mod blocks;
pub mod bots;
pub mod consumers;
pub mod conversations;
pub mod drafts;
pub mod erasure;
pub mod expiry;
pub mod export;
pub mod held;
pub mod hooks;
pub mod known_users;
pub mod log;
pub mod messages;
mod own_messages;
pub mod participants;
pub mod pins;
pub mod plugin_events;
pub mod presence;
pub mod reactions;
pub mod receipts;
pub mod registrations;
pub mod scheduled;
pub mod unread;
pub mod users;

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, oneshot};

pub use additions::AddedBy;
pub use known_users::KnownUsers;

use crate::{
    config::AddRule,
    model::{
        DomainError, Result,
        command::{Outcome, Request},
        hashed,
        latest::PublishLatest,
        writers::Writers,
    },
    store::Store,
    trace,
};

/// Time after which a change that has not completed is reported with an unknown outcome.
///
/// The limit promised to callers is 2 s; the difference is left for the response.
pub const APPEND_TIMEOUT: Duration = Duration::from_millis(1700);

/// Limits that the configuration sets.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of a message's text in bytes (`MAX_MESSAGE_BYTES`).
    pub max_message_bytes: usize,
    /// Maximum number of members of a conversation (`MAX_GROUP_MEMBERS`).
    pub max_group_members: u32,
    /// Maximum number of conversations that a user is a member of (`MAX_CONVERSATIONS_PER_USER`).
    pub max_conversations: u32,
    /// Rule for the users that a user may add (`PARTICIPANT_ADD_RULE`).
    pub add_rule: AddRule,
}

/// Dependencies of every operation.
#[derive(Clone)]
pub struct Context {
    /// Store that state is read from.
    pub store: Arc<Store>,
    /// Submits commands to the log.
    pub writers: Arc<dyn Writers>,
    /// Publishes values that are in no log.
    pub latest: Arc<dyn PublishLatest>,
    /// Presence of users, as this process knows it.
    pub presence: Arc<presence::LocalPresence>,
    /// The configured limits.
    pub limits: Limits,
    /// Cache of users that exist.
    pub known_users: Arc<KnownUsers>,
    /// Key that the ids of direct conversations are derived with.
    pub pair_key: hashed::PairKey,
    /// Hooks of this process.
    pub hooks: Arc<hooks::Hooks>,
    /// Order of sends while hooks decide.
    pub send_order: messages::SendOrder,
    /// Wakes this process's eraser after a request to erase a user.
    pub erasure_requested: Arc<Notify>,
}

impl Context {
    /// Submits a command to the log and waits for its outcome.
    ///
    /// If this returns `Ok`, a majority has committed the entry, and it is applied as far as [`Writers::submit`] says.
    ///
    /// The command is submitted when the returned future is first polled, so commands are checked in the order in which their futures are polled.
    ///
    /// # Errors
    /// The error of the check, or [`DomainError::Unavailable`] after [`APPEND_TIMEOUT`]: the outcome is then unknown.
    pub async fn append(&self, mut request: Request) -> Result<Outcome> {
        request.trace = trace::current();
        let (reply, outcome) = oneshot::channel();
        self.writers.submit(request, reply);
        match tokio::time::timeout(APPEND_TIMEOUT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(DomainError::store_unavailable()),
        }
    }
}

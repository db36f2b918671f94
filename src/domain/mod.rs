//! What the product does: the verbs and their rules, a file per noun.
//!
//! A change enters as a verb (`messages::send`), becomes a [`command::Request`], goes to the writer of its owner's shard, is checked there by a pure
//! `check_*` function against the fold of the log, and is appended. Reading verbs ask the store. Who may see what is decided in [`access`]
//! and [`audience`] alone.
//!
//! This room knows no HTTP, no socket, no broker and no type of a database driver.

pub mod access;
mod additions;
pub mod audience;
pub mod bells;
pub mod blocks;
pub mod catalogue;
pub mod command;
pub mod consumers;
pub mod conversations;
pub mod drafts;
pub mod durables;
pub mod entry;
pub mod erasure;
pub mod error;
pub mod expiry;
pub mod export;
pub mod fold;
pub mod hashed;
pub mod known_users;
pub mod latest;
pub mod log;
pub mod markers;
pub mod messages;
mod own_messages;
pub mod page;
pub mod participants;
pub mod patch;
pub mod pins;
pub mod presence;
pub mod reactions;
pub mod receipts;
pub mod scheduled;
pub mod size;
pub mod state;
pub mod unread;
pub mod users;

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

pub use additions::AddedBy;
pub use error::{DomainError, FieldError, Result};
pub use known_users::{KnownUsers, UserFacts};

use crate::config::AddRule;
use command::{Outcome, Request, Writers};

/// How long a change may take before its caller hears that the outcome is unknown. The promise to callers is 2 s, so some of it is left for the
/// way back.
pub const APPEND_TIMEOUT: Duration = Duration::from_millis(1700);

/// Limits that the configuration sets.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most bytes of a message's text (`MAX_MESSAGE_BYTES`).
    pub max_message_bytes: usize,
    /// The most members of a conversation (`MAX_GROUP_MEMBERS`).
    pub max_group_members: u32,
    /// The most conversations that a user is a member of (`MAX_CONVERSATIONS_PER_USER`).
    pub max_conversations: u32,
    /// Whom a user may add (`PARTICIPANT_ADD_RULE`).
    pub add_rule: AddRule,
}

/// What every verb works with.
#[derive(Clone)]
pub struct Context {
    /// Where state is read.
    pub store: Arc<crate::store::Store>,
    /// Who takes changes to the log.
    pub writers: Arc<dyn Writers>,
    /// Who tells the world of what is in no log.
    pub latest: Arc<dyn latest::PublishLatest>,
    /// Who is there.
    pub presence: Arc<presence::LocalPresence>,
    /// The configured limits.
    pub limits: Limits,
    /// Users that this process knows to exist.
    pub known_users: Arc<KnownUsers>,
    /// The key of the ids of direct conversations.
    pub pair_key: hashed::PairKey,
    /// Rung for what will be due.
    pub bells: Arc<bells::DueNotifier>,
}

impl Context {
    /// Takes a command to the log and waits for what becomes of it. If this returns `Ok`, the entry is committed by a majority, and applied as
    /// far as [`Writers::submit`] says.
    ///
    /// The command is taken in when the returned future is first polled, so two that are polled in order are checked in order.
    ///
    /// # Errors
    /// The refusal, or [`DomainError::Unavailable`] after [`APPEND_TIMEOUT`]: the outcome is unknown then.
    pub async fn append(&self, request: Request) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.writers.submit(request, reply);
        match tokio::time::timeout(APPEND_TIMEOUT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(DomainError::store_unavailable()),
        }
    }
}

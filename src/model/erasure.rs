//! Erasure of a user's data: the job and its report.

use std::collections::BTreeMap;

use chat_sdk::{Timestamp, UserId};

use super::error::DomainError;

/// Treatment of a deleted user's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnMessages {
    /// Their content is erased.
    Erase,
    /// They stay, with only the host's id of the deleted user.
    Anonymise,
}

/// Erasure of a user, running or complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Id of the user.
    pub user: UserId,
    /// Treatment of the user's messages.
    pub messages: OwnMessages,
    /// Time of the request.
    pub started_at: Timestamp,
    /// Time of completion; `None` while it is running.
    pub finished_at: Option<Timestamp>,
    /// Number of removed items of each kind, by the names of [`Removed`].
    pub removed: BTreeMap<String, u64>,
}

/// Kind of removed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Entries of the user's log whose profile was erased.
    ProfileEntries,
    /// Blocks by the user and of the user.
    Blocks,
    /// Read markers of conversations and threads, and drafts.
    Markers,
    /// Receipts of single messages.
    Reads,
    /// Scheduled messages.
    Scheduled,
    /// Held messages, and stored verdicts about recent sends.
    Held,
    /// Stored presence of the user.
    Presence,
    /// Reactions.
    Reactions,
    /// Memberships.
    Memberships,
    /// Messages whose content was erased.
    Messages,
    /// Edits of those messages whose content was erased.
    Edits,
}

impl Removed {
    /// Returns the name in the stored report.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProfileEntries => "profileEntries",
            Self::Blocks => "blocks",
            Self::Markers => "markers",
            Self::Reads => "reads",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Presence => "presence",
            Self::Reactions => "reactions",
            Self::Memberships => "memberships",
            Self::Messages => "messages",
            Self::Edits => "edits",
        }
    }
}

/// Returns the error for an id whose former holder's data is still being erased.
pub(crate) fn unfinished() -> DomainError {
    DomainError::Conflict(
        "The data of this user is being erased; try again when it is done.".into(),
    )
}

//! Messages: drafts with their limits, and the checks of the writer.
//!
//! Modules: `draft` is a message before it is sent, with its limits; `check` has the checks of the writer; `hash` tells a repeated send from another
//! message.

mod check;
mod draft;
mod hash;

use chat_sdk::Timestamp;
use serde::Serialize;

use super::error::DomainError;

pub(super) use check::{check_delete, check_edit, check_restore};
pub(crate) use check::{check_send, in_conversation};
pub use draft::{
    Draft, MAX_ATTACHMENTS, MAX_CLIENT_MESSAGE_ID, MAX_MENTIONS, MAX_TTL_SECONDS, MENTION_ALL,
    MENTION_HERE,
};
pub(crate) use draft::{check_client_message_id, check_content, check_draft, created, is_empty};
pub(crate) use hash::{forward_hash, request_hash};

pub(crate) fn not_of_conversation(field: &str) -> DomainError {
    DomainError::invalid(field, "is not a message of this conversation")
}

/// Returns the error for a missing message if the caller may not know of the conversation.
pub(crate) fn as_no_message(error: DomainError) -> DomainError {
    match error {
        DomainError::NotFound(_) => DomainError::no_message(),
        other => other,
    }
}

/// Returns the error for a `clientMessageId` that belongs to another message.
pub(crate) fn other_message() -> DomainError {
    DomainError::Conflict(
        "This clientMessageId was used for another message in this conversation.".into(),
    )
}

pub(crate) fn deleted() -> DomainError {
    DomainError::Conflict("The message was deleted.".into())
}

/// One version of a message's text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// Seq of the entry that made this version.
    pub seq: u64,
    /// The text.
    pub content: String,
    /// Time from which the text was shown.
    pub at: Timestamp,
}

impl Version {
    /// Returns the cursor of this version in the list.
    pub fn cursor(&self) -> String {
        self.seq.to_string()
    }
}

//! Messages: send, edit, delete, read.
//!
//! Modules: `draft` is a message before it is sent, with its limits; `send` sends one to a conversation or a user, or forwards it; `change` edits,
//! deletes and restores; `repeat` recognises a repeated send; `read` returns messages to callers who may see them; `check` has the checks of the
//! writer.

mod change;
mod check;
mod draft;
mod read;
mod repeat;
mod send;

use super::error::DomainError;

pub use change::{Edit, delete, edit, restore};
pub(super) use check::{check_delete, check_edit, check_restore, check_send, in_conversation};
pub use draft::{
    Draft, MAX_ATTACHMENTS, MAX_CLIENT_MESSAGE_ID, MAX_MENTIONS, MAX_TTL_SECONDS, MENTION_ALL,
    MENTION_HERE,
};
pub(super) use draft::{check_draft, check_metadata, created};
pub use read::{Version, get, history, list, replies};
pub(super) use read::{access, access_message, view, visible_message};
pub(super) use repeat::{request_hash, sent_earlier};
pub use send::{MAX_FORWARDS, Sent, forward, send, send_as_host, send_direct};
pub(super) use send::{check_may_begin, check_quote};

pub(super) fn not_of_conversation(field: &str) -> DomainError {
    DomainError::invalid(field, "is not a message of this conversation")
}

/// Returns the error for a missing message if the caller may not know of the conversation.
pub(super) fn as_no_message(error: DomainError) -> DomainError {
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

fn deleted() -> DomainError {
    DomainError::Conflict("The message was deleted.".into())
}

//! Messages: sending, editing, deleting, reading.
//!
//! Cast: `draft` is a message before it is sent, and what it may look like; `send` sends one, in a conversation, to a user, or on to others; `change`
//! edits, deletes and restores; `repeat` knows
//! a send that was made before; `read` shows messages to whoever may see them; `check` is what the writer decides on beside the state.

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
    DomainError::invalid(field, "is no message of this conversation")
}

/// Whoever may not know of the conversation gets the answer for a missing message.
pub(super) fn as_no_message(error: DomainError) -> DomainError {
    match error {
        DomainError::NotFound(_) => DomainError::no_message(),
        other => other,
    }
}

/// The refusal of a `clientMessageId` that another message has.
pub(crate) fn other_message() -> DomainError {
    DomainError::Conflict(
        "This clientMessageId was used for another message in this conversation.".into(),
    )
}

fn deleted() -> DomainError {
    DomainError::Conflict("The message was deleted.".into())
}

//! Expiry of messages, by their own lifetime or their conversation's retention.
//!
//! The entry comes first, then the erasure. After the entry no other entry can add the message's text (edits and restores are rejected), so the
//! erasure finds all of it. A crash between the two leaves the message due: the next attempt finds its entry by the id derived from the message, and
//! erases. Readers see the message in none of these states.

use chat_sdk::{ConversationId, MessageId};

use super::Context;
use crate::{
    failpoint,
    model::{
        command::{Command, Request},
        entry::MessageRemoval,
        error::{DomainError, Result},
        hashed,
    },
};

/// Expires a message: appends the entry that informs the members, and erases its content.
///
/// Repeating it changes nothing.
///
/// # Errors
/// [`DomainError::Unavailable`]: try again.
pub async fn expire(
    ctx: &Context,
    conversation: &ConversationId,
    message: &MessageId,
) -> Result<()> {
    let removal = MessageRemoval {
        message_id: message.clone(),
        is_expired: true,
        message_seq: None,
    };
    let request = Request {
        event_id: hashed::expiry_of(message),
        ..Request::new(conversation.clone(), None, Command::DeleteMessage(removal))
    };
    failpoint::hit("timer.before_expiry");
    match ctx.append(request).await {
        // A deleted conversation has no readers and takes no entries: only the content is erased.
        Ok(_) | Err(DomainError::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    failpoint::hit("timer.after_expiry");
    ctx.store.erase_message(message).await
}

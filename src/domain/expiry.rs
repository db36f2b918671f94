//! The end of a message whose time is over: its own, or that of its conversation.
//!
//! First the entry, then the erasure. After the entry nothing can be appended any more that tells the message's text (an edit and a return are
//! refused), so the erasure sees all of it. A crash between the two leaves the message due: the next try finds its entry by the id that follows from
//! the message, and erases. Readers see nothing of it in any of these states.

use chat_sdk::{ConversationId, MessageId};

use super::{
    Context,
    command::{Command, Request},
    entry::MessageRemoval,
    error::{DomainError, Result},
    hashed,
};
use crate::failpoint;

/// Ends a message: members are told, and its content is erased. To do it again changes nothing.
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
        // Nobody reads a deleted conversation, and nothing is appended to it: only the content goes.
        Ok(_) | Err(DomainError::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    failpoint::hit("timer.after_expiry");
    ctx.store.erase_message(message).await
}

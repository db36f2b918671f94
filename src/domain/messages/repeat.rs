//! Repeated sends: which requests are the same, and the response to a repetition.
//!
//! Every repetition gets the first outcome, whatever became of the resources that the request names. A send that a check rejects therefore looks for
//! its own earlier success before it fails; a new send pays nothing for that.

use chat_sdk::{ConversationId, Message, Timestamp, UserId};

use super::{Sent, view};
use crate::{
    domain::Context,
    model::error::{DomainError, Result},
    store::StoredMessage,
};

/// Message that was sent earlier under a `clientMessageId`.
pub(super) enum Earlier {
    /// There is none.
    None,
    /// The same request.
    Same(Box<Sent>),
    /// Another request.
    Other,
}

/// Looks up what `sender` sent to `conversation` under `client_message_id`.
///
/// # Errors
/// [`DomainError::NotFound`] if the conversation was deleted.
pub(super) async fn find_earlier(
    ctx: &Context,
    conversation: &ConversationId,
    sender: Option<&UserId>,
    client_message_id: &str,
    hash: &str,
) -> Result<Earlier> {
    let found = ctx
        .store
        .find_message_under(conversation, sender, client_message_id)
        .await?;
    let Some((stored, created)) = found else {
        return Ok(Earlier::None);
    };
    if created.request_hash.as_deref() != Some(hash) {
        return Ok(Earlier::Other);
    }
    Ok(Earlier::Same(Box::new(Sent {
        message: sent_earlier(ctx, stored, sender).await?,
        is_repeated: true,
    })))
}

/// Returns the earlier success of a send that would now fail with `refusal`, or that error.
///
/// # Errors
/// `refusal`, or [`DomainError::Unavailable`].
pub(super) async fn earlier_or(
    ctx: &Context,
    conversation: &ConversationId,
    sender: Option<&UserId>,
    repeatable: Option<(&str, &str)>,
    refusal: DomainError,
) -> Result<Sent> {
    let Some((id, hash)) = repeatable else {
        return Err(refusal);
    };
    match find_earlier(ctx, conversation, sender, id, hash).await {
        Ok(Earlier::Same(sent)) => Ok(*sent),
        Ok(Earlier::None | Earlier::Other) | Err(DomainError::NotFound(_)) => Err(refusal),
        Err(error) => Err(error),
    }
}

/// Returns a message that was sent earlier, as its sender may see it now.
///
/// A former member sees it as it was when they left.
pub(in crate::domain) async fn sent_earlier(
    ctx: &Context,
    stored: StoredMessage,
    sender: Option<&UserId>,
) -> Result<Message> {
    let as_of = match sender {
        None => None,
        Some(sender) => {
            let membership = ctx
                .store
                .find_membership(&stored.conversation_id, sender)
                .await?;
            membership.audience()?.as_of()
        }
    };
    let is_gone = stored.is_gone(Timestamp::now());
    let mut message = view(ctx, stored, as_of, sender).await?;
    if is_gone {
        message.make_tombstone();
    }
    Ok(message)
}

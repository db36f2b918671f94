//! What becomes of a message that was sent: edited, deleted, brought back.

use chat_sdk::{Message, MessageId, Metadata, UserId};

use super::{
    access_message,
    draft::{check_content, check_metadata},
    get,
};
use crate::domain::{
    Context,
    command::{Command, Request},
    entry::{MessageEdit, MessageRemoval},
    error::{DomainError, Faults, Result},
};

/// Changes a message's text. Only its sender may.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`], [`DomainError::Conflict`] for a deleted one.
pub async fn edit(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    content: String,
    metadata: Option<Metadata>,
) -> Result<Message> {
    let mut faults = Faults::default();
    check_content(ctx, &content, false, &mut faults);
    check_metadata(metadata.as_ref(), &mut faults);
    faults.into_result()?;
    let stored = access_message(ctx, actor, message).await?;
    let edit = MessageEdit {
        message_id: message.clone(),
        content,
        // An edit replaces the one before, so it carries on what that one said.
        metadata: metadata.or_else(|| stored.edited_metadata()),
        message_seq: None,
    };
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::EditMessage(edit),
    ))
    .await?;
    get(ctx, actor, message).await
}

/// Deletes a message; a tombstone keeps its place. Its sender may, and an admin or owner.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`].
pub async fn delete(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<()> {
    let stored = access_message(ctx, actor, message).await?;
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::DeleteMessage(MessageRemoval {
            message_id: message.clone(),
            is_expired: false,
            message_seq: None,
        }),
    ))
    .await?;
    Ok(())
}

/// Brings a deleted message back, as it was. An admin or owner may.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`], [`DomainError::Conflict`] when its time is over or its content was erased.
pub async fn restore(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Message> {
    let stored = access_message(ctx, actor, message).await?;
    if stored.is_erased() {
        return Err(DomainError::Conflict(
            "The content of the message was erased; it cannot come back.".into(),
        ));
    }
    let restored = stored.clone().into_restored();
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::RestoreMessage(Box::new(restored)),
    ))
    .await?;
    get(ctx, actor, message).await
}

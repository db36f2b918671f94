//! Pinned messages of a conversation.

use chat_sdk::{ConversationId, Message, MessageId, UserId};

use super::{Context, messages};
use crate::{
    model::{
        command::{Command, Request},
        entry::MessageTarget,
        error::Result,
        page::{Page, PageRequest},
    },
    store::StoredMessage,
};

/// Pins a message and returns it. Pinning a pinned message changes nothing.
///
/// # Errors
/// `DomainError::NotFound`; `DomainError::Forbidden` if the caller is a plain member of a group; `DomainError::Conflict` if the message is
/// deleted.
pub async fn pin(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Message> {
    change(ctx, actor, message, Command::PinMessage).await?;
    messages::get(ctx, actor, message).await
}

/// Unpins a message.
///
/// # Errors
/// As for [`pin`].
pub async fn unpin(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<()> {
    change(ctx, actor, message, Command::UnpinMessage).await
}

async fn change(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    command: impl FnOnce(MessageTarget) -> Command,
) -> Result<()> {
    let stored = messages::access_message(ctx, actor, message).await?;
    let target = MessageTarget {
        message_id: message.clone(),
        message_seq: None,
    };
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        command(target),
    ))
    .await?;
    Ok(())
}

/// Returns the pinned messages of a conversation that the caller may see, newest pin first.
///
/// # Errors
/// `DomainError::NotFound` if the caller is not a member.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    request: &PageRequest,
) -> Result<Page<Message>> {
    request.check_one_way()?;
    let membership = ctx.store.find_membership(conversation, actor).await?;
    membership.active()?;
    let audience = membership.audience()?;
    let page = ctx
        .store
        .find_pinned_page(conversation, &audience, request)
        .await?;
    let cursors: Vec<String> = page.items.iter().map(StoredMessage::pin_cursor).collect();
    let page = Page {
        items: ctx.store.views(page.items, None, Some(actor)).await?,
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    };
    Ok(page.fit(request.max_bytes, |at, _| cursors[at].clone()))
}

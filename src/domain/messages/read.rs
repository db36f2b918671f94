//! Reads of a message, its thread and its history.

use chat_sdk::{ConversationId, Message, MessageId, Timestamp, UserId};

use crate::{
    domain::Context,
    model::{
        error::{DomainError, Result},
        messages::{Version, as_no_message},
        page::{Page, PageRequest},
        visibility::Audience,
    },
    store::{AccessQuery, Membership, MessageAccess, StoredMessage},
};

/// Returns the replies in a message's thread: oldest first with `after`, newest first otherwise.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see the message; [`DomainError::Validation`] if the cursor is unknown.
pub async fn replies(
    ctx: &Context,
    actor: &UserId,
    root: &MessageId,
    request: &PageRequest,
) -> Result<Page<Message>> {
    request.check_one_way()?;
    let (stored, _, audience) = visible_message(ctx, actor, root).await?;
    let page = ctx
        .store
        .find_reply_page(&stored, &audience, request)
        .await?;
    let page = views(ctx, page, &audience, actor).await?;
    Ok(page.fit(request.max_bytes, |_, message| message.id.to_string()))
}

/// Returns one message.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see it.
pub async fn get(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Message> {
    let (stored, _, audience) = visible_message(ctx, actor, message).await?;
    view(ctx, stored, audience.as_of(), Some(actor)).await
}

/// Returns a message as `viewer` sees it; with `as_of`, as it was at that seq.
pub(in crate::domain) async fn view(
    ctx: &Context,
    stored: StoredMessage,
    as_of: Option<u64>,
    viewer: Option<&UserId>,
) -> Result<Message> {
    let mut views = ctx.store.views(vec![stored], as_of, viewer).await?;
    views.pop().ok_or_else(DomainError::no_message)
}

async fn views(
    ctx: &Context,
    page: Page<StoredMessage>,
    audience: &Audience,
    viewer: &UserId,
) -> Result<Page<Message>> {
    Ok(Page {
        items: ctx
            .store
            .views(page.items, audience.as_of(), Some(viewer))
            .await?,
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    })
}

/// Returns a page of a conversation's history: newest first; with `after`, oldest first.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller was never a member; [`DomainError::Validation`] if the cursor is unknown.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    request: &PageRequest,
) -> Result<Page<Message>> {
    let audience = audience(ctx, actor, conversation).await?;
    let page = ctx
        .store
        .find_message_page(conversation, &audience, request)
        .await?;
    let page = views(ctx, page, &audience, actor).await?;
    let cursor_of = |message: &Message| message.id.to_string();
    Ok(match &request.around {
        None => page.fit(request.max_bytes, |_, message| cursor_of(message)),
        Some(id) => {
            let center = page.items.iter().position(|one| one.id.as_str() == id);
            page.fit_around(request.max_bytes, center.unwrap_or_default(), cursor_of)
        }
    })
}

/// Returns a page of the texts that a message had, oldest first. A deleted message has none.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see the message; [`DomainError::Validation`] if the cursor is unknown.
pub async fn history(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    request: &PageRequest,
) -> Result<Page<Version>> {
    request.check_one_way()?;
    let (stored, _, audience) = visible_message(ctx, actor, message).await?;
    let page = ctx
        .store
        .find_version_page(&stored, audience.as_of(), request)
        .await?;
    Ok(page.fit(request.max_bytes, |_, version| version.cursor()))
}

/// Returns a stored message that `actor`, a present or former member, may see, and their audience.
///
/// # Errors
/// [`DomainError::NotFound`] for all others: the same error as for a missing message.
pub(in crate::domain) async fn visible_message(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<(StoredMessage, Membership, Audience)> {
    let query = AccessQuery::Message(message.clone(), actor.clone());
    let (stored, access, audience) = visible(ctx, query).await?;
    Ok((stored, access.membership, audience))
}

async fn visible(
    ctx: &Context,
    query: AccessQuery,
) -> Result<(StoredMessage, MessageAccess, Audience)> {
    let mut access = ctx.store.find_access(query).await?;
    let stored = access.message.take().ok_or_else(DomainError::no_message)?;
    let audience = access.membership.audience().map_err(as_no_message)?;
    if !audience.sees(stored.seq) || stored.is_gone(Timestamp::now()) {
        return Err(DomainError::no_message());
    }
    Ok((stored, access, audience))
}

async fn audience(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
) -> Result<Audience> {
    let membership = ctx.store.find_membership(conversation, actor).await?;
    membership.audience()
}

/// Returns a stored message if the caller is a member of its conversation and may see it.
pub(in crate::domain) async fn access_message(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<StoredMessage> {
    let query = AccessQuery::Message(message.clone(), actor.clone());
    Ok(access(ctx, query).await?.0)
}

/// Returns the message of `query`, and the data read with it, if the caller is a member and may see it.
///
/// # Errors
/// [`DomainError::NotFound`] for all others: the same error as for a missing message.
pub(in crate::domain) async fn access(
    ctx: &Context,
    query: AccessQuery,
) -> Result<(StoredMessage, MessageAccess)> {
    let (message, access, _) = visible(ctx, query).await?;
    access.membership.active().map_err(as_no_message)?;
    Ok((message, access))
}

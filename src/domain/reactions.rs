//! Reactions to messages: add, remove, list.

use chat_sdk::{
    MessageId, ReactionSummary, UserId,
    plugin::{HookData, HookPoint, HookReaction},
};

use super::{
    Context,
    hooks::{Asked, Fixed, pass_or_refuse},
    messages,
};
use crate::{
    model::{
        command::{Command, Request, WantedReaction},
        error::{DomainError, Result},
        page::{Page, PageRequest},
        reactions::{Reacted, canonical},
    },
    store::AccessQuery,
};

/// Point at which hooks are asked about reactions.
const POINT: HookPoint = HookPoint::ReactionBeforeAdd;

/// Adds a reaction to a message. Returns all reactions to it.
///
/// Adding the same emoji again changes nothing.
///
/// # Errors
/// [`DomainError::Validation`] if the text is not an emoji; [`DomainError::NotFound`]; [`DomainError::Forbidden`] if reactions are off;
/// [`DomainError::Conflict`] if the message is deleted or has too many different emoji.
pub async fn add(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    emoji: &str,
) -> Result<Vec<ReactionSummary>> {
    if ctx.hooks.has(POINT) {
        ask_before_add(ctx, actor, message, emoji).await?;
    }
    change(ctx, actor, message, emoji, Command::AddReaction).await
}

/// Asks the hooks of `reaction.before_add`, unless the caller may not see the message.
async fn ask_before_add(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    emoji: &str,
) -> Result<()> {
    let emoji = canonical(emoji)?;
    let query = AccessQuery::Message(message.clone(), actor.clone());
    let (stored, access) = messages::access(ctx, query).await?;
    let (fields, member) = access.membership.require_member()?;
    let asked = Asked {
        role: Some(member.role),
        conversation: Some(&stored.conversation_id),
        kind: Some(fields.kind),
        ..Asked::new(POINT, actor)
    };
    let data = HookData::Reaction(HookReaction {
        message_id: message.clone(),
        emoji,
    });
    pass_or_refuse(&ctx.hooks, asked, Fixed(data)).await
}

/// Removes a reaction. Returns all reactions to the message. Without such a reaction nothing changes.
///
/// # Errors
/// As for [`add`].
pub async fn remove(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    emoji: &str,
) -> Result<Vec<ReactionSummary>> {
    change(ctx, actor, message, emoji, Command::RemoveReaction).await
}

async fn change(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    emoji: &str,
    command: impl FnOnce(WantedReaction) -> Command,
) -> Result<Vec<ReactionSummary>> {
    let emoji = canonical(emoji)?;
    // The writer decides whether the caller may do this and sees the message.
    let stored = ctx.store.find_message(message).await?;
    let stored = stored.ok_or_else(DomainError::no_message)?;
    let conversation = stored.conversation_id;
    let wanted = WantedReaction {
        message_id: message.clone(),
        emoji,
    };
    ctx.append(Request::new(
        conversation,
        Some(actor.clone()),
        command(wanted),
    ))
    .await?;
    // The write succeeded, so the caller is a member: only the message has to be read again.
    let after = ctx.store.find_message(message).await?;
    let after = after.ok_or_else(DomainError::no_message)?;
    Ok(messages::view(ctx, after, None, Some(actor))
        .await?
        .reactions)
}

/// Returns the reactions to a message, oldest first; with `emoji` only those with it.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see the message.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    emoji: Option<&str>,
    request: &PageRequest,
) -> Result<(Vec<ReactionSummary>, Page<Reacted>)> {
    request.check_one_way()?;
    let emoji = emoji.map(canonical).transpose()?;
    let (stored, _, audience) = messages::visible_message(ctx, actor, message).await?;
    let as_of = audience.as_of();
    let shown = messages::view(ctx, stored.clone(), as_of, Some(actor)).await?;
    // A tombstone has no reactions.
    let page = if shown.is_deleted {
        Page::cut(Vec::new(), request.limit, |_: &Reacted| String::new())
    } else {
        ctx.store
            .find_reaction_page(&stored, emoji.as_deref(), as_of, request)
            .await?
    };
    Ok((shown.reactions, page))
}

//! Drafts of members. A draft belongs to its author alone, and the last one counts.

use chat_sdk::{
    ConversationId, EventType, UserId,
    events::{DraftUpdated, EventData},
    text::is_blank,
};

use super::Context;
use crate::model::{
    error::{DomainError, Result},
    latest::LatestValue,
    receipts::{Change, MarkerScope},
    size,
};

/// Fails if a text cannot be stored as a draft.
///
/// # Errors
/// [`DomainError::Validation`] if it is too long for a message or has the character U+0000; [`DomainError::TooLarge`] if its event to the other
/// devices would be too large.
pub fn check(ctx: &Context, draft: Option<&String>) -> Result<()> {
    let most = ctx.limits.max_message_bytes;
    if draft.is_some_and(|text| text.len() > most) {
        return Err(DomainError::invalid(
            "draft",
            format!("must have at most {most} bytes"),
        ));
    }
    if draft.is_some_and(|text| text.contains('\0')) {
        return Err(DomainError::invalid(
            "draft",
            "must not contain the character U+0000",
        ));
    }
    draft.map_or(Ok(()), |text| size::check_text(text))
}

/// Stores the draft of `actor` in `conversation` and sends it to their other devices.
///
/// A blank text or none removes the draft.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller is not a member; [`DomainError::Validation`] if the text is too long for a message.
pub async fn set(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    draft: Option<String>,
) -> Result<()> {
    let membership = ctx.store.find_membership(conversation, actor).await?;
    membership.active()?;
    let draft = draft.filter(|text| !is_blank(text));
    check(ctx, draft.as_ref())?;
    let place = MarkerScope::Conversation(conversation.clone());
    let change = Change::Draft(draft.clone());
    let marked = ctx.store.mark(place, actor, change).await?;
    if marked.before.draft != draft {
        let data = EventData::DraftUpdated(DraftUpdated {
            conversation_id: conversation.clone(),
            draft,
        });
        ctx.latest.publish(LatestValue {
            only: Some(vec![actor.clone()]),
            ..LatestValue::new(
                conversation.clone(),
                Some(actor.clone()),
                EventType::DraftUpdated,
                data,
            )
        });
    }
    Ok(())
}

//! Drafts: what a member has begun to write. It is theirs alone, and the last one counts.

use chat_sdk::{
    ConversationId, EventType, UserId,
    events::{DraftUpdated, EventData},
    text::is_blank,
};

use super::{
    Context,
    error::{DomainError, Result},
    latest::LatestValue,
    markers::{Change, MarkerScope},
    size,
};

/// Checks a text that is to be kept.
///
/// # Errors
/// [`DomainError::Validation`] for one that is too long for a message, or has the character U+0000; [`DomainError::TooLarge`] for one that the other
/// devices could not be told of.
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

/// Keeps what `actor` has begun to write in `conversation`; a blank text or none forgets it. The other devices are told.
///
/// # Errors
/// [`DomainError::NotFound`] for who is no member, [`DomainError::Validation`] for a text that is too long for a message.
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

//! Held messages: list, release and drop.
//!
//! A release appends the message under its id, so that it happens once, however often it is asked for and whichever process dies. From the first attempt on
//! the message can no longer be dropped, because the outcome of the attempt may be unknown.

use chat_sdk::{
    EventType, HeldMessage, Message, MessageId, Timestamp, UserId,
    events::{EventData, MessageDropped},
};

use super::{Context, conversations, messages};
use crate::{
    failpoint,
    model::{
        command::{Command, Request},
        error::{DomainError, Result},
        held::{Held, StoredVerdict},
        latest::LatestValue,
        page::{Page, PageRequest},
    },
};

/// Returns held messages, oldest first: those of `author`, or all for the host, who also gets the hook and its reason.
///
/// # Errors
/// [`DomainError::Validation`] if the cursor is unknown.
pub async fn list(
    ctx: &Context,
    author: Option<&UserId>,
    request: &PageRequest,
) -> Result<Page<HeldMessage>> {
    let page = ctx.store.find_held_page(author, request).await?;
    let page = Page {
        items: page
            .items
            .iter()
            .map(|held| view(held, author.is_none()))
            .collect(),
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    };
    Ok(page.fit(request.max_bytes, |_, held| held.message.id.to_string()))
}

fn view(held: &Held, is_for_host: bool) -> HeldMessage {
    HeldMessage {
        message: held.message(),
        held_at: held.at,
        hook: is_for_host.then(|| held.hook.clone()),
        reason: is_for_host.then(|| held.reason.clone()),
        receiver_id: held.receiver.clone(),
    }
}

/// Releases a held message: it is sent now, under its id. Returns it; a repetition returns it again.
///
/// # Errors
/// [`DomainError::NotFound`] if there is no such message; [`DomainError::Conflict`] if its author can no longer send it, with the reason.
pub async fn release(ctx: &Context, id: &MessageId) -> Result<Message> {
    let Some(held) = ctx.store.claim_held(id).await? else {
        // Released before, or never held: a message that was sent in the ordinary way has nothing to release, and is returned all the same.
        let sent = ctx.store.find_message(id).await?;
        let sent = sent.filter(|sent| !sent.is_gone(Timestamp::now()));
        let sent = sent.ok_or_else(DomainError::no_message)?;
        return messages::view(ctx, sent, None, None).await;
    };
    let sent = match append(ctx, &held).await {
        Ok(sent) => sent,
        Err(error @ (DomainError::Unavailable(_) | DomainError::Internal(_))) => return Err(error),
        Err(refusal) => {
            // An earlier attempt may have sent it, before the change that prevents the send now.
            if ctx.store.find_message(id).await?.is_none() {
                ctx.store.unclaim_held(id).await?;
                return Err(DomainError::Conflict(
                    format!("The author can no longer send this message: {refusal}").into(),
                ));
            }
            id.clone()
        }
    };
    failpoint::hit("held.after_append");
    ctx.store.remove_held(id).await?;
    let sent = ctx.store.find_message(&sent).await?;
    messages::view(ctx, sent.ok_or_else(DomainError::no_message)?, None, None).await
}

/// Appends the message. Returns its id: another one if its author has sent it in the meantime without the hook.
async fn append(ctx: &Context, held: &Held) -> Result<MessageId> {
    let mut conversation = held.conversation.clone();
    if let Some(receiver) = &held.receiver {
        let found = conversations::find_direct(ctx, &held.sender, receiver).await?;
        conversation = match found {
            Some(found) => found,
            None => {
                messages::check_may_begin(ctx, &held.sender, receiver, &held.draft).await?;
                // The host has decided; no hook is asked about the conversation.
                let settings = Default::default();
                let made = conversations::create_direct(ctx, &held.sender, receiver, settings);
                made.await?.conversation.id
            }
        };
    }
    let request = Request {
        event_id: held.id.to_event_id(),
        ..Request::new(
            conversation,
            Some(held.sender.clone()),
            Command::SendMessage(Box::new(held.created())),
        )
    };
    let entry = ctx.append(request).await?.into_entry()?;
    Ok(entry.id.to_message_id())
}

/// Drops a held message and tells its author's devices. With `author`, only if it is theirs. A repeated send is refused from then on.
///
/// # Errors
/// [`DomainError::NotFound`] if there is no such message; [`DomainError::Conflict`] if its release began.
pub async fn discard(ctx: &Context, author: Option<&UserId>, id: &MessageId) -> Result<()> {
    let held = ctx.store.find_held(id).await?;
    let held = held
        .filter(|held| author.is_none_or(|author| *author == held.sender))
        .ok_or_else(DomainError::no_message)?;
    // Before the removal: a repetition of the send must not hold the message again.
    let refusal = StoredVerdict::Refuse {
        code: "DROPPED".to_owned(),
        reason: "The message was held for a review and dropped.".to_owned(),
    };
    if !held.is_releasing {
        ctx.store.replace_held_verdict(&held.id, &refusal).await?;
    }
    if held.is_releasing || !ctx.store.drop_held(id).await? {
        return match ctx.store.find_held(id).await? {
            // Another request dropped it.
            None if ctx.store.find_message(id).await?.is_none() => Ok(()),
            _ => Err(DomainError::Conflict(
                "The message is being released; delete it as a message.".into(),
            )),
        };
    }
    let data = EventData::MessageDropped(MessageDropped {
        message_id: held.id,
        conversation_id: held.conversation.clone(),
        client_message_id: held.draft.client_message_id,
        dropped_at: Timestamp::now(),
    });
    let sender = held.sender;
    ctx.latest.publish(LatestValue {
        only: Some(vec![sender.clone()]),
        ..LatestValue::new(
            held.conversation,
            Some(sender),
            EventType::MessageDropped,
            data,
        )
    });
    Ok(())
}

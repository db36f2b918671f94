//! Sending of a scheduled message that is due.

use chat_sdk::{ConversationId, ScheduledFailure, ScheduledId, Timestamp};

use super::{Scheduled, check::check_may_begin};
use crate::{
    domain::{
        Context,
        command::{Command, Request},
        conversations,
        entry::{MessageCreated, SentSchedule},
        error::{DomainError, Result},
        hashed, messages,
    },
    failpoint,
};

/// Outcome of a due message.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// The message is sent.
    Sent,
    /// The message was rejected; the failure is stored.
    Failed(ScheduledFailure),
    /// Another process has claimed it, or it was cancelled or changed.
    NotDue,
}

/// Sends the scheduled message `id`, which is due.
///
/// # Errors
/// Any error that may be temporary: the message becomes due again, with a growing delay.
pub async fn deliver(ctx: &Context, id: &ScheduledId) -> Result<Delivery> {
    let Some(scheduled) = ctx.store.claim_scheduled(id, Timestamp::now()).await? else {
        return Ok(Delivery::NotDue);
    };
    failpoint::hit("timer.before_send");
    let outcome = send(ctx, &scheduled).await;
    failpoint::hit("timer.after_send");
    let refusal = match outcome {
        Ok(()) => None,
        Err(error @ (DomainError::Unavailable(_) | DomainError::Internal(_))) => return Err(error),
        // A process may have sent the message and died. The error may then come from a change after the send.
        Err(refusal) => {
            let message = hashed::sending_of(id).to_message_id();
            ctx.store
                .find_message(&message)
                .await?
                .is_none()
                .then_some(refusal)
        }
    };
    let Some(refusal) = refusal else {
        ctx.store.finish_scheduled(id).await?;
        return Ok(Delivery::Sent);
    };
    let failure = ScheduledFailure {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
    };
    ctx.store.fail_scheduled(&scheduled, &failure).await?;
    Ok(Delivery::Failed(failure))
}

async fn send(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let actor = &scheduled.sender;
    match try_send(ctx, scheduled, &scheduled.conversation).await {
        Err(DomainError::NotFound(_)) if scheduled.receiver.is_some() => {
            check_may_begin(ctx, scheduled).await?;
            let Some(receiver) = &scheduled.receiver else {
                return Err(DomainError::no_conversation());
            };
            let made =
                conversations::create_direct(ctx, actor, receiver, Default::default()).await?;
            // The id differs from the expected one if an earlier version scheduled the message.
            try_send(ctx, scheduled, &made.conversation.id).await
        }
        outcome => outcome,
    }
}

async fn try_send(
    ctx: &Context,
    scheduled: &Scheduled,
    conversation: &ConversationId,
) -> Result<()> {
    let (actor, draft) = (&scheduled.sender, &scheduled.draft);
    messages::check_draft(ctx, Some(actor), draft)?;
    if draft.reply_to.is_some() {
        messages::check_quote(ctx, actor, conversation, draft).await?;
    }
    // Carries the hash of the first request, so that a repetition of the scheduling still finds the message.
    let message = MessageCreated {
        schedule: draft.client_message_id.is_some().then(|| SentSchedule {
            id: scheduled.id.clone(),
            first_send_at: scheduled.first_send_at.as_millis(),
            send_at: scheduled.send_at.as_millis(),
            created_at: scheduled.created_at.as_millis(),
            updated_at: scheduled.updated_at.as_millis(),
        }),
        ..messages::created(draft.clone(), scheduled.request_hash.clone())
    };
    let request = Request {
        event_id: hashed::sending_of(&scheduled.id),
        ..Request::new(
            conversation.clone(),
            Some(actor.clone()),
            Command::SendMessage(Box::new(message)),
        )
    };
    let entry = ctx.append(request).await?.into_entry()?;
    ctx.bells.notify(&entry);
    Ok(())
}

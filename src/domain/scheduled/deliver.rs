//! Sending of a scheduled message that is due.

use chat_sdk::{ConversationId, ScheduledFailure, ScheduledId, Timestamp};

use super::check::check_may_begin;
use crate::{
    domain::{
        Context, conversations,
        messages::{self, Decided, Sending},
    },
    failpoint,
    model::{
        command::{Command, Request},
        entry::{MessageCreated, SentSchedule},
        error::{DomainError, Result},
        hashed,
        messages::{Draft, check_draft, created},
        scheduled::Scheduled,
    },
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
    let (actor, draft) = (&scheduled.sender, &scheduled.draft);
    check_draft(ctx.limits.max_message_bytes, Some(actor), draft)?;
    match try_send(ctx, scheduled).await {
        Err(DomainError::NotFound(_)) if scheduled.receiver.is_some() => {
            check_may_begin(ctx, scheduled).await?;
            let Some(receiver) = &scheduled.receiver else {
                return Err(DomainError::no_conversation());
            };
            let sending = Sending {
                receiver: Some(receiver.clone()),
                ..sending_of(scheduled)
            };
            let Some(draft) = pass_hooks(ctx, &sending, draft).await? else {
                return Ok(());
            };
            let settings =
                conversations::ask_before_direct(ctx, actor, receiver, Default::default());
            let settings = settings.await?;
            let made = conversations::create_direct(ctx, actor, receiver, settings).await?;
            // The id differs from the expected one if an earlier version scheduled the message.
            append(ctx, scheduled, &made.conversation.id, draft).await
        }
        outcome => outcome,
    }
}

async fn try_send(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let (actor, draft, conversation) =
        (&scheduled.sender, &scheduled.draft, &scheduled.conversation);
    if draft.reply_to.is_some() {
        messages::check_quote(ctx, actor, conversation, draft).await?;
    }
    match pass_hooks(ctx, &sending_of(scheduled), draft).await? {
        Some(draft) => append(ctx, scheduled, conversation, draft).await,
        None => Ok(()),
    }
}

/// Returns the draft as the hooks let it pass; `None` if it is held, or was sent before.
async fn pass_hooks(ctx: &Context, sending: &Sending, draft: &Draft) -> Result<Option<Draft>> {
    match messages::decide(ctx, sending, draft.clone()).await? {
        Decided::Send(draft) => Ok(Some(*draft)),
        Decided::Hold(held) => messages::hold(ctx, *held).await.map(|_| None),
        Decided::Earlier(_) => Ok(None),
    }
}

fn sending_of(scheduled: &Scheduled) -> Sending {
    Sending {
        actor: scheduled.sender.clone(),
        conversation: scheduled.conversation.clone(),
        receiver: None,
        hash: scheduled.request_hash.clone(),
        schedule: Some((schedule_of(scheduled), hashed::sending_of(&scheduled.id))),
    }
}

fn schedule_of(scheduled: &Scheduled) -> SentSchedule {
    SentSchedule {
        id: scheduled.id.clone(),
        first_send_at: scheduled.first_send_at.as_millis(),
        send_at: scheduled.send_at.as_millis(),
        created_at: scheduled.created_at.as_millis(),
        updated_at: scheduled.updated_at.as_millis(),
    }
}

async fn append(
    ctx: &Context,
    scheduled: &Scheduled,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<()> {
    let actor = &scheduled.sender;
    let is_repeatable = draft.client_message_id.is_some();
    // Carries the hash of the first request, so that a repetition of the scheduling still finds the message.
    let message = MessageCreated {
        schedule: is_repeatable.then(|| schedule_of(scheduled)),
        ..created(draft, scheduled.request_hash.clone())
    };
    let request = Request {
        event_id: hashed::sending_of(&scheduled.id),
        ..Request::new(
            conversation.clone(),
            Some(actor.clone()),
            Command::SendMessage(Box::new(message)),
        )
    };
    ctx.append(request).await?.into_entry()?;
    Ok(())
}

//! Scheduling a message, safely repeated with a `clientMessageId`.

use chat_sdk::{ConversationId, ScheduledId, ScheduledMessage, Timestamp, UserId};

use super::{
    Scheduled, Stage,
    check::{check_sendable, check_time},
};
use crate::{
    domain::{
        Context, conversations,
        error::{DomainError, Result},
        messages::{self, Draft, Sent},
    },
    store::InsertedScheduled,
};

/// The most scheduled messages that a user has, failed ones among them.
pub const MAX_SCHEDULED: u32 = 1000;

/// What became of a wish to send later.
#[derive(Debug, Clone, PartialEq)]
pub enum Placed {
    /// It waits for its time.
    Waiting(Box<ScheduledMessage>),
    /// It was the repetition of one that is sent by now.
    Sent(Box<Sent>),
}

/// The refusal of a schedule in no user's name: nobody could list or cancel it.
pub fn needs_a_user() -> DomainError {
    DomainError::invalid(
        "sendAt",
        "needs a user whose message it is; the host names one with X-Acting-User",
    )
}

/// Schedules a message for a conversation. With a `clientMessageId` it can be repeated safely.
///
/// # Errors
/// Those of a send; [`DomainError::Validation`] for a time that is not within the next year, [`DomainError::Conflict`] when there are
/// [`MAX_SCHEDULED`] already.
pub async fn schedule(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    draft: Draft,
    send_at: Timestamp,
) -> Result<Placed> {
    place(ctx, actor, conversation, None, draft, send_at).await
}

/// Schedules a message to another user. The direct conversation of the two is made when it is sent, so that nobody learns of it before.
///
/// # Errors
/// As [`schedule`]; [`DomainError::Validation`] for an unknown receiver.
pub async fn schedule_direct(
    ctx: &Context,
    actor: &UserId,
    receiver: &UserId,
    draft: Draft,
    send_at: Timestamp,
) -> Result<Placed> {
    let conversation = match conversations::find_direct(ctx, actor, receiver).await? {
        Some(found) => found,
        None => conversations::direct_id(ctx, actor, receiver).await?,
    };
    place(ctx, actor, &conversation, Some(receiver), draft, send_at).await
}

async fn place(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    receiver: Option<&UserId>,
    draft: Draft,
    send_at: Timestamp,
) -> Result<Placed> {
    let refusal = messages::check_draft(ctx, Some(actor), &draft).err();
    let request_hash = draft
        .client_message_id
        .is_some()
        .then(|| messages::request_hash(&draft));
    let now = Timestamp::now();
    let scheduled = Scheduled {
        id: ScheduledId::generate(),
        conversation: conversation.clone(),
        sender: actor.clone(),
        receiver: receiver.cloned(),
        draft,
        request_hash,
        first_send_at: send_at,
        send_at,
        stage: Stage::Pending,
        failure: None,
        attempts: 0,
        version: 0,
        created_at: now,
        updated_at: now,
    };
    // Before anything is refused: by now its time may be over, and the message sent.
    if let Some(earlier) = find_earlier(ctx, &scheduled).await? {
        return Ok(earlier);
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    check_time(send_at)?;
    check_sendable(ctx, &scheduled).await?;
    let too_many = || {
        DomainError::Conflict(
            format!("There are {MAX_SCHEDULED} scheduled messages of yours already.").into(),
        )
    };
    if ctx.store.count_scheduled(actor, MAX_SCHEDULED).await? >= MAX_SCHEDULED {
        return Err(too_many());
    }
    match ctx.store.insert_scheduled(&scheduled).await? {
        InsertedScheduled::New => {}
        InsertedScheduled::Repeated => {
            return find_earlier(ctx, &scheduled)
                .await?
                .ok_or_else(DomainError::store_unavailable);
        }
    }
    // Others may have been scheduled since they were counted.
    if ctx.store.count_scheduled(actor, MAX_SCHEDULED + 1).await? > MAX_SCHEDULED {
        ctx.store.remove_scheduled(actor, &scheduled.id).await?;
        return Err(too_many());
    }
    ctx.bells.ring_scheduled(send_at);
    Ok(Placed::Waiting(Box::new(scheduled.into_view())))
}

/// What was scheduled or sent before under the same `clientMessageId`.
async fn find_earlier(ctx: &Context, wanted: &Scheduled) -> Result<Option<Placed>> {
    let Some(id) = &wanted.draft.client_message_id else {
        return Ok(None);
    };
    // In this order: what is sent is in the log before it ceases to be scheduled.
    let waiting = ctx
        .store
        .find_scheduled_under(&wanted.conversation, &wanted.sender, id)
        .await?;
    // One that somebody is sending may be in the log already.
    let being_sent = waiting
        .as_ref()
        .is_some_and(|found| found.stage == Stage::Sending);
    let sent = match waiting.is_none() || being_sent {
        true => {
            ctx.store
                .find_message_under(&wanted.conversation, Some(&wanted.sender), id)
                .await?
        }
        false => None,
    };
    if let (Some(found), None) = (waiting, &sent) {
        let is_same = found.request_hash == wanted.request_hash
            && found.first_send_at == wanted.first_send_at;
        return match is_same {
            true => Ok(Some(Placed::Waiting(Box::new(found.into_view())))),
            false => Err(messages::other_message()),
        };
    }
    let Some((stored, request_hash)) = sent else {
        return Ok(None);
    };
    if request_hash != wanted.request_hash {
        return Err(messages::other_message());
    }
    Ok(Some(Placed::Sent(Box::new(Sent {
        message: messages::sent_earlier(ctx, stored, Some(&wanted.sender)).await?,
        is_repeated: true,
    }))))
}

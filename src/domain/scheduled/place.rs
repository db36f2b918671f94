//! Scheduling of a message, repeatable with a `clientMessageId`.

use chat_sdk::{
    ConversationId, Message, ScheduledId, ScheduledMessage, ScheduledStatus, Timestamp, UserId,
};

use super::check::{check_sendable, check_time};
use crate::{
    domain::{Context, conversations, messages},
    model::{
        entry::SentSchedule,
        error::{DomainError, Result},
        messages::{Draft, check_draft, other_message, request_hash},
        scheduled::{Scheduled, Stage},
    },
    store::InsertedScheduled,
};

/// Maximum number of scheduled messages of one user, including failed ones.
pub const MAX_SCHEDULED: u32 = 1000;

/// A scheduled message, and whether an earlier request created it.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The scheduled message; its status is `sent` or `cancelled` if it was sent or cancelled in the meantime.
    pub scheduled: ScheduledMessage,
    /// True if this request repeats an earlier one.
    pub is_repeated: bool,
}

/// Destination of a scheduled message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A conversation.
    Conversation(ConversationId),
    /// The direct conversation with a user.
    ///
    /// It is created only when the message is sent, so that the receiver does not learn of it before.
    User(UserId),
}

impl Target {
    /// Returns the target of a request, which has exactly one of the two fields.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if both fields are given, or neither.
    pub fn new(conversation: Option<ConversationId>, receiver: Option<UserId>) -> Result<Self> {
        match (conversation, receiver) {
            (Some(conversation), None) => Ok(Self::Conversation(conversation)),
            (None, Some(receiver)) => Ok(Self::User(receiver)),
            _ => Err(DomainError::invalid(
                "conversationId",
                "or receiverId must be given, and not both",
            )),
        }
    }
}

/// Schedules a message. A request with a `clientMessageId` can be repeated safely.
///
/// # Errors
/// The errors of a send; [`DomainError::Validation`] if the time is not within the next 366 days; [`DomainError::Conflict`] if the user has
/// [`MAX_SCHEDULED`] already.
pub async fn schedule(
    ctx: &Context,
    actor: &UserId,
    target: &Target,
    draft: Draft,
    send_at: Timestamp,
) -> Result<Placed> {
    match target {
        Target::Conversation(conversation) => {
            place(ctx, actor, conversation, None, draft, send_at).await
        }
        Target::User(receiver) => {
            let conversation = match conversations::find_direct(ctx, actor, receiver).await? {
                Some(found) => found,
                None => conversations::direct_id(ctx, actor, receiver).await?,
            };
            place(ctx, actor, &conversation, Some(receiver), draft, send_at).await
        }
    }
}

async fn place(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    receiver: Option<&UserId>,
    draft: Draft,
    send_at: Timestamp,
) -> Result<Placed> {
    let refusal = check_draft(ctx.limits.max_message_bytes, Some(actor), &draft).err();
    let request_hash = draft
        .client_message_id
        .is_some()
        .then(|| request_hash(&draft));
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
    // Looked up before any rejection: by now the time of the first request may have passed, and the message been sent.
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
            format!("You have {MAX_SCHEDULED} scheduled messages, the maximum; cancel one first.")
                .into(),
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
    // Concurrent requests may have scheduled others since the count.
    if ctx.store.count_scheduled(actor, MAX_SCHEDULED + 1).await? > MAX_SCHEDULED {
        ctx.store.remove_scheduled(actor, &scheduled.id).await?;
        return Err(too_many());
    }
    Ok(Placed {
        scheduled: scheduled.into_view(),
        is_repeated: false,
    })
}

/// Returns the message that was scheduled, sent or cancelled before under the same `clientMessageId`.
async fn find_earlier(ctx: &Context, wanted: &Scheduled) -> Result<Option<Placed>> {
    let Some(id) = &wanted.draft.client_message_id else {
        return Ok(None);
    };
    // The order matters: a sent message is in the log before its schedule is removed.
    let waiting = ctx
        .store
        .find_scheduled_under(&wanted.conversation, &wanted.sender, id)
        .await?;
    // A message that is being sent may already be in the log.
    let being_sent = waiting
        .as_ref()
        .is_some_and(|found| found.stage == Stage::Sending);
    let sent = if waiting.is_none() || being_sent {
        ctx.store
            .find_message_under(&wanted.conversation, Some(&wanted.sender), id)
            .await?
    } else {
        None
    };
    let scheduled = match (waiting, sent) {
        (Some(found), None) => {
            let is_same = found.request_hash == wanted.request_hash
                && found.first_send_at == wanted.first_send_at;
            is_same.then(|| {
                let draft = match found.stage {
                    // Its content is gone; the repetition has it.
                    Stage::Cancelled => wanted.draft.clone(),
                    _ => found.draft.clone(),
                };
                Scheduled { draft, ..found }.into_view()
            })
        }
        (_, Some((stored, created))) => match created.schedule {
            Some(schedule)
                if created.request_hash == wanted.request_hash
                    && schedule.first_send_at == wanted.first_send_at.as_millis() =>
            {
                let message = messages::sent_earlier(ctx, stored, Some(&wanted.sender)).await?;
                Some(sent_view(schedule, message))
            }
            _ => None,
        },
        (None, None) => return find_held(ctx, wanted, id).await,
    };
    match scheduled {
        Some(scheduled) => Ok(Some(Placed {
            scheduled,
            is_repeated: true,
        })),
        None => Err(other_message()),
    }
}

/// Returns the message of the same request that was held when it was due.
async fn find_held(ctx: &Context, wanted: &Scheduled, id: &str) -> Result<Option<Placed>> {
    let held = ctx
        .store
        .find_held_under(&wanted.conversation, &wanted.sender, id)
        .await?;
    let Some(held) = held else {
        return Ok(None);
    };
    match held.schedule.clone() {
        Some(schedule)
            if held.request_hash == wanted.request_hash
                && schedule.first_send_at == wanted.first_send_at.as_millis() =>
        {
            Ok(Some(Placed {
                scheduled: sent_view(schedule, held.message()),
                is_repeated: true,
            }))
        }
        _ => Err(other_message()),
    }
}

/// Returns the scheduled message that became `message`, for a request that is repeated after the send.
fn sent_view(schedule: SentSchedule, message: Message) -> ScheduledMessage {
    let ttl_millis = message
        .expires_at
        .map(|end| end.as_millis() - message.created_at.as_millis());
    ScheduledMessage {
        id: schedule.id,
        conversation_id: message.conversation_id,
        sender_id: message.sender_id,
        content: message.content,
        kind: message.kind,
        attachments: message.attachments,
        reply_to: message.reply_to,
        thread_id: message.thread_id,
        mentions: message.mentions,
        metadata: message.metadata,
        client_message_id: message.client_message_id,
        silent: message.silent,
        ttl_seconds: ttl_millis.and_then(|millis| u32::try_from((millis + 500) / 1000).ok()),
        send_at: Timestamp::from_millis(schedule.send_at),
        status: ScheduledStatus::Sent,
        message_id: Some(message.id),
        failure: None,
        created_at: Timestamp::from_millis(schedule.created_at),
        updated_at: Timestamp::from_millis(schedule.updated_at),
    }
}

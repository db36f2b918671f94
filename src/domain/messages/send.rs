//! Sending of messages: to a conversation, to a user, and as the host.

use std::task::Poll;

use chat_sdk::{ConversationId, Message, Timestamp, UserId, plugin::HookPoint};

use super::{Decided, Sending, decide, hold, order::Turn, repeat::earlier_or, sent_earlier};
use crate::{
    domain::{Context, blocks, conversations, presence, users},
    model::{
        catalogue,
        command::{Command, Outcome, Request},
        entry::Body,
        error::{DomainError, Result},
        messages::{Draft, MENTION_HERE, check_draft, created, not_of_conversation, request_hash},
    },
};

/// A sent message, and whether it existed before.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The message as it was stored.
    pub message: Message,
    /// True if this repeats an earlier send.
    pub is_repeated: bool,
}

/// Sends a message to a conversation.
///
/// If this returns `Ok`, the message is in the history exactly once, whichever process dies afterwards.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller is not a member; [`DomainError::Validation`] with every error of the draft; [`DomainError::Conflict`] if
/// `clientMessageId` was used for another message; [`DomainError::Unavailable`] if the outcome is unknown.
pub async fn send(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<Sent> {
    send_as(ctx, Some(actor), conversation, draft).await
}

/// Sends a message as the host, without a user: its sender is `system`.
///
/// # Errors
/// As for [`send`].
pub async fn send_as_host(
    ctx: &Context,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<Sent> {
    send_as(ctx, None, conversation, draft).await
}

async fn send_as(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<Sent> {
    let is_repeatable = draft.client_message_id.is_some();
    let hash = is_repeatable.then(|| request_hash(&draft));
    submit(ctx, actor, conversation, draft, hash).await
}

/// Sends `draft`. `hash` tells a repetition from another message.
async fn submit(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    draft: Draft,
    hash: Option<String>,
) -> Result<Sent> {
    // The host without a user is trusted: it decides which hooks there are.
    let asking = actor.filter(|_| ctx.hooks.has(HookPoint::MessageBeforeSend));
    let turn = asking.map(|actor| ctx.send_order.enter(conversation, actor));
    if let Err(refusal) = check_now(ctx, actor, conversation, &draft).await {
        // An earlier request may have sent it when the checks still passed.
        let repeatable = draft.client_message_id.as_deref().zip(hash.as_deref());
        return earlier_or(ctx, conversation, actor, repeatable, refusal).await;
    }
    match asking {
        Some(actor) => {
            let sending = to_conversation(actor, conversation, hash);
            let id = draft.client_message_id.clone();
            match decide(ctx, &sending, draft).await {
                Ok(decided) => finish(ctx, sending, decided, turn).await,
                Err(refusal @ DomainError::NotFound(_)) => {
                    let repeatable = id.as_deref().zip(sending.hash.as_deref());
                    earlier_or(ctx, conversation, Some(actor), repeatable, refusal).await
                }
                Err(refusal) => Err(refusal),
            }
        }
        None => append(ctx, actor, conversation, (draft, hash), None).await,
    }
}

pub(super) fn to_conversation(
    actor: &UserId,
    conversation: &ConversationId,
    hash: Option<String>,
) -> Sending {
    Sending {
        actor: actor.clone(),
        conversation: conversation.clone(),
        receiver: None,
        hash,
        schedule: None,
    }
}

/// Does with a message what the hooks decided.
pub(super) async fn finish(
    ctx: &Context,
    sending: Sending,
    decided: Decided,
    turn: Option<Turn>,
) -> Result<Sent> {
    match decided {
        Decided::Send(draft) => {
            let (actor, conversation) = (&sending.actor, &sending.conversation);
            let message = (*draft, sending.hash);
            append(ctx, Some(actor), conversation, message, turn).await
        }
        Decided::Hold(held) => hold(ctx, *held).await,
        Decided::Earlier(sent) => Ok(*sent),
    }
}

/// Appends a message, after the earlier ones of `turn`.
async fn append(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    (draft, hash): (Draft, Option<String>),
    turn: Option<Turn>,
) -> Result<Sent> {
    let message = created(draft, hash);
    let mut request = Request::new(
        conversation.clone(),
        actor.cloned(),
        Command::SendMessage(Box::new(message)),
    );
    if actor.is_some() {
        name_those_here(ctx, conversation, &mut request).await?;
    }
    let Some(mut turn) = turn else {
        return sent(ctx, ctx.append(request).await?).await;
    };
    turn.wait(ctx.hooks.time_limit(HookPoint::MessageBeforeSend))
        .await;
    let mut appended = std::pin::pin!(ctx.append(request));
    // The first poll submits the command; then the next one may follow.
    let first = futures_util::poll!(&mut appended);
    drop(turn);
    let outcome = match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => appended.await,
    };
    sent(ctx, outcome?).await
}

/// Makes the checks that the writer does not make: the draft by itself, and the message that it quotes.
async fn check_now(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    draft: &Draft,
) -> Result<()> {
    check_draft(ctx.limits.max_message_bytes, actor, draft)?;
    let Some(quoted) = &draft.reply_to else {
        return Ok(());
    };
    match actor {
        Some(actor) => check_quote(ctx, actor, conversation, draft).await,
        None => ctx
            .store
            .find_message(quoted)
            .await?
            .filter(|message| {
                message.conversation_id == *conversation && !message.is_gone(Timestamp::now())
            })
            .map(drop)
            .ok_or_else(|| not_of_conversation("replyTo")),
    }
}

async fn sent(ctx: &Context, outcome: Outcome) -> Result<Sent> {
    let is_repeated = outcome.is_repeated;
    let entry = outcome.into_entry()?;
    let message = match (&entry.body, is_repeated) {
        // A repetition returns the message as it is now.
        (Body::MessageCreated(_), true) => {
            let stored = ctx
                .store
                .find_message(&entry.id.to_message_id())
                .await?
                .ok_or_else(DomainError::no_message)?;
            sent_earlier(ctx, stored, entry.actor.as_ref()).await?
        }
        (Body::MessageCreated(body), false) => catalogue::message(&entry, body),
        _ => {
            return Err(DomainError::Internal(
                "a send produced an entry of another kind".into(),
            ));
        }
    };
    Ok(Sent {
        message,
        is_repeated,
    })
}

/// Fails if the draft quotes a message that the caller may not see in this conversation.
pub(in crate::domain) async fn check_quote(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    draft: &Draft,
) -> Result<()> {
    let Some(quoted) = &draft.reply_to else {
        return Ok(());
    };
    let (membership, found) = tokio::try_join!(
        ctx.store.find_membership(conversation, actor),
        ctx.store.find_message(quoted),
    )?;
    membership.active()?;
    let audience = membership.audience()?;
    found
        .filter(|message| {
            message.conversation_id == *conversation
                && audience.sees(message.seq)
                && !message.is_gone(Timestamp::now())
        })
        .map(drop)
        .ok_or_else(|| not_of_conversation("replyTo"))
}

/// Records the online members if a message mentions `@here`: it cannot be determined later.
///
/// A caller who is not a member learns nothing from it, because the check rejects them.
async fn name_those_here(
    ctx: &Context,
    conversation: &ConversationId,
    request: &mut Request,
) -> Result<()> {
    if let Command::SendMessage(message) = &mut request.command
        && message
            .mentions
            .iter()
            .any(|user| user.as_str() == MENTION_HERE)
    {
        message.here = presence::members_here(ctx, conversation).await?;
    }
    Ok(())
}

/// Sends a message to another user in their direct conversation, which is created if needed.
///
/// # Errors
/// As for [`send`]; [`DomainError::Validation`] if the receiver is unknown.
pub async fn send_direct(
    ctx: &Context,
    actor: &UserId,
    receiver: &UserId,
    draft: Draft,
) -> Result<Sent> {
    let conversation = conversations::direct_id(ctx, actor, receiver).await?;
    match send(ctx, actor, &conversation, draft.clone()).await {
        Err(DomainError::NotFound(_)) => {
            if let Some(found) = conversations::find_direct(ctx, actor, receiver).await? {
                return send(ctx, actor, &found, draft).await;
            }
            check_may_begin(ctx, actor, receiver, &draft).await?;
            begin_direct(ctx, actor, receiver, (conversation, draft)).await
        }
        outcome => outcome,
    }
}

/// Sends the first message of a direct conversation. It is created only if the hooks let the message pass.
async fn begin_direct(
    ctx: &Context,
    actor: &UserId,
    receiver: &UserId,
    (conversation, draft): (ConversationId, Draft),
) -> Result<Sent> {
    let hash = draft
        .client_message_id
        .is_some()
        .then(|| request_hash(&draft));
    let mut sending = Sending {
        receiver: Some(receiver.clone()),
        ..to_conversation(actor, &conversation, hash)
    };
    let decided = decide(ctx, &sending, draft).await?;
    if matches!(decided, Decided::Send(_)) {
        let settings = conversations::ask_before_direct(ctx, actor, receiver, Default::default());
        let settings = settings.await?;
        let made = conversations::create_direct(ctx, actor, receiver, settings).await?;
        sending.conversation = made.conversation.id;
    }
    finish(ctx, sending, decided, None).await
}

/// Fails if `draft` cannot start a direct conversation that does not exist yet.
///
/// Checked before it is created.
pub(in crate::domain) async fn check_may_begin(
    ctx: &Context,
    actor: &UserId,
    receiver: &UserId,
    draft: &Draft,
) -> Result<()> {
    if receiver == actor {
        return Err(DomainError::invalid("receiverId", "must not be the sender"));
    }
    users::check_known(ctx, "receiverId", std::slice::from_ref(receiver)).await?;
    blocks::check_may_start(ctx, actor, receiver, "receiverId").await?;
    // A new conversation has no messages to quote or to reply to.
    for (field, message) in [("replyTo", &draft.reply_to), ("threadId", &draft.thread_id)] {
        if message.is_some() {
            return Err(not_of_conversation(field));
        }
    }
    Ok(())
}

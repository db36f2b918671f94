//! Sending: to a conversation, to a user, in the host's name, and on to other conversations.

use std::collections::HashSet;

use chat_sdk::{ConversationId, ForwardedFrom, Message, MessageId, MessageType, Timestamp, UserId};

use super::{
    Draft, MENTION_HERE, check_draft, created, deleted, get, not_of_conversation, request_hash,
    view,
};
use crate::domain::{
    Context, blocks, catalogue,
    command::{Command, Outcome, Request},
    conversations,
    entry::Body,
    error::{DomainError, Faults, Result},
    presence, users,
};

/// The most conversations that a message is forwarded to at once.
pub const MAX_FORWARDS: usize = 20;

/// A sent message, and whether it was there already.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The message as it was stored.
    pub message: Message,
    /// Whether this was the repetition of an earlier send.
    pub is_repeated: bool,
}

/// Sends a message to a conversation.
///
/// If this returns `Ok`, the message is in the history exactly once, whatever is killed afterwards.
///
/// # Errors
/// [`DomainError::NotFound`] for who is no member, [`DomainError::Validation`] for every fault of the draft, [`DomainError::Conflict`] when
/// `clientMessageId` was used for another message, [`DomainError::Unavailable`] when the outcome is unknown.
pub async fn send(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<Sent> {
    if draft.reply_to.is_some() {
        check_quote(ctx, actor, conversation, &draft).await?;
    }
    let mut request = send_request(ctx, Some(actor), conversation, draft)?;
    name_those_here(ctx, conversation, &mut request).await?;
    sent(ctx, ctx.append(request).await?).await
}

/// Sends a message in no user's name, as the host: its sender is `system`.
///
/// # Errors
/// As [`send`].
pub async fn send_as_host(
    ctx: &Context,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<Sent> {
    if let Some(quoted) = &draft.reply_to {
        check_draft(ctx, None, &draft)?;
        ctx.store
            .find_message(quoted)
            .await?
            .filter(|message| {
                message.conversation_id == *conversation && !message.is_gone(Timestamp::now())
            })
            .ok_or_else(|| not_of_conversation("replyTo"))?;
    }
    let request = send_request(ctx, None, conversation, draft)?;
    sent(ctx, ctx.append(request).await?).await
}

async fn sent(ctx: &Context, outcome: Outcome) -> Result<Sent> {
    let is_repeated = outcome.is_repeated;
    let entry = outcome.into_entry()?;
    ctx.bells.ring_for(&entry);
    let message = match (&entry.body, is_repeated) {
        // A repetition answers the message as it is by now.
        (Body::MessageCreated(_), true) => {
            let stored = ctx
                .store
                .find_message(&entry.id.to_message_id())
                .await?
                .ok_or_else(DomainError::no_message)?;
            view(ctx, stored, None, entry.actor.as_ref()).await?
        }
        (Body::MessageCreated(body), false) => catalogue::message(&entry, body),
        _ => {
            return Err(DomainError::Internal(
                "a send left another kind of entry".into(),
            ));
        }
    };
    Ok(Sent {
        message,
        is_repeated,
    })
}

/// Refuses to quote what the caller does not see in this conversation.
pub(in crate::domain) async fn check_quote(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    draft: &Draft,
) -> Result<()> {
    check_draft(ctx, Some(actor), draft)?;
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

/// Writes down who is there, where a message mentions `@here`: later nobody could tell. Who is no member learns nothing by it: the check refuses them.
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

/// Sends a message to another user, in the direct conversation of the two, which is made on the way.
///
/// # Errors
/// As [`send`]; [`DomainError::Validation`] for an unknown receiver.
pub async fn send_direct(
    ctx: &Context,
    actor: &UserId,
    receiver: &UserId,
    draft: Draft,
) -> Result<Sent> {
    check_draft(ctx, Some(actor), &draft)?;
    let conversation = conversations::direct_id(actor, receiver);
    match send(ctx, actor, &conversation, draft.clone()).await {
        Err(DomainError::NotFound(_)) => {
            users::check_known(ctx, "receiverId", std::slice::from_ref(receiver)).await?;
            blocks::check_may_start(ctx, actor, receiver, "receiverId").await?;
            conversations::create_direct(ctx, actor, receiver, Default::default()).await?;
            send(ctx, actor, &conversation, draft).await
        }
        outcome => outcome,
    }
}

fn send_request(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    draft: Draft,
) -> Result<Request> {
    check_draft(ctx, actor, &draft)?;
    let request_hash = draft
        .client_message_id
        .is_some()
        .then(|| request_hash(&draft));
    let message = created(draft, request_hash);
    Ok(Request::new(
        conversation.clone(),
        actor.cloned(),
        Command::SendMessage(Box::new(message)),
    ))
}

/// Sends a message on to other conversations, at most [`MAX_FORWARDS`], with its text, files, metadata and end. With `client_message_id` it can be
/// repeated safely.
///
/// # Errors
/// [`DomainError::NotFound`] for a message that the caller does not see, [`DomainError::Conflict`] for a deleted one,
/// [`DomainError::Validation`] naming every conversation that the caller cannot send to; then nothing is sent.
pub async fn forward(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    conversations: &[ConversationId],
    client_message_id: Option<String>,
) -> Result<Vec<Message>> {
    let mut faults = Faults::default();
    faults.when(
        !(1..=MAX_FORWARDS).contains(&conversations.len()),
        "conversationIds",
        format!("must name 1 to {MAX_FORWARDS} conversations"),
    );
    faults.into_result()?;
    let shown = get(ctx, actor, message).await?;
    if shown.is_deleted {
        return Err(deleted());
    }
    let mut faults = Faults::default();
    let mut seen = HashSet::new();
    for (index, conversation) in conversations.iter().enumerate() {
        let field = format!("conversationIds[{index}]");
        let membership = ctx.store.find_membership(conversation, actor).await?;
        let is_blocked =
            membership.is_direct() && !ctx.store.find_blocking(conversation).await?.is_empty();
        if membership.active().is_err() {
            faults.add(field, "is no conversation of the caller");
        } else if is_blocked {
            faults.add(field, "is with a user who cannot be written to");
        } else {
            let is_repeated = !seen.insert(conversation);
            faults.when(is_repeated, field, "repeats an earlier item");
        }
    }
    faults.into_result()?;
    let draft = Draft {
        content: shown.content,
        kind: Some(match shown.kind {
            MessageType::Custom => MessageType::Custom,
            MessageType::Text | MessageType::System => MessageType::Text,
        }),
        attachments: shown.attachments,
        metadata: shown.metadata,
        client_message_id,
        forwarded_from: Some(shown.forwarded_from.unwrap_or(ForwardedFrom {
            message_id: shown.id,
            sender_id: shown.sender_id,
        })),
        // Sending it on does not make it outlive the end that its sender gave it.
        expires_at: shown.expires_at,
        ..Draft::default()
    };
    let mut messages = Vec::with_capacity(conversations.len());
    for conversation in conversations {
        let sent = send(ctx, actor, conversation, draft.clone()).await?;
        messages.push(sent.message);
    }
    Ok(messages)
}

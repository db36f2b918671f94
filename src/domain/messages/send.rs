//! Sending of messages: to a conversation, to a user, as the host, and by forwarding.

use std::collections::{HashMap, HashSet};

use chat_sdk::{ConversationId, ForwardedFrom, Message, MessageId, MessageType, Timestamp, UserId};

use super::{
    Draft, MENTION_HERE, check_draft, created, deleted,
    draft::check_client_message_id,
    get, not_of_conversation, other_message,
    repeat::{Earlier, earlier_or, find_earlier, forward_hash},
    request_hash, sent_earlier,
};
use crate::domain::{
    Context, blocks, catalogue,
    command::{Command, Outcome, Request},
    conversations,
    entry::Body,
    error::{DomainError, Faults, Result},
    presence, users,
};

/// Maximum number of conversations that a message is forwarded to at once.
pub const MAX_FORWARDS: usize = 20;

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
    if let Err(refusal) = check_now(ctx, actor, conversation, &draft).await {
        // An earlier request may have sent it when the checks still passed.
        let repeatable = draft.client_message_id.as_deref().zip(hash.as_deref());
        return earlier_or(ctx, conversation, actor, repeatable, refusal).await;
    }
    let message = created(draft, hash);
    let mut request = Request::new(
        conversation.clone(),
        actor.cloned(),
        Command::SendMessage(Box::new(message)),
    );
    if actor.is_some() {
        name_those_here(ctx, conversation, &mut request).await?;
    }
    sent(ctx, ctx.append(request).await?).await
}

/// Makes the checks that the writer does not make: the draft by itself, and the message that it quotes.
async fn check_now(
    ctx: &Context,
    actor: Option<&UserId>,
    conversation: &ConversationId,
    draft: &Draft,
) -> Result<()> {
    check_draft(ctx, actor, draft)?;
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
    ctx.bells.notify(&entry);
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
            let made =
                conversations::create_direct(ctx, actor, receiver, Default::default()).await?;
            send(ctx, actor, &made.conversation.id, draft).await
        }
        outcome => outcome,
    }
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

/// Forwards a message to at most [`MAX_FORWARDS`] other conversations.
///
/// The text, files, metadata and expiry are kept.
///
/// With `client_message_id` it can be repeated safely.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see the message; [`DomainError::Conflict`] if it is deleted; [`DomainError::Validation`] that
/// names every conversation that the caller cannot send to. Nothing is sent then.
pub async fn forward(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    conversations: &[ConversationId],
    client_message_id: Option<String>,
) -> Result<Vec<Message>> {
    check_forward(conversations, client_message_id.as_deref())?;
    let hash = client_message_id.is_some().then(|| forward_hash(message));
    let earlier = forwarded_earlier(
        ctx,
        actor,
        conversations,
        client_message_id.as_deref().zip(hash.as_deref()),
    )
    .await?;
    let mut new = Vec::new();
    for (index, conversation) in conversations.iter().enumerate() {
        if !earlier.contains_key(conversation) {
            new.push((index, conversation));
        }
    }
    // Without a new conversation it is a repetition: later changes of the message do not matter.
    let draft = match new.is_empty() {
        true => None,
        false => {
            let draft = forwarded(ctx, actor, message, client_message_id).await?;
            check_draft(ctx, Some(actor), &draft)?;
            check_targets(ctx, actor, &new).await?;
            Some(draft)
        }
    };
    let mut messages = Vec::with_capacity(conversations.len());
    for conversation in conversations {
        let sent = match (earlier.get(conversation), &draft) {
            (Some(sent), _) => sent.clone(),
            (None, Some(draft)) => {
                submit(ctx, Some(actor), conversation, draft.clone(), hash.clone()).await?
            }
            (None, None) => return Err(DomainError::Internal("nothing to forward".into())),
        };
        messages.push(sent.message);
    }
    Ok(messages)
}

fn check_forward(conversations: &[ConversationId], client_message_id: Option<&str>) -> Result<()> {
    let mut faults = Faults::default();
    faults.when(
        !(1..=MAX_FORWARDS).contains(&conversations.len()),
        "conversationIds",
        format!("must name 1 to {MAX_FORWARDS} conversations"),
    );
    let mut seen = HashSet::new();
    for (index, conversation) in conversations.iter().enumerate() {
        let is_repeated = !seen.insert(conversation);
        let field = format!("conversationIds[{index}]");
        faults.when(is_repeated, field, "repeats an earlier item");
    }
    check_client_message_id(client_message_id, &mut faults);
    faults.into_result()
}

/// Returns the messages that an earlier request like this one sent, by conversation.
///
/// # Errors
/// [`DomainError::Conflict`] if one of the conversations has another message under the `clientMessageId`: nothing is sent then.
async fn forwarded_earlier(
    ctx: &Context,
    actor: &UserId,
    conversations: &[ConversationId],
    repeatable: Option<(&str, &str)>,
) -> Result<HashMap<ConversationId, Sent>> {
    let mut found = HashMap::new();
    let Some((id, hash)) = repeatable else {
        return Ok(found);
    };
    for conversation in conversations {
        match find_earlier(ctx, conversation, Some(actor), id, hash).await {
            Ok(Earlier::Same(sent)) => drop(found.insert(conversation.clone(), *sent)),
            // The check of the conversations rejects a deleted one.
            Ok(Earlier::None) | Err(DomainError::NotFound(_)) => {}
            Ok(Earlier::Other) => return Err(other_message()),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Adds an error for every conversation that `actor` cannot forward to.
async fn check_targets(
    ctx: &Context,
    actor: &UserId,
    targets: &[(usize, &ConversationId)],
) -> Result<()> {
    let mut faults = Faults::default();
    for (index, conversation) in targets {
        let field = format!("conversationIds[{index}]");
        let membership = ctx.store.find_membership(conversation, actor).await?;
        if membership.active().is_err() {
            faults.add(field, "is not a conversation of the caller");
        } else if membership.is_left_alone()
            || membership.is_direct() && !ctx.store.find_blocking(conversation).await?.is_empty()
        {
            faults.add(field, "is with a user to whom you cannot send messages");
        }
    }
    faults.into_result()
}

/// Returns the draft by which `message` is forwarded.
async fn forwarded(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    client_message_id: Option<String>,
) -> Result<Draft> {
    let shown = get(ctx, actor, message).await?;
    if shown.is_deleted {
        return Err(deleted());
    }
    Ok(Draft {
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
        // A forwarded message does not outlive the expiry that its sender set.
        expires_at: shown.expires_at,
        ..Draft::default()
    })
}

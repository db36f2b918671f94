//! Forwarding of messages to other conversations of their sender.

use std::collections::{HashMap, HashSet, VecDeque};

use chat_sdk::{ConversationId, ForwardedFrom, Message, MessageId, MessageType, UserId, json_len};
use futures_util::future::join_all;

use super::{
    decide, get,
    repeat::{Earlier, find_earlier},
    send::{Sent, finish, to_conversation},
};
use crate::{
    domain::Context,
    model::{
        bounds,
        error::{DomainError, Faults, Result},
        messages::{
            Draft, check_client_message_id, check_draft, deleted, forward_hash, other_message,
        },
    },
};

/// Maximum number of conversations that a message is forwarded to at once.
pub const MAX_FORWARDS: usize = 20;
/// Size of what a copy has in addition to its draft, in bytes: ids, times and the origin.
const COPY_BYTES: usize = 1024;

/// The copies of a forwarded message, and whether all of them existed before.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarded {
    /// The copies, in the order of their conversations.
    pub messages: Vec<Message>,
    /// True if this repeats an earlier forward and sent nothing.
    pub is_repeated: bool,
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
) -> Result<Forwarded> {
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
    let draft = if new.is_empty() {
        None
    } else {
        let draft = forwarded(ctx, actor, message, client_message_id).await?;
        check_draft(ctx.limits.max_message_bytes, Some(actor), &draft)?;
        check_answer(&draft, conversations.len())?;
        check_targets(ctx, actor, &new).await?;
        Some(draft)
    };
    let mut decisions = VecDeque::new();
    if let Some(draft) = draft {
        // All hooks are asked before anything is sent.
        let asked = new.iter().map(|(_, conversation)| {
            let (sending, draft) = (
                to_conversation(actor, conversation, hash.clone()),
                draft.clone(),
            );
            async move {
                decide(ctx, &sending, draft)
                    .await
                    .map(|decided| (sending, decided))
            }
        });
        for decided in join_all(asked).await {
            decisions.push_back(decided?);
        }
    }
    let mut messages = Vec::with_capacity(conversations.len());
    let mut is_repeated = true;
    for conversation in conversations {
        let sent = match earlier.get(conversation) {
            Some(sent) => sent.clone(),
            None => {
                let (sending, decided) = decisions
                    .pop_front()
                    .ok_or_else(|| DomainError::Internal("nothing to forward".into()))?;
                finish(ctx, sending, decided, None).await?
            }
        };
        is_repeated &= sent.is_repeated;
        messages.push(sent.message);
    }
    Ok(Forwarded {
        messages,
        is_repeated,
    })
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

/// Fails if the response with all copies of `draft` would be larger than a page.
fn check_answer(draft: &Draft, count: usize) -> Result<()> {
    let most = (bounds::PAGE / (json_len(draft) + COPY_BYTES)).max(1);
    let mut faults = Faults::default();
    faults.when(
        count > most,
        "conversationIds",
        format!("must name at most {most} conversations for a message of this size"),
    );
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

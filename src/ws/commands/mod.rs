//! Commands that a client can send over its socket. Each is one operation of the domain, with the same checks and errors as over REST.

pub mod frame;

use chat_sdk::{
    ConversationId, Message, Timestamp, UserId,
    commands::{
        Command, OfConversation, Payload, RateLimit,
        messages::{DeleteMessage, EditMessage, ListMessages, SendOnSocket, SyncMessages},
        on_sockets,
        reactions::{AddReaction, RemoveReaction},
        receipts::{MarkConversationRead, MarkMessageDelivered, MarkMessageRead},
        scheduled::ScheduleMessage,
        sockets::Ping,
    },
};

use super::{
    Node,
    commands::frame::{Answer, FrameError},
};
use crate::{
    contract::commands::check,
    domain::{
        messages, reactions, receipts,
        scheduled::{self, Target},
    },
    http::limits::{RateLimits, Verdict},
    model::{
        DomainError, Result, bounds,
        page::{Page, PageRequest},
    },
};

pub use crate::contract::commands::{parse, parse_checked};

/// Buffer size that is enough for most messages as JSON, in bytes.
const MESSAGE_BYTES: usize = 768;

/// Parses the data of a command that takes a conversation only.
///
/// # Errors
/// [`DomainError::Validation`] with every fault.
pub fn conversation_of<C: Command<Path = OfConversation>>(data: &str) -> Result<ConversationId> {
    parse::<C>(data).map(|payload| payload.path.conversation_id)
}

/// Counts a command of `user` against the rate limit that applies to it.
///
/// # Errors
/// A refusal with the time of the next attempt, if the limit is exceeded.
pub fn count(limits: &RateLimits, user: &UserId, event: &str) -> Verdict {
    match on_sockets(event).map_or(RateLimit::Api, |command| command.limit) {
        RateLimit::Messages => limits.messages(user),
        RateLimit::Typing => limits.typing(user),
        RateLimit::Api => limits.api(user),
    }
}

/// Runs a command that needs only the socket's user.
///
/// The faults of its data come before any other error, as over REST. They are looked for only after a failure, because a valid command must not pay for it.
pub async fn run(node: &Node, user: &UserId, event: &str, data: &str) -> Answer {
    let answer = execute(node, user, event, data).await;
    match answer {
        Err(error) if error.is_of_the_client() => match check(event, data) {
            Err(faults) => Err(faults.into()),
            Ok(_) => Err(error),
        },
        answer => answer,
    }
}

async fn execute(node: &Node, user: &UserId, event: &str, data: &str) -> Answer {
    let ctx = &node.ctx;
    match event {
        "message:send" => {
            let Payload { path, body } = parse::<SendOnSocket>(data)?;
            let receiver = path.receiver_id.map(|given| given.0);
            let sent = match Target::new(path.conversation_id, receiver)? {
                Target::Conversation(conversation) => {
                    messages::send(ctx, user, &conversation, body.into()).await?
                }
                Target::User(receiver) => {
                    messages::send_direct(ctx, user, &receiver, body.into()).await?
                }
            };
            message_fields(&sent.message)
        }
        "message:schedule" => {
            let body = parse::<ScheduleMessage>(data)?.body;
            let receiver = body.receiver_id.map(|given| given.0);
            let target = Target::new(body.conversation_id, receiver)?;
            let draft = body.message.into();
            let placed = scheduled::schedule(ctx, user, &target, draft, body.send_at).await?;
            Ok(format!(r#""scheduled":{}"#, json(&placed.scheduled)?))
        }
        "message:edit" => {
            let Payload { path, body } = parse::<EditMessage>(data)?;
            let edit = messages::Edit {
                content: body.content,
                metadata: body.metadata,
            };
            let message = messages::edit(ctx, user, &path.message_id, edit).await?;
            message_fields(&message)
        }
        "message:delete" => {
            let message = parse::<DeleteMessage>(data)?.path.message_id;
            messages::delete(ctx, user, &message).await?;
            Ok(String::new())
        }
        "reaction:add" => {
            let Payload { path, body } = parse::<AddReaction>(data)?;
            let reactions = reactions::add(ctx, user, &path.message_id, &body.emoji).await?;
            Ok(format!(r#""reactions":{}"#, json(&reactions)?))
        }
        "reaction:remove" => {
            let path = parse::<RemoveReaction>(data)?.path;
            let reactions = reactions::remove(ctx, user, &path.message_id, &path.emoji).await?;
            Ok(format!(r#""reactions":{}"#, json(&reactions)?))
        }
        "messages:sync" | "messages:list" => list(node, user, event, data).await,
        "message:read" => {
            let message = parse::<MarkMessageRead>(data)?.path.message_id;
            let at = receipts::mark_read(ctx, user, &message).await?;
            Ok(format!(r#""readAt":"{at}""#))
        }
        "message:delivered" => {
            let message = parse::<MarkMessageDelivered>(data)?.path.message_id;
            let at = receipts::mark_delivered(ctx, user, &message).await?;
            Ok(format!(r#""deliveredAt":"{at}""#))
        }
        "conversation:read" => {
            let Payload { path, body } = parse::<MarkConversationRead>(data)?;
            let up_to = body.up_to_message_id.as_ref();
            let count =
                receipts::read_conversation(ctx, user, &path.conversation_id, up_to).await?;
            Ok(format!(r#""count":{count}"#))
        }
        "ping" => {
            parse::<Ping>(data)?;
            Ok(format!(r#""pong":true,"timestamp":"{}""#, Timestamp::now()))
        }
        _ => Err(unknown()),
    }
}

async fn list(node: &Node, user: &UserId, event: &str, data: &str) -> Answer {
    let ctx = &node.ctx;
    if event == "messages:sync" {
        let Payload { path, body } = parse::<SyncMessages>(data)?;
        let request = PageRequest::new(body.limit, None, body.last_message_id, None)?;
        let request = request.within(bounds::SOCKET_PAGE);
        let page = messages::list(ctx, user, &path.conversation_id, &request)
            .await
            .map_err(|error| error.renamed("after", "lastMessageId"))?;
        return page_fields(&page);
    }
    let Payload { path, body } = parse::<ListMessages>(data)?;
    let request = PageRequest::new(body.limit, body.before, body.after, body.around)?;
    let request = request.within(bounds::SOCKET_PAGE);
    let page = messages::list(ctx, user, &path.conversation_id, &request).await?;
    page_fields(&page)
}

/// Returns the error for an event that this version does not know.
pub fn unknown() -> FrameError {
    FrameError {
        details: vec![crate::model::FieldError::new("event", "is not known")],
        ..FrameError::new("VALIDATION_ERROR", "This event is not known.")
    }
}

fn json<T: serde::Serialize>(value: &T) -> std::result::Result<String, FrameError> {
    serde_json::to_string(value).map_err(unencodable)
}

fn unencodable<E>(_: E) -> FrameError {
    DomainError::Internal("an answer cannot be encoded".into()).into()
}

/// Returns the error for a command that failed with an internal error.
pub fn failed() -> FrameError {
    DomainError::Internal("a command ended without an answer".into()).into()
}

fn message_fields(message: &Message) -> Answer {
    let mut text = Vec::with_capacity(MESSAGE_BYTES);
    text.extend_from_slice(b"\"message\":");
    serde_json::to_writer(&mut text, message).map_err(unencodable)?;
    String::from_utf8(text).map_err(unencodable)
}

fn page_fields(page: &Page<Message>) -> Answer {
    let cursor = match &page.next_cursor {
        Some(cursor) => format!(r#","nextCursor":{}"#, json(cursor)?),
        None => String::new(),
    };
    Ok(format!(
        r#""messages":{},"hasMore":{}{cursor}"#,
        json(&page.items)?,
        page.has_more
    ))
}

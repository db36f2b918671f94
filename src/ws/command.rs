//! Commands that a client can send over its socket. Each is one operation of the domain, with the same checks and errors as over REST.

use chat_sdk::{
    Attachment, ConversationId, GivenUserId, Message, MessageId, MessageType, Metadata, Timestamp,
    UserId, whole_number,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Node, frame::FrameError};
use crate::{
    bounds,
    domain::{
        DomainError, Result,
        messages::{self, Draft},
        page::{Page, PageRequest},
        patch::Patch,
        reactions, receipts,
        scheduled::{self, Target},
    },
    limits::{RateLimits, Verdict},
};

/// All events that a client may send; others are refused before their data is parsed.
pub const COMMANDS: &[&str] = &[
    "activity:ping",
    "authenticate",
    "conversation:read",
    "message:delete",
    "message:delivered",
    "message:edit",
    "message:read",
    "message:schedule",
    "message:send",
    "messages:list",
    "messages:sync",
    "ping",
    "presence:subscribe",
    "presence:unsubscribe",
    "reaction:add",
    "reaction:remove",
    "recording:start",
    "recording:stop",
    "room:join",
    "room:leave",
    "token:refresh",
    "typing:start",
    "typing:stop",
];

/// Buffer size that is enough for most messages as JSON, in bytes.
const MESSAGE_BYTES: usize = 768;

/// Result of a command: the fields of its ack; see [`super::frame::ack`].
pub type Answer = std::result::Result<String, FrameError>;

/// Data of `message:send`. Without `flatten`, which serde cannot combine with `deny_unknown_fields`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Send {
    conversation_id: Option<ConversationId>,
    receiver_id: Option<GivenUserId>,
    #[serde(default)]
    content: Option<String>,
    #[serde(rename = "type")]
    kind: Option<MessageType>,
    #[serde(default)]
    attachments: Option<Vec<Attachment>>,
    reply_to: Option<MessageId>,
    thread_id: Option<MessageId>,
    #[serde(default)]
    mentions: Option<Vec<GivenUserId>>,
    metadata: Option<Metadata>,
    client_message_id: Option<String>,
    #[serde(default)]
    silent: Option<bool>,
    #[serde(default, deserialize_with = "whole_number::optional")]
    ttl_seconds: Option<u32>,
    /// Time to send the message at; only with `message:schedule`.
    send_at: Option<Timestamp>,
}

impl Send {
    /// Splits the data into the target and the draft of the message.
    fn into_parts(self) -> Result<(Target, Draft)> {
        let receiver = self.receiver_id.map(|given| given.0);
        let target = Target::new(self.conversation_id, receiver)?;
        let draft = Draft {
            content: self.content.unwrap_or_default(),
            kind: self.kind,
            attachments: self.attachments.unwrap_or_default(),
            reply_to: self.reply_to,
            thread_id: self.thread_id,
            mentions: self
                .mentions
                .into_iter()
                .flatten()
                .map(|given| given.0)
                .collect(),
            metadata: self.metadata,
            client_message_id: self.client_message_id,
            silent: self.silent.unwrap_or_default(),
            ttl_seconds: self.ttl_seconds,
            forwarded_from: None,
            expires_at: None,
        };
        Ok((target, draft))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Edit {
    message_id: MessageId,
    #[serde(default)]
    content: Patch<String>,
    #[serde(default)]
    metadata: Patch<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Delete {
    message_id: MessageId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct React {
    message_id: MessageId,
    emoji: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sync {
    conversation_id: ConversationId,
    last_message_id: Option<String>,
    #[serde(default, deserialize_with = "whole_number::optional")]
    limit: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct List {
    conversation_id: ConversationId,
    before: Option<String>,
    after: Option<String>,
    around: Option<String>,
    #[serde(default, deserialize_with = "whole_number::optional")]
    limit: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Receipt {
    message_id: MessageId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadConversation {
    conversation_id: ConversationId,
    up_to_message_id: Option<MessageId>,
}

/// Data of a command that takes a conversation only.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Room {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
}

/// Data of a command that takes a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Cursor to resume from; only with `authenticate`.
    pub resume: Option<String>,
}

/// Parses the data of a command.
///
/// # Errors
/// [`DomainError::Validation`] with the field's name.
pub fn parse<T: DeserializeOwned>(data: &str) -> Result<T> {
    // serde would accept a JSON array as the fields in their order.
    if !data.trim_start().starts_with('{') {
        return Err(DomainError::invalid("data", "must be an object"));
    }
    if let Ok(value) = serde_json::from_str(data) {
        return Ok(value);
    }
    // Parse again, with the slower parser that reports the path of the faulty field.
    let mut json = serde_json::Deserializer::from_str(data);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // A missing or unknown field is reported at the object; append the field's name to the path.
        let named = ["missing field `", "unknown field `"];
        let name = named
            .iter()
            .find_map(|of| text.strip_prefix(of)?.split('`').next());
        let field = match (name, path.as_str()) {
            (None, ".") => "data".to_owned(),
            (Some(name), ".") => name.to_owned(),
            (Some(name), path) if path != name && !path.ends_with(&format!(".{name}")) => {
                format!("{path}.{name}")
            }
            _ => path,
        };
        DomainError::invalid(field, explain(&text))
    })
}

/// Returns the parse error in the words of REST: without its position and without the input.
fn explain(text: &str) -> String {
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.starts_with("missing field") {
        return "is required".to_owned();
    }
    if text.starts_with("unknown field") {
        return "is not a known field".to_owned();
    }
    if text.starts_with("duplicate field") {
        return "must be given once".to_owned();
    }
    if text.contains("escape") || text.contains("surrogate") {
        return "has an escape that is no character".to_owned();
    }
    if text.starts_with("invalid type") || text.starts_with("invalid value") {
        let expected = text.split("expected ").nth(1).unwrap_or("another type");
        let expected = match expected {
            "a sequence" => "a list",
            "a map" => "an object",
            "a boolean" => "true or false",
            text if text.starts_with("struct ") => "an object",
            text if text.starts_with(['u', 'i']) => "a whole number",
            text => text,
        };
        return format!("must be {expected}");
    }
    text.replace('`', "")
}

/// Counts a command of `user` against the rate limit that applies to it.
///
/// # Errors
/// A refusal with the time of the next attempt, if the limit is exceeded.
pub fn count(limits: &RateLimits, user: &UserId, event: &str) -> Verdict {
    match event {
        "message:send" | "message:schedule" => limits.messages(user),
        "typing:start" | "typing:stop" | "recording:start" | "recording:stop" => {
            limits.typing(user)
        }
        _ => limits.api(user),
    }
}

/// Runs a command that needs only the socket's user.
pub async fn run(node: &Node, user: &UserId, event: &str, data: &str) -> Answer {
    let ctx = &node.ctx;
    match event {
        "message:send" => {
            let send: Send = parse(data)?;
            if send.send_at.is_some() {
                return Err(DomainError::invalid("sendAt", "is not a known field").into());
            }
            let sent = match send.into_parts()? {
                (Target::Conversation(conversation), draft) => {
                    messages::send(ctx, user, &conversation, draft).await?
                }
                (Target::User(receiver), draft) => {
                    messages::send_direct(ctx, user, &receiver, draft).await?
                }
            };
            message_fields(&sent.message)
        }
        "message:schedule" => {
            let send: Send = parse(data)?;
            let Some(send_at) = send.send_at else {
                return Err(DomainError::invalid("sendAt", "is required").into());
            };
            let (target, draft) = send.into_parts()?;
            let placed = scheduled::schedule(ctx, user, &target, draft, send_at).await?;
            Ok(format!(r#""scheduled":{}"#, json(&placed.scheduled)?))
        }
        "message:edit" => {
            let Edit {
                message_id,
                content,
                metadata,
            } = parse(data)?;
            let edit = messages::Edit { content, metadata };
            let message = messages::edit(ctx, user, &message_id, edit).await?;
            message_fields(&message)
        }
        "message:delete" => {
            let delete: Delete = parse(data)?;
            messages::delete(ctx, user, &delete.message_id).await?;
            Ok(String::new())
        }
        "reaction:add" => {
            let react: React = parse(data)?;
            let reactions = reactions::add(ctx, user, &react.message_id, &react.emoji).await?;
            Ok(format!(r#""reactions":{}"#, json(&reactions)?))
        }
        "reaction:remove" => {
            let react: React = parse(data)?;
            let reactions = reactions::remove(ctx, user, &react.message_id, &react.emoji).await?;
            Ok(format!(r#""reactions":{}"#, json(&reactions)?))
        }
        "messages:sync" => {
            let sync: Sync = parse(data)?;
            let request = PageRequest::new(sync.limit, None, sync.last_message_id, None)?;
            let request = request.within(bounds::SOCKET_PAGE);
            let page = messages::list(ctx, user, &sync.conversation_id, &request)
                .await
                .map_err(|error| error.renamed("after", "lastMessageId"))?;
            page_fields(&page)
        }
        "messages:list" => {
            let list: List = parse(data)?;
            let request = PageRequest::new(list.limit, list.before, list.after, list.around)?;
            let request = request.within(bounds::SOCKET_PAGE);
            let page = messages::list(ctx, user, &list.conversation_id, &request).await?;
            page_fields(&page)
        }
        "message:read" => {
            let receipt: Receipt = parse(data)?;
            let at = receipts::mark_read(ctx, user, &receipt.message_id).await?;
            Ok(format!(r#""readAt":"{at}""#))
        }
        "message:delivered" => {
            let receipt: Receipt = parse(data)?;
            let at = receipts::mark_delivered(ctx, user, &receipt.message_id).await?;
            Ok(format!(r#""deliveredAt":"{at}""#))
        }
        "conversation:read" => {
            let read: ReadConversation = parse(data)?;
            let up_to = read.up_to_message_id.as_ref();
            let count =
                receipts::read_conversation(ctx, user, &read.conversation_id, up_to).await?;
            Ok(format!(r#""count":{count}"#))
        }
        "ping" => Ok(format!(r#""pong":true,"timestamp":"{}""#, Timestamp::now())),
        _ => Err(unknown()),
    }
}

/// Returns the error for an event that this version does not know.
pub fn unknown() -> FrameError {
    FrameError {
        details: vec![crate::domain::FieldError::new("event", "is not known")],
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

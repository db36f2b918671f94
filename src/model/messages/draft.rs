//! A message before it is sent: its limits, and what makes two messages the same.

use std::collections::HashSet;

use chat_sdk::{
    Attachment, ForwardedFrom, MessageId, MessageType, Metadata, Timestamp, UserId,
    commands::messages::SendMessage,
    text::{self, Shape},
};
use serde::{Deserialize, Serialize};

use crate::model::{
    entry::MessageCreated,
    error::{Faults, Result},
    fields::{check_metadata, check_url},
    size,
};

/// Maximum number of attachments of a message.
pub const MAX_ATTACHMENTS: usize = 20;
/// Maximum `ttlSeconds`: 366 days.
pub const MAX_TTL_SECONDS: u32 = 366 * 86_400;
/// Mentions every member.
pub const MENTION_ALL: &str = "@all";
/// Mentions everybody who is online.
pub const MENTION_HERE: &str = "@here";
/// Maximum number of users that a message mentions.
pub const MAX_MENTIONS: usize = 100;
/// Maximum length of a `clientMessageId` in characters.
pub const MAX_CLIENT_MESSAGE_ID: usize = 128;
/// Maximum length of an attachment's name or media type in characters.
const MAX_ATTACHMENT_TEXT: usize = 255;

/// A message to send, as REST, sockets and hosts supply it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Draft {
    /// Text of the message; may be empty only with attachments or for a custom message.
    #[serde(default)]
    pub content: String,
    /// Type of the message.
    #[serde(default, rename = "type")]
    pub kind: Option<MessageType>,
    /// Files attached to the message.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Id of the message that it quotes.
    #[serde(default)]
    pub reply_to: Option<MessageId>,
    /// Id of the root message of its thread.
    #[serde(default)]
    pub thread_id: Option<MessageId>,
    /// Users who are mentioned.
    #[serde(default)]
    pub mentions: Vec<UserId>,
    /// Data that the host attaches.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Id that makes the send repeatable: the same id in the same conversation is the same message.
    #[serde(default)]
    pub client_message_id: Option<String>,
    /// True if the message notifies nobody and does not count as unread.
    #[serde(default)]
    pub silent: bool,
    /// Lifetime in seconds.
    #[serde(default)]
    pub ttl_seconds: Option<u32>,
    /// Origin of a forwarded message; never given by a client.
    #[serde(skip)]
    pub forwarded_from: Option<ForwardedFrom>,
    /// Expiry of a forwarded message; never given by a client.
    #[serde(skip)]
    pub expires_at: Option<Timestamp>,
}

impl From<SendMessage> for Draft {
    fn from(body: SendMessage) -> Self {
        Self {
            content: body.content.unwrap_or_default(),
            kind: body.kind,
            attachments: body.attachments.unwrap_or_default(),
            reply_to: body.reply_to,
            thread_id: body.thread_id,
            mentions: body
                .mentions
                .into_iter()
                .flatten()
                .map(|given| given.0)
                .collect(),
            metadata: body.metadata,
            client_message_id: body.client_message_id,
            silent: body.silent.unwrap_or_default(),
            ttl_seconds: body.ttl_seconds,
            forwarded_from: None,
            expires_at: None,
        }
    }
}

/// Returns the message of a draft that is sent now.
pub(crate) fn created(draft: Draft, request_hash: Option<String>) -> MessageCreated {
    MessageCreated {
        schedule: None,
        content: draft.content,
        kind: draft.kind.unwrap_or_default(),
        attachments: draft.attachments,
        reply_to: draft.reply_to,
        thread_id: draft.thread_id,
        mentions: draft.mentions,
        metadata: draft.metadata,
        client_message_id: draft.client_message_id,
        request_hash,
        thread_reply_count: None,
        is_thread_expiring: false,
        here: Vec::new(),
        silent: draft.silent,
        forwarded_from: draft.forwarded_from,
        expires_at: draft.expires_at.map(Timestamp::as_millis).or_else(|| {
            let seconds = i64::from(draft.ttl_seconds?);
            Some(Timestamp::now().as_millis() + seconds * 1000)
        }),
    }
}

pub(crate) fn check_draft(max_bytes: usize, actor: Option<&UserId>, draft: &Draft) -> Result<()> {
    let mut faults = Faults::default();
    let may_be_empty = !draft.attachments.is_empty() || draft.kind == Some(MessageType::Custom);
    faults.when(
        draft
            .ttl_seconds
            .is_some_and(|seconds| !(1..=MAX_TTL_SECONDS).contains(&seconds)),
        "ttlSeconds",
        "must be between 1 and 31622400 (366 days)",
    );
    check_content(max_bytes, &draft.content, &mut faults);
    faults.when(
        !may_be_empty && is_empty(&draft.content),
        "content",
        "must not be empty",
    );
    faults.when(
        draft.kind == Some(MessageType::System) && actor.is_some(),
        "type",
        "must be text or custom; system messages are reserved for the service and the host",
    );
    if draft.attachments.len() > MAX_ATTACHMENTS {
        let message = format!("must have at most {MAX_ATTACHMENTS} items");
        faults.add("attachments", message);
    }
    for (index, attachment) in draft.attachments.iter().enumerate() {
        let (url, thumbnail) = (&attachment.url, attachment.thumbnail_url.as_ref());
        check_url(format!("attachments[{index}].url"), Some(url), &mut faults);
        let field = format!("attachments[{index}].thumbnailUrl");
        check_url(field, thumbnail, &mut faults);
        faults.when(
            attachment.size.is_some_and(|size| size < 0),
            format!("attachments[{index}].size"),
            "must be at least 0",
        );
        for (field, text) in [
            ("name", &attachment.name),
            ("mimeType", &attachment.mime_type),
        ] {
            let field = format!("attachments[{index}].{field}");
            faults.text(field, text.as_ref(), Shape::Line, MAX_ATTACHMENT_TEXT);
        }
    }
    if draft.mentions.len() > MAX_MENTIONS {
        let message = format!("must have at most {MAX_MENTIONS} items");
        faults.add("mentions", message);
    }
    let mut seen = HashSet::new();
    for (index, user) in draft.mentions.iter().enumerate() {
        faults.when(
            !seen.insert(user),
            format!("mentions[{index}]"),
            "repeats an earlier item",
        );
    }
    check_metadata(draft.metadata.as_ref(), &mut faults);
    check_client_message_id(draft.client_message_id.as_deref(), &mut faults);
    faults.into_result()?;
    size::check_draft(actor, draft)
}

/// Returns true if a text is empty.
///
/// Only custom messages and messages with attachments may have such a text.
pub(crate) fn is_empty(content: &str) -> bool {
    text::is_blank(content)
}

pub(crate) fn check_content(max_bytes: usize, content: &str, faults: &mut Faults) {
    if content.len() > max_bytes {
        faults.add("content", format!("must have at most {max_bytes} bytes"));
    }
    faults.when(
        content.contains('\0'),
        "content",
        "must not contain the character U+0000",
    );
}

/// Adds an error if a `clientMessageId` is invalid.
pub(crate) fn check_client_message_id(id: Option<&str>, faults: &mut Faults) {
    let is_id = |id: &str| {
        (1..=MAX_CLIENT_MESSAGE_ID).contains(&id.chars().count())
            && !id.chars().any(char::is_control)
    };
    faults.when(
        id.is_some_and(|id| !is_id(id)),
        "clientMessageId",
        "must have 1 to 128 characters, none of them a control character",
    );
}

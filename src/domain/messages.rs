//! Messages: sending, editing, deleting, reading.

use std::collections::HashSet;

use chat_sdk::{
    Attachment, ConversationId, ForwardedFrom, Message, MessageId, MessageType, Metadata, Role,
    Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Context, access,
    audience::Audience,
    blocks,
    command::{Command, Decision, Outcome, Request},
    conversations,
    entry::{Body, MessageCreated, MessageEdit, MessageRemoval, MessageRestored},
    error::{DomainError, Faults, Result},
    page::{Page, PageRequest},
    presence,
    state::{ConversationState, MessageState},
    users,
};
use crate::store::{Membership, StoredMessage};

/// The most attachments of a message.
pub const MAX_ATTACHMENTS: usize = 20;
/// The longest `ttlSeconds`: a year.
pub const MAX_TTL_SECONDS: u32 = 366 * 86_400;
/// The most conversations that a message is forwarded to at once.
pub const MAX_FORWARDS: usize = 20;
/// Mentions every member.
pub const MENTION_ALL: &str = "@all";
/// Mentions everybody who is online.
pub const MENTION_HERE: &str = "@here";
/// The most users that a message mentions.
pub const MAX_MENTIONS: usize = 100;
/// The most characters of a `clientMessageId`.
pub const MAX_CLIENT_MESSAGE_ID: usize = 128;
/// The most bytes of an encoded event (128 KiB) less what its envelope may take: what a message's own parts may add up to.
const MAX_ENCODED_BYTES: usize = 120 * 1024;

/// A message to send, as REST, sockets and hosts give it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Draft {
    /// Its text; may be empty only with attachments or for a custom message.
    #[serde(default)]
    pub content: String,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: Option<MessageType>,
    /// The files it carries.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// The message that it quotes.
    #[serde(default)]
    pub reply_to: Option<MessageId>,
    /// The root of its thread.
    #[serde(default)]
    pub thread_id: Option<MessageId>,
    /// Who is mentioned.
    #[serde(default)]
    pub mentions: Vec<UserId>,
    /// The host's own data.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Makes the send repeatable: the same id in the same conversation is the same message.
    #[serde(default)]
    pub client_message_id: Option<String>,
    /// Whether it notifies nobody and counts as unread for nobody.
    #[serde(default)]
    pub silent: bool,
    /// After how many seconds it is gone.
    #[serde(default)]
    pub ttl_seconds: Option<u32>,
    /// Where it was forwarded from; never given by a client.
    #[serde(skip)]
    pub forwarded_from: Option<ForwardedFrom>,
}

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
        (Body::MessageCreated(body), false) => super::catalogue::message(&entry, body),
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
pub(super) async fn check_quote(
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

pub(super) fn not_of_conversation(field: &str) -> DomainError {
    DomainError::invalid(field, "is no message of this conversation")
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

/// The message of a draft that is sent now.
pub(super) fn created(draft: Draft, request_hash: Option<String>) -> MessageCreated {
    MessageCreated {
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
        here: Vec::new(),
        silent: draft.silent,
        forwarded_from: draft.forwarded_from,
        expires_at: draft
            .ttl_seconds
            .map(|seconds| Timestamp::now().as_millis() + i64::from(seconds) * 1000),
    }
}

/// Changes a message's text. Only its sender may.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`], [`DomainError::Conflict`] for a deleted one.
pub async fn edit(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    content: String,
    metadata: Option<Metadata>,
) -> Result<Message> {
    let mut faults = Faults::default();
    check_content(ctx, &content, false, &mut faults);
    check_metadata(metadata.as_ref(), &mut faults);
    faults.into_result()?;
    let stored = access_message(ctx, actor, message).await?;
    let edit = MessageEdit {
        message_id: message.clone(),
        content,
        // An edit replaces the one before, so it carries on what that one said.
        metadata: metadata.or_else(|| stored.edited_metadata()),
    };
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::EditMessage(edit),
    ))
    .await?;
    get(ctx, actor, message).await
}

/// Deletes a message; a tombstone keeps its place. Its sender may, and an admin or owner.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`].
pub async fn delete(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<()> {
    let stored = access_message(ctx, actor, message).await?;
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::DeleteMessage(MessageRemoval {
            message_id: message.clone(),
            is_expired: false,
        }),
    ))
    .await?;
    Ok(())
}

/// Brings a deleted message back, as it was. An admin or owner may.
///
/// # Errors
/// [`DomainError::NotFound`], [`DomainError::Forbidden`], [`DomainError::Conflict`] when its time is over or its content was erased.
pub async fn restore(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Message> {
    let stored = access_message(ctx, actor, message).await?;
    if stored.is_erased() {
        return Err(DomainError::Conflict(
            "The content of the message was erased; it cannot come back.".into(),
        ));
    }
    let restored = stored.clone().into_restored();
    ctx.append(Request::new(
        stored.conversation_id.clone(),
        Some(actor.clone()),
        Command::RestoreMessage(Box::new(restored)),
    ))
    .await?;
    get(ctx, actor, message).await
}

/// Sends a message on to other conversations, at most [`MAX_FORWARDS`], with its text, files and metadata. With `client_message_id` it can be
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
            faults.when(true, field, "is no conversation of the caller");
        } else if is_blocked {
            faults.when(true, field, "is with a user who cannot be written to");
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
        ..Draft::default()
    };
    let mut messages = Vec::with_capacity(conversations.len());
    for conversation in conversations {
        let sent = send(ctx, actor, conversation, draft.clone()).await?;
        messages.push(sent.message);
    }
    Ok(messages)
}

/// The replies in a message's thread, oldest first with `after`, else newest first.
///
/// # Errors
/// [`DomainError::NotFound`] when the caller may not see the message, [`DomainError::Validation`] for an unknown cursor.
pub async fn replies(
    ctx: &Context,
    actor: &UserId,
    root: &MessageId,
    request: &PageRequest,
) -> Result<Page<Message>> {
    request.check_one_way()?;
    let (stored, _, audience) = visible_message(ctx, actor, root).await?;
    let page = ctx
        .store
        .find_reply_page(&stored, &audience, request)
        .await?;
    views(ctx, page, &audience, actor).await
}

/// One message.
///
/// # Errors
/// [`DomainError::NotFound`] when the caller may not see it.
pub async fn get(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Message> {
    let (stored, _, audience) = visible_message(ctx, actor, message).await?;
    view(ctx, stored, audience.as_of(), Some(actor)).await
}

/// A message as `viewer` sees it; with `as_of`, as it was then.
pub(super) async fn view(
    ctx: &Context,
    stored: StoredMessage,
    as_of: Option<u64>,
    viewer: Option<&UserId>,
) -> Result<Message> {
    let mut views = ctx.store.views(vec![stored], as_of, viewer).await?;
    views.pop().ok_or_else(DomainError::no_message)
}

async fn views(
    ctx: &Context,
    page: Page<StoredMessage>,
    audience: &Audience,
    viewer: &UserId,
) -> Result<Page<Message>> {
    Ok(Page {
        items: ctx
            .store
            .views(page.items, audience.as_of(), Some(viewer))
            .await?,
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    })
}

/// A piece of a conversation's history: newest first, with `after` oldest first.
///
/// # Errors
/// [`DomainError::NotFound`] for who never was a member, [`DomainError::Validation`] for an unknown cursor.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    request: &PageRequest,
) -> Result<Page<Message>> {
    let audience = audience(ctx, actor, conversation).await?;
    let page = ctx
        .store
        .find_message_page(conversation, &audience, request)
        .await?;
    views(ctx, page, &audience, actor).await
}

/// One version of a message's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The text.
    pub content: String,
    /// Since when.
    pub at: chat_sdk::Timestamp,
}

/// Every text that a message had, oldest first. A deleted message shows none.
///
/// # Errors
/// [`DomainError::NotFound`] when the caller may not see the message.
pub async fn history(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Vec<Version>> {
    let (stored, _, audience) = visible_message(ctx, actor, message).await?;
    ctx.store.find_versions(&stored, audience.as_of()).await
}

/// A stored message that `actor` may see, as a member or former member, with what says so.
///
/// # Errors
/// [`DomainError::NotFound`] for everybody else: the answer for a missing message.
pub(super) async fn visible_message(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<(StoredMessage, Membership, Audience)> {
    let stored = ctx
        .store
        .find_message(message)
        .await?
        .ok_or_else(DomainError::no_message)?;
    let membership = ctx
        .store
        .find_membership(&stored.conversation_id, actor)
        .await?;
    let audience = membership.audience().map_err(as_no_message)?;
    if !audience.sees(stored.seq) || stored.is_gone(Timestamp::now()) {
        return Err(DomainError::no_message());
    }
    Ok((stored, membership, audience))
}

async fn audience(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
) -> Result<Audience> {
    let membership = ctx.store.find_membership(conversation, actor).await?;
    membership.audience()
}

/// The stored message, for a member of its conversation who may see it.
pub(super) async fn access_message(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<StoredMessage> {
    let (stored, membership, _) = visible_message(ctx, actor, message).await?;
    membership.active().map_err(as_no_message)?;
    Ok(stored)
}

/// Whoever may not know of the conversation gets the answer for a missing message.
pub(super) fn as_no_message(error: DomainError) -> DomainError {
    match error {
        DomainError::NotFound(_) => DomainError::no_message(),
        other => other,
    }
}

pub(super) fn check_draft(ctx: &Context, actor: Option<&UserId>, draft: &Draft) -> Result<()> {
    let mut faults = Faults::default();
    let may_be_empty = !draft.attachments.is_empty() || draft.kind == Some(MessageType::Custom);
    faults.when(
        draft
            .ttl_seconds
            .is_some_and(|seconds| !(1..=MAX_TTL_SECONDS).contains(&seconds)),
        "ttlSeconds",
        "must be between 1 and 31622400, which is a year",
    );
    check_content(ctx, &draft.content, may_be_empty, &mut faults);
    faults.when(
        draft.kind == Some(MessageType::System) && actor.is_some(),
        "type",
        "must be text or custom; system messages are the service's and the host's own",
    );
    faults.when(
        draft.attachments.len() > MAX_ATTACHMENTS,
        "attachments",
        format!("must have at most {MAX_ATTACHMENTS} items"),
    );
    for (index, attachment) in draft.attachments.iter().enumerate() {
        let length = attachment.url.chars().count();
        faults.when(
            !(1..=2048).contains(&length),
            format!("attachments[{index}].url"),
            "must have 1 to 2,048 characters",
        );
    }
    faults.when(
        draft.mentions.len() > MAX_MENTIONS,
        "mentions",
        format!("must have at most {MAX_MENTIONS} items"),
    );
    let mut seen = HashSet::new();
    for (index, user) in draft.mentions.iter().enumerate() {
        faults.when(
            !seen.insert(user),
            format!("mentions[{index}]"),
            "repeats an earlier item",
        );
    }
    check_metadata(draft.metadata.as_ref(), &mut faults);
    if let Some(id) = &draft.client_message_id {
        let length = id.chars().count();
        faults.when(
            !(1..=MAX_CLIENT_MESSAGE_ID).contains(&length) || id.chars().any(char::is_control),
            "clientMessageId",
            "must have 1 to 128 characters, none of them a control character",
        );
    }
    let attachment_bytes: usize = draft.attachments.iter().map(attachment_len).sum();
    faults.when(
        // JSON escapes can make a text up to six times longer; the event must still fit.
        json_len(&draft.content) + attachment_bytes > MAX_ENCODED_BYTES,
        "content",
        "makes the message larger than 120 KiB together with its attachments",
    );
    faults.into_result()
}

fn attachment_len(attachment: &Attachment) -> usize {
    serde_json::to_string(attachment).map_or(usize::MAX, |text| text.len())
}

/// How long `text` is inside JSON; long texts only, because short ones cannot reach the limit.
fn json_len(text: &str) -> usize {
    if text.len() * 6 < MAX_ENCODED_BYTES {
        return text.len();
    }
    serde_json::to_string(text).map_or(usize::MAX, |text| text.len())
}

fn check_content(ctx: &Context, content: &str, may_be_empty: bool, faults: &mut Faults) {
    faults.when(
        !may_be_empty && content.trim().is_empty(),
        "content",
        "must not be empty",
    );
    faults.when(
        content.len() > ctx.limits.max_message_bytes,
        "content",
        format!("must have at most {} bytes", ctx.limits.max_message_bytes),
    );
    faults.when(
        content.contains('\0'),
        "content",
        "must not contain the character U+0000",
    );
}

/// Notes metadata that is too large.
pub(super) fn check_metadata(metadata: Option<&Metadata>, faults: &mut Faults) {
    faults.when(
        metadata.is_some_and(|metadata| metadata.json_len() > Metadata::MAX_BYTES),
        "metadata",
        "must have at most 16 KiB as JSON",
    );
}

/// A short digest of everything that makes two drafts the same message.
pub(super) fn request_hash(draft: &Draft) -> String {
    let mut digest = Sha256::new();
    let mut part = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    part(&draft.content);
    part(&format!("{:?}", draft.kind.unwrap_or_default()));
    for attachment in &draft.attachments {
        part(&serde_json::to_string(attachment).unwrap_or_default());
    }
    part(draft.reply_to.as_ref().map_or("", MessageId::as_str));
    part(draft.thread_id.as_ref().map_or("", MessageId::as_str));
    for user in &draft.mentions {
        part(user.as_str());
    }
    if draft.silent || draft.ttl_seconds.is_some() || draft.forwarded_from.is_some() {
        part(&format!("{} {:?}", draft.silent, draft.ttl_seconds));
        part(&format!("{:?}", draft.forwarded_from));
    }
    if let Some(metadata) = &draft.metadata {
        part(&serde_json::to_string(metadata).unwrap_or_default());
    }
    let digest = digest.finalize();
    digest[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(super) fn check_send(
    state: &ConversationState,
    actor: Option<&UserId>,
    root: Option<&MessageState>,
    message: &MessageCreated,
) -> Result<Decision> {
    let (fields, standing) = access::member(state, actor)?;
    access::not_blocked(state, actor)?;
    let mut message = message.clone();
    if message.thread_id.is_some() {
        if !fields.settings.features.threads {
            return Err(DomainError::Forbidden(
                "Threads are off in this conversation.".into(),
            ));
        }
        let sees = |seq| {
            standing
                .member()
                .is_none_or(|member| Audience::of(fields, member).sees(seq))
        };
        let root = in_conversation(state, root)
            .ok()
            .filter(|root| sees(root.seq) && !root.is_expired)
            .ok_or_else(|| not_of_conversation("threadId"))?;
        if root.thread_id.is_some() {
            return Err(DomainError::invalid(
                "threadId",
                "is itself a reply; name the message that its thread began with",
            ));
        }
        if root.is_deleted {
            return Err(deleted());
        }
        message.thread_reply_count = Some(root.reply_count + 1);
    }
    Ok(Decision::Append(Body::MessageCreated(Box::new(message))))
}

fn deleted() -> DomainError {
    DomainError::Conflict("The message was deleted.".into())
}

pub(super) fn check_edit(
    state: &ConversationState,
    actor: Option<&UserId>,
    target: Option<&MessageState>,
    edit: &MessageEdit,
) -> Result<Decision> {
    access::member(state, actor).map_err(as_no_message)?;
    let target = in_conversation(state, target)?;
    if actor != Some(&target.sender) {
        return Err(DomainError::Forbidden(
            "Only its sender may change a message.".into(),
        ));
    }
    if target.is_deleted {
        return Err(deleted());
    }
    access::not_blocked(state, actor)?;
    Ok(Decision::Append(Body::MessageUpdated(edit.clone())))
}

pub(super) fn check_delete(
    state: &ConversationState,
    actor: Option<&UserId>,
    target: Option<&MessageState>,
    removal: &MessageRemoval,
) -> Result<Decision> {
    let (_, standing) = access::member(state, actor).map_err(as_no_message)?;
    let target = in_conversation(state, target)?;
    if actor != Some(&target.sender) && standing.role() < Role::Admin {
        return Err(DomainError::Forbidden(
            "Only its sender, or an owner or admin of the conversation, may delete a message."
                .into(),
        ));
    }
    if target.is_expired || (target.is_deleted && !removal.is_expired) {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Append(Body::MessageDeleted(removal.clone())))
}

pub(super) fn check_restore(
    state: &ConversationState,
    actor: Option<&UserId>,
    target: Option<&MessageState>,
    restored: &MessageRestored,
) -> Result<Decision> {
    let (_, standing) = access::member(state, actor).map_err(as_no_message)?;
    let target = in_conversation(state, target)?;
    standing.require(Role::Admin)?;
    if !target.is_deleted {
        return Ok(Decision::Nothing);
    }
    if target.is_expired {
        return Err(DomainError::no_message());
    }
    if target.edit_seq != restored.edit_seq {
        return Err(DomainError::Conflict(
            "The message was changed meanwhile; try again.".into(),
        ));
    }
    Ok(Decision::Append(Body::MessageRestored(Box::new(
        restored.clone(),
    ))))
}

pub(super) fn in_conversation<'a>(
    state: &ConversationState,
    target: Option<&'a MessageState>,
) -> Result<&'a MessageState> {
    target
        .filter(|message| message.conversation == state.id)
        .ok_or_else(DomainError::no_message)
}

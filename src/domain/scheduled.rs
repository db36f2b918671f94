//! Messages that are sent later.
//!
//! One is checked when it is scheduled, as if it were sent then, and again when it is sent. Whoever sends it has to claim it first: from then on it
//! counts as sent, so of a claim and a change or cancellation at the same moment exactly one wins. The id of the message that is sent follows from
//! the schedule's, so however often the sending is tried, it is one message.

use chat_sdk::{
    Attachment, ConversationId, Metadata, ScheduledFailure, ScheduledId, ScheduledMessage,
    ScheduledStatus, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::{
    Context, blocks,
    command::{Command, Request},
    conversations,
    entry::MessageCreated,
    error::{DomainError, Faults, Result},
    hashed,
    messages::{self, Draft, Sent},
    page::{Page, PageRequest},
    patch::Patch,
    users,
};
use crate::{failpoint, store::InsertedScheduled};

/// The furthest that a message can be scheduled ahead: a year, in milliseconds.
pub const MAX_AHEAD: i64 = 366 * 86_400_000;
/// The most scheduled messages that a user has, failed ones among them.
pub const MAX_SCHEDULED: u32 = 1000;
/// How often a change is tried again that met another one.
const CHANGE_ATTEMPTS: usize = 5;

/// Where a scheduled message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It waits for its time.
    Pending,
    /// Somebody is sending it; for its author it is sent.
    Sending,
    /// It was refused.
    Failed,
}

/// A scheduled message.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// Its id.
    pub id: ScheduledId,
    /// Where it goes.
    pub conversation: ConversationId,
    /// Whose it is.
    pub sender: UserId,
    /// The other user of a direct conversation, which is made when it is sent.
    pub receiver: Option<UserId>,
    /// What is sent.
    pub draft: Draft,
    /// Tells a repetition from another message under the same `clientMessageId`: the hash of what was asked for at first.
    pub request_hash: Option<String>,
    /// For when it was asked for at first.
    pub first_send_at: Timestamp,
    /// When it is sent.
    pub send_at: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// Why it was refused.
    pub failure: Option<ScheduledFailure>,
    /// How often somebody began to send it.
    pub attempts: u32,
    /// How often it was changed.
    pub version: u64,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Scheduled {
    /// As its author sees it.
    pub fn into_view(self) -> ScheduledMessage {
        ScheduledMessage {
            id: self.id,
            conversation_id: self.conversation,
            sender_id: self.sender,
            content: self.draft.content,
            kind: self.draft.kind.unwrap_or_default(),
            attachments: self.draft.attachments,
            reply_to: self.draft.reply_to,
            thread_id: self.draft.thread_id,
            mentions: self.draft.mentions,
            metadata: self.draft.metadata,
            client_message_id: self.draft.client_message_id,
            silent: self.draft.silent.then_some(true),
            ttl_seconds: self.draft.ttl_seconds,
            send_at: self.send_at,
            status: match self.stage {
                Stage::Pending | Stage::Sending => ScheduledStatus::Pending,
                Stage::Failed => ScheduledStatus::Failed,
            },
            failure: self.failure,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// What became of a wish to send later.
#[derive(Debug, Clone, PartialEq)]
pub enum Placed {
    /// It waits for its time.
    Waiting(Box<ScheduledMessage>),
    /// It was the repetition of one that is sent by now.
    Sent(Box<Sent>),
}

/// A change of a scheduled message. What is left out stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Its text.
    pub content: Option<String>,
    /// The files it carries.
    pub attachments: Option<Vec<Attachment>>,
    /// Who is mentioned.
    pub mentions: Option<Vec<UserId>>,
    /// The host's own data.
    pub metadata: Patch<Metadata>,
    /// Whether it notifies nobody.
    pub silent: Option<bool>,
    /// How many seconds after it was sent it is gone.
    pub ttl_seconds: Patch<u32>,
    /// When it is sent; one that failed waits again.
    pub send_at: Option<Timestamp>,
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
    let conversation = conversations::direct_id(actor, receiver);
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
    messages::check_draft(ctx, Some(actor), &draft)?;
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
    // Before the time is looked at: by now it may be over, and the message sent.
    if let Some(earlier) = find_earlier(ctx, &scheduled).await? {
        return Ok(earlier);
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
    Ok(Placed::Waiting(Box::new(scheduled.into_view())))
}

/// What was scheduled or sent before under the same `clientMessageId`.
async fn find_earlier(ctx: &Context, wanted: &Scheduled) -> Result<Option<Placed>> {
    let Some(id) = &wanted.draft.client_message_id else {
        return Ok(None);
    };
    let other = || {
        DomainError::Conflict(
            "This clientMessageId was used for another message in this conversation.".into(),
        )
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
                .find_message_under(&wanted.conversation, &wanted.sender, id)
                .await?
        }
        false => None,
    };
    if let (Some(found), None) = (waiting, &sent) {
        let is_same = found.request_hash == wanted.request_hash
            && found.first_send_at == wanted.first_send_at;
        return match is_same {
            true => Ok(Some(Placed::Waiting(Box::new(found.into_view())))),
            false => Err(other()),
        };
    }
    let Some((stored, request_hash)) = sent else {
        return Ok(None);
    };
    if request_hash != wanted.request_hash {
        return Err(other());
    }
    Ok(Some(Placed::Sent(Box::new(Sent {
        message: messages::view(ctx, stored, None, Some(&wanted.sender)).await?,
        is_repeated: true,
    }))))
}

fn check_time(send_at: Timestamp) -> Result<()> {
    let ahead = send_at.as_millis() - Timestamp::now().as_millis();
    let mut faults = Faults::default();
    faults.when(ahead <= 0, "sendAt", "must lie in the future");
    faults.when(
        ahead > MAX_AHEAD,
        "sendAt",
        "must lie within the next 366 days",
    );
    faults.into_result()
}

/// Checks what a send at this moment would be checked for.
async fn check_sendable(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let (actor, draft) = (&scheduled.sender, &scheduled.draft);
    let now = Timestamp::now();
    let state = ctx
        .store
        .find_state_for(&scheduled.conversation, actor)
        .await?;
    let root = match &draft.thread_id {
        None => None,
        Some(id) => ctx.store.find_message(id).await?,
    };
    let root = root.filter(|root| !root.is_gone(now));
    let root = root.map(crate::store::StoredMessage::into_state);
    let message = messages::created(draft.clone(), None);
    match messages::check_send(&state, Some(actor), root.as_ref(), &message) {
        Ok(_) => messages::check_quote(ctx, actor, &scheduled.conversation, draft).await,
        Err(DomainError::NotFound(_)) if scheduled.receiver.is_some() => {
            check_may_begin(ctx, scheduled).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// Checks whether the direct conversation can be made that is not there yet.
async fn check_may_begin(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let Some(receiver) = &scheduled.receiver else {
        return Err(DomainError::no_conversation());
    };
    if *receiver == scheduled.sender {
        return Err(DomainError::invalid(
            "receiverId",
            "must be another user than the sender",
        ));
    }
    users::check_known(ctx, "receiverId", std::slice::from_ref(receiver)).await?;
    blocks::check_may_start(ctx, &scheduled.sender, receiver, "receiverId").await?;
    for (field, message) in [
        ("replyTo", &scheduled.draft.reply_to),
        ("threadId", &scheduled.draft.thread_id),
    ] {
        if message.is_some() {
            return Err(messages::not_of_conversation(field));
        }
    }
    Ok(())
}

/// The caller's scheduled messages, soonest first.
///
/// # Errors
/// [`DomainError::Validation`] for an unknown cursor.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    request: &PageRequest,
) -> Result<Page<ScheduledMessage>> {
    let page = ctx.store.find_scheduled_page(actor, request).await?;
    Ok(Page {
        items: page.items.into_iter().map(Scheduled::into_view).collect(),
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    })
}

/// One of the caller's scheduled messages.
///
/// # Errors
/// [`DomainError::NotFound`], also once it was sent.
pub async fn get(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<ScheduledMessage> {
    Ok(find(ctx, actor, id).await?.into_view())
}

async fn find(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<Scheduled> {
    ctx.store
        .find_scheduled(actor, id)
        .await?
        .ok_or_else(DomainError::no_scheduled)
}

/// Changes one of the caller's scheduled messages. One that failed waits again when it gets a new time.
///
/// # Errors
/// [`DomainError::NotFound`], also once it was sent; [`DomainError::Validation`] for every fault of what it would be.
pub async fn change(
    ctx: &Context,
    actor: &UserId,
    id: &ScheduledId,
    change: Change,
) -> Result<ScheduledMessage> {
    for _ in 0..CHANGE_ATTEMPTS {
        let found = find(ctx, actor, id).await?;
        let changed = changed(&found, change.clone());
        if changed == found {
            return Ok(found.into_view());
        }
        messages::check_draft(ctx, Some(actor), &changed.draft)?;
        if change.send_at.is_some() {
            check_time(changed.send_at)?;
        }
        let changed = Scheduled {
            version: found.version + 1,
            updated_at: Timestamp::now(),
            ..changed
        };
        if ctx.store.update_scheduled(&found, &changed).await? {
            return Ok(changed.into_view());
        }
    }
    Err(DomainError::Unavailable(
        "The scheduled message was changed by others at the same time; try again.".into(),
    ))
}

fn changed(found: &Scheduled, change: Change) -> Scheduled {
    let mut scheduled = found.clone();
    let draft = &mut scheduled.draft;
    if let Some(content) = change.content {
        draft.content = content;
    }
    if let Some(attachments) = change.attachments {
        draft.attachments = attachments;
    }
    if let Some(mentions) = change.mentions {
        draft.mentions = mentions;
    }
    change.metadata.apply(&mut draft.metadata);
    if let Some(silent) = change.silent {
        draft.silent = silent;
    }
    change.ttl_seconds.apply(&mut draft.ttl_seconds);
    if let Some(send_at) = change.send_at {
        scheduled.send_at = send_at;
        scheduled.stage = Stage::Pending;
        scheduled.failure = None;
        scheduled.attempts = 0;
    }
    scheduled
}

/// Cancels one of the caller's scheduled messages.
///
/// # Errors
/// [`DomainError::NotFound`], also once it was sent.
pub async fn cancel(ctx: &Context, actor: &UserId, id: &ScheduledId) -> Result<()> {
    match ctx.store.remove_scheduled(actor, id).await? {
        true => Ok(()),
        false => Err(DomainError::no_scheduled()),
    }
}

/// What became of a due message.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// It is sent.
    Sent,
    /// It was refused, and says so from now on.
    Failed(ScheduledFailure),
    /// Somebody else has it, or it was cancelled or changed.
    NotDue,
}

/// Sends the scheduled message `id`, whose time has come.
///
/// # Errors
/// Whatever may pass: then it is due again a little later, each time later.
pub async fn deliver(ctx: &Context, id: &ScheduledId) -> Result<Delivery> {
    let Some(scheduled) = ctx.store.claim_scheduled(id, Timestamp::now()).await? else {
        return Ok(Delivery::NotDue);
    };
    failpoint::hit("timer.before_send");
    let outcome = send(ctx, &scheduled).await;
    failpoint::hit("timer.after_send");
    let refusal = match outcome {
        Ok(()) => None,
        Err(error @ (DomainError::Unavailable(_) | DomainError::Internal(_))) => return Err(error),
        // The refusal may come from what happened after it was sent by somebody who died then.
        Err(refusal) => {
            let message = hashed::sending_of(id).to_message_id();
            ctx.store
                .find_message(&message)
                .await?
                .is_none()
                .then_some(refusal)
        }
    };
    let Some(refusal) = refusal else {
        ctx.store.finish_scheduled(id).await?;
        return Ok(Delivery::Sent);
    };
    let failure = ScheduledFailure {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
    };
    ctx.store.fail_scheduled(&scheduled, &failure).await?;
    Ok(Delivery::Failed(failure))
}

async fn send(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let actor = &scheduled.sender;
    match try_send(ctx, scheduled).await {
        Err(DomainError::NotFound(_)) if scheduled.receiver.is_some() => {
            check_may_begin(ctx, scheduled).await?;
            if let Some(receiver) = &scheduled.receiver {
                conversations::create_direct(ctx, actor, receiver, Default::default()).await?;
            }
            try_send(ctx, scheduled).await
        }
        outcome => outcome,
    }
}

async fn try_send(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let (actor, draft) = (&scheduled.sender, &scheduled.draft);
    messages::check_draft(ctx, Some(actor), draft)?;
    if draft.reply_to.is_some() {
        messages::check_quote(ctx, actor, &scheduled.conversation, draft).await?;
    }
    // With the hash of what was asked for at first, so that a repetition of the scheduling still finds it.
    let message: MessageCreated = messages::created(draft.clone(), scheduled.request_hash.clone());
    let request = Request {
        event_id: hashed::sending_of(&scheduled.id),
        ..Request::new(
            scheduled.conversation.clone(),
            Some(actor.clone()),
            Command::SendMessage(Box::new(message)),
        )
    };
    ctx.append(request).await?;
    Ok(())
}

//! Hooks before a send: who is asked about what, and once.
//!
//! A repeatable send claims its key in the store, asks, and stores the verdict, so that no repetition asks again, in whichever process it arrives. A verdict
//! outlives the request that asked: the asking goes on if the client is gone.

use std::time::Duration;

use chat_sdk::{
    ConversationId, ConversationType, EventId, EventType, MessageId, Patch, Role, Timestamp,
    UserId,
    events::{EventData, MessageHeld},
    plugin::{HookChange, HookData, HookFault, HookMessage, HookPoint},
};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Sent,
    repeat::{Earlier, find_earlier},
};
use crate::{
    domain::{
        Context,
        hooks::{self, Asked, Subject, Verdict},
    },
    model::{
        entry::SentSchedule,
        error::{DomainError, Result},
        hashed,
        held::{Held, StoredVerdict},
        latest::LatestValue,
        messages::{Draft, check_draft, other_message},
    },
    store::{Claimed, InsertedHeld, VerdictKey},
};

/// Point of all sends.
const POINT: HookPoint = HookPoint::MessageBeforeSend;
/// Maximum number of held messages of one sender.
const MAX_HELD: u32 = 1000;
/// Time that the asking may take beyond the time limits of the hooks, before another process takes over.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);
/// Time between two looks at a verdict that another request is waiting for.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// A send that hooks are asked about.
#[derive(Debug, Clone)]
pub(in crate::domain) struct Sending {
    /// User who sends.
    pub actor: UserId,
    /// Conversation; it does not exist yet if there is a receiver.
    pub conversation: ConversationId,
    /// Other user of the direct conversation, which is created with the message.
    pub receiver: Option<UserId>,
    /// Hash of the request.
    pub hash: Option<String>,
    /// Schedule of the message, with the id of its event.
    pub schedule: Option<(SentSchedule, EventId)>,
}

/// Outcome of the hooks.
#[derive(Debug, Clone)]
pub(in crate::domain) enum Decided {
    /// The message is to be sent.
    Send(Box<Draft>),
    /// The message is to be held.
    Hold(Box<Held>),
    /// An earlier request sent or held it.
    Earlier(Box<Sent>),
}

/// A draft with the limits that a change must keep.
#[derive(Clone)]
struct Changeable {
    draft: Draft,
    actor: UserId,
    max_bytes: usize,
}

impl Subject for Changeable {
    fn data(&self) -> HookData {
        let draft = self.draft.clone();
        HookData::Message(Box::new(HookMessage {
            content: draft.content,
            kind: draft.kind.unwrap_or_default(),
            attachments: draft.attachments,
            reply_to: draft.reply_to,
            thread_id: draft.thread_id,
            mentions: draft.mentions,
            metadata: draft.metadata,
            client_message_id: draft.client_message_id,
            silent: draft.silent,
            ttl_seconds: draft.ttl_seconds,
            forwarded_from: draft.forwarded_from,
        }))
    }

    fn change(&mut self, change: HookChange) -> std::result::Result<(), HookFault> {
        let HookChange {
            content,
            attachments,
            mentions,
            metadata,
            silent,
            ttl_seconds,
            name: Patch::Keep,
            avatar_url: Patch::Keep,
        } = change
        else {
            return Err(HookFault::new("a message has no name and no picture"));
        };
        let draft = &mut self.draft;
        if let Some(content) = content.or_default() {
            draft.content = content;
        }
        if let Some(attachments) = attachments.or_default() {
            draft.attachments = attachments;
        }
        if let Some(mentions) = mentions.or_default() {
            draft.mentions = mentions;
        }
        metadata.apply(&mut draft.metadata);
        if let Some(silent) = silent.or_default() {
            draft.silent = silent;
        }
        if !ttl_seconds.is_keep() && draft.expires_at.is_some() {
            return Err(HookFault::new("a forwarded message keeps its expiry"));
        }
        ttl_seconds.apply(&mut draft.ttl_seconds);
        check_draft(self.max_bytes, Some(&self.actor), draft)
            .map_err(|_| HookFault::new("the changed message is invalid"))
    }

    fn can_be_held(&self) -> bool {
        true
    }
}

/// Returns what the hooks decide about the send of `draft`, or decided before.
///
/// Without a receiver it fails first for a sender who is not a member, so that no hook sees what cannot be sent.
///
/// # Errors
/// [`DomainError::NotFound`] if the sender is not a member; [`DomainError::Refused`]; [`DomainError::Conflict`] if the `clientMessageId` belongs to
/// another message; [`DomainError::Unavailable`] if a hook failed that fails closed.
pub(in crate::domain) async fn decide(
    ctx: &Context,
    sending: &Sending,
    draft: Draft,
) -> Result<Decided> {
    if !ctx.hooks.has(POINT) {
        return Ok(Decided::Send(Box::new(draft)));
    }
    let place = place_of(ctx, sending).await?;
    let Some(key) = key_of(sending, &draft) else {
        let id = EventId::generate();
        let asked = (id.to_string(), id.to_message_id());
        let verdict = ask(ctx, sending, place, draft.clone(), asked).await?;
        return decision(sending, draft, verdict);
    };
    let limit = ctx.hooks.time_limit(POINT) + CLAIM_MARGIN;
    let deadline = Instant::now() + limit;
    loop {
        let (claimed, earlier) = tokio::join!(
            ctx.store.claim_verdict(&key, limit),
            find_sent_or_held(ctx, sending, &draft),
        );
        let claimed = claimed?;
        let earlier = match earlier {
            Ok(earlier) => earlier,
            Err(error) => {
                give_up(ctx, &key, claimed).await;
                return Err(error);
            }
        };
        if let Some(sent) = earlier {
            give_up(ctx, &key, claimed).await;
            return Ok(Decided::Earlier(Box::new(sent)));
        }
        match claimed {
            Claimed::New(claim) => {
                let verdict = ask_once(ctx, sending, place, draft.clone(), (key, claim)).await?;
                return decision(sending, draft, verdict);
            }
            Claimed::Decided(stored) => {
                return decision(sending, draft, stored);
            }
            Claimed::Other => return Err(other_message()),
            Claimed::Asking if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
            Claimed::Asking => return Err(DomainError::store_unavailable()),
        }
    }
}

/// Type of the conversation, and the sender's role in it.
type Standing = (ConversationType, Role);

async fn place_of(ctx: &Context, sending: &Sending) -> Result<Standing> {
    if sending.receiver.is_some() {
        return Ok((ConversationType::Direct, Role::Member));
    }
    let membership = ctx
        .store
        .find_membership(&sending.conversation, &sending.actor)
        .await?;
    let (fields, member) = membership.require_member()?;
    Ok((fields.kind, member.role))
}

/// Returns the key under which the verdict is stored; `None` if the send cannot be repeated.
fn key_of(sending: &Sending, draft: &Draft) -> Option<VerdictKey> {
    let id = match (&sending.schedule, &draft.client_message_id) {
        (Some((schedule, _)), _) => hashed::verdict_of_scheduled(&schedule.id),
        (None, Some(id)) => hashed::verdict_of_send(&sending.conversation, &sending.actor, id),
        (None, None) => return None,
    };
    Some(VerdictKey {
        id,
        sender: sending.actor.clone(),
        request_hash: sending.hash.clone(),
    })
}

/// Returns what an earlier request sent or left held under the same `clientMessageId`.
async fn find_sent_or_held(
    ctx: &Context,
    sending: &Sending,
    draft: &Draft,
) -> Result<Option<Sent>> {
    let (Some(id), Some(hash)) = (&draft.client_message_id, &sending.hash) else {
        return Ok(None);
    };
    let (conversation, actor) = (&sending.conversation, &sending.actor);
    let (sent, held) = tokio::try_join!(
        find_earlier(ctx, conversation, Some(actor), id, hash),
        ctx.store.find_held_under(conversation, actor, id),
    )?;
    match (sent, held) {
        (Earlier::Same(sent), _) => Ok(Some(*sent)),
        (Earlier::Other, _) => Err(other_message()),
        (Earlier::None, Some(held)) if held.request_hash == sending.hash => Ok(Some(Sent {
            message: held.message(),
            is_repeated: true,
        })),
        (Earlier::None, Some(_)) => Err(other_message()),
        (Earlier::None, None) => Ok(None),
    }
}

async fn give_up(ctx: &Context, key: &VerdictKey, claimed: Claimed) {
    if let Claimed::New(claim) = claimed {
        // If this fails, the claim is taken over later.
        let _ = ctx.store.release_verdict(key, &claim).await;
    }
}

/// Asks, and stores the verdict, in a task of its own: the verdict counts even if the caller of this request is gone.
async fn ask_once(
    ctx: &Context,
    sending: &Sending,
    place: Standing,
    draft: Draft,
    (key, claim): (VerdictKey, String),
) -> Result<StoredVerdict> {
    let (tell, told) = oneshot::channel();
    let (ctx, sending) = (ctx.clone(), sending.clone());
    tokio::spawn(async move {
        let message = match &sending.schedule {
            Some((_, event)) => event.to_message_id(),
            None => EventId::generate().to_message_id(),
        };
        let found = ask(&ctx, &sending, place, draft, (key.id.clone(), message)).await;
        let verdict = found.as_ref().ok().cloned();
        // The sender does not wait for the storing: until it is done, a repetition waits.
        let _ = tell.send(found);
        let stored = match verdict {
            Some(verdict) => ctx.store.store_verdict(&key, &claim, &verdict).await,
            // No verdict was found: a repetition asks again.
            None => ctx.store.release_verdict(&key, &claim).await,
        };
        if let Err(error) = stored {
            tracing::warn!(%error, "the verdict of a hook could not be stored");
        }
    });
    told.await
        .unwrap_or_else(|_| Err(DomainError::Internal("the hooks were not asked".into())))
}

async fn ask(
    ctx: &Context,
    sending: &Sending,
    (kind, role): Standing,
    draft: Draft,
    (id, message): (String, MessageId),
) -> Result<StoredVerdict> {
    let asked = Asked {
        id,
        point: POINT,
        actor: &sending.actor,
        role: Some(role),
        // The id of a direct conversation that does not exist must not become known.
        conversation: sending.receiver.is_none().then_some(&sending.conversation),
        kind: Some(kind),
    };
    let subject = Changeable {
        draft,
        actor: sending.actor.clone(),
        max_bytes: ctx.limits.max_message_bytes,
    };
    Ok(match hooks::ask(&ctx.hooks, asked, subject).await? {
        Verdict::Pass {
            is_changed: false, ..
        } => StoredVerdict::Pass,
        Verdict::Pass { subject, .. } => StoredVerdict::Change(Box::new(subject.draft)),
        Verdict::Refuse { code, reason } => StoredVerdict::Refuse { code, reason },
        Verdict::Hold {
            subject,
            hook,
            reason,
        } => StoredVerdict::Hold {
            id: message,
            draft: Box::new(subject.draft),
            hook,
            reason,
        },
    })
}

/// Returns the outcome of a verdict for `given`, the draft of the request.
fn decision(sending: &Sending, given: Draft, verdict: StoredVerdict) -> Result<Decided> {
    // Origin and expiry of a forwarded message are not part of the stored form, and never changed by a hook.
    let complete = |changed: Draft| Draft {
        forwarded_from: given.forwarded_from.clone(),
        expires_at: given.expires_at,
        ..changed
    };
    match verdict {
        StoredVerdict::Pass => Ok(Decided::Send(Box::new(given))),
        StoredVerdict::Change(changed) => Ok(Decided::Send(Box::new(complete(*changed)))),
        StoredVerdict::Refuse { code, reason } => Err(DomainError::Refused { code, reason }),
        StoredVerdict::Hold {
            id,
            draft,
            hook,
            reason,
        } => {
            let schedule = sending.schedule.as_ref().filter(|_| sending.hash.is_some());
            Ok(Decided::Hold(Box::new(Held {
                id,
                conversation: sending.conversation.clone(),
                receiver: sending.receiver.clone(),
                sender: sending.actor.clone(),
                draft: complete(*draft),
                request_hash: sending.hash.clone(),
                schedule: schedule.map(|(schedule, _)| schedule.clone()),
                hook,
                reason,
                is_releasing: false,
                at: Timestamp::now(),
            })))
        }
    }
}

/// Stores a held message and tells the author's devices.
///
/// # Errors
/// [`DomainError::Conflict`] if the sender has [`MAX_HELD`] held messages.
pub(in crate::domain) async fn hold(ctx: &Context, held: Held) -> Result<Sent> {
    if ctx.store.count_held(&held.sender, MAX_HELD).await? >= MAX_HELD {
        return Err(DomainError::Conflict(
            format!("{MAX_HELD} of your messages wait for a review, the maximum.").into(),
        ));
    }
    let message = held.message();
    let is_repeated = ctx.store.insert_held(&held).await? == InsertedHeld::Repeated;
    if !is_repeated {
        let data = EventData::MessageHeld(MessageHeld {
            message_id: held.id,
            conversation_id: held.conversation.clone(),
            client_message_id: held.draft.client_message_id,
            held_at: held.at,
        });
        let sender = held.sender;
        ctx.latest.publish(LatestValue {
            only: Some(vec![sender.clone()]),
            ..LatestValue::new(
                held.conversation,
                Some(sender),
                EventType::MessageHeld,
                data,
            )
        });
    }
    Ok(Sent {
        message,
        is_repeated,
    })
}

//! Receipts: up to where members have read, and what has arrived at their devices. State, in no log; the highest wins.

use chat_sdk::{
    ConversationId, EventType, MessageId, Timestamp, UserId,
    events::{ConversationRead, EventData, MessageDelivered, MessageRead},
};

use super::{
    Context,
    error::{DomainError, Result},
    latest::LatestValue,
    markers::{Change, Counts, Marked, Marker, MarkerScope, Receipt, ReceiptKind},
    messages::{self, as_no_message},
    page::{Page, PageRequest},
    state::{ConversationFields, Member},
    unread::{self, Room},
};
use crate::store::{AccessQuery, SeqRanges, StoredMessage};

/// From how many members on receipts are told to the author of the message and to the reader alone.
pub const LARGE_CONVERSATION: u32 = 1000;

/// A message and how the caller, a member, stands to its conversation.
struct Seen {
    message: StoredMessage,
    fields: ConversationFields,
    member: Member,
    marker: Marker,
}

impl Seen {
    /// The message of `seek`, which the caller sees as a member.
    async fn find(ctx: &Context, seek: AccessQuery) -> Result<Self> {
        let (message, seat) = messages::access(ctx, seek).await?;
        let (fields, member) = seat.membership.require_member().map_err(as_no_message)?;
        Ok(Self {
            message,
            fields: fields.clone(),
            member: member.clone(),
            marker: seat.marker,
        })
    }

    fn place(&self) -> MarkerScope {
        MarkerScope::Conversation(self.message.conversation_id.clone())
    }

    fn room(&self) -> Room<'_> {
        Room {
            id: &self.message.conversation_id,
            fields: &self.fields,
            member: &self.member,
        }
    }
}

/// A message that `actor` sees as a member.
async fn seen(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Seen> {
    Seen::find(ctx, AccessQuery::Message(message.clone(), actor.clone())).await
}

/// Marks a message and all before it as read. Answers when the caller read it first.
///
/// # Errors
/// [`DomainError::NotFound`] when the caller does not see the message, [`DomainError::Unavailable`].
pub async fn mark_read(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Timestamp> {
    let seen = Seen::find(ctx, AccessQuery::Reading(message.clone(), actor.clone())).await?;
    let (place, seq) = (seen.place(), seen.message.seq);
    // Counted before, so that the count is remembered by the write of the mark itself. Without one the mark still counts.
    let counted = match seen.marker.read_seq < seq {
        true => unread::after_reading(ctx, actor, seen.room(), &seen.marker, seq)
            .await
            .ok(),
        false => None,
    };
    if let Some((_, Some(counted))) = &counted {
        let change = Change::Counted(counted.clone());
        ctx.store.save_in_background(&place, actor, change);
    }
    let marked = ctx
        .store
        .mark(place.clone(), actor, Change::Read(seq))
        .await?;
    if marked.before.read_seq >= seq {
        return first_time(ctx, actor, &place, ReceiptKind::Read, seq, &marked).await;
    }
    if marked.has_moved {
        tell_read(ctx, actor, &seen.message, &seen.fields, marked.at);
        let read = ReadTo {
            seq,
            message: Some(message.clone()),
            at: marked.at,
        };
        match counted {
            Some((counts, _)) => tell_counts(ctx, actor, seen.room(), read, counts),
            None => count_and_tell(ctx, actor, seen.room(), read).await,
        }
    }
    Ok(marked.at)
}

async fn first_time(
    ctx: &Context,
    actor: &UserId,
    place: &MarkerScope,
    kind: ReceiptKind,
    seq: u64,
    marked: &Marked,
) -> Result<Timestamp> {
    let found = ctx.store.find_receipt_time(place, actor, kind, seq).await?;
    Ok(found.unwrap_or(marked.at))
}

/// Marks a message and all after it as unread.
///
/// # Errors
/// As [`mark_read`].
pub async fn mark_unread(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<()> {
    let seen = seen(ctx, actor, message).await?;
    let seq = seen.message.seq - 1;
    let marked = ctx
        .store
        .mark(seen.place(), actor, Change::Unread(seq))
        .await?;
    if marked.before.read_seq <= seq {
        return Ok(());
    }
    let room = seen.room();
    let newest = ctx
        .store
        .find_newest_message(room.id, &room.audience(), seq)
        .await?;
    let read = ReadTo {
        seq,
        message: newest.map(|message| message.id),
        at: marked.at,
    };
    count_and_tell(ctx, actor, room, read).await;
    Ok(())
}

/// Marks a conversation as read, up to a message or all of it. Answers how many messages are newly read.
///
/// # Errors
/// [`DomainError::NotFound`] for who is no member, [`DomainError::Validation`] for a message of another conversation.
pub async fn read_conversation(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    up_to: Option<&MessageId>,
) -> Result<u64> {
    let seek = AccessQuery::Conversation(conversation.clone(), actor.clone());
    let seat = ctx.store.find_access(seek).await?;
    let (fields, member) = seat.membership.require_member()?;
    let room = Room {
        id: conversation,
        fields,
        member,
    };
    let mut message = None;
    let seq = match up_to {
        Some(up_to) => {
            let found = match seen(ctx, actor, up_to).await {
                Ok(seen) if seen.message.conversation_id == *conversation => seen.message,
                Ok(_) | Err(DomainError::NotFound(_)) => {
                    return Err(DomainError::invalid(
                        "upToMessageId",
                        "is no message of this conversation",
                    ));
                }
                Err(error) => return Err(error),
            };
            let seq = found.seq;
            message = Some(found);
            seq
        }
        None => fields.last_message_seq,
    };
    if seq == 0 {
        return Ok(0);
    }
    let at = MarkerScope::Conversation(conversation.clone());
    let marked = ctx.store.mark(at, actor, Change::Read(seq)).await?;
    if !marked.has_moved || marked.before.read_seq >= seq {
        return Ok(0);
    }
    if message.is_none() {
        message = ctx
            .store
            .find_newest_message(conversation, &room.audience(), seq)
            .await?;
    }
    if let Some(message) = &message {
        tell_read(ctx, actor, message, fields, marked.at);
    }
    let read = ReadTo {
        seq,
        message: message.map(|message| message.id),
        at: marked.at,
    };
    let (count, ()) = tokio::join!(
        newly_read(ctx, actor, room, &marked.before, seq),
        count_and_tell(ctx, actor, room, read),
    );
    count
}

/// How many messages count that are read now and were not before.
async fn newly_read(
    ctx: &Context,
    actor: &UserId,
    room: Room<'_>,
    before: &Marker,
    seq: u64,
) -> Result<u64> {
    if seq == room.fields.last_message_seq {
        // All that was unread: of that most may have been counted before.
        let markers = std::slice::from_ref(before);
        let counts = unread::count(ctx, actor, &[room], markers).await?;
        return Ok(counts.first().map_or(0, |counts| counts.unread));
    }
    let span = SeqRanges {
        conversation: room.id.clone(),
        ranges: room.audience().within(before.read_seq + 1, seq),
    };
    if span.is_empty() {
        return Ok(0);
    }
    let counts = ctx.store.count_unread(actor, &[span]).await?;
    Ok(counts.first().map_or(0, |counts| counts.unread))
}

/// Notes that a message and all before it arrived at a device of the caller. Answers when it did first.
///
/// # Errors
/// As [`mark_read`].
pub async fn mark_delivered(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<Timestamp> {
    let seen = seen(ctx, actor, message).await?;
    let seq = seen.message.seq;
    let place = seen.place();
    let change = Change::Delivered(seq);
    let marked = ctx.store.mark(place.clone(), actor, change).await?;
    if marked.before.delivered_seq >= seq {
        return first_time(ctx, actor, &place, ReceiptKind::Delivered, seq, &marked).await;
    }
    if marked.has_moved && seen.fields.settings.features.reads {
        let data = EventData::MessageDelivered(MessageDelivered {
            message_id: message.clone(),
            conversation_id: seen.message.conversation_id.clone(),
            user_id: actor.clone(),
            delivered_at: marked.at,
        });
        tell(
            ctx,
            actor,
            &seen.message,
            &seen.fields,
            EventType::MessageDelivered,
            data,
        );
    }
    Ok(marked.at)
}

/// Marks the replies in a message's thread as read. The conversation's own watermark stays. Answers when it was done.
///
/// # Errors
/// As [`mark_read`].
pub async fn read_thread(ctx: &Context, actor: &UserId, root: &MessageId) -> Result<Timestamp> {
    let seen = seen(ctx, actor, root).await?;
    let change = Change::Read(seen.message.last_reply_seq().unwrap_or(seen.message.seq));
    let place = MarkerScope::Thread(root.clone());
    let marked = ctx.store.mark(place, actor, change).await?;
    Ok(marked.at)
}

/// Who read a message, or at whose device it arrived, by user id; its sender is left out.
///
/// # Errors
/// [`DomainError::NotFound`] when the caller does not see the message, [`DomainError::Forbidden`] where receipts are off.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    kind: ReceiptKind,
    request: &PageRequest,
) -> Result<Page<Receipt>> {
    let seen = seen(ctx, actor, message).await?;
    if !seen.fields.settings.features.reads {
        return Err(DomainError::Forbidden(
            "Receipts are off in this conversation.".into(),
        ));
    }
    ctx.store
        .find_receipt_page(&seen.message, &seen.fields, kind, request)
        .await
}

/// Tells the members that `actor` read up to `message`, if the conversation lets them know.
fn tell_read(
    ctx: &Context,
    actor: &UserId,
    message: &StoredMessage,
    fields: &ConversationFields,
    at: Timestamp,
) {
    if !fields.settings.features.reads {
        return;
    }
    let data = EventData::MessageRead(MessageRead {
        message_id: message.id.clone(),
        conversation_id: message.conversation_id.clone(),
        user_id: actor.clone(),
        read_at: at,
    });
    tell(ctx, actor, message, fields, EventType::MessageRead, data);
}

fn tell(
    ctx: &Context,
    actor: &UserId,
    message: &StoredMessage,
    fields: &ConversationFields,
    kind: EventType,
    data: EventData,
) {
    let value = LatestValue::new(
        message.conversation_id.clone(),
        Some(actor.clone()),
        kind,
        data,
    );
    let mut only = None;
    if fields.participant_count >= LARGE_CONVERSATION {
        let author = message.sender().filter(|sender| *sender != actor);
        only = Some(author.into_iter().chain([actor]).cloned().collect());
    }
    ctx.latest.publish(LatestValue { only, ..value });
}

/// Up to where somebody has read.
struct ReadTo {
    seq: u64,
    /// The newest message that is read, if there is one.
    message: Option<MessageId>,
    at: Timestamp,
}

/// Tells the devices of `actor` what is unread now. They may do without: whoever asks is told the same.
async fn count_and_tell(ctx: &Context, actor: &UserId, room: Room<'_>, read: ReadTo) {
    if let Ok(Some(counts)) = counts_at(ctx, actor, room, read.seq).await {
        tell_counts(ctx, actor, room, read, counts);
    }
}

fn tell_counts(ctx: &Context, actor: &UserId, room: Room<'_>, read: ReadTo, counts: Counts) {
    let data = EventData::ConversationRead(ConversationRead {
        conversation_id: room.id.clone(),
        user_id: actor.clone(),
        up_to_message_id: read.message,
        read_seq: read.seq,
        unread_count: counts.unread,
        mention_count: counts.mentions,
        read_at: read.at,
    });
    ctx.latest.publish(LatestValue {
        only: Some(vec![actor.clone()]),
        ..LatestValue::new(
            room.id.clone(),
            Some(actor.clone()),
            EventType::ConversationRead,
            data,
        )
    });
}

/// What is unread when everything up to `seq` is read; `None` when the member has gone on while it was counted, and is told of that instead.
async fn counts_at(
    ctx: &Context,
    actor: &UserId,
    room: Room<'_>,
    seq: u64,
) -> Result<Option<Counts>> {
    if seq >= room.fields.last_message_seq {
        return Ok(Some(Counts::default()));
    }
    let marker = Marker {
        read_seq: seq,
        ..Marker::default()
    };
    let counts = unread::count(ctx, actor, &[room], &[marker]).await?;
    let place = MarkerScope::Conversation(room.id.clone());
    let now = ctx.store.find_markers(actor, &[place]).await?;
    let is_there = now.first().is_some_and(|marker| marker.read_seq == seq);
    Ok(counts.first().copied().filter(|_| is_there))
}

//! Receipts: what members have read and what their devices have received. State in no log; the highest value wins.

use chat_sdk::{
    ConversationId, EventType, MessageId, Timestamp, UserId,
    events::{ConversationRead, EventData, MessageDelivered, MessageRead},
};

use super::{
    Context, messages,
    unread::{self, Room},
};
use crate::{
    model::{
        error::{DomainError, Result},
        latest::LatestValue,
        messages::as_no_message,
        page::{Page, PageRequest},
        receipts::{Change, Counts, Marked, Marker, MarkerScope, Receipt, ReceiptKind},
        state::{ConversationFields, Member},
    },
    store::{AccessQuery, SeqRanges, StoredMessage},
};

/// Number of members from which receipts are sent only to the message's author and to the reader.
pub const LARGE_CONVERSATION: u32 = 1000;

/// A message and the caller's membership in its conversation.
struct AccessibleMessage {
    message: StoredMessage,
    fields: ConversationFields,
    member: Member,
    marker: Marker,
}

impl AccessibleMessage {
    /// Returns the message of `query` if the caller is a member and may see it.
    async fn find(ctx: &Context, query: AccessQuery) -> Result<Self> {
        let (message, access) = messages::access(ctx, query).await?;
        let (fields, member) = access.membership.require_member().map_err(as_no_message)?;
        Ok(Self {
            message,
            fields: fields.clone(),
            member: member.clone(),
            marker: access.marker,
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

/// Returns a message if `actor` is a member and may see it.
async fn find_accessible(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<AccessibleMessage> {
    AccessibleMessage::find(ctx, AccessQuery::Message(message.clone(), actor.clone())).await
}

/// Marks a message and all before it as read. Returns the time when the caller first read it.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see the message; [`DomainError::Unavailable`].
pub async fn mark_read(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<Timestamp> {
    let found =
        AccessibleMessage::find(ctx, AccessQuery::Reading(message.clone(), actor.clone())).await?;
    let (place, seq) = (found.place(), found.message.seq);
    // The count is made first, so that the marker's own write stores it. Without a count the marker is still written.
    let counted = if found.marker.read_seq < seq {
        unread::after_reading(ctx, actor, found.room(), &found.marker, seq)
            .await
            .ok()
    } else {
        None
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
        tell_read(ctx, actor, &found.message, &found.fields, marked.at);
        let read = ReadTo {
            seq,
            message: Some(message.clone()),
            at: marked.at,
        };
        match counted {
            Some((counts, _)) => tell_counts(ctx, actor, found.room(), read, counts),
            None => count_and_tell(ctx, actor, found.room(), read).await,
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
/// As for [`mark_read`].
pub async fn mark_unread(ctx: &Context, actor: &UserId, message: &MessageId) -> Result<()> {
    let found = find_accessible(ctx, actor, message).await?;
    let seq = found.message.seq - 1;
    let marked = ctx
        .store
        .mark(found.place(), actor, Change::Unread(seq))
        .await?;
    if marked.before.read_seq <= seq {
        return Ok(());
    }
    let room = found.room();
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

/// Marks a conversation as read, up to a message or completely.
///
/// Returns the number of newly read messages.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller is not a member; [`DomainError::Validation`] if the message is in another conversation.
pub async fn read_conversation(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    up_to: Option<&MessageId>,
) -> Result<u64> {
    let query = AccessQuery::Conversation(conversation.clone(), actor.clone());
    let access = ctx.store.find_access(query).await?;
    let (fields, member) = access.membership.require_member()?;
    let room = Room {
        id: conversation,
        fields,
        member,
    };
    let mut message = None;
    let seq = match up_to {
        Some(up_to) => {
            let found = match find_accessible(ctx, actor, up_to).await {
                Ok(found) if found.message.conversation_id == *conversation => found.message,
                Ok(_) | Err(DomainError::NotFound(_)) => {
                    return Err(DomainError::invalid(
                        "upToMessageId",
                        "is not a message of this conversation",
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

/// Returns the number of counting messages that are read now and were not before.
async fn newly_read(
    ctx: &Context,
    actor: &UserId,
    room: Room<'_>,
    before: &Marker,
    seq: u64,
) -> Result<u64> {
    if seq == room.fields.last_message_seq {
        // Everything that was unread: most of it may have been counted before.
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

/// Marks a message and all before it as delivered to a device of the caller.
///
/// Returns the time of the first delivery.
///
/// # Errors
/// As for [`mark_read`].
pub async fn mark_delivered(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
) -> Result<Timestamp> {
    let found = find_accessible(ctx, actor, message).await?;
    let seq = found.message.seq;
    let place = found.place();
    let change = Change::Delivered(seq);
    let marked = ctx.store.mark(place.clone(), actor, change).await?;
    if marked.before.delivered_seq >= seq {
        return first_time(ctx, actor, &place, ReceiptKind::Delivered, seq, &marked).await;
    }
    if marked.has_moved && found.fields.settings.features.reads {
        let data = EventData::MessageDelivered(MessageDelivered {
            message_id: message.clone(),
            conversation_id: found.message.conversation_id.clone(),
            user_id: actor.clone(),
            delivered_at: marked.at,
        });
        tell(
            ctx,
            actor,
            &found.message,
            &found.fields,
            EventType::MessageDelivered,
            data,
        );
    }
    Ok(marked.at)
}

/// Marks the replies in a message's thread as read. Returns the time of the mark.
///
/// The conversation's own watermark does not change.
///
/// # Errors
/// As for [`mark_read`].
pub async fn read_thread(ctx: &Context, actor: &UserId, root: &MessageId) -> Result<Timestamp> {
    let found = find_accessible(ctx, actor, root).await?;
    let change = Change::Read(found.message.last_reply_seq().unwrap_or(found.message.seq));
    let place = MarkerScope::Thread(root.clone());
    let marked = ctx.store.mark(place, actor, change).await?;
    Ok(marked.at)
}

/// Returns the members who read or received a message, ordered by user id, without its sender.
///
/// # Errors
/// [`DomainError::NotFound`] if the caller may not see the message; [`DomainError::Forbidden`] if receipts are off.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    message: &MessageId,
    kind: ReceiptKind,
    request: &PageRequest,
) -> Result<Page<Receipt>> {
    let found = find_accessible(ctx, actor, message).await?;
    if !found.fields.settings.features.reads {
        return Err(DomainError::Forbidden(
            "Receipts are off in this conversation.".into(),
        ));
    }
    ctx.store
        .find_receipt_page(&found.message, &found.fields, kind, request)
        .await
}

/// Publishes to the members that `actor` read up to `message`, if the conversation has receipts on.
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

/// Position up to which a user has read.
struct ReadTo {
    seq: u64,
    /// Id of the newest read message, if there is one.
    message: Option<MessageId>,
    at: Timestamp,
}

/// Publishes the new unread counts to the devices of `actor`.
///
/// They may be lost: a query returns the same.
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

/// Returns the counts if everything up to `seq` is read.
///
/// Returns `None` if the member has read further meanwhile: that later read publishes its own counts.
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

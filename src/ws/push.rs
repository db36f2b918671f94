//! Conversion of events to the frames of sockets. Done once per event, for all subscribers.

use std::sync::{Arc, OnceLock};

use chat_sdk::{
    ConversationId, EventType, Timestamp, UserId,
    events::{ParticipantsAdded, ParticipantsRemoved},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::resume::{cursor::Seal, tracker::CursorTracker};
use crate::model::{catalogue, entry::Entry, visibility::ContentLimits};

/// An entry of a conversation's log, ready to be pushed.
#[derive(Debug)]
pub struct Push {
    /// Conversation whose log holds the entry.
    pub conversation: ConversationId,
    /// Seq of the entry.
    pub seq: u64,
    /// The node's watermark at the time of delivery.
    pub watermark: u64,
    /// Time of arrival at this node, in seconds by this machine's clock.
    pub at: u64,
    /// Frame for the members.
    frame: Frame,
    /// Frame for users that it adds or removes, and for members for whom it has no content.
    own_frame: Option<Frame>,
    /// Members for whom the entry has content; others get its seq alone.
    limits: ContentLimits,
    change: MembershipChange,
}

/// The client that reads a push.
pub trait Reader {
    /// Returns the user.
    fn user(&self) -> &UserId;
    /// Returns true if the user was a member of `conversation` at `seq`.
    fn was_there(&self, conversation: &ConversationId, seq: u64) -> bool;
}

/// Membership change that an entry makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MembershipChange {
    /// No change.
    #[default]
    None,
    /// These users become members with the entry.
    Joined(Vec<UserId>),
    /// These users cease to be members with the entry.
    Left(Vec<UserId>),
    /// All members cease to be members with the entry.
    Closed,
}

/// A frame up to its cursor, which differs per reader.
#[derive(Debug)]
struct Frame {
    head: String,
    /// The position's part of the cursor of readers who follow only this conversation; most readers of a large room do.
    position: OnceLock<String>,
}

impl Frame {
    fn new(event: &str, id: &str, seq: u64, data: &str) -> Self {
        let mut head = String::with_capacity(data.len() + 96);
        head.push_str(r#"{"event":""#);
        head.push_str(event);
        head.push_str(r#"","id":""#);
        head.push_str(id);
        head.push_str(r#"","seq":"#);
        head.push_str(&seq.to_string());
        head.push_str(r#","data":"#);
        head.push_str(data);
        head.push_str(r#","cursor":""#);
        Self {
            head,
            position: OnceLock::new(),
        }
    }

    fn with_cursor(&self, cursor: &str) -> Utf8Bytes {
        let mut text = String::with_capacity(self.head.len() + cursor.len() + 2);
        text.push_str(&self.head);
        text.push_str(cursor);
        text.push_str("\"}");
        text.into()
    }
}

/// Parts of an envelope that frames are made of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeParts<'a> {
    id: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Returns the frame of an event that is in no log; `None` if the payload is not an envelope.
pub fn live_frame(event: &str, payload: &[u8]) -> Option<Utf8Bytes> {
    let envelope: EnvelopeParts<'_> = serde_json::from_slice(payload).ok()?;
    let (id, data) = (envelope.id, envelope.data.get());
    Some(format!(r#"{{"event":"{event}","id":"{id}","data":{data}}}"#).into())
}

impl Push {
    /// Returns the push of an event from the stream; `None` if the payload is not an envelope.
    pub fn from_envelope(
        conversation: ConversationId,
        seq: u64,
        kind: EventType,
        payload: &[u8],
        watermark: u64,
    ) -> Option<Self> {
        let envelope: EnvelopeParts<'_> = serde_json::from_slice(payload).ok()?;
        let (id, data) = (envelope.id, envelope.data.get());
        let skip = || format!(r#"{{"conversationId":"{conversation}"}}"#);
        let mut own_frame = None;
        let mut change = MembershipChange::None;
        let frame = match kind {
            EventType::ConversationCreated => {
                let created: Members = serde_json::from_str(data).ok()?;
                change = MembershipChange::Joined(created.participant_ids);
                Frame::new("conversation:new", id, seq, data)
            }
            EventType::ConversationDeleted => {
                change = MembershipChange::Closed;
                Frame::new("conversation:removed", id, seq, data)
            }
            EventType::ParticipantAdded => {
                let mut added: ParticipantsAdded = serde_json::from_str(data).ok()?;
                // Only the users who join with the entry get this frame, and all of them have the same role.
                added.conversation.my_role = Some(added.role);
                let joined = serde_json::to_string(&added.conversation).ok()?;
                own_frame = Some(Frame::new("conversation:joined", id, seq, &joined));
                change = MembershipChange::Joined(added.user_ids);
                // Existing members need no second copy of the conversation.
                let mut data: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(data).ok()?;
                data.remove("conversation");
                Frame::new(
                    "participant:added",
                    id,
                    seq,
                    &serde_json::to_string(&data).ok()?,
                )
            }
            EventType::ParticipantRemoved => {
                let removed: ParticipantsRemoved = serde_json::from_str(data).ok()?;
                change = MembershipChange::Left(removed.user_ids);
                own_frame = Some(Frame::new("conversation:removed", id, seq, &skip()));
                Frame::new("participant:removed", id, seq, data)
            }
            kind => match kind.socket_event() {
                Some(event) if kind.is_logged() => Frame::new(event, id, seq, data),
                None if kind.is_logged() => Frame::new("seq:skip", id, seq, &skip()),
                _ => return None,
            },
        };
        let limits = ContentLimits::of_event(kind, data).ok()?;
        if !limits.is_none() {
            own_frame = Some(Frame::new("seq:skip", id, seq, &skip()));
        }
        Some(Self {
            conversation,
            seq,
            watermark,
            at: now_seconds(),
            frame,
            own_frame,
            limits,
            change,
        })
    }

    /// Returns the push of an entry that was read from the log.
    pub fn from_entry(conversation: ConversationId, entry: &Entry, watermark: u64) -> Option<Self> {
        let envelope = catalogue::envelope(entry);
        let payload = serde_json::to_vec(&envelope).ok()?;
        Self::from_envelope(conversation, entry.seq, envelope.kind, &payload, watermark)
    }

    /// Returns the membership change of the entry.
    pub fn change(&self) -> &MembershipChange {
        &self.change
    }

    /// Returns the approximate number of bytes sent to one socket.
    pub fn wire_len(&self) -> usize {
        self.frame.head.len() + 128
    }

    /// Returns the approximate memory use in bytes: at most two frames, the first also with a cursor.
    pub fn held_len(&self) -> usize {
        let own = self.own_frame.as_ref().map_or(0, |own| own.head.len());
        2 * self.frame.head.len() + own + 256
    }

    fn frame_for(&self, reader: &impl Reader) -> &Frame {
        let user = reader.user();
        let is_own = match &self.change {
            MembershipChange::Joined(users) | MembershipChange::Left(users) => users.contains(user),
            MembershipChange::None | MembershipChange::Closed => !self
                .limits
                .allow(user, |seq| reader.was_there(&self.conversation, seq)),
        };
        match &self.own_frame {
            Some(own) if is_own => own,
            _ => &self.frame,
        }
    }

    /// Returns the frame for `reader`, with `cursor`.
    pub fn text(&self, reader: &impl Reader, cursor: &str) -> Utf8Bytes {
        self.frame_for(reader).with_cursor(cursor)
    }

    /// Puts the frame for `reader` into `text`, in place of its content. The cursor's position is from `tracker`, which has noted this push.
    pub fn write_to(
        &self,
        text: &mut String,
        reader: &impl Reader,
        tracker: &CursorTracker,
        seal: &Seal,
    ) {
        let frame = self.frame_for(reader);
        text.clear();
        text.push_str(&frame.head);
        let start = text.len();
        if tracker.is_only_at(self) {
            let position = || seal.seal_position(self.watermark, [(&self.conversation, self.seq)]);
            text.push_str(frame.position.get_or_init(position));
        } else {
            text.push_str(&tracker.position(seal));
        }
        let signature = seal.sign(reader.user(), &text[start..]);
        text.push_str(signature.as_str());
        text.push_str("\"}");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    participant_ids: Vec<UserId>,
}

/// An item in the queue of a socket.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// An entry of a log, with its seq and a cursor.
    Logged(Arc<Push>),
    /// The text of a live frame, which is in no log. Behind a pointer, because it is in many queues.
    Live(Arc<Utf8Bytes>),
}

impl Outgoing {
    /// Returns the approximate number of bytes sent to one socket.
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Logged(push) => push.wire_len(),
            Self::Live(text) => text.len(),
        }
    }
}

/// Returns the seconds since 1970 by this machine's clock.
pub fn now_seconds() -> u64 {
    Timestamp::now().as_millis().unsigned_abs() / 1000
}

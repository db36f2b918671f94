//! Conversion of events to the frames of sockets. Done once per event, for all subscribers.

use chat_sdk::{
    ConversationId, EventType, UserId,
    events::{ParticipantUpdated, ParticipantsAdded, ParticipantsRemoved},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{socket::Socket, tracker::now_seconds};
use crate::domain::{catalogue, entry::Entry};

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
    /// Frame for users that it adds or removes, and for members who may not see the message it refers to.
    own_frame: Option<Frame>,
    /// The only member who may see the entry; all others get its seq without content.
    only: Option<UserId>,
    /// Seq of the message it refers to, if only members of that time may see it; others get its seq alone.
    message_seq: Option<u64>,
    change: MembershipChange,
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
        Self { head }
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
        let mut only = None;
        let mut message_seq = None;
        let mut change = MembershipChange::None;
        let frame = match kind {
            EventType::MessageCreated => Frame::new("message:new", id, seq, data),
            EventType::MessageUpdated => Frame::new("message:updated", id, seq, data),
            EventType::MessageDeleted => Frame::new("message:deleted", id, seq, data),
            EventType::ConversationCreated => {
                let created: Members = serde_json::from_str(data).ok()?;
                change = MembershipChange::Joined(created.participant_ids);
                Frame::new("conversation:new", id, seq, data)
            }
            EventType::ConversationUpdated => Frame::new("conversation:updated", id, seq, data),
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
            EventType::ParticipantUpdated => {
                let updated: ParticipantUpdated = serde_json::from_str(data).ok()?;
                if updated.is_private() {
                    let own = match updated.preferences {
                        Some(_) => Frame::new("participant:updated", id, seq, data),
                        None => Frame::new("seq:skip", id, seq, &skip()),
                    };
                    own_frame = Some(own);
                    only = Some(updated.user_id);
                    Frame::new("seq:skip", id, seq, &skip())
                } else {
                    Frame::new("participant:updated", id, seq, data)
                }
            }
            EventType::MessageRestored => Frame::new("message:restored", id, seq, data),
            EventType::MessagePinned => Frame::new("message:pinned", id, seq, data),
            EventType::MessageUnpinned => Frame::new("message:unpinned", id, seq, data),
            EventType::ReactionAdded => Frame::new("reaction:added", id, seq, data),
            EventType::ReactionRemoved => Frame::new("reaction:removed", id, seq, data),
            EventType::Noop
            | EventType::UserSynced
            | EventType::UserUpdated
            | EventType::UserDeleted
            | EventType::UserBlocked
            | EventType::UserUnblocked
            | EventType::UserDisconnected => Frame::new("seq:skip", id, seq, &skip()),
            EventType::MessageRead
            | EventType::MessageDelivered
            | EventType::ConversationRead
            | EventType::DraftUpdated
            | EventType::UserOnline
            | EventType::UserAway
            | EventType::UserOffline => return None,
        };
        if let Some(about) = About::of(kind, envelope.data)? {
            message_seq = about.message_seq;
            own_frame = message_seq.map(|_| Frame::new("seq:skip", id, seq, &skip()));
        }
        Some(Self {
            conversation,
            seq,
            watermark,
            at: now_seconds(),
            frame,
            own_frame,
            only,
            message_seq,
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

    fn frame_for(&self, socket: &Socket) -> &Frame {
        let user = &socket.user;
        let is_own = match (&self.change, self.message_seq) {
            (_, Some(seq)) => !socket.was_there(&self.conversation, seq),
            (MembershipChange::Joined(users) | MembershipChange::Left(users), None) => {
                users.contains(user)
            }
            (MembershipChange::None | MembershipChange::Closed, None) => {
                self.only.as_ref() == Some(user)
            }
        };
        match &self.own_frame {
            Some(own) if is_own => own,
            _ => &self.frame,
        }
    }

    /// Returns the frame for `socket`, with `cursor`.
    pub fn text(&self, socket: &Socket, cursor: &str) -> Utf8Bytes {
        self.frame_for(socket).with_cursor(cursor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    participant_ids: Vec<UserId>,
}

/// Fields of an event that refer to a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    #[serde(default)]
    message_seq: Option<u64>,
}

impl About {
    /// Parses the reference of an event of `kind` to an earlier message, if it has one.
    ///
    /// The outer `None` means that the data cannot be read.
    fn of(kind: EventType, data: &RawValue) -> Option<Option<Self>> {
        match kind {
            EventType::MessageUpdated
            | EventType::MessageDeleted
            | EventType::MessageRestored
            | EventType::MessagePinned
            | EventType::MessageUnpinned
            | EventType::ReactionAdded
            | EventType::ReactionRemoved => serde_json::from_str(data.get()).ok().map(Some),
            _ => Some(None),
        }
    }
}

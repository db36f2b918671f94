//! Size of an entry, as an event and in the log.
//!
//! Each part of a command has its own limit, and JSON can make a text six times longer: together they could exceed [`bounds::EVENT`]. Encoding every
//! event to measure it would double the cost of a send, so an upper bound is computed from the lengths of the parts first. Only an event whose bound
//! exceeds the limit is encoded.

use chat_sdk::{
    Attachment, ConversationId, EventId, ForwardedFrom, Metadata, Timestamp, UserId, json_len,
};

use super::{
    catalogue,
    entry::{Body, Data, Entry, MessageCreated, Owner},
    error::{DomainError, Result},
    messages::{Draft, created},
};
use crate::model::bounds;

/// Size of the envelope, all keys and fields of fixed length, in either encoding.
///
/// The largest, a conversation, needs less than a third of it.
const FIXED: usize = 3 * 1024;
/// Overhead of a text: in JSON its quotes and comma; in BSON its type, its index as a key, its length.
const ITEM: usize = 16;
/// Size of an attachment's keys and numbers, in either encoding.
const ATTACHMENT: usize = 160;
/// Maximum number of bytes that JSON makes of one byte: `\u0001`.
const ESCAPED: usize = 6;

/// Fails if the event of `entry` is larger than [`bounds::EVENT`].
///
/// # Errors
/// [`DomainError::TooLarge`].
pub fn check(entry: &Entry) -> Result<()> {
    if event_at_most(entry) <= bounds::EVENT {
        return Ok(());
    }
    let size = event(entry);
    if size <= bounds::EVENT {
        return Ok(());
    }
    Err(DomainError::TooLarge {
        size,
        limit: bounds::EVENT,
    })
}

/// Fails if the event of a draft is larger than [`bounds::EVENT`].
///
/// The seq is not known yet, so the longest one is assumed. The writer then does not reject the message later, when a conversation was created for it
/// or its scheduled time has come.
///
/// # Errors
/// [`DomainError::TooLarge`].
pub fn check_draft(actor: Option<&UserId>, draft: &Draft) -> Result<()> {
    if draft_at_most(actor, draft) <= bounds::EVENT {
        return Ok(());
    }
    check(&Entry {
        id: EventId::generate(),
        owner: ConversationId::generate().into(),
        seq: u64::MAX,
        actor: actor.cloned(),
        at: Timestamp::now(),
        body: Body::MessageCreated(Box::new(created(draft.clone(), None))),
        trace: None,
    })
}

/// Fails if an event with `text` and ids in it is larger than [`bounds::EVENT`].
///
/// Among the latest values only a draft has a long text: receipts and presence consist of ids and short texts, and always fit.
///
/// # Errors
/// [`DomainError::TooLarge`].
pub fn check_text(text: &str) -> Result<()> {
    if FIXED + text.len() * ESCAPED <= bounds::EVENT {
        return Ok(());
    }
    let (size, limit) = (json_len(&text).saturating_add(FIXED), bounds::EVENT);
    if size <= limit {
        Ok(())
    } else {
        Err(DomainError::TooLarge { size, limit })
    }
}

/// Returns the size of the event of `entry`, in bytes.
fn event(entry: &Entry) -> usize {
    json_len(&catalogue::envelope(entry))
}

/// Returns an upper bound of [`event`], from the lengths of the parts.
fn event_at_most(entry: &Entry) -> usize {
    let parts = Parts::of(entry);
    FIXED + parts.texts * ESCAPED + parts.plain
}

/// Returns an upper bound of the size of `entry` in the log, in bytes.
pub fn stored_at_most(entry: &Entry) -> usize {
    let parts = Parts::of(entry);
    FIXED + parts.texts + parts.plain + parts.unseen
}

/// Returns an upper bound of the size of the event of `draft`, in bytes.
fn draft_at_most(actor: Option<&UserId>, draft: &Draft) -> usize {
    let Draft {
        content,
        kind: _,
        attachments,
        reply_to: _,
        thread_id: _,
        mentions,
        metadata,
        client_message_id,
        silent: _,
        ttl_seconds: _,
        forwarded_from,
        expires_at: _,
    } = draft;
    let mut parts = Parts::default();
    parts.text(content);
    parts.attachments(attachments);
    parts.metadata(metadata.as_ref());
    parts.optional(client_message_id.as_ref());
    let sender = forwarded_from.as_ref().map(|from| &from.sender_id);
    parts.plain += users(mentions) + sender.map_or(0, user) + 2 * actor.map_or(0, user);
    FIXED + parts.texts * ESCAPED + parts.plain
}

/// Sizes of an entry's parts of variable length, in bytes.
#[derive(Default)]
struct Parts {
    /// Texts, before JSON escapes them.
    texts: usize,
    /// Parts that have at most this size in either encoding.
    plain: usize,
    /// Parts that are stored but not in the event.
    unseen: usize,
}

impl Parts {
    fn of(entry: &Entry) -> Self {
        let mut parts = Self::default();
        // The actor and the owner are in the envelope and again in the data.
        for _ in 0..2 {
            parts.plain += entry.actor.as_ref().map_or(0, user);
            if let Owner::User(id) = &entry.owner {
                parts.plain += user(id);
            }
        }
        match &entry.body {
            Body::MessageCreated(message) => parts.message(message),
            // Each other kind is rare or small enough to be encoded. The event repeats at most one id, which `FIXED` covers.
            body => {
                let json = json_len(&Data(body));
                parts.plain += json;
                // BSON adds less than this to each item of a list.
                parts.unseen += json;
            }
        }
        parts
    }

    fn text(&mut self, text: &str) {
        self.texts += text.len();
        self.plain += ITEM;
    }

    fn optional(&mut self, text: Option<&String>) {
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn metadata(&mut self, metadata: Option<&Metadata>) {
        self.plain += metadata.map_or(0, Metadata::json_len);
    }

    fn attachments(&mut self, attachments: &[Attachment]) {
        for attachment in attachments {
            let Attachment {
                url,
                mime_type,
                name,
                size: _,
                thumbnail_url,
            } = attachment;
            self.text(url);
            self.optional(mime_type.as_ref());
            self.optional(name.as_ref());
            self.optional(thumbnail_url.as_ref());
            self.plain += ATTACHMENT;
        }
    }

    fn message(&mut self, message: &MessageCreated) {
        // The pattern names all fields, so that a new field does not compile until it is counted here.
        let MessageCreated {
            content,
            kind: _,
            attachments,
            reply_to: _,
            thread_id: _,
            mentions,
            metadata,
            client_message_id,
            request_hash: _,
            thread_reply_count: _,
            is_thread_expiring: _,
            here,
            silent: _,
            forwarded_from,
            expires_at: _,
            // No event contains it.
            schedule: _,
        } = message;
        self.text(content);
        self.attachments(attachments);
        self.plain += users(mentions);
        self.metadata(metadata.as_ref());
        self.optional(client_message_id.as_ref());
        if let Some(ForwardedFrom {
            message_id: _,
            sender_id,
        }) = forwarded_from
        {
            self.plain += user(sender_id);
        }
        self.unseen += users(here);
    }
}

/// Returns the size of a user's id, in bytes.
///
/// An id has no control character, so JSON makes at most two bytes of one.
fn user(id: &UserId) -> usize {
    id.as_str().len() * 2 + ITEM
}

fn users(ids: &[UserId]) -> usize {
    ids.iter().map(user).sum()
}

/// Returns the number of `ids`, from the first on, that take at most `most` bytes together.
pub fn fitting(ids: &[UserId], most: usize) -> usize {
    let mut bytes = 0;
    ids.iter()
        .take_while(|id| {
            bytes += user(id);
            bytes <= most
        })
        .count()
}

#[cfg(test)]
pub(crate) mod tests {
    use chat_sdk::{ConversationSettings, ConversationType, MessageId, MessageType, Patch, Role};

    use super::*;
    use crate::model::entry::{
        ConversationCreated, ConversationSnapshot, MessageEdit, MessageRestored, NewMember,
        ParticipantsJoined, Profile, Reaction,
    };

    /// Texts that take more bytes when they are encoded.
    pub(crate) const NASTY: [&str; 4] = ["\u{1}", "\"", "é", "😀"];

    fn texts(unit: &str, count: usize) -> String {
        unit.repeat(count)
    }

    fn user_ids(unit: &str, count: usize) -> Vec<UserId> {
        let unit = if unit == "\u{1}" { "\\" } else { unit };
        (0..count)
            .map(|index| {
                let id = format!("{index:03}{}", unit.repeat(125));
                id.parse().expect("a user id")
            })
            .collect()
    }

    fn metadata(unit: &str) -> Metadata {
        let mut map = serde_json::Map::new();
        map.insert("key".to_owned(), unit.repeat(500).into());
        map.into()
    }

    fn settings(unit: &str) -> ConversationSettings {
        ConversationSettings {
            name: Some(texts(unit, 200)),
            avatar_url: Some(texts(unit, 2048)),
            metadata: Some(metadata(unit)),
            retention_seconds: Some(u32::MAX),
            ..ConversationSettings::default()
        }
    }

    fn snapshot(unit: &str) -> ConversationSnapshot {
        ConversationSnapshot {
            kind: ConversationType::Public,
            settings: settings(unit),
            created_by: user_ids(unit, 1).remove(0),
            created_at: i64::from(i32::MAX) * 1000,
            participant_count: u32::MAX,
            participant_ids: user_ids(unit, 20),
        }
    }

    fn attachments(unit: &str) -> Vec<Attachment> {
        let attachment = Attachment {
            url: texts(unit, 300),
            mime_type: Some(texts(unit, 30)),
            name: Some(texts(unit, 100)),
            size: Some(i64::MAX),
            thumbnail_url: Some(texts(unit, 200)),
        };
        vec![attachment; 20]
    }

    fn bodies(unit: &str) -> Vec<Body> {
        let message_id = MessageId::generate();
        vec![
            Body::MessageCreated(Box::new(MessageCreated {
                content: texts(unit, 3000),
                kind: MessageType::Custom,
                attachments: attachments(unit),
                reply_to: Some(message_id.clone()),
                thread_id: Some(message_id.clone()),
                mentions: user_ids(unit, 100),
                metadata: Some(metadata(unit)),
                client_message_id: Some(texts("é", 128)),
                request_hash: Some(texts("f", 24)),
                thread_reply_count: Some(u32::MAX),
                is_thread_expiring: true,
                here: user_ids(unit, 50),
                silent: true,
                forwarded_from: Some(ForwardedFrom {
                    message_id: message_id.clone(),
                    sender_id: user_ids(unit, 1).remove(0),
                }),
                expires_at: Some(i64::from(i32::MAX) * 1000),
                schedule: None,
            })),
            Body::MessageUpdated(MessageEdit {
                message_id: message_id.clone(),
                content: texts(unit, 5000),
                metadata: Patch::Set(metadata(unit)),
                message_seq: Some(u64::MAX >> 1),
            }),
            Body::MessageRestored(Box::new(MessageRestored {
                message_id: message_id.clone(),
                edit_seq: u64::MAX >> 1,
                content: texts(unit, 5000),
                attachments: attachments(unit),
                mentions: user_ids(unit, 100),
                metadata: Some(metadata(unit)),
                message_seq: Some(u64::MAX >> 1),
            })),
            Body::ReactionAdded(Reaction {
                message_id,
                emoji: texts(unit, 60),
                user_id: user_ids(unit, 1).remove(0),
                total_count: u32::MAX,
                user_ids: user_ids(unit, 20),
                message_seq: Some(u64::MAX >> 1),
            }),
            Body::ConversationCreated(ConversationCreated {
                conversation: snapshot(unit),
                members: user_ids(unit, 200)
                    .into_iter()
                    .map(|user_id| NewMember {
                        user_id,
                        role: Role::Member,
                    })
                    .collect(),
            }),
            Body::ConversationUpdated(snapshot(unit)),
            Body::ParticipantAdded(ParticipantsJoined {
                user_ids: user_ids(unit, 200),
                role: Role::Member,
                conversation: snapshot(unit),
            }),
            Body::Noop,
        ]
    }

    /// Returns an entry of each large kind, whose texts repeat `unit`.
    pub(crate) fn entries(unit: &str) -> Vec<Entry> {
        let of = |owner: Owner, body| Entry {
            id: EventId::generate(),
            owner,
            seq: u64::MAX >> 1,
            actor: Some(user_ids(unit, 1).remove(0)),
            at: Timestamp::now(),
            body,
            trace: None,
        };
        let profile = Profile {
            name: Some(texts(unit, 320)),
            avatar_url: Some(texts(unit, 2048)),
            email: Some(texts(unit, 320)),
            roles: vec![texts(unit, 100); 50],
            metadata: Some(metadata(unit)),
            created_at: i64::from(i32::MAX) * 1000,
        };
        let conversation = Owner::from(ConversationId::generate());
        let user = Owner::from(user_ids(unit, 1).remove(0));
        let mut all: Vec<Entry> = bodies(unit)
            .into_iter()
            .map(|body| of(conversation.clone(), body))
            .collect();
        all.push(of(user, Body::UserSynced(profile)));
        all
    }

    #[test]
    fn no_event_is_larger_than_its_bound() {
        for entry in NASTY.iter().flat_map(|unit| entries(unit)) {
            let kind = entry.body.kind();
            let (real, bound) = (event(&entry), event_at_most(&entry));
            assert!(real <= bound, "{kind}: an event of {real}, bound {bound}");
        }
    }

    #[test]
    fn the_bound_of_a_common_message_is_far_below_the_limit() {
        let mut entry = entries("x").remove(0);
        if let Body::MessageCreated(message) = &mut entry.body {
            message.content = texts("x", 16 * 1024);
            message.attachments.truncate(2);
            message.mentions.truncate(10);
        }
        assert!(event_at_most(&entry) <= bounds::EVENT);
        assert_eq!(check(&entry), Ok(()));
    }

    #[test]
    fn the_error_has_the_size_of_the_encoded_event() {
        let mut entry = entries("\u{1}").remove(0);
        if let Body::MessageCreated(message) = &mut entry.body {
            message.content = texts("\u{1}", 32 * 1024);
        }
        let size = serde_json::to_vec(&catalogue::envelope(&entry))
            .expect("encodes")
            .len();
        let limit = bounds::EVENT;
        assert!(size > limit);
        assert_eq!(check(&entry), Err(DomainError::TooLarge { size, limit }));
    }
}

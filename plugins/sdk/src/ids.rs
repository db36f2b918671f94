//! Typed ids. Each is an opaque string; a clone copies a pointer.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::openapi::openapi_string;

/// Error for a string that is not a valid id. Its `Display` is a sentence for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError(&'static str);

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for IdError {}

/// Number of characters after an id's prefix: a ULID in lower case.
const ULID_LENGTH: usize = 26;

fn is_ulid_text(text: &str) -> bool {
    text.len() == ULID_LENGTH
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

fn new_ulid_text() -> String {
    ulid::Ulid::generate().to_string().to_ascii_lowercase()
}

macro_rules! string_type {
    ($type:ident) => {
        impl $type {
            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! deserialize_with {
    ($type:ident, $parse:path) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $type:ident, $prefix:literal, $format:literal, $example:literal, $about:literal, $refusal:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Prefix of all ids of this type.
            pub const PREFIX: &'static str = $prefix;

            /// Returns a new unique id; ids sort by the time of their creation.
            pub fn generate() -> Self {
                Self::from_suffix(&new_ulid_text())
            }

            /// Returns the 26 characters after the prefix.
            pub fn suffix(&self) -> &str {
                &self.0[Self::PREFIX.len()..]
            }

            fn from_suffix(suffix: &str) -> Self {
                let mut text = String::with_capacity($prefix.len() + ULID_LENGTH);
                text.push_str($prefix);
                text.push_str(suffix);
                Self(text.into())
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.strip_prefix($prefix) {
                    Some(suffix) if is_ulid_text(suffix) => Ok(Self(text.into())),
                    _ => Err(IdError($refusal)),
                }
            }
        }

        string_type!($type);
        deserialize_with!($type, FromStr::from_str);
        openapi_string!($type, $format, Some($format), $example, $about);
    };
}

prefixed_id!(
    /// Id of a conversation: `cnv_` and a ULID, or the hash of a direct conversation's two members.
    ConversationId, "cnv_", "conversation-id", "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6", "Id of a conversation.",
    "must be a conversation id: cnv_ and 26 lower-case letters or digits"
);

prefixed_id!(
    /// Id of a message. It shares its 26 characters with the id of the event that created the message.
    MessageId, "msg_", "message-id", "msg_01hzx3v7k9q2m4n6p8r0s2t4v6", "Id of a message.",
    "must be a message id: msg_ and 26 lower-case letters or digits"
);

prefixed_id!(
    /// Id of an event, which is also the id of its entry in the log. Consumers recognise repetitions by it.
    EventId, "evt_", "event-id", "evt_01hzx3v7k9q2m4n6p8r0s2t4v6", "Id of an event.",
    "must be an event id: evt_ and 26 lower-case letters or digits"
);

prefixed_id!(
    /// Id of a scheduled message. The id of the message that is sent is derived from it.
    ScheduledId, "sch_", "scheduled-id", "sch_01hzx3v7k9q2m4n6p8r0s2t4v6", "Id of a scheduled message.",
    "must be the id of a scheduled message: sch_ and 26 lower-case letters or digits"
);

impl ConversationId {
    /// Returns the id for a hash: 26 characters of `0-9a-z`.
    ///
    /// # Errors
    /// If `suffix` does not have that form.
    pub fn from_hash(suffix: &str) -> Result<Self, IdError> {
        if is_ulid_text(suffix) {
            Ok(Self::from_suffix(suffix))
        } else {
            Err(IdError("must be 26 lower-case letters or digits"))
        }
    }
}

impl EventId {
    /// Returns the id of an event for a hash of its cause, so that a repeated cause makes the same event.
    ///
    /// # Errors
    /// If `suffix` is not 26 characters of `0-9a-z`.
    pub fn from_hash(suffix: &str) -> Result<Self, IdError> {
        if is_ulid_text(suffix) {
            Ok(Self::from_suffix(suffix))
        } else {
            Err(IdError("must be 26 lower-case letters or digits"))
        }
    }

    /// Returns the id of the message that this event created.
    pub fn to_message_id(&self) -> MessageId {
        MessageId::from_suffix(self.suffix())
    }

    /// Returns the id of the `index`th further entry of the same command; repetitions of the command get the same ids.
    pub fn derive(&self, index: usize) -> Self {
        // A ULID ends in 80 random bits, so the sum keeps the same millisecond.
        match ulid::Ulid::from_string(&self.suffix().to_ascii_uppercase()) {
            Ok(ulid) => Self::from_suffix(
                &ulid::Ulid(ulid.0.wrapping_add(index as u128))
                    .to_string()
                    .to_ascii_lowercase(),
            ),
            Err(_) => self.clone(),
        }
    }
}

impl MessageId {
    /// Returns the id of the event that created this message.
    pub fn to_event_id(&self) -> EventId {
        EventId::from_suffix(self.suffix())
    }
}

/// Id of a user, given by the host (`sub` of its tokens, `externalUserId`).
///
/// It has 1 to 128 characters and no control characters. Parsing rejects the words of [`UserId::RESERVED`]. Deserializing accepts them, because stored
/// entries and events name the host as [`UserId::system`], and a stored id must stay readable if a word is reserved later. Use [`GivenUserId`] to
/// deserialize input of a caller.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Maximum length of a user id, in characters.
    pub const MAX_CHARACTERS: usize = 128;
    /// Words with another meaning in a path, in a mention or as the sender of a message.
    pub const RESERVED: [&'static str; 8] =
        ["me", "search", "sync", "system", "all", "here", ".", ".."];
    /// Mentions of many users. A message may contain them; no user can have such an id.
    pub const MENTIONS_OF_MANY: [&'static str; 2] = ["@all", "@here"];

    /// Returns the displayed sender of messages that the host sent without an acting user. It identifies no one and must never decide on rights.
    pub fn system() -> Self {
        Self("system".into())
    }

    /// Returns true if a user may have this id.
    pub fn names_a_user(&self) -> bool {
        !Self::RESERVED.contains(&self.as_str()) && !Self::MENTIONS_OF_MANY.contains(&self.as_str())
    }

    /// Parses an id as it is stored; reserved words are accepted.
    ///
    /// # Errors
    /// If `text` is empty, has more than 128 characters or has control characters.
    pub fn stored(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.chars().count() > Self::MAX_CHARACTERS {
            Err(IdError("must be a user id of 1 to 128 characters"))
        } else if text.chars().any(char::is_control) {
            Err(IdError("must be a user id without control characters"))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl FromStr for UserId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if Self::RESERVED.contains(&text) {
            return Err(IdError(
                "must not be one of the reserved words me, search, sync, system, all, here, . and ..",
            ));
        }
        Self::stored(text)
    }
}

string_type!(UserId);
deserialize_with!(UserId, UserId::stored);
openapi_string!(
    UserId,
    "user-id",
    Some("user-id"),
    "alice",
    "The host's own id of a user: 1-128 characters, no control characters; not me, search, sync, system, all, here, . or .."
);

/// A [`UserId`] in the input of a caller: reserved words are rejected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GivenUserId(pub UserId);

impl FromStr for GivenUserId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for GivenUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

deserialize_with!(GivenUserId, FromStr::from_str);
openapi_string!(
    GivenUserId,
    "user-id",
    Some("user-id"),
    "alice",
    "The host's own id of a user: 1-128 characters, no control characters; not me, search, sync, system, all, here, . or .."
);

/// Returns true if `text` can be the id of a session: 1 to 128 bytes of visible ASCII.
pub fn is_session_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_validated() {
        let id = MessageId::generate();
        assert_eq!(id.as_str().parse::<MessageId>().as_ref(), Ok(&id));
        assert_eq!(id.to_event_id().to_message_id(), id);
        for bad in [
            "",
            "msg_",
            "msg_123",
            "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6",
            "msg_01HZX3V7K9Q2M4N6P8R0S2T4V6",
        ] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_event_ids_are_stable_and_distinct() {
        let id = EventId::generate();
        assert_eq!(id.derive(0), id);
        assert_eq!(id.derive(1), id.derive(1));
        assert_ne!(id.derive(1), id.derive(2));
    }

    #[test]
    fn user_ids_are_validated() {
        for good in ["a", "user.42", "auth0|5f7", "名前", "a b", "*", ">"] {
            assert!(good.parse::<UserId>().is_ok(), "{good}");
        }
        let long = "x".repeat(129);
        for bad in ["", "a\nb", "a\0b", long.as_str()]
            .into_iter()
            .chain(UserId::RESERVED)
        {
            assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).expect("a text");
            assert!(
                serde_json::from_str::<GivenUserId>(&json).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn stored_user_ids_stay_readable_when_they_are_reserved() {
        let host: UserId = serde_json::from_str("\"system\"").expect("a stored id");
        assert_eq!(host, UserId::system());
        assert!(!host.names_a_user());
        assert!(!"@all".parse::<UserId>().expect("a mention").names_a_user());
    }
}

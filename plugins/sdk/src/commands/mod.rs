//! Commands: the changes and requests that clients and hosts send, each declared once.
//!
//! A declaration has the name, the body, the answer, the rate limit and the errors of a command. The REST body, the payload of sockets and of NATS, the
//! OpenAPI and AsyncAPI documents and the tables of the documentation come from it. This module does not execute commands.

pub mod conversations;
pub mod messages;
pub mod participants;
mod payload;
pub mod reactions;
pub mod receipts;
pub mod scheduled;
pub mod sockets;
pub mod users;

use std::borrow::Cow;

use poem_openapi::{
    Object,
    registry::{MetaSchema, Registry},
    types::{ToJSON, Type},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{ConversationId, MessageId};

pub use payload::{Empty, Payload};

/// Fields of one part of a command: an object type, or [`Empty`].
pub trait Fields: Sized {
    /// Registers the schema of the object and returns its name; `None` without fields.
    fn register(registry: &mut Registry) -> Option<Cow<'static, str>>;

    /// Returns the part as JSON; `None` without fields.
    fn to_json(&self) -> Option<Value>;

    /// Reads the part from JSON; `None` if the JSON does not have its form. [`Empty`] accepts everything.
    fn from_json(json: Value) -> Option<Self>;
}

impl<T: Type + ToJSON + DeserializeOwned> Fields for T {
    fn register(registry: &mut Registry) -> Option<Cow<'static, str>> {
        T::register(registry);
        Some(T::name())
    }

    fn to_json(&self) -> Option<Value> {
        ToJSON::to_json(self)
    }

    fn from_json(json: Value) -> Option<Self> {
        // As stored: an answer may name the host, whose id the parsing of input rejects.
        serde_json::from_value(json).ok()
    }
}

/// Fields that are path parameters over REST, and fields of the payload over sockets and NATS.
pub trait PathFields: Fields + DeserializeOwned {
    /// Names of the fields, as in JSON.
    const NAMES: &'static [&'static str];
}

/// Rate limit that counts a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Limit of messages, `RATE_LIMIT_MESSAGES`.
    Messages,
    /// Limit of typing signals, `RATE_LIMIT_TYPING`.
    Typing,
    /// Limit of all other requests, `RATE_LIMIT_API`.
    Api,
}

impl RateLimit {
    /// Returns the name of the setting.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Messages => "RATE_LIMIT_MESSAGES",
            Self::Typing => "RATE_LIMIT_TYPING",
            Self::Api => "RATE_LIMIT_API",
        }
    }
}

/// REST operation of a command.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// `operationId` in the OpenAPI document.
    pub operation: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path; each `{field}` is a field of the payload over NATS.
    pub path: &'static str,
}

/// Everything about a command except the types of its parts.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// One sentence that says what the command does.
    pub about: &'static str,
    /// Its REST operation.
    pub rest: Option<Rest>,
    /// Its name over NATS, for hosts.
    pub host: Option<&'static str>,
    /// Its name over sockets.
    pub socket: Option<&'static str>,
    /// Field of the ack that contains the answer; without one the ack has the fields of the answer itself.
    pub ack_field: Option<&'static str>,
    /// Rate limit that counts it.
    pub limit: RateLimit,
    /// HTTP statuses of the errors that it can return beside those of every command (400, 401, 429, 500, 503).
    pub errors: &'static [u16],
}

impl Declaration {
    const fn new(about: &'static str, errors: &'static [u16]) -> Self {
        Self {
            about,
            rest: None,
            host: None,
            socket: None,
            ack_field: None,
            limit: RateLimit::Api,
            errors,
        }
    }

    const fn rest(
        mut self,
        operation: &'static str,
        method: &'static str,
        path: &'static str,
    ) -> Self {
        self.rest = Some(Rest {
            operation,
            method,
            path,
        });
        self
    }

    const fn host(mut self, name: &'static str) -> Self {
        self.host = Some(name);
        self
    }

    const fn socket(mut self, name: &'static str) -> Self {
        self.socket = Some(name);
        self
    }

    const fn ack_field(mut self, field: &'static str) -> Self {
        self.ack_field = Some(field);
        self
    }

    const fn limit(mut self, limit: RateLimit) -> Self {
        self.limit = limit;
        self
    }
}

/// A command. The implementing type is the body, or a type without values if the command has no body of its own.
pub trait Command {
    /// Path parameters of the REST operation.
    type Path: PathFields;
    /// Other fields of the payload: the body of the REST operation.
    type Body: Fields + DeserializeOwned;
    /// Body of the response.
    type Answer: Fields;
    /// Name, limits and errors.
    const DECLARATION: Declaration;
}

/// Names of the schemas of a command's parts; `None` for a part without fields.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Schema of the path parameters.
    pub path: Option<String>,
    /// Schema of the body.
    pub body: Option<String>,
    /// Schema of the answer.
    pub answer: Option<String>,
}

/// A command of [`COMMANDS`].
pub struct Declared {
    /// Name, limits and errors.
    pub declaration: Declaration,
    register: fn(&mut Registry) -> Parts,
}

impl Declared {
    const fn of<C: Command>() -> Self {
        Self {
            declaration: C::DECLARATION,
            register: |registry| Parts {
                path: C::Path::register(registry).map(Cow::into_owned),
                body: C::Body::register(registry).map(Cow::into_owned),
                answer: C::Answer::register(registry).map(Cow::into_owned),
            },
        }
    }
}

/// All commands, in the order of the documents.
pub const COMMANDS: &[Declared] = &[
    Declared::of::<sockets::Authenticate>(),
    Declared::of::<messages::SendOnSocket>(),
    Declared::of::<messages::SendMessage>(),
    Declared::of::<messages::SendDirectMessage>(),
    Declared::of::<scheduled::ScheduleMessage>(),
    Declared::of::<scheduled::UpdateScheduledMessage>(),
    Declared::of::<scheduled::CancelScheduledMessage>(),
    Declared::of::<messages::EditMessage>(),
    Declared::of::<messages::DeleteMessage>(),
    Declared::of::<messages::SyncMessages>(),
    Declared::of::<messages::ListMessages>(),
    Declared::of::<reactions::AddReaction>(),
    Declared::of::<reactions::RemoveReaction>(),
    Declared::of::<receipts::MarkMessageRead>(),
    Declared::of::<receipts::MarkMessageDelivered>(),
    Declared::of::<receipts::MarkConversationRead>(),
    Declared::of::<conversations::CreateConversation>(),
    Declared::of::<conversations::UpdateConversation>(),
    Declared::of::<participants::AddParticipants>(),
    Declared::of::<participants::RemoveParticipant>(),
    Declared::of::<users::SyncUser>(),
    Declared::of::<users::SyncUsers>(),
    Declared::of::<users::DeleteUser>(),
    Declared::of::<sockets::StartTyping>(),
    Declared::of::<sockets::StopTyping>(),
    Declared::of::<sockets::StartRecording>(),
    Declared::of::<sockets::StopRecording>(),
    Declared::of::<sockets::PingActivity>(),
    Declared::of::<sockets::JoinRoom>(),
    Declared::of::<sockets::LeaveRoom>(),
    Declared::of::<sockets::SubscribePresence>(),
    Declared::of::<sockets::UnsubscribePresence>(),
    Declared::of::<sockets::RefreshToken>(),
    Declared::of::<sockets::Ping>(),
];

/// Returns the declaration of the command `name` of sockets.
pub fn on_sockets(name: &str) -> Option<&'static Declaration> {
    COMMANDS
        .iter()
        .map(|command| &command.declaration)
        .find(|declaration| declaration.socket == Some(name))
}

/// Returns the names of all commands of sockets.
pub fn socket_names() -> impl Iterator<Item = &'static str> {
    COMMANDS
        .iter()
        .filter_map(|command| command.declaration.socket)
}

/// Returns the schemas of all commands in the form of OpenAPI 3.0, by name, and the parts of each command in the order of [`COMMANDS`].
pub fn schemas() -> (std::collections::BTreeMap<String, MetaSchema>, Vec<Parts>) {
    let mut registry = Registry::new();
    let parts = COMMANDS
        .iter()
        .map(|command| (command.register)(&mut registry))
        .collect();
    (registry.schemas, parts)
}

macro_rules! path_fields {
    ($($(#[$doc:meta])* $type:ident { $($(#[$about:meta])* $field:ident: $kind:ty = $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, Object)]
        #[serde(deny_unknown_fields)]
        pub struct $type {
            $($(#[$about])* #[serde(rename = $name)] #[oai(rename = $name)] pub $field: $kind,)*
        }

        impl PathFields for $type {
            const NAMES: &'static [&'static str] = &[$($name,)*];
        }
    )*};
}
use path_fields;

path_fields! {
    /// Path of a conversation.
    OfConversation {
        /// Id of the conversation.
        conversation_id: ConversationId = "conversationId",
    }
    /// Path of a message.
    OfMessage {
        /// Id of the message.
        message_id: MessageId = "messageId",
    }
}

//! The chat for a plugin: the operations of the REST API as typed calls, with the same checks, limits and errors.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::BoxFuture;
use crate::{
    Metadata, UserId,
    commands::{Command, Fields, PathFields, RateLimit},
};

/// Caller of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The host's backend, without an acting user.
    Host,
    /// The host's backend for this user, who must exist. The rate limits do not count it.
    User(UserId),
    /// The plugin's bot of this name, see [`Bot`]. It is created at its first use, and its calls count against the rate limits as those of a user do.
    Bot(String),
}

/// A bot: a user of the plugin's own that nobody can log in as.
///
/// Its id is `bot:<plugin>:<name>`. Its tokens are revoked for ever, also if the host syncs, disconnects or deletes it. Its role is `bot`, and its metadata
/// contains `{"bot": {"plugin", "name"}}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bot {
    /// Name within the plugin: 1 to 32 lower-case letters, digits and `-`.
    pub name: String,
    /// Display name; default: the name.
    pub display_name: Option<String>,
    /// URL of the picture.
    pub avatar_url: Option<String>,
    /// Additional metadata.
    pub metadata: Option<Metadata>,
}

/// Request for an operation of the REST API.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// Caller of the operation.
    pub caller: Caller,
    /// HTTP method.
    pub method: &'static str,
    /// Path, with percent-encoded segments, and the query.
    pub path: String,
    /// JSON body; empty without one.
    pub body: Bytes,
    /// Rate limit that counts it if the caller is a bot.
    pub limit: RateLimit,
}

/// Error of an operation, as REST returns it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatError {
    /// HTTP status.
    pub status: u16,
    /// Code, for example `NOT_FOUND`.
    pub code: String,
    /// Sentence for the caller.
    pub message: String,
    /// Invalid fields.
    pub details: Vec<ChatFault>,
    /// Time after which to retry, if a retry makes sense.
    pub retry_after: Option<Duration>,
}

/// Fault of one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChatFault {
    /// Path of the field.
    pub field: String,
    /// Problem, as a text that can follow the name of the field.
    pub message: String,
}

impl ChatError {
    /// Returns the error of an operation that could not be carried out now; it is safe to repeat it.
    pub fn unavailable(message: &str) -> Self {
        Self {
            status: 503,
            code: "UNAVAILABLE".to_owned(),
            message: message.to_owned(),
            retry_after: Some(Duration::from_secs(2)),
            ..Self::default()
        }
    }

    /// Returns the error of a call whose field `field` is invalid.
    pub fn invalid(field: &str, problem: &str) -> Self {
        Self {
            status: 400,
            code: "VALIDATION_ERROR".to_owned(),
            message: format!("{field} {problem}"),
            details: vec![ChatFault {
                field: field.to_owned(),
                message: problem.to_owned(),
            }],
            retry_after: None,
        }
    }

    /// Reads the body of an error response with `status`.
    pub fn read(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        #[derive(Deserialize)]
        struct Body {
            code: String,
            message: String,
            #[serde(default)]
            details: Vec<ChatFault>,
        }
        match serde_json::from_slice::<Body>(body) {
            Ok(body) => Self {
                status,
                code: body.code,
                message: body.message,
                details: body.details,
                retry_after,
            },
            Err(_) => Self {
                status,
                code: "INTERNAL_ERROR".to_owned(),
                message: "The response of the service could not be read.".to_owned(),
                retry_after,
                ..Self::default()
            },
        }
    }

    /// True if the same call may succeed later: the service was unavailable, or a rate limit was exceeded.
    pub fn is_temporary(&self) -> bool {
        self.status == 429 || self.status >= 500
    }
}

impl fmt::Display for ChatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.status, self.code, self.message)
    }
}

impl std::error::Error for ChatError {}

/// Operations of the REST API for one plugin. They are carried out in this process, with all checks of REST.
///
/// At most 64 calls of a plugin run at once; others wait, and fail with 503 after 10 s. `Arc<dyn Chat>` has the typed calls
/// [`call`](trait.Chat.html#method.call) and [`get`](trait.Chat.html#method.get).
pub trait Chat: Send + Sync {
    /// Carries out one operation. Returns the JSON of a successful response; `null` without a body.
    fn request(&self, request: ChatRequest) -> BoxFuture<'_, Result<Value, ChatError>>;

    /// Creates a bot, or overwrites its profile. Returns its id.
    ///
    /// Fails with 409 if the id belongs to a user who is not this bot, or if the host has deleted the bot.
    fn bot(&self, bot: Bot) -> BoxFuture<'_, Result<UserId, ChatError>>;
}

impl dyn Chat {
    /// Carries out the command `C`: `chat.call::<SendMessage>(caller, path, body)`.
    ///
    /// # Errors
    /// The error of the REST operation.
    pub async fn call<C: Command>(
        &self,
        caller: Caller,
        path: C::Path,
        body: C::Body,
    ) -> Result<C::Answer, ChatError> {
        let Some(rest) = C::DECLARATION.rest else {
            return Err(ChatError::invalid("command", "has no REST operation"));
        };
        let body = match body.to_json() {
            Some(body) => body.to_string().into(),
            None => Bytes::new(),
        };
        let answer = self
            .request(ChatRequest {
                caller,
                method: rest.method,
                path: fill::<C::Path>(rest.path, &path),
                body,
                limit: C::DECLARATION.limit,
            })
            .await?;
        C::Answer::from_json(answer).ok_or_else(|| ChatError::read(500, b"", None))
    }

    /// Reads the resource at `segments`, for example `["api", "messages", id]`, with the parameters `query`.
    ///
    /// # Errors
    /// The error of the REST operation.
    pub async fn get(
        &self,
        caller: Caller,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, ChatError> {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            encode(segment, &mut path);
        }
        for (index, (name, value)) in query.iter().enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            encode(name, &mut path);
            path.push('=');
            encode(value, &mut path);
        }
        self.request(ChatRequest {
            caller,
            method: "GET",
            path,
            body: Bytes::new(),
            limit: RateLimit::Api,
        })
        .await
    }
}

/// Returns the path `pattern` with the fields of `path` in their places.
fn fill<P: PathFields>(pattern: &str, path: &P) -> String {
    let fields = match path.to_json() {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut filled = pattern.to_owned();
    for name in P::NAMES {
        let mut text = String::new();
        encode(
            fields
                .get(*name)
                .and_then(Value::as_str)
                .unwrap_or_default(),
            &mut text,
        );
        filled = filled.replace(&format!("{{{name}}}"), &text);
    }
    filled
}

/// Appends `text`, with every byte percent-encoded that is neither a letter nor a digit.
fn encode(text: &str, out: &mut String) {
    use fmt::Write;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::{
        OfMessage,
        messages::{EditMessage, SendMessage},
        users::OfUser,
    };

    #[test]
    fn fields_of_the_path_are_percent_encoded() {
        let user = OfUser {
            user_id: "../a b/?x".parse().expect("an id"),
        };
        assert_eq!(
            fill("/api/users/{userId}", &user),
            "/api/users/%2E%2E%2Fa%20b%2F%3Fx"
        );
        let message = OfMessage {
            message_id: crate::MessageId::generate(),
        };
        let path = fill("/api/messages/{messageId}", &message);
        assert!(path.starts_with("/api/messages/msg%5F"), "{path}");
    }

    #[test]
    fn bodies_are_the_json_of_rest() {
        let body = SendMessage {
            content: Some("hi".to_owned()),
            ..SendMessage::default()
        };
        let json = Fields::to_json(&body).expect("fields");
        assert_eq!(json["content"], "hi");
        let edit = EditMessage {
            content: crate::Patch::Clear,
            metadata: crate::Patch::Keep,
        };
        assert_eq!(Fields::to_json(&edit), Some(json!({ "content": null })));
    }

    #[test]
    fn errors_are_read_from_responses() {
        let body = json!({ "statusCode": 400, "error": "Bad Request", "code": "VALIDATION_ERROR", "message": "No.",
            "details": [{ "field": "content", "message": "is required" }] });
        let error = ChatError::read(400, body.to_string().as_bytes(), None);
        assert_eq!(error.to_string(), "400 (VALIDATION_ERROR): No.");
        assert_eq!(error.details[0].field, "content");
        assert!(!error.is_temporary());
        assert!(ChatError::read(500, b"x", None).is_temporary());
    }
}

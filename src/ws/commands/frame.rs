//! Frames of `chat.v1`: what clients send, and their answers.

use chat_sdk::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{
    http::limits::RateLimited,
    model::{DomainError, FieldError},
};

/// Maximum length of the `id` of a client's frame, in bytes.
const MAX_ID: usize = 128;

/// Result of a command: the fields of its ack; see [`ack`].
pub type Answer = std::result::Result<String, FrameError>;

/// A frame from a client.
#[derive(Debug, Deserialize)]
pub struct ClientFrame<'a> {
    /// Id that the client chose for the frame, repeated in the answer; a string or a number.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// Name of the command.
    pub event: &'a str,
    /// Data of the command.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

impl<'a> ClientFrame<'a> {
    /// Parses a frame; `None` if the text is not one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let frame: Self = serde_json::from_str(text).ok()?;
        let id = frame.id.map_or("null", RawValue::get);
        let is_id = id.starts_with('"') || id == "null" || id.parse::<f64>().is_ok();
        (is_id && id.len() <= MAX_ID).then_some(frame)
    }

    /// Returns the id as JSON, for the answer.
    pub fn id_json(&self) -> String {
        self.id.map_or("null", RawValue::get).to_owned()
    }

    /// Returns the data as JSON; an empty object if there is none.
    pub fn data_json(&self) -> &'a str {
        self.data.map_or("{}", RawValue::get)
    }
}

/// Error in an ack or an `error` event.
#[derive(Debug, Serialize)]
pub struct FrameError {
    /// Error code of the API.
    pub code: &'static str,
    /// Explanation for a person.
    pub message: String,
    /// All faults of the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldError>,
    /// Time until the next command is admitted, in milliseconds; only with `RATE_LIMITED`.
    #[serde(rename = "retryAfterMs", skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl FrameError {
    /// Returns an error of `code` with an explanation for a person.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            retry_after_ms: None,
        }
    }
}

impl FrameError {
    /// True if the client caused the error: repeating the same command fails again.
    pub fn is_of_the_client(&self) -> bool {
        !matches!(self.code, "UNAVAILABLE" | "INTERNAL_ERROR" | "RATE_LIMITED")
    }
}

impl From<RateLimited> for FrameError {
    fn from(refused: RateLimited) -> Self {
        Self {
            retry_after_ms: Some(refused.retry_after_millis()),
            ..Self::new("RATE_LIMITED", refused.to_string())
        }
    }
}

impl From<DomainError> for FrameError {
    fn from(error: DomainError) -> Self {
        if let DomainError::Internal(text) = &error {
            tracing::error!(%text, "a command failed inside the service");
        }
        Self {
            details: error.details(),
            ..Self::new(error.code(), error.public_message())
        }
    }
}

/// Returns the answer to a successful command.
///
/// `fields` is what the JSON object has beside `success`, for example `"message":{…}`; it may be empty.
pub fn ack(id: &str, fields: &str) -> Utf8Bytes {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"id":{id},"event":"ack","data":{{"success":true{comma}{fields}}}}}"#).into()
}

/// Returns the answer to a refused command.
pub fn refusal(id: &str, error: &FrameError) -> Utf8Bytes {
    let error = serde_json::to_string(error).unwrap_or_default();
    format!(r#"{{"id":{id},"event":"ack","data":{{"success":false,"error":{error}}}}}"#).into()
}

/// Returns the frame of an event that is not in any log.
pub fn event(name: &str, data: &serde_json::Value) -> Utf8Bytes {
    json!({ "event": name, "data": data }).to_string().into()
}

/// Returns the frame of an `error` event.
pub fn error_event(error: &FrameError) -> Utf8Bytes {
    event(
        "error",
        &json!({ "code": error.code, "message": error.message, "timestamp": Timestamp::now() }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_and_number_ids_are_repeated_unchanged() {
        for (text, id) in [
            (r#"{"id":"7","event":"ping"}"#, "\"7\""),
            (r#"{"id":7,"event":"ping","data":{}}"#, "7"),
            (r#"{"event":"ping"}"#, "null"),
        ] {
            let frame = ClientFrame::parse(text).expect("is a frame");
            assert_eq!(frame.id_json(), id);
            let answer: serde_json::Value =
                serde_json::from_str(&ack(&frame.id_json(), "\"pong\":true")).expect("is JSON");
            assert_eq!(answer["data"]["pong"], true);
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"id":{},"event":"ping"}"#,
            r#"{"id":[1],"event":"x"}"#,
        ] {
            assert!(ClientFrame::parse(bad).is_none(), "{bad}");
        }
    }
}

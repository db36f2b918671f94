//! Commands of hosts over NATS, for the AsyncAPI document.

use chat_sdk::commands::{COMMANDS, Rest};
use serde_json::{Value, json};

use super::{asyncapi::in_channel, schemas::key};
use crate::contract::commands::contract;

/// A command with its messages in the document.
pub struct Documented {
    /// Key of the message with the command.
    pub key: String,
    /// Key of the message with its answer.
    pub answer_key: String,
    /// Key of its operation.
    pub operation: String,
    name: &'static str,
    about: &'static str,
    rest: Rest,
    index: usize,
}

/// Returns all commands of hosts.
pub fn commands() -> impl Iterator<Item = Documented> {
    COMMANDS.iter().enumerate().filter_map(|(index, command)| {
        let name = command.declaration.host?;
        Some(Documented {
            key: key("Host", name),
            answer_key: key("AnswerTo", name),
            operation: key("takeHost", name),
            name,
            about: command.declaration.about,
            rest: command.declaration.rest?,
            index,
        })
    })
}

impl Documented {
    /// Returns the message that a host sends.
    pub fn message(&self) -> Value {
        json!({
            "name": self.name,
            "title": self.name,
            "summary": self.about,
            "description": format!("The same as `{}` in openapi.yaml.", self.rest.operation),
            "contentType": "application/json",
            "headers": {
                "type": "object",
                "properties": {
                    "X-Acting-User": { "type": "string", "description": "Id of the user for whom the host acts, percent-encoded; absent for the host itself." },
                    "X-Request-Id": { "type": "string", "description": "Id of the request in the logs." },
                },
            },
            "payload": contract().payloads[self.index],
        })
    }

    /// Returns the message with the answer: the response of the REST operation.
    pub fn answer(&self) -> Value {
        let mut message = answer();
        message["summary"] = json!(format!(
            "The response of `{}` over REST: the same body, the same errors.",
            self.rest.operation
        ));
        if let Some(body) = &contract().answers[self.index] {
            message["payload"] = json!({
                "description": "Body of the response if `Chat-Status` is below 400, otherwise an error; `{}` with `Chat-Body-Omitted`.",
                "anyOf": [body, { "type": "object" }],
            });
        }
        message
    }

    /// Returns the operation that takes the command and replies with the answer.
    pub fn operation(&self) -> Value {
        json!({
            "action": "receive", "channel": { "$ref": "#/channels/hostCommands" },
            "summary": self.about,
            "messages": [in_channel("hostCommands", &self.key)],
            "reply": {
                "channel": { "$ref": "#/channels/hostAnswers" },
                "messages": [in_channel("hostAnswers", &self.answer_key)],
            },
        })
    }
}

fn answer() -> Value {
    json!({
        "name": "answer",
        "title": "answer",
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "Chat-Status": { "type": "string", "description": "HTTP status code, for example 201 or 404." },
                "Retry-After": { "type": "string", "description": "Time in seconds to wait before a repetition, with 429 and 503." },
                "Nats-Service-Error-Code": { "type": "string", "description": "The status code again, for an error." },
                "Nats-Service-Error": { "type": "string", "description": "Error message for people, for an error." },
                "X-Request-Id": { "type": "string", "description": "Id of the request in the logs." },
            },
            "required": ["Chat-Status"],
        },
        "payload": { "description": "Body of the response; empty if REST returns 204." },
    })
}

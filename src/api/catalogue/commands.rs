//! Commands of sockets, for the AsyncAPI document: payload, ack and operation of each, from its declaration.

use chat_sdk::commands::{COMMANDS, Declared};
use serde_json::{Map, Value, json};

use super::{asyncapi::in_channel, schemas::key};
use crate::{
    api::error::Code,
    contract::commands::{Contract, contract},
};

/// Codes of the errors that every command can return.
const COMMON_ERRORS: [Code; 5] = [
    Code::ValidationError,
    Code::Unauthorized,
    Code::RateLimited,
    Code::Unavailable,
    Code::InternalError,
];

/// A command with its names in the document.
pub struct Documented {
    /// Key of the message with the command.
    pub key: String,
    /// Key of the message with its ack.
    pub ack_key: String,
    /// Key of its operation.
    pub operation: String,
    /// Name of the command.
    pub name: &'static str,
    /// Place of the command in [`COMMANDS`].
    pub index: usize,
    /// Declaration of the command.
    pub command: &'static Declared,
}

/// Returns all commands of sockets.
pub fn of_sockets() -> impl Iterator<Item = Documented> {
    COMMANDS.iter().enumerate().filter_map(|(index, command)| {
        let name = command.declaration.socket?;
        Some(Documented {
            key: key("Command", name),
            ack_key: key("AckOf", name),
            operation: key("take", name),
            name,
            index,
            command,
        })
    })
}

/// Returns `schemas` and the schemas that commands refer to.
pub fn with_schemas(mut schemas: Map<String, Value>) -> Map<String, Value> {
    let Contract {
        schemas: of_commands,
        ..
    } = contract();
    for (name, schema) in of_commands.as_object().into_iter().flatten() {
        schemas
            .entry(name.clone())
            .or_insert_with(|| schema.clone());
    }
    schemas
}

impl Documented {
    /// Returns the error codes of the command.
    fn codes(&self) -> Vec<Code> {
        let declared = self.command.declaration.errors.iter();
        let declared = declared.filter_map(|status| Code::of_status(*status));
        COMMON_ERRORS.into_iter().chain(declared).collect()
    }

    /// Returns the message that a client sends.
    pub fn message(&self) -> Value {
        let declaration = &self.command.declaration;
        let mut data = contract().payloads[self.index].clone();
        let has_required = data["required"]
            .as_array()
            .is_some_and(|names| !names.is_empty());
        data["description"] = json!("Fields of the command; no others are allowed.");
        let required = if has_required {
            json!(["event", "data"])
        } else {
            json!(["event"])
        };
        json!({
            "name": self.name,
            "title": self.name,
            "summary": declaration.about,
            "description": format!("The rate limit `{}` counts it.", declaration.limit.setting()),
            "contentType": "application/json",
            "payload": {
                "type": "object",
                "properties": {
                    "id": { "type": ["string", "number", "null"], "description": "Client's id of the command, repeated in the ack." },
                    "event": { "const": self.name },
                    "data": data,
                },
                "required": required,
            },
        })
    }

    /// Returns the message with the ack to the command.
    pub fn ack(&self) -> Value {
        let answer = contract().ack(self.index, self.command);
        let codes: Vec<Value> = self.codes().iter().map(|code| json!(code)).collect();
        ack(
            &format!("The reply to `{}`.", self.name),
            answer,
            Some(codes),
        )
    }

    /// Returns the operation that takes the command and replies with the ack.
    pub fn operation(&self) -> Value {
        json!({
            "action": "receive", "channel": { "$ref": "#/channels/socket" },
            "summary": self.command.declaration.about,
            "messages": [in_channel("socket", &self.key)],
            "reply": {
                "channel": { "$ref": "#/channels/socket" },
                "messages": [in_channel("socket", &self.ack_key)],
            },
        })
    }
}

/// Returns the message with the ack to a command that is not known.
pub fn any_ack() -> Value {
    ack("The reply to any command.", None, None)
}

/// Returns an ack whose data has the fields of `answer` if the command succeeded, otherwise an error with one of `codes`.
fn ack(summary: &str, answer: Option<Value>, codes: Option<Vec<Value>>) -> Value {
    let mut success = json!({
        "type": "object",
        "properties": { "success": { "const": true } },
        "required": ["success"],
    });
    if let Some(answer) = answer {
        for (name, field) in answer["properties"].as_object().into_iter().flatten() {
            success["properties"][name] = field.clone();
        }
        let required = answer["required"].as_array().cloned().unwrap_or_default();
        success["required"] = std::iter::once(json!("success")).chain(required).collect();
    }
    let mut code = json!({ "type": "string", "description": "Error code, for programs." });
    if let Some(codes) = codes {
        code["x-extensible-enum"] = codes.into();
    }
    let failure = json!({
        "type": "object",
        "properties": {
            "success": { "const": false },
            "error": {
                "type": "object",
                "properties": {
                    "code": code,
                    "message": { "type": "string", "description": "Error message, for people." },
                    "details": {
                        "type": "array", "description": "Problems of the data, one per field.",
                        "items": {
                            "type": "object",
                            "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
                            "required": ["field", "message"],
                        },
                    },
                    "retryAfterMs": { "type": "integer", "minimum": 1, "description": "Time until the next command is accepted, in milliseconds; only with `RATE_LIMITED`." },
                },
                "required": ["code", "message"],
            },
        },
        "required": ["success", "error"],
    });
    json!({
        "name": "ack",
        "title": "ack",
        "summary": summary,
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "properties": {
                "id": { "type": ["string", "number", "null"], "description": "Id of the command." },
                "event": { "const": "ack" },
                "data": { "oneOf": [success, failure] },
            },
            "required": ["id", "event", "data"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::documents, plugins::BUILT_IN};

    /// Removes the names of the parameters of a path.
    fn unnamed(path: &str) -> String {
        let segments = path.split('/').map(|segment| {
            if segment.starts_with('{') {
                "{}"
            } else {
                segment
            }
        });
        segments.collect::<Vec<_>>().join("/")
    }

    #[test]
    fn every_declaration_matches_its_rest_operation() {
        let document: Value = serde_json::from_str(&documents(BUILT_IN).json).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        for (index, command) in COMMANDS.iter().enumerate() {
            let Some(rest) = command.declaration.rest else {
                continue;
            };
            let (_, item) = paths
                .iter()
                .find(|(path, _)| unnamed(path) == unnamed(rest.path))
                .unwrap_or_else(|| panic!("{} is in no document", rest.path));
            let operation = &item[rest.method.to_lowercase()];
            assert_eq!(operation["operationId"], rest.operation);
            let responses = operation["responses"].as_object().expect("responses");
            for status in [403, 404, 409] {
                assert_eq!(
                    responses.contains_key(&status.to_string()),
                    command.declaration.errors.contains(&status),
                    "{status} of {}",
                    rest.operation
                );
            }
            let fields = contract().payloads[index]["properties"].as_object();
            let has_body =
                fields.is_some_and(|fields| fields.len() > rest.path.matches('{').count());
            assert_eq!(
                operation["requestBody"].is_object(),
                has_body,
                "{}",
                rest.operation
            );
            let body = ["200", "201"]
                .iter()
                .find_map(|status| responses.get(*status));
            if let Some(answer) = &contract().answers[index] {
                let schema = &body.expect("an answer")["content"]["application/json"]["schema"];
                assert_eq!(schema, answer, "{}", rest.operation);
            }
        }
    }
}

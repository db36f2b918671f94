//! Commands of hosts over NATS, for the AsyncAPI document.

use serde_json::{Map, Value, json};

use crate::api::host_commands::{COMMANDS, Row};

/// Each command by its name, as a message.
pub fn commands() -> impl Iterator<Item = (&'static str, Value)> {
    COMMANDS.iter().map(|row| (row.name, command(row)))
}

fn command(row: &Row) -> Value {
    let properties: Map<String, Value> = row
        .fields()
        .map(|field| (field.to_owned(), json!({ "type": "string" })))
        .collect();
    let required: Vec<&str> = row.fields().collect();
    let rest = match row.has_body {
        true => format!(
            "The other fields are those of the body of `{}` in openapi.yaml.",
            row.operation
        ),
        false => format!("As `{}` in openapi.yaml.", row.operation),
    };
    json!({
        "name": row.name,
        "title": row.name,
        "summary": row.about,
        "description": rest,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "X-Acting-User": { "type": "string", "description": "For whom the host acts, percent-encoded; absent for the host itself." },
                "X-Request-Id": { "type": "string", "description": "What the request is called in the logs." },
            },
        },
        "payload": {
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": row.has_body,
        },
    })
}

/// The answer to any of them.
pub fn answer() -> Value {
    json!({
        "name": "answer",
        "title": "answer",
        "summary": "What the operation answers over REST: the same body, the same refusals.",
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "Chat-Status": { "type": "string", "description": "The HTTP status: 201, 404." },
                "Retry-After": { "type": "string", "description": "After how many seconds to try again, with 429 and 503." },
                "Nats-Service-Error-Code": { "type": "string", "description": "Of a refusal: the status again." },
                "Nats-Service-Error": { "type": "string", "description": "Of a refusal: why, for people." },
                "X-Request-Id": { "type": "string", "description": "What the request is called in the logs." },
            },
            "required": ["Chat-Status"],
        },
        "payload": { "description": "The body; empty where REST answers 204." },
    })
}

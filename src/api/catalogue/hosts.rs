//! Commands of hosts over NATS, for the AsyncAPI document.

use serde_json::{Map, Value, json};

use crate::api::host_commands::{COMMANDS, Row};

/// Returns each command as a message, by its name.
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
        false => format!("The same as `{}` in openapi.yaml.", row.operation),
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
                "X-Acting-User": { "type": "string", "description": "Id of the user for whom the host acts, percent-encoded; absent for the host itself." },
                "X-Request-Id": { "type": "string", "description": "Id of the request in the logs." },
            },
        },
        "payload": {
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": row.has_body,
        },
    })
}

/// Returns the message with the reply to a command.
pub fn answer() -> Value {
    json!({
        "name": "answer",
        "title": "answer",
        "summary": "The response of the operation over REST: the same body, the same errors.",
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

//! The AsyncAPI 3 document: the events and commands of sockets, the subjects of NATS, and webhooks.

use std::sync::LazyLock;

use chat_sdk::EventType;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    envelope, hosts, schemas,
    sockets::{COMMANDS, CommandRow, PUSHED, Pushed},
};
use crate::api::text::{self, Documents};

/// Parts of the document in reading order.
#[derive(Serialize)]
struct Ordered<'a> {
    asyncapi: &'a Value,
    info: &'a Value,
    servers: &'a Value,
    channels: &'a Value,
    operations: &'a Value,
    components: &'a Value,
}

static PUBLISHED: LazyLock<Documents> = LazyLock::new(|| write(&document()));

/// Returns the document; needs no running server.
pub fn documents() -> Documents {
    PUBLISHED.clone()
}

fn write(document: &Value) -> Documents {
    text::write(Ordered {
        asyncapi: &document["asyncapi"],
        info: &document["info"],
        servers: &document["servers"],
        channels: &document["channels"],
        operations: &document["operations"],
        components: &document["components"],
    })
}

/// Returns a name that can be a key of components: only letters and digits.
pub(super) fn key(prefix: &str, name: &str) -> String {
    let mut key = prefix.to_owned();
    for part in name.split(['.', ':']) {
        let mut letters = part.chars();
        key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        key.push_str(letters.as_str());
    }
    key
}

fn document() -> Value {
    let mut messages = Map::new();
    let mut of_events = Map::new();
    let mut of_sockets = Map::new();
    let mut pushed_refs = Vec::new();
    let mut command_refs = Vec::new();
    for kind in EventType::ALL {
        let name = key("Event", kind.as_str());
        messages.insert(
            name.clone(),
            json!({
                "name": kind.as_str(),
                "title": kind.as_str(),
                "summary": kind.about(),
                "contentType": "application/json",
                "payload": envelope(*kind),
            }),
        );
        of_events.insert(name.clone(), reference(&name));
    }
    for pushed in PUSHED {
        let name = key("Push", pushed.name);
        messages.insert(name.clone(), pushed_message(pushed));
        of_sockets.insert(name.clone(), reference(&name));
        pushed_refs.push(in_channel("socket", &name));
    }
    for command in COMMANDS {
        let name = key("Command", command.0);
        messages.insert(name.clone(), command_message(command));
        of_sockets.insert(name.clone(), reference(&name));
        command_refs.push(in_channel("socket", &name));
    }
    let mut of_hosts = Map::new();
    let mut asked_refs = Vec::new();
    for (name, command) in hosts::commands() {
        let name = key("Host", name);
        messages.insert(name.clone(), command);
        of_hosts.insert(name.clone(), reference(&name));
        asked_refs.push(in_channel("hostCommands", &name));
    }
    messages.insert("HostAnswer".to_owned(), hosts::answer());
    messages.insert("Ack".to_owned(), ack());
    of_sockets.insert("Ack".to_owned(), reference("Ack"));
    pushed_refs.push(in_channel("socket", "Ack"));
    let refs = |channel: &str| -> Vec<Value> {
        of_events
            .keys()
            .map(|name| in_channel(channel, name))
            .collect()
    };
    let (event_refs, webhook_refs) = (refs("events"), refs("webhook"));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chat Service",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The events of Chat Service: one catalogue for sockets, NATS and webhooks. Fields without a value are omitted.",
            "license": { "name": "Apache-2.0" },
        },
        "servers": {
            "socket": {
                "host": "localhost:8080", "pathname": "/ws", "protocol": "ws",
                "description": "Development, behind nginx; subprotocol chat.v1.",
            },
            "nats": {
                "host": "localhost:4222", "protocol": "nats",
                "description": "The broker; each host has an account of its own.",
            },
            "receiver": {
                "host": "host.example", "protocol": "https",
                "description": "The host's receiver of webhooks.",
            },
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "title": "A client's socket",
                "servers": [{ "$ref": "#/servers/socket" }],
                "messages": of_sockets,
            },
            "events": {
                "address": "{prefix}.events.{shard}.{type}",
                "title": "The event stream on NATS",
                "description": "The same envelope live and from a durable consumer; Nats-Msg-Id is the event's id.",
                "servers": [{ "$ref": "#/servers/nats" }],
                "parameters": {
                    "prefix": { "description": "NATS_SUBJECT_PREFIX, chat unless configured." },
                    "shard": { "description": "s00 to s63: the log's shard." },
                    "type": { "description": "The event's type, for example message.created." },
                },
                "messages": of_events,
            },
            "hostCommands": {
                "address": "{prefix}.api.{host}.{command}",
                "title": "Commands of hosts on NATS",
                "description": "Request and reply. The account of a host can use only the subjects with its own name. It is a micro service, which $SRV.INFO describes.",
                "servers": [{ "$ref": "#/servers/nats" }],
                "parameters": {
                    "prefix": { "description": "NATS_SUBJECT_PREFIX, chat unless configured." },
                    "host": { "description": "The host's name, one of NATS_COMMAND_HOSTS." },
                    "command": { "description": "The name of the message." },
                },
                "messages": of_hosts,
            },
            "hostAnswers": {
                "address": null,
                "title": "Reply subject of a host",
                "servers": [{ "$ref": "#/servers/nats" }],
                "messages": { "HostAnswer": reference("HostAnswer") },
            },
            "webhook": {
                "address": "/",
                "title": "A webhook endpoint of the host",
                "servers": [{ "$ref": "#/servers/receiver" }],
                "messages": of_events,
            },
        },
        "operations": {
            "pushToSocket": {
                "action": "send", "channel": { "$ref": "#/channels/socket" },
                "summary": "Events and replies that the service sends.", "messages": pushed_refs,
            },
            "takeFromSocket": {
                "action": "receive", "channel": { "$ref": "#/channels/socket" },
                "summary": "Commands that a client sends.", "messages": command_refs,
            },
            "publishEvent": {
                "action": "send", "channel": { "$ref": "#/channels/events" },
                "summary": "Every event, at least once, with a stable id.", "messages": event_refs,
            },
            "takeHostCommand": {
                "action": "receive", "channel": { "$ref": "#/channels/hostCommands" },
                "summary": "Commands that a host sends.", "messages": asked_refs,
                "reply": {
                    "channel": { "$ref": "#/channels/hostAnswers" },
                    "messages": [in_channel("hostAnswers", "HostAnswer")],
                },
            },
            "postWebhook": {
                "action": "send", "channel": { "$ref": "#/channels/webhook" },
                "summary": "Every event that matches the filter of an endpoint, at least once, signed.", "messages": webhook_refs,
            },
        },
        "components": { "schemas": schemas(), "messages": messages },
    })
}

fn reference(message: &str) -> Value {
    json!({ "$ref": format!("#/components/messages/{message}") })
}

fn in_channel(channel: &str, message: &str) -> Value {
    json!({ "$ref": format!("#/channels/{channel}/messages/{message}") })
}

fn pushed_message(pushed: &Pushed) -> Value {
    let data = match pushed.data {
        Some(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
        None => {
            let properties: Map<String, Value> = pushed
                .fields
                .iter()
                .map(|(name, kind, _)| ((*name).to_owned(), json!({ "type": kind })))
                .collect();
            let required: Vec<&str> = pushed
                .fields
                .iter()
                .filter(|(.., is_required)| *is_required)
                .map(|(name, ..)| *name)
                .collect();
            json!({ "type": "object", "properties": properties, "required": required })
        }
    };
    let mut properties = json!({ "event": { "const": pushed.name }, "data": data });
    let mut required = vec!["event", "data"];
    if pushed.is_numbered {
        properties["id"] = json!({ "type": "string", "description": "Id of the event." });
        properties["seq"] = json!({
            "type": "integer", "minimum": 1, "description": "Seq of the entry in the log of its conversation, dense, from 1.",
        });
        properties["cursor"] =
            json!({ "type": "string", "description": "Cursor to resume from; opaque." });
        required.extend(["id", "seq", "cursor"]);
    }
    json!({
        "name": pushed.name,
        "title": pushed.name,
        "summary": pushed.about,
        "contentType": "application/json",
        "payload": { "type": "object", "properties": properties, "required": required },
    })
}

fn command_message((name, about, fields, answer): &CommandRow) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(field, _)| ((*field).to_owned(), field_schema(field)))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|(_, is_required)| *is_required)
        .map(|(field, _)| *field)
        .collect();
    let answers = match answer.is_empty() {
        true => "The reply is an ack.".to_owned(),
        false => format!("The reply is an ack with {}.", answer.join(", ")),
    };
    json!({
        "name": name,
        "title": name,
        "summary": about,
        "description": answers,
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "properties": {
                "id": { "type": ["string", "number"], "description": "Client's id of the command, repeated in the ack." },
                "event": { "const": name },
                "data": {
                    "type": "object", "properties": properties, "required": required,
                    "additionalProperties": false,
                },
            },
            "required": ["event"],
        },
    })
}

/// Returns the schema of a field of a command.
fn field_schema(field: &str) -> Value {
    match field {
        "limit" | "ttlSeconds" => json!({ "type": "integer", "minimum": 1 }),
        "silent" => json!({ "type": "boolean" }),
        "mentions" | "userIds" => json!({ "type": "array", "items": { "type": "string" } }),
        "attachments" => {
            json!({ "type": "array", "items": { "$ref": "#/components/schemas/Attachment" } })
        }
        "metadata" => json!({ "type": "object" }),
        _ => json!({ "type": "string" }),
    }
}

fn ack() -> Value {
    json!({
        "name": "ack",
        "title": "ack",
        "summary": "The reply to a command.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "properties": {
                "id": { "type": ["string", "number", "null"] },
                "event": { "const": "ack" },
                "data": {
                    "type": "object",
                    "properties": {
                        "success": { "type": "boolean" },
                        "error": {
                            "type": "object",
                            "properties": {
                                "code": { "type": "string" }, "message": { "type": "string" },
                                "details": { "type": "array", "items": { "type": "object" } },
                            },
                            "required": ["code", "message"],
                        },
                    },
                    "required": ["success"],
                },
            },
            "required": ["id", "event", "data"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_documents_are_those_of_the_code() {
        for (file, now) in [
            ("openapi/asyncapi.json", documents().json),
            ("openapi/asyncapi.yaml", documents().yaml),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == now,
                "{file} is not what the code says; refresh it with:\n  cargo run -- asyncapi --format {} > {file}",
                file.rsplit('.').next().unwrap_or_default()
            );
        }
    }

    #[test]
    fn all_references_exist() {
        let document = document();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(object) => {
                    if let Some(path) = object.get("$ref").and_then(Value::as_str) {
                        let found = document.pointer(path.trim_start_matches('#'));
                        assert!(found.is_some(), "{path} leads nowhere");
                    }
                    open.extend(object.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }
}

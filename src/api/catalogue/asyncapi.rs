//! The AsyncAPI 3 document: the events and commands of sockets, the subjects of NATS, and webhooks.

use std::sync::LazyLock;

use chat_sdk::EventType;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    commands, hosts,
    schemas::{envelope, key, schemas},
    sockets::{Pushed, pushed},
};
use crate::{
    api::openapi::text::{self, Documents},
    contract::openapi31,
};

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

/// Parts of the document that lists of events and commands make up.
#[derive(Default)]
struct Parts {
    messages: Map<String, Value>,
    /// Messages of each channel.
    of_events: Map<String, Value>,
    of_sockets: Map<String, Value>,
    of_hosts: Map<String, Value>,
    answers: Map<String, Value>,
    /// Messages that the service sends to sockets.
    pushed_refs: Vec<Value>,
    /// Operations of commands.
    operations: Map<String, Value>,
}

fn parts() -> Parts {
    let mut parts = Parts::default();
    for kind in EventType::all() {
        let name = key("Event", kind.as_str());
        parts.messages.insert(
            name.clone(),
            json!({
                "name": kind.as_str(),
                "title": kind.as_str(),
                "summary": kind.about(),
                "contentType": "application/json",
                "payload": envelope(kind),
            }),
        );
        parts.of_events.insert(name.clone(), reference(&name));
    }
    for pushed in pushed() {
        let name = key("Push", pushed.name);
        parts.messages.insert(name.clone(), pushed_message(&pushed));
        parts.of_sockets.insert(name.clone(), reference(&name));
        parts.pushed_refs.push(in_channel("socket", &name));
    }
    for command in commands::of_sockets() {
        for (name, message) in [
            (&command.key, command.message()),
            (&command.ack_key, command.ack()),
        ] {
            parts.messages.insert(name.clone(), message);
            parts.of_sockets.insert(name.clone(), reference(name));
        }
        parts
            .pushed_refs
            .push(in_channel("socket", &command.ack_key));
        parts
            .operations
            .insert(command.operation.clone(), command.operation());
    }
    for command in hosts::commands() {
        parts
            .messages
            .insert(command.key.clone(), command.message());
        parts
            .messages
            .insert(command.answer_key.clone(), command.answer());
        parts
            .of_hosts
            .insert(command.key.clone(), reference(&command.key));
        parts
            .answers
            .insert(command.answer_key.clone(), reference(&command.answer_key));
        parts
            .operations
            .insert(command.operation.clone(), command.operation());
    }
    parts.messages.insert("Ack".to_owned(), commands::any_ack());
    parts.of_sockets.insert("Ack".to_owned(), reference("Ack"));
    parts.pushed_refs.push(in_channel("socket", "Ack"));
    parts
}

fn servers() -> Value {
    json!({
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
    })
}

fn channels(parts: &Parts) -> Value {
    json!({
        "socket": {
            "address": "/ws",
            "title": "A client's socket",
            "servers": [{ "$ref": "#/servers/socket" }],
            "messages": parts.of_sockets,
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
            "messages": parts.of_events,
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
            "messages": parts.of_hosts,
        },
        "hostAnswers": {
            "address": null,
            "title": "Reply subject of a host",
            "servers": [{ "$ref": "#/servers/nats" }],
            "messages": parts.answers,
        },
        "webhook": {
            "address": "/",
            "title": "A webhook endpoint of the host",
            "servers": [{ "$ref": "#/servers/receiver" }],
            "messages": parts.of_events,
        },
    })
}

fn document() -> Value {
    let parts = parts();
    let refs = |channel: &str| -> Vec<Value> {
        let names = parts.of_events.keys();
        names.map(|name| in_channel(channel, name)).collect()
    };
    let (event_refs, webhook_refs) = (refs("events"), refs("webhook"));
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chat Service",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The events of Chat Service: one catalogue for sockets, NATS and webhooks. Fields without a value are omitted.",
            "license": { "name": "Apache-2.0" },
        },
        "servers": servers(),
        "channels": channels(&parts),
        "operations": {
            "pushToSocket": {
                "action": "send", "channel": { "$ref": "#/channels/socket" },
                "summary": "Events and replies that the service sends.", "messages": parts.pushed_refs,
            },
            "publishEvent": {
                "action": "send", "channel": { "$ref": "#/channels/events" },
                "summary": "Every event, at least once, with a stable id.", "messages": event_refs,
            },
            "postWebhook": {
                "action": "send", "channel": { "$ref": "#/channels/webhook" },
                "summary": "Every event that matches the filter of an endpoint, at least once, signed.", "messages": webhook_refs,
            },
        },
        "components": { "schemas": commands::with_schemas(schemas().clone()), "messages": parts.messages },
    });
    if let Some(others) = document["operations"].as_object_mut() {
        others.extend(parts.operations);
    }
    // Payloads have the fields of the bodies, so nothing refers to the bodies themselves.
    let messages = document["components"]["messages"].clone();
    openapi31::retain_used(&mut document["components"]["schemas"], &messages);
    document
}

fn reference(message: &str) -> Value {
    json!({ "$ref": format!("#/components/messages/{message}") })
}

pub(super) fn in_channel(channel: &str, message: &str) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

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

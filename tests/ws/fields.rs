//! Every command of the AsyncAPI document with every documented field, and with every field wrong in every way that its schema excludes.
//!
//! The data of the commands is derived from the document, so that a new field or limit is tested without another line here.

use std::collections::BTreeSet;

use chat_sdk::commands::{COMMANDS, Declaration};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    docs,
    support::{Service, Socket, User, in_an_hour},
};

fn document() -> Value {
    serde_json::from_str(&docs::read("openapi/asyncapi.json")).expect("JSON")
}

/// The schema of the data of `command`.
fn schema_of<'d>(document: &'d Value, command: &str) -> &'d Value {
    let messages = document["components"]["messages"].as_object();
    let message = messages
        .into_iter()
        .flatten()
        .find(|(key, message)| key.starts_with("Command") && message["name"] == *command);
    let (_, message) = message.unwrap_or_else(|| panic!("{command} is in no document"));
    &message["payload"]["properties"]["data"]
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    match schema["$ref"].as_str() {
        Some(path) => document
            .pointer(path.trim_start_matches('#'))
            .expect("a schema"),
        None => schema,
    }
}

fn is_of_type(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|one| one == kind),
        one => one == kind,
    }
}

/// Frames that are valid together with the state that `prepare` made; each documented field is in one of them.
fn valid(ids: &Ids) -> Vec<(&'static str, Value)> {
    let content = json!({
        "content": "hello", "type": "text", "replyTo": ids.message, "threadId": ids.message, "mentions": ["bob"],
        "attachments": [{
            "url": "https://files.example/1.png", "mimeType": "image/png", "name": "1.png", "size": 7,
            "thumbnailUrl": "https://files.example/1s.png",
        }],
        "metadata": { "order": 17 }, "silent": true, "ttlSeconds": 3600,
    });
    let message = |fields: Value| {
        let mut data = content.clone();
        for (name, value) in fields.as_object().expect("an object") {
            data[name] = value.clone();
        }
        data
    };
    let to_bob = |key: &str| {
        let mut data = message(json!({ "receiverId": "bob", "clientMessageId": key }));
        let data_fields = data.as_object_mut().expect("an object");
        data_fields.remove("replyTo");
        data_fields.remove("threadId");
        data
    };
    let here = json!({ "conversationId": ids.conversation });
    let it = json!({ "messageId": ids.message });
    let thumb = json!({ "messageId": ids.message, "emoji": "👍" });
    let users = json!({ "userIds": ["bob"] });
    let mut later = message(json!({
        "conversationId": ids.conversation, "clientMessageId": "f-3", "sendAt": in_an_hour(),
    }));
    later["ttlSeconds"] = json!(60);
    let mut later_to_bob = to_bob("f-4");
    later_to_bob["sendAt"] = json!(in_an_hour());
    let list =
        |name: &str| json!({ "conversationId": ids.conversation, name: ids.message, "limit": 10 });
    vec![
        ("ping", json!({})),
        ("activity:ping", json!({})),
        (
            "message:send",
            message(json!({ "conversationId": ids.conversation, "clientMessageId": "f-1" })),
        ),
        ("message:send", to_bob("f-2")),
        ("message:schedule", later),
        ("message:schedule", later_to_bob),
        (
            "message:edit",
            json!({ "messageId": ids.message, "content": "changed", "metadata": { "a": 1 } }),
        ),
        ("messages:sync", list("lastMessageId")),
        ("messages:list", list("before")),
        ("messages:list", list("after")),
        ("messages:list", list("around")),
        ("reaction:add", thumb.clone()),
        ("reaction:remove", thumb),
        ("message:delivered", it.clone()),
        ("message:read", it),
        (
            "conversation:read",
            json!({ "conversationId": ids.conversation, "upToMessageId": ids.message }),
        ),
        ("typing:start", here.clone()),
        ("typing:stop", here.clone()),
        ("recording:start", here.clone()),
        ("recording:stop", here.clone()),
        ("presence:subscribe", users.clone()),
        ("presence:unsubscribe", users),
        ("room:leave", here.clone()),
        ("room:join", here),
        ("token:refresh", json!({ "token": ids.token })),
        (
            "authenticate",
            json!({ "token": ids.token, "resume": ids.cursor }),
        ),
        ("message:delete", json!({ "messageId": ids.last })),
    ]
}

/// Values that frames refer to.
struct Ids {
    conversation: String,
    message: String,
    last: String,
    token: String,
    cursor: String,
}

async fn prepare(service: &Service, alice: &User, bob: &User, cursor: String) -> Ids {
    let conversation = service.group(alice, &[bob]).await;
    let mut ids = Vec::new();
    for content in ["first", "last"] {
        let message = alice.say(&conversation, content).await;
        ids.push(message["id"].as_str().expect("an id").to_owned());
    }
    let [message, last] = [ids.remove(0), ids.remove(0)];
    Ids {
        conversation,
        message,
        last,
        token: alice.token.clone(),
        cursor,
    }
}

#[tokio::test]
async fn every_command_accepts_all_documented_fields_and_answers_as_documented() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mut socket = alice.connect().await;
    let cursor = socket.cursor();
    let ids = prepare(&service, &alice, &bob, cursor).await;
    let document = document();
    let (mut sent, mut documented) = (BTreeSet::new(), BTreeSet::new());
    for (command, data) in valid(&ids) {
        // The socket compares the frame and its ack with the document.
        socket.ok(command, data.clone()).await;
        sent.insert(command.to_owned());
        for (field, value) in data.as_object().expect("an object") {
            sent.insert(format!("{command} {field}"));
            for (inner, _) in value[0].as_object().into_iter().flatten() {
                sent.insert(format!("{command} {field}.{inner}"));
            }
        }
    }
    for declaration in COMMANDS.iter().map(|command| &command.declaration) {
        let Some(command) = declaration.socket else {
            continue;
        };
        documented.insert(command.to_owned());
        let schema = schema_of(&document, command);
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            documented.insert(format!("{command} {field}"));
            let items = resolved(&document, &resolved(&document, schema)["items"]);
            for (inner, _) in items["properties"].as_object().into_iter().flatten() {
                documented.insert(format!("{command} {field}.{inner}"));
            }
        }
    }
    let missing: Vec<&String> = documented.difference(&sent).collect();
    assert!(missing.is_empty(), "no frame has {missing:?}");
}

/// Wrong values for a field with this schema.
fn wrong_values(schema: &Value, good: &Value) -> Vec<Value> {
    let mut wrong = Vec::new();
    let number = |key: &str| schema[key].as_i64();
    if is_of_type(schema, "string") {
        wrong.extend([json!(7), json!([]), json!("a\u{0}b")]);
        if schema["format"].is_string() {
            wrong.push(json!("no\nsuch form"));
        }
        if schema["format"] == "user-id" {
            wrong.push(json!("system"));
        }
        if let Some(most) = schema["maxLength"].as_u64() {
            wrong.push(json!("x".repeat(most as usize + 1)));
        }
        if schema["minLength"].as_u64().is_some_and(|least| least > 0) {
            wrong.push(json!(""));
        }
        if schema["enum"].is_array() {
            wrong.push(json!("nonsense"));
        }
    } else if is_of_type(schema, "integer") {
        wrong.extend([json!("7"), json!(1.5)]);
        wrong.extend(
            number("minimum")
                .and_then(|least| least.checked_sub(1))
                .map(Value::from),
        );
        wrong.extend(
            number("maximum")
                .and_then(|most| most.checked_add(1))
                .map(Value::from),
        );
    } else if is_of_type(schema, "boolean") {
        wrong.extend([json!("true"), json!(1)]);
    } else if is_of_type(schema, "array") {
        wrong.extend([json!("x"), json!({})]);
        if let Some(most) = schema["maxItems"].as_u64() {
            let item = |n: u64| {
                if good[0].is_string() {
                    json!(format!("user{n}"))
                } else {
                    good[0].clone()
                }
            };
            wrong.push((0..=most).map(item).collect());
        }
        if schema["uniqueItems"] == true {
            wrong.push(json!([good[0], good[0]]));
        }
    } else if is_of_type(schema, "object") {
        wrong.extend([
            json!([]),
            json!("x"),
            json!({ "a": ["\u{0}"] }),
            json!({ "\u{0}": 1 }),
        ]);
    }
    wrong
}

/// Variants of `data` with one wrong field each.
fn variants(document: &Value, schema: &Value, data: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let with = |field: &str, value: Value| {
        let mut data = data.clone();
        data[field] = value;
        data
    };
    for (field, good) in data.as_object().expect("an object") {
        let schema = resolved(document, &schema["properties"][field]);
        let wrong = wrong_values(schema, good);
        found.extend(wrong.into_iter().map(|value| with(field, value)));
        let items = resolved(document, &schema["items"]);
        if items["type"] == "string" {
            let wrong = wrong_values(items, &Value::Null);
            found.extend(wrong.into_iter().map(|value| with(field, json!([value]))));
        } else if items["properties"].is_object() {
            for item in variants(document, items, &good[0]) {
                found.push(with(field, json!([item])));
            }
        }
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        let field = field.as_str().expect("a name");
        found.push(with(field, Value::Null));
        let mut without = data.clone();
        without.as_object_mut().expect("an object").remove(field);
        found.push(without);
    }
    found.push(with("nonsense", json!(1)));
    found
}

/// The details of the error of the REST operation of a command, for the body in `data`; `None` if a path parameter is wrong, which REST answers with 404.
async fn details_over_rest(
    user: &User,
    declared: &Declaration,
    valid: &Value,
    data: &Value,
) -> Option<Value> {
    let rest = declared.rest?;
    let mut body = data.clone();
    let mut path = rest.path.to_owned();
    for (field, value) in valid.as_object().expect("an object") {
        let parameter = format!("{{{field}}}");
        if path.contains(&parameter) {
            if data[field] != *value {
                return None;
            }
            path = path.replace(&parameter, value.as_str().expect("an id"));
            body.as_object_mut().expect("an object").remove(field);
        }
    }
    let method: Method = rest.method.parse().expect("a method");
    if method == Method::DELETE || !path.starts_with("/api/") {
        return None;
    }
    let answer = user.request(method, &path, Some(body)).await;
    (answer.status == 400).then(|| answer.json["details"].clone())
}

fn sorted(details: &Value) -> Vec<String> {
    let details = details.as_array().into_iter().flatten();
    let mut texts: Vec<String> = details.map(Value::to_string).collect();
    texts.sort();
    texts
}

async fn refuse(socket: &mut Socket, command: &str, data: &Value) -> Result<Value, String> {
    let id = socket.post_unchecked(command, data.clone());
    let ack = socket.ack(&id).await;
    let text: String = data.to_string().chars().take(300).collect();
    if ack["error"]["code"] == "VALIDATION_ERROR" {
        Ok(ack["error"]["details"].clone())
    } else {
        Err(format!("{command} {text}: {ack}"))
    }
}

#[tokio::test]
async fn every_wrong_field_is_refused_with_the_faults_of_rest() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mut socket = alice.connect().await;
    let cursor = socket.cursor();
    let ids = prepare(&service, &alice, &bob, cursor).await;
    let document = document();
    let mut problems = Vec::new();
    let mut compared = 0;
    for (command, data) in valid(&ids) {
        let declared = chat_sdk::commands::on_sockets(command).expect("a command");
        let send = if data["receiverId"].is_string() {
            "sendDirectMessage"
        } else {
            "sendMessage"
        };
        let rest = match command {
            "message:send" => COMMANDS
                .iter()
                .map(|command| &command.declaration)
                .find(|of| of.rest.is_some_and(|rest| rest.operation == send))
                .expect("an operation"),
            _ => declared,
        };
        for wrong in variants(&document, schema_of(&document, command), &data) {
            match refuse(&mut socket, command, &wrong).await {
                Err(problem) => problems.push(problem),
                Ok(details) => {
                    if let Some(rest) = details_over_rest(&alice, rest, &data, &wrong).await {
                        compared += 1;
                        if sorted(&rest) != sorted(&details) {
                            problems.push(format!("{command}: {details}, but REST: {rest}"));
                        }
                    }
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert!(compared > 50, "only {compared} were compared with REST");
}

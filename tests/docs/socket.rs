//! The frames of docs/WEBSOCKET.md: the shown commands work, and real frames match the shown ones.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    blocks, read,
    shown::{self, Like, Names, Shown},
};
use crate::{
    hooks::sample::{PLUGIN as HOOKED, builder},
    support::{Connect, Service, Socket, User, in_an_hour, many_groups},
};

/// The time for which docs/WEBSOCKET.md schedules a message.
const SEND_AT: &str = "2026-11-21T10:49:46.000Z";

/// A `>` marks a command, a `<` a frame of the server. A frame continues in the lines that have neither.
fn conversation(text: &str) -> Vec<(bool, String)> {
    let mut found: Vec<(bool, String)> = Vec::new();
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix("> ") {
            found.push((true, frame.to_owned()));
        } else if let Some(frame) = line.strip_prefix("< ") {
            found.push((false, frame.to_owned()));
        } else if let Some((_, frame)) = found.last_mut() {
            frame.push_str(line);
        }
    }
    found
}

/// Every frame that a server is shown to push, by its event.
fn pushed(document: &str) -> BTreeMap<String, Vec<Shown>> {
    let mut found: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    for block in blocks(document).iter().filter(|of| of.language == "json") {
        let talk = conversation(&block.text);
        let frames = if talk.is_empty() {
            shown::all(&block.text).unwrap_or_else(|error| panic!("line {}: {error}", block.line))
        } else {
            let said = talk.iter().filter(|(is_command, _)| !is_command);
            said.flat_map(|(_, frame)| shown::all(frame).expect("a frame"))
                .collect()
        };
        for frame in frames {
            let event = frame.field("event").and_then(Shown::text);
            if let Some(event) = event.filter(|event| *event != "ack") {
                found.entry(event.to_owned()).or_default().push(frame);
            }
        }
    }
    found
}

/// Makes Bob do what causes the event that is shown to Alice.
async fn provoke(bob: &User, event: &str) {
    let status = match event {
        "user:online" => json!({ "status": "busy", "text": "On the phone" }),
        "user:away" => json!({ "status": "away" }),
        "user:offline" => json!({ "status": "invisible" }),
        _ => return,
    };
    bob.request(Method::PUT, "/api/users/me/status", Some(status))
        .await
        .expect(200);
}

#[tokio::test]
async fn every_command_has_an_example_and_each_is_answered_as_shown() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    service.user("carol").await;
    let group = service.group(&alice, &[&bob]).await;
    let _bob = bob.connect().await;
    let mut socket = alice.connect().await;
    let mut names = Names::default();
    let mut commands = BTreeSet::from(["authenticate".to_owned()]);
    let document = read("docs/WEBSOCKET.md");
    let mut faults = Vec::new();
    for block in blocks(&document) {
        for (is_command, frame) in conversation(&block.text) {
            let shown = shown::all(&frame).expect("a frame").remove(0);
            let text = |name: &str| shown.field(name).and_then(Shown::text).unwrap_or_default();
            let event = text("event").to_owned();
            if is_command {
                if let Some(shown) = shown
                    .field("data")
                    .and_then(|of| of.field("conversationId"))
                {
                    names.bind(shown.text().expect("an id"), &group);
                }
                let token = service.token("alice").sign();
                let frame = names.fill(&frame).replace("<jwt>", &token);
                // The time in the document has passed.
                let frame = frame.replace(SEND_AT, &in_an_hour());
                socket.raw(Message::text(frame));
                commands.insert(event);
                continue;
            }
            let real = if event == "ack" {
                let id = text("id").to_owned();
                let what = format!("the answer to {id}");
                socket
                    .find(&what, |of| of["event"] == "ack" && of["id"] == *id)
                    .await
            } else {
                provoke(&bob, &event).await;
                // The event that Bob came online may arrive now, too.
                let status = shown.field("data").and_then(|data| data.field("status"));
                let status = status.and_then(Shown::text).unwrap_or_default();
                let is_wanted =
                    |of: &Value| of["event"] == *event && of["data"]["status"] == *status;
                socket.find(&event, is_wanted).await
            };
            let real = Shown::from(real);
            if let Err(fault) = shown.against(&real, Like::Value, &mut names) {
                faults.push(format!("line {}: {event} {fault}", block.line));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let known: BTreeSet<String> = chat_sdk::commands::socket_names()
        .map(str::to_owned)
        .collect();
    assert_eq!(commands, known, "an example for each command");
}

/// Everything that may happen, as it comes to the sockets of Alice, Bob and Carol.
async fn everything(service: Service) -> Vec<Value> {
    let alice = service.user("alice").await;
    let (bob, carol) = (service.user("bob").await, service.user("carol").await);
    let mut frames = Vec::new();
    service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    frames.push(json!({ "event": "connected", "data": a.connected }));
    let (mut b, mut c) = (bob.connect().await, carol.connect().await);
    let group = service.group(&alice, &[&bob]).await;
    let here = json!({ "conversationId": group });
    let hello = json!({ "conversationId": group, "content": "hello", "clientMessageId": "c-1" });
    let message = a.ok("message:send", hello).await["message"]["id"].clone();
    let it = json!({ "messageId": message });
    let thumb = json!({ "messageId": message, "emoji": "👍" });
    for (command, data) in [("typing:start", &here), ("recording:start", &here)] {
        a.ok(command, data.clone()).await;
    }
    for (command, data) in [
        ("message:delivered", &it),
        ("message:read", &it),
        ("reaction:add", &thumb),
        ("reaction:remove", &thumb),
    ] {
        b.ok(command, data.clone()).await;
    }
    let edit = json!({ "messageId": message, "content": "changed" });
    a.ok("message:edit", edit).await;
    a.ok("message:delete", it).await;
    let of_it = |rest: &str| format!("/api/messages/{}{rest}", message.as_str().expect("an id"));
    let path = |rest: &str| format!("/api/conversations/{group}{rest}");
    let carol_too = json!({ "userIds": ["carol"] });
    for (user, method, path, body) in [
        (&alice, Method::POST, of_it("/restore"), None),
        (&alice, Method::PUT, of_it("/pin"), None),
        (&alice, Method::DELETE, of_it("/pin"), None),
        (
            &bob,
            Method::PATCH,
            path("/me"),
            Some(json!({ "draft": "I wonder" })),
        ),
        (
            &bob,
            Method::PATCH,
            path("/me"),
            Some(json!({ "muted": true })),
        ),
        (
            &alice,
            Method::PATCH,
            path(""),
            Some(json!({ "name": "Other" })),
        ),
        (&alice, Method::POST, path("/participants"), Some(carol_too)),
        (
            &alice,
            Method::PATCH,
            path("/participants/carol"),
            Some(json!({ "role": "admin" })),
        ),
        (&alice, Method::DELETE, path("/participants/carol"), None),
    ] {
        let answer = user.request(method, &path, body).await;
        assert!(answer.status < 300, "{path}: {answer}");
    }
    for event in ["user:online", "user:away", "user:offline"] {
        provoke(&bob, event).await;
        let is_of_bob =
            |frame: &Value| frame["event"] == *event && frame["data"]["userId"] == "bob";
        let wanted = |frame: &Value| {
            is_of_bob(frame) && (event != "user:online" || frame["data"]["text"].is_string())
        };
        frames.push(a.find(event, wanted).await);
    }
    frames.extend(of_plugins(&service, &alice, &mut a, &path("/messages")).await);
    a.raw(Message::text("no frame"));
    frames.push(a.next("error").await);
    alice.delete(&path("")).await.expect(204);
    for socket in [&mut a, &mut b, &mut c] {
        frames.push(socket.next("conversation:removed").await);
    }
    let lost = Connect {
        token: Some(alice.token.clone()),
        resume: Some("nonsense".to_owned()),
        ..Connect::default()
    };
    let mut lost = Socket::open(service.ws_url(), &lost)
        .await
        .expect("it opens");
    frames.push(lost.next("sync:reset").await);
    // More conversations than one frame has room for.
    let dora = service.user("dora").await;
    many_groups(&service, &dora, &carol, 1000).await;
    frames.push(dora.connect().await.next("rooms").await);
    service.begin_stop();
    frames.push(a.next("reconnect").await);
    for socket in [&mut a, &mut b, &mut c] {
        frames.extend(socket.take_arrived());
    }
    frames
}

/// Events that exist only with a hook that holds messages, or with the plugin `notifications`.
async fn of_plugins(
    service: &Service,
    alice: &User,
    socket: &mut Socket,
    messages: &str,
) -> Vec<Value> {
    let host = service.internal();
    let held = json!({ "content": "review:hold" });
    let held = alice.post(messages, held).await.expect(201);
    let mut frames = vec![socket.next("message:held").await];
    let id = held["id"].as_str().expect("an id");
    host.delete(&format!("/api/held/{id}")).await.expect(204);
    frames.push(socket.next("message:dropped").await);
    let like = json!({ "userIds": ["alice"], "kind": "LIKE", "title": "Bob likes your picture" });
    host.post("/api/notifications", like).await.expect(201);
    let notification = socket.next("notification").await;
    let id = notification["data"]["id"].as_str().expect("an id");
    let path = format!("/api/notifications/{id}/read");
    alice.request(Method::PUT, &path, None).await.expect(200);
    frames.push(notification);
    frames.push(socket.next("notification:read").await);
    frames
}

#[tokio::test]
async fn every_event_has_an_example_and_comes_as_shown() {
    let shown = pushed(&read("docs/WEBSOCKET.md"));
    let service = builder(r#"{ name = "words", prefix = "review:" }"#)
        .env("PLUGINS", "hooked,notifications")
        .env("PUSH_SUBJECT", "mailto:operator@chat.example");
    let real = everything(service.start_with([HOOKED]).await).await;
    let mut faults = Vec::new();
    for (event, examples) in &shown {
        let real: Vec<Shown> = real
            .iter()
            .filter(|frame| frame["event"] == **event)
            .map(|frame| Shown::from(frame.clone()))
            .collect();
        for example in examples {
            let tried = real
                .iter()
                .map(|real| example.against(real, Like::Form, &mut Names::default()));
            let why: Vec<String> = tried.filter_map(Result::err).collect();
            if why.len() == real.len() {
                faults.push(format!("{event}: {why:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let document: Value = serde_json::from_str(&read("openapi/asyncapi.json")).expect("JSON");
    let messages = &document["components"]["messages"];
    let known: BTreeSet<&str> = messages
        .as_object()
        .expect("messages")
        .iter()
        .filter(|(name, _)| name.starts_with("Push"))
        .filter_map(|(_, message)| message["name"].as_str())
        .collect();
    let examples: BTreeSet<&str> = shown.keys().map(String::as_str).collect();
    assert_eq!(examples, known, "an example for each event");
}

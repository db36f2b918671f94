//! The frames of docs/WEBSOCKET.md: what a client sends there works, and what comes looks as it is shown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    blocks, read,
    shown::{self, Like, Names, Shown},
};
use crate::support::{Connect, Service, Socket, TokenBy, User, eventually};

/// Commands have a `>` before them, what comes back a `<`. A frame goes on in the lines that have neither.
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

/// What must happen before an event that is shown to Alice comes.
async fn provoke(bob: &User, event: &str) {
    if event == "user:online" {
        let status = json!({ "status": "busy", "text": "On the phone" });
        let path = "/api/users/me/status";
        bob.request("PUT".parse().expect("a method"), path, Some(status))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn every_command_has_an_example_and_each_is_answered_as_shown() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let (bob, carol) = (service.user("bob").await, service.user("carol").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut others = vec![bob.connect().await];
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
            let real = if is_command {
                if let Some(shown) = shown.field("data").and_then(|of| of.field("conversationId")) {
                    names.bind(shown.text().expect("an id"), &group);
                }
                let token = service.token("alice").sign();
                let frame = names.fill(&frame).replace("<jwt>", &token);
                socket.raw(Message::text(frame));
                commands.insert(event);
                continue;
            } else if event == "ack" {
                let id = text("id").to_owned();
                let what = format!("the answer to {id}");
                socket.find(&what, |of| of["event"] == "ack" && of["id"] == *id).await
            } else {
                provoke(&bob, &event).await;
                if event == "user:offline" {
                    others.clear();
                }
                socket.next(&event).await
            };
            let real = Shown::from(real);
            if let Err(fault) = shown.against(&real, Like::Value, &mut names) {
                faults.push(format!("line {}: {event} {fault}", block.line));
            }
        }
    }
    drop(carol);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let known: BTreeSet<String> = chat_service::ws::COMMANDS
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(commands, known, "an example for each command");
}

/// Everything that may happen, as it comes to the sockets of Alice, Bob and Carol.
async fn everything(service: Service) -> Vec<Value> {
    let alice = service.user("alice").await;
    let (bob, carol) = (service.user("bob").await, service.user("carol").await);
    let mut sockets = Vec::new();
    let mut frames = Vec::new();
    for user in [&alice, &bob, &carol] {
        let socket = user.connect().await;
        frames.push(socket.connected.clone());
        sockets.push(socket);
    }
    let group = service.group_with(&alice, &[&bob], json!({ "name": "Short" })).await;
    let send = |content: &'static str| json!({ "conversationId": group, "content": content });
    let first = sockets[0].ok("message:send", send("one")).await["message"]["id"].clone();
    let second = sockets[0].ok("message:send", send("two")).await["message"]["id"].clone();
    let of_first = json!({ "messageId": first });
    let here = json!({ "conversationId": group });
    for what in ["typing:start", "recording:start"] {
        sockets[0].ok(what, here.clone()).await;
    }
    sockets[1].ok("message:delivered", of_first.clone()).await;
    sockets[1].ok("message:read", of_first.clone()).await;
    sockets[1].ok("reaction:add", json!({ "messageId": first, "emoji": "👍" })).await;
    sockets[1].ok("reaction:remove", json!({ "messageId": first, "emoji": "👍" })).await;
    sockets[0].ok("message:edit", json!({ "messageId": first, "content": "changed" })).await;
    sockets[0].ok("message:delete", of_first).await;
    let first = first.as_str().expect("an id");
    let second = second.as_str().expect("an id");
    let path = |rest: &str| format!("/api/conversations/{group}{rest}");
    for (user, method, path, body) in [
        (&alice, "POST", format!("/api/messages/{first}/restore"), None),
        (&alice, "PUT", format!("/api/messages/{second}/pin"), None),
        (&alice, "DELETE", format!("/api/messages/{second}/pin"), None),
        (&bob, "PATCH", path("/me"), Some(json!({ "draft": "I wonder" }))),
        (&bob, "PATCH", path("/me"), Some(json!({ "muted": true }))),
        (&alice, "PATCH", path(""), Some(json!({ "name": "Other" }))),
        (&alice, "POST", path("/participants"), Some(json!({ "userIds": ["carol"] }))),
        (&alice, "PATCH", path("/participants/carol"), Some(json!({ "role": "admin" }))),
        (&bob, "PUT", "/api/users/me/status".to_owned(), Some(json!({ "status": "busy", "text": "On the phone" }))),
        (&bob, "PUT", "/api/users/me/status".to_owned(), Some(json!({ "status": "away" }))),
        (&alice, "DELETE", path("/participants/carol"), None),
    ] {
        let method = method.parse().expect("a method");
        let answer = user.request(method, &path, body).await;
        assert!(answer.status < 300, "{path}: {answer}");
    }
    sockets[0].raw(Message::text("no frame"));
    frames.push(sockets[0].next("error").await);
    frames.push(sockets[0].next("user:away").await);
    let status = json!({ "status": "invisible" });
    let path = "/api/users/me/status";
    let method = "PUT".parse().expect("a method");
    bob.request(method, path, Some(status)).await.expect(200);
    frames.push(sockets[0].next("user:offline").await);
    alice.delete(&format!("/api/conversations/{group}")).await.expect(204);
    frames.push(sockets[0].next("conversation:removed").await);
    // A cursor of nobody.
    let mut lost = Socket::open(service.ws_url(), &Connect { token: Some(alice.token.clone()), resume: Some("nonsense".to_owned()), token_by: TokenBy::Header, ..Connect::default() })
        .await
        .unwrap_or_else(|_| panic!("it opens"));
    frames.push(lost.next("sync:reset").await);
    service.begin_stop();
    frames.push(sockets[0].next("reconnect").await);
    for socket in &mut sockets {
        frames.extend(socket.drain().await);
    }
    frames
}

#[tokio::test]
async fn every_event_has_an_example_and_comes_as_shown() {
    let shown = pushed(&read("docs/WEBSOCKET.md"));
    let real = everything(Service::start().await).await;
    let mut faults = Vec::new();
    for (event, examples) in &shown {
        let real: Vec<Shown> = real
            .iter()
            .filter(|frame| frame["event"] == **event)
            .map(|frame| Shown::from(frame.clone()))
            .collect();
        for example in examples {
            let tried = real.iter().map(|real| example.against(real, Like::Form, &mut Names::default()));
            let why: Vec<String> = tried.clone().filter_map(Result::err).collect();
            if why.len() == real.len() {
                faults.push(format!("{event}: {why:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let document: Value = serde_json::from_str(&read("openapi/asyncapi.json")).expect("JSON");
    let _ = document;
}

//! Every operation of the OpenAPI document, and every command and pushed event of the AsyncAPI document, once through nginx with success.
//!
//! The rows of the table cover most of them, and these steps run after the rows. This file adds reads, host operations, and commands and events of a single
//! socket. A documented operation that no step covers fails the test.

use std::collections::BTreeSet;

use chat_sdk::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    scenario::{Deployment, Scenario},
    table::Setting,
};
use crate::{
    api::contract,
    support::{Answering, Client, Connect, Receiver, TokenBy, eventually, many_groups, record_of},
};

/// A host with a durable.
const HOST: &str = "shop";

/// Events that need a hook which holds messages: tests/hooks causes them.
const OF_HOOKS: [&str; 2] = ["message:held", "message:dropped"];

/// True for the operations that need e-mails, a hook or files: tests/accounts, tests/hooks and tests/attachments run them.
fn has_conditions(path: &str) -> bool {
    [
        "/auth/",
        "/api/admin/accounts/",
        "/api/admin/plugins",
        "/api/attachments/",
        "/api/held",
    ]
    .iter()
    .any(|beginning| path.starts_with(beginning))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Runs every operation of the admin API. Returns the ids that its reads need: an endpoint, a pulled one, an event, a dead letter.
async fn administer(scenario: &Scenario) -> [String; 4] {
    let host = scenario.host();
    let receiver = Receiver::answering(|_, _| Answering::with(500)).await;
    let path = "/api/admin/webhooks";
    let make = async |body: Value| text(&host.post(path, body).await.expect(201)["id"]);
    let events = json!(["message.created"]);
    let hook = make(json!({ "events": events, "url": receiver.url() })).await;
    let pulled = make(json!({ "events": events })).await;
    for n in 0..2 {
        scenario
            .member
            .say(&scenario.conversation, &format!("{n}"))
            .await;
    }
    let letters = eventually("there are dead letters", || async {
        let letters = host.get(&format!("{path}/dead-letters")).await.expect(200);
        let letters = letters["deadLetters"].as_array().expect("letters").clone();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    receiver.answer(|_, _| Answering::with(200));
    let pull = format!("{path}/{pulled}/events?waitSeconds=5");
    let ack = host.get(&pull).await.expect(200)["events"][0]["ackId"].clone();
    let body = json!({ "ackIds": [ack] });
    let done = host
        .post(&format!("{path}/{pulled}/events/ack"), body)
        .await;
    done.expect(200);
    let change = json!({ "description": "changed" });
    host.patch(&format!("{path}/{hook}"), change)
        .await
        .expect(200);
    for rest in ["/enable", "/rotate-secret", "/test"] {
        let path = format!("{path}/{hook}{rest}");
        let answer = host.request(Method::POST, &path, None).await;
        assert!(answer.status < 300, "{answer}");
    }
    let replayed = text(&letters[0]["id"]);
    let replay = format!("{path}/dead-letters/{replayed}/replay");
    host.request(Method::POST, &replay, None).await.expect(204);
    let gone = make(json!({ "events": events })).await;
    host.delete(&format!("{path}/{gone}")).await.expect(204);
    let consumers = "/api/admin/consumers";
    for name in [HOST, "gone"] {
        let body = json!({ "name": name, "events": events });
        let answer = host.post(consumers, body).await;
        assert!(answer.status < 300, "{answer}");
    }
    host.delete(&format!("{consumers}/gone")).await.expect(204);
    let event = text(&letters[1]["eventId"]);
    [hook, pulled, event, text(&letters[1]["id"])]
}

/// Runs every operation on notifications and devices.
async fn notify(scenario: &Scenario) {
    let member = &scenario.member;
    let host = scenario.host();
    let path = "/api/notifications";
    let mut socket = member.user.connect().await;
    let mut ids = Vec::new();
    for kind in ["READ", "DELETED"] {
        let body = json!({ "userIds": [member.id], "kind": kind });
        host.post(path, body).await.expect(201);
        let frame = socket.next("notification").await;
        ids.push(text(&frame["data"]["id"]));
    }
    let put = async |rest: &str, body: Option<Value>| {
        let path = format!("{path}{rest}");
        member.request(Method::PUT, &path, body).await.expect(200)
    };
    put(&format!("/{}/read", ids[0]), None).await;
    socket.next("notification:read").await;
    put("/read", None).await;
    member
        .delete(&format!("{path}/{}", ids[1]))
        .await
        .expect(204);
    let key = member.get(&format!("{path}/push/key")).await.expect(200);
    let body = json!({
        "endpoint": "https://push.example/send",
        "keys": { "p256dh": key["applicationServerKey"], "auth": "_ordMnz7uTCmrpBTeUV4Bw" },
    });
    let made = put("/push/subscriptions", Some(body)).await;
    let subscription = format!("{path}/push/subscriptions/{}", text(&made["id"]));
    member.delete(&subscription).await.expect(204);
}

/// Runs every operation of the moderation. Its rule stays, so that it can be read.
async fn moderate(scenario: &Scenario) {
    let (host, member) = (scenario.host(), &scenario.member);
    let path = "/api/moderation";
    let post = async |rest: &str, body: Value| {
        let answer = host.post(&format!("{path}{rest}"), body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        answer.json
    };
    let rule = json!({ "kind": "words", "entries": ["heck"], "action": "refuse" });
    for name in ["kept", "gone"] {
        let path = format!("{path}/rules/{name}");
        let set = host.request(Method::PUT, &path, Some(rule.clone()));
        set.await.expect(201);
    }
    host.delete(&format!("{path}/rules/gone")).await.expect(204);
    post("/dry-run", json!({ "rule": rule })).await;
    let mute = json!({ "kind": "mute", "userId": scenario.former.id });
    let mute = text(&post("/restrictions", mute).await["id"]);
    host.delete(&format!("{path}/restrictions/{mute}"))
        .await
        .expect(204);
    let owner = &scenario.owner;
    let reported = owner.say(&scenario.conversation, "reported").await;
    let body = json!({ "messageId": reported["id"] });
    let report = member.post(&format!("{path}/reports"), body).await;
    let report = text(&report.expect(201)["id"]);
    let by = |reviewer: &str| json!({ "reviewerId": reviewer });
    let decide = async |action: &str| {
        let body = json!({ "reviewerId": "rita", "action": action });
        text(&post(&format!("/reports/{report}/decide"), body).await["id"])
    };
    post(&format!("/reports/{report}/claim"), by("rita")).await;
    let first = decide("dismiss").await;
    post(&format!("/decisions/{first}/undo"), by("rita")).await;
    let appeal = format!("/decisions/{}/appeal", decide("remove").await);
    let reason = json!({ "reason": "A joke." });
    owner
        .post(&format!("{path}{appeal}"), reason)
        .await
        .expect(201);
    let body = json!({ "reviewerId": "sam", "approve": true });
    post(&format!("{appeal}/resolve"), body).await;
}

/// Asks every operation that reads, as the host in the member's name.
async fn read_everything(scenario: &Scenario, [hook, pulled, event, letter]: &[String; 4]) {
    let in_a_day = Timestamp::now().as_millis() + 86_400_000;
    let at = Timestamp::from_millis(in_a_day).to_string();
    let body =
        json!({ "conversationId": scenario.conversation, "content": "one day", "sendAt": at });
    let scheduled = scenario.member.post("/api/scheduled", body).await;
    let scheduled = text(&scheduled.expect(201)["id"]);
    let gone = format!("gone-{}", scenario.member.id);
    let host = scenario.host();
    let user = json!({ "externalUserId": gone, "name": "Gone" });
    host.post("/api/users/sync", user).await.expect(201);
    host.delete(&format!("/api/users/{gone}")).await.expect(204);
    let client: Client = host.acting_for(&scenario.member.id);
    let reads = contract::operations()
        .into_iter()
        .filter(|operation| operation.method == "GET" && !has_conditions(&operation.path));
    for operation in reads {
        let path = operation.path.clone();
        let fill = |name: &str| {
            let id: &str = match (path.split('/').nth(2), path.split('/').nth(3), name) {
                (_, _, "letterId") => letter,
                (_, _, "eventId") => event,
                (Some("admin"), Some("consumers"), _) => HOST,
                (Some("admin"), _, _) if path.ends_with("/events") => pulled,
                (Some("admin"), _, _) => hook,
                (Some("conversations"), _, _) => &scenario.conversation,
                (Some("messages"), _, _) => &scenario.message,
                (Some("moderation"), _, _) => "kept",
                (Some("scheduled"), _, _) => &scheduled,
                (Some("users"), _, _) if path.ends_with("/erasure") => &gone,
                (Some("users"), _, _) => &scenario.member.id,
                _ => panic!("nothing fits {{{name}}} of {path}"),
            };
            id.to_owned()
        };
        let query = if path.ends_with("/search") {
            "?q=a"
        } else {
            ""
        };
        let path = format!("{}{query}", operation.path_with(fill));
        let answer = client.get(&path).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    // A replay that succeeds removes the dead letter, so these steps come last.
    let since = "2020-01-01T00:00:00.000Z";
    let (all, one) = (
        json!({ "since": since, "endpointId": hook }),
        json!({ "since": since }),
    );
    let backfill = format!("/api/admin/webhooks/{hook}/backfill");
    for (path, body) in [
        ("/api/admin/webhooks/dead-letters/replay", all),
        (backfill.as_str(), one),
    ] {
        let answer = host.post(path, body).await;
        assert!(answer.status < 300, "{answer}");
    }
    let who = json!({ "userIds": [scenario.member.id] });
    client.post("/api/presence/batch", who).await.expect(200);
}

/// Commands and events that concern a single socket.
async fn use_a_socket(deployment: &Deployment, scenario: &mut Scenario) {
    let front = &deployment.front;
    let (room, token) = (&scenario.conversation, scenario.member.token.clone());
    let first_frame = Connect {
        token_by: TokenBy::FirstFrame,
        ..Connect::default()
    };
    let mut socket = scenario.member.user.connect_with(first_frame).await;
    for (command, data) in [
        ("ping", json!({})),
        ("activity:ping", json!({})),
        ("authenticate", json!({ "token": token })),
        ("token:refresh", json!({ "token": token })),
        ("messages:list", json!({ "conversationId": room })),
        ("messages:sync", json!({ "conversationId": room })),
        (
            "presence:subscribe",
            json!({ "userIds": [scenario.owner.id] }),
        ),
        (
            "presence:unsubscribe",
            json!({ "userIds": [scenario.owner.id] }),
        ),
        ("room:leave", json!({ "conversationId": room })),
        ("room:join", json!({ "conversationId": room })),
    ] {
        socket.ok(command, data).await;
    }
    socket.raw(Message::text("nonsense"));
    socket.next("error").await;
    // Reload: an unknown cursor.
    let mut lost = scenario.member.user.resume("nonsense").await;
    lost.next("sync:reset").await;
    // Away, then gone.
    let other = front.user("other").await;
    let with = json!({ "type": "direct", "participantIds": [other.id] });
    let made = scenario.owner.post("/api/conversations", with).await;
    made.expect(201);
    let theirs = other.connect().await;
    let owners = &mut scenario.owner.socket;
    let is_of_other = |event: &'static str| {
        move |frame: &Value| frame["event"] == event && frame["data"]["userId"] == "other"
    };
    owners.find("user:online", is_of_other("user:online")).await;
    let away = json!({ "status": "away" });
    let status = other.request(Method::PUT, "/api/users/me/status", Some(away));
    status.await.expect(200);
    owners.find("user:away", is_of_other("user:away")).await;
    drop(theirs);
    owners
        .find("user:offline", is_of_other("user:offline"))
        .await;
    // More conversations than one frame has room for.
    let crowded = front.user("crowded").await;
    many_groups(front, &crowded, &other, 1001).await;
    crowded.connect().await.next("rooms").await;
}

/// The names in the AsyncAPI document of messages whose key begins with `kind`.
fn names(kind: &str) -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/asyncapi.json");
    let document = std::fs::read_to_string(path).expect("openapi/asyncapi.json is committed");
    let document: Value = serde_json::from_str(&document).expect("it is JSON");
    let messages = document["components"]["messages"].as_object();
    let messages = messages.expect("messages").iter();
    messages
        .filter(|(key, _)| key.starts_with(kind))
        .map(|(_, message)| text(&message["name"]))
        .collect()
}

/// Runs the steps that no row covers, and fails for every documented operation or event that did not happen at `deployment`. Ends its nodes.
pub async fn finish(deployment: &Deployment) {
    let url = deployment.front.api_url().to_owned();
    let mut scenario = deployment.scenario(Setting::Group).await;
    let made = administer(&scenario).await;
    notify(&scenario).await;
    moderate(&scenario).await;
    read_everything(&scenario, &made).await;
    use_a_socket(deployment, &mut scenario).await;
    deployment.begin_stop();
    scenario.member.socket.next("reconnect").await;

    let done = record_of(&url);
    let operations: BTreeSet<String> = contract::operations()
        .iter()
        .filter(|operation| !has_conditions(&operation.path))
        .map(|operation| text(&operation.says["operationId"]))
        .collect();
    let missing = |all: BTreeSet<String>, done: &BTreeSet<String>| -> Vec<String> {
        all.difference(done).cloned().collect()
    };
    let nothing: [String; 0] = [];
    assert_eq!(missing(operations, &done.operations), nothing, "operations");
    assert_eq!(
        missing(names("Command"), &done.commands),
        nothing,
        "commands"
    );
    let mut events = names("Push");
    events.retain(|event| !OF_HOOKS.contains(&event.as_str()));
    assert_eq!(missing(events, &done.events), nothing, "events");
}

//! An id that is synced again after deletion: the new holder shares nothing with the former one.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{ask, id},
    delete::report,
    disconnect::issued,
};
use crate::support::{Client, Node, Service, User, eventually, eventually_within, in_an_hour};

/// Deletes `alice`, waits for the end of the erasure, and gives the id to another person.
async fn give_out_anew(service: &Node, messages: &str) -> Client {
    let host = service.internal();
    let path = format!("/api/users/alice?messages={messages}");
    host.delete(&path).await.expect(204);
    report(service, "alice").await;
    let anew = json!({ "externalUserId": "alice", "name": "Another Alice" });
    host.post("/api/users/sync", anew).await.expect(201);
    new_token(service)
}

/// A client of the new holder of the id: tokens of the former holder are no longer valid.
fn new_token(service: &Node) -> Client {
    let token = issued(service, "alice", 3);
    let user = service.known_user("alice");
    user.with("Authorization", &format!("Bearer {token}"))
}

async fn add_alice(owner: &User, conversation: &str) {
    let path = format!("/api/conversations/{conversation}/participants");
    let body = json!({ "userIds": ["alice"] });
    owner.post(&path, body).await.expect(201);
}

fn message(sent: &Value) -> String {
    format!("/api/messages/{}", id(sent))
}

#[tokio::test]
async fn the_former_holders_messages_are_not_the_new_ones_to_change() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&bob, &[&alice]).await;
    let messages = format!("/api/conversations/{group}/messages");
    let body = json!({ "content": "of the first", "clientMessageId": "c-1" });
    let sent = alice.post(&messages, body.clone()).await.expect(201);
    let kept = bob.say(&group, "of bob").await;
    let reactions = format!("{}/reactions", message(&kept));
    alice
        .post(&reactions, json!({ "emoji": "👍" }))
        .await
        .expect(200);

    let anew = give_out_anew(&service, "anonymise").await;
    add_alice(&bob, &group).await;
    let edit = json!({ "content": "changed" });
    let refused = anew.patch(&message(&sent), edit.clone()).await;
    refused.expect_error(403, "FORBIDDEN");
    let refused = anew.delete(&message(&sent)).await;
    refused.expect_error(403, "FORBIDDEN");
    let path = format!("{reactions}/%F0%9F%91%8D");
    let left = anew.delete(&path).await.expect(200);
    assert_eq!(left["reactions"], json!([]));
    let mut socket = service
        .known_user("alice")
        .connect_with(crate::support::Connect {
            token: Some(issued(&service, "alice", 3)),
            ..Default::default()
        })
        .await;
    let edit_former = json!({ "messageId": id(&sent), "content": "changed" });
    let refused = socket.refused("message:edit", edit_former).await;
    assert_eq!(refused["code"], "FORBIDDEN");
    // The same `clientMessageId` of the new holder is another message.
    let own = anew.post(&messages, body).await.expect(201);
    assert_ne!(own["id"], sent["id"]);
    anew.patch(&message(&own), edit).await.expect(200);
    let history = bob.history(&group).await;
    assert_eq!(history[0]["content"], "of the first");
}

#[tokio::test]
async fn access_and_settings_of_the_former_holder_are_gone() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let first = alice.get("/api/users/me").await.expect(200);
    let direct = service.direct(&alice, &bob).await;
    bob.say(&direct, "for the first Alice").await;
    let member = service.group(&bob, &[&alice, &carol]).await;
    bob.say(&member, "in the group").await;
    let left = service.group(&bob, &[&alice]).await;
    bob.say(&left, "before she left").await;
    let path = format!("/api/conversations/{left}/leave");
    alice.post(&path, Value::Null).await.expect(204);
    for conversation in [&direct, &member] {
        let path = format!("/api/conversations/{conversation}/me");
        let settings = json!({ "muted": true, "pinned": true, "draft": "Dear" });
        alice.patch(&path, settings).await.expect(200);
        let path = format!("/api/conversations/{conversation}/read");
        ask(&alice, "PUT", &path, Some(json!({}))).await.expect(200);
    }
    let later = json!({ "conversationId": member, "content": "later", "sendAt": in_an_hour() });
    alice.post("/api/scheduled", later).await.expect(201);
    let blocked = ask(&alice, "PUT", "/api/users/me/blocks/carol", None).await;
    blocked.expect(204);
    let socket = alice.connect().await;
    let status = json!({ "status": "busy", "text": "with a client" });
    let chosen = ask(&alice, "PUT", "/api/users/me/status", Some(status)).await;
    chosen.expect(200);
    let cursor = socket.cursor();

    let anew = give_out_anew(&service, "anonymise").await;
    let me = anew.get("/api/users/me").await.expect(200);
    assert!(
        me["createdAt"].as_str() > first["createdAt"].as_str(),
        "{me}"
    );
    let mine = anew.get("/api/conversations").await.expect(200);
    assert_eq!(mine["conversations"], json!([]));
    let unread = anew.get("/api/unread-count").await.expect(200);
    assert_eq!(unread["unreadCount"], 0);
    for conversation in [&direct, &member, &left] {
        for path in ["", "/messages", "/log", "/participants", "/pins"] {
            let path = format!("/api/conversations/{conversation}{path}");
            anew.get(&path).await.expect_error(404, "NOT_FOUND");
        }
    }
    let scheduled = anew.get("/api/scheduled").await.expect(200);
    assert_eq!(scheduled["scheduled"], json!([]));
    let blocks = anew.get("/api/users/me/blocks").await.expect(200);
    assert_eq!(blocks["users"], json!([]));

    // The former holder's cursor delivers nothing of the former holder.
    let how = crate::support::Connect {
        token: Some(issued(&service, "alice", 3)),
        resume: Some(cursor),
        ..Default::default()
    };
    let mut socket = service.known_user("alice").connect_with(how).await;
    bob.say(&member, "after her").await;
    socket.ok("ping", json!({})).await;
    let came = socket.take_arrived();
    let told = came
        .iter()
        .find(|frame| frame["data"]["conversationId"].is_string());
    assert_eq!(told, None);
    eventually("she looks as nobody has chosen yet", || async {
        let presence = carol.get("/api/users/alice/presence").await.expect(200);
        (presence["status"] == "online" && presence.get("text").is_none()).then_some(())
    })
    .await;

    add_alice(&bob, &member).await;
    let shown = anew
        .get(&format!("/api/conversations/{member}"))
        .await
        .expect(200);
    assert_eq!(shown["preferences"]["muted"], false);
    assert_eq!(shown["preferences"]["pinned"], false);
    assert_eq!(shown.get("draft"), None);
    let talk = service.direct(&bob, &alice).await;
    assert_ne!(talk, direct, "a direct conversation of two other people");
    let history = bob.history(&direct).await;
    assert_eq!(history.len(), 1, "the other one keeps the former one");
    let path = format!("/api/conversations/{direct}/messages");
    let refused = bob.post(&path, json!({ "content": "hello?" })).await;
    refused.expect_error(403, "FORBIDDEN");
    let body = json!({ "receiverId": "alice", "content": "hello" });
    let sent = bob.post("/api/messages", body).await.expect(201);
    assert_eq!(sent["conversationId"], talk.as_str());
}

#[tokio::test]
async fn the_new_holders_export_and_erasure_leave_the_former_ones_messages_alone() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&bob, &[&alice]).await;
    alice.say(&group, "of the first").await;
    let anew = give_out_anew(&service, "anonymise").await;
    add_alice(&bob, &group).await;
    let path = format!("/api/conversations/{group}/messages");
    let body = json!({ "content": "of the second" });
    anew.post(&path, body).await.expect(201);
    let export = service.internal().get("/api/users/alice/export").await;
    assert!(export.text.contains("of the second"), "{}", export.text);
    assert!(!export.text.contains("of the first"), "{}", export.text);

    let host = service.internal();
    let path = "/api/users/alice?messages=erase";
    host.delete(path).await.expect(204);
    let report = report(&service, "alice").await;
    assert_eq!(report["removed"]["messages"], 1, "{report}");
    let history = bob.history(&group).await;
    let contents: Vec<&Value> = history.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, [&json!("of the first"), &json!("")]);
}

#[tokio::test]
async fn an_id_cannot_be_reused_during_the_erasure() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&bob, &[&alice]).await;
    for n in 0..60 {
        alice.say(&group, &format!("message {n}")).await;
    }
    let host = service.internal();
    host.delete("/api/users/alice?messages=erase")
        .await
        .expect(204);
    let anew = json!({ "externalUserId": "alice", "name": "Another Alice" });
    let done = eventually_within(Duration::from_secs(30), "the id is free", || async {
        let answer = host.post("/api/users/sync", anew.clone()).await;
        let report = host.get("/api/users/alice/erasure").await.expect(200);
        match answer.status {
            409 => None,
            _ => Some((answer, report)),
        }
    })
    .await;
    assert_eq!((done.0.status, &done.1["status"]), (201, &json!("done")));
    let client = new_token(&service);
    client
        .get(&format!("/api/conversations/{group}"))
        .await
        .expect(404);
    let path = format!("/api/conversations/{group}/participants/alice");
    let removed = bob.request(Method::DELETE, &path, None).await;
    removed.expect_error(404, "NOT_FOUND");
}

//! `DELETE /api/users/{id}`: immediate effects, the erasure, and its report.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::disconnect::{issued, with_token};
use crate::support::{Node, Service, User, eventually, eventually_within};

/// Waits for the end of an erasure. Returns the report.
pub async fn report(node: &Node, user: &str) -> Value {
    let path = format!("/api/users/{user}/erasure");
    eventually_within(Duration::from_secs(30), "the erasure is done", || async {
        let report = node.internal().get(&path).await.expect(200);
        (report["status"] == "done").then_some(report)
    })
    .await
}

async fn delete(node: &Node, user: &str, query: &str) {
    let path = format!("/api/users/{user}{query}");
    node.internal().delete(&path).await.expect(204);
}

async fn react(user: &User, message: &Value, emoji: &str) {
    let path = format!(
        "/api/messages/{}/reactions",
        message["id"].as_str().expect("an id")
    );
    let body = json!({ "emoji": emoji });
    user.post(&path, body).await.expect(200);
}

#[tokio::test]
async fn profile_tokens_and_sockets_are_gone_at_once() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let mut socket = alice.connect().await;
    delete(&service, "alice", "").await;
    assert_eq!(socket.closed().await, 4401);
    bob.get("/api/users/alice")
        .await
        .expect_error(404, "NOT_FOUND");
    let found = bob.get("/api/users/search?q=ali").await.expect(200);
    assert_eq!(found["users"], json!([]));
    alice
        .get("/api/users/me")
        .await
        .expect_error(401, "UNAUTHORIZED");
    // A token that was issued later creates no user: only the host can restore the user.
    let new = issued(&service, "alice", 2);
    with_token(&alice, &new)
        .get("/api/users/me")
        .await
        .expect(401);
    let body = json!({ "type": "direct", "participantIds": ["alice"] });
    bob.post("/api/conversations", body).await.expect(400);
}

#[tokio::test]
async fn erased_messages_have_no_text_anywhere() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&bob, &[&alice]).await;
    let body = json!({
        "content": "secret one", "metadata": { "card": "4711" }, "mentions": ["bob"],
        "clientMessageId": "c-1",
    });
    let path = format!("/api/conversations/{conversation}/messages");
    let sent = alice.post(&path, body).await.expect(201);
    let first = format!("/api/messages/{}", sent["id"].as_str().expect("an id"));
    alice
        .patch(&first, json!({ "content": "secret two" }))
        .await
        .expect(200);
    alice.say(&conversation, "secret three").await;
    let kept = bob.say(&conversation, "of bob").await;
    react(&alice, &kept, "👍").await;
    react(&bob, &kept, "👍").await;
    react(&bob, &sent, "🎉").await;
    let block = |user: &User, other: &str| {
        let (user, path) = (user.clone(), format!("/api/users/me/blocks/{other}"));
        async move { user.request(Method::PUT, &path, None).await.expect(204) }
    };
    block(&alice, "bob").await;
    block(&bob, "alice").await;
    let mut witness = bob.connect().await;

    delete(&service, "alice", "?messages=erase").await;
    let report = report(&service, "alice").await;
    assert_eq!(report["messages"], "erase");
    let removed = &report["removed"];
    assert_eq!(removed["messages"], 2, "{report}");
    assert_eq!(removed["edits"], 1, "{report}");
    assert_eq!(removed["memberships"], 1, "{report}");
    assert_eq!(removed["reactions"], 1, "{report}");
    assert_eq!(removed["blocks"], 2, "{report}");
    assert_eq!(removed["profileEntries"], 1, "{report}");
    assert!(report["finishedAt"].is_string());

    let taken_back = witness.next("reaction:removed").await;
    assert_eq!(taken_back["data"]["userId"], "alice");
    witness.next("message:deleted").await;
    witness.next("message:deleted").await;
    witness.next("participant:removed").await;
    let history = bob.history(&conversation).await;
    let contents: Vec<&Value> = history.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, [&json!(""), &json!(""), &json!("of bob")]);
    assert_eq!(history[0]["isDeleted"], true);
    let of_bob = json!([{ "emoji": "👍", "count": 1, "userIds": ["bob"], "reactedByMe": true }]);
    assert_eq!(history[2]["reactions"], of_bob);
    let blocks = bob.get("/api/users/me/blocks").await.expect(200);
    assert_eq!(blocks["users"], json!([]));
    for collection in ["reactions", "blocks"] {
        let stored = service.sandbox().text(collection).await;
        assert!(!stored.contains("alice"), "{collection}: {stored}");
    }
    let stored = service.sandbox().text("log").await;
    for text in ["secret", "4711", "c-1"] {
        assert!(!stored.contains(text), "{text} is still stored");
    }
    // No request of a user restores the deleted user.
    let restore = format!("{first}/restore");
    let answer = bob.post(&restore, Value::Null).await;
    answer.expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn anonymised_messages_stay_and_identify_their_sender_only_by_id() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let person =
        json!({ "externalUserId": "alice", "name": "Alice Liddell", "email": "a@wonder.example" });
    let internal = service.internal();
    internal.post("/api/users/sync", person).await.expect(200);
    let conversation = service.group(&bob, &[&alice]).await;
    alice.say(&conversation, "hello").await;
    delete(&service, "alice", "").await;
    let report = report(&service, "alice").await;
    assert_eq!(
        (&report["messages"], &report["removed"]["messages"]),
        (&json!("anonymise"), &json!(0))
    );
    assert_eq!(report["removed"]["profileEntries"], 2);
    let history = bob.history(&conversation).await;
    assert_eq!(history[0]["content"], "hello");
    for collection in ["log", "users"] {
        let stored = service.sandbox().text(collection).await;
        assert!(!stored.contains("Liddell") && !stored.contains("wonder"));
    }
    // Later the host requests a more complete erasure.
    delete(&service, "alice", "?messages=erase").await;
    eventually("the messages are erased too", || async {
        let history = bob.history(&conversation).await;
        (history[0]["isDeleted"] == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_longest_standing_admin_or_member_owns_what_the_last_owner_leaves() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let with_admin = service.group(&alice, &[&bob, &carol]).await;
    let path = format!("/api/conversations/{with_admin}/participants/carol");
    alice
        .patch(&path, json!({ "role": "admin" }))
        .await
        .expect(200);
    let without = service.group(&alice, &[&bob]).await;
    let alone = service.group(&alice, &[]).await;
    delete(&service, "alice", "").await;
    let report = report(&service, "alice").await;
    assert_eq!(report["removed"]["memberships"], 3, "{alone}: {report}");
    for (conversation, heir) in [(with_admin, "carol"), (without, "bob")] {
        let path = format!("/api/conversations/{conversation}/participants");
        let members = bob.get(&path).await.expect(200);
        let roles: Vec<(&str, &str)> = members["participants"]
            .as_array()
            .expect("participants")
            .iter()
            .map(|member| {
                let text = |field: &str| member[field].as_str().expect("a text");
                (text("userId"), text("role"))
            })
            .collect();
        assert!(roles.contains(&(heir, "owner")), "{roles:?}");
        assert!(!roles.iter().any(|(id, _)| *id == "alice"), "{roles:?}");
    }
}

#[tokio::test]
async fn a_deleted_user_receives_nothing_until_the_host_syncs_them_again() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let direct = service.direct(&bob, &alice).await;
    bob.say(&direct, "hello").await;
    delete(&service, "alice", "").await;
    report(&service, "alice").await;
    let path = format!("/api/conversations/{direct}/messages");
    let refused = bob.post(&path, json!({ "content": "anyone?" })).await;
    let refused = refused.expect_error(403, "FORBIDDEN");
    assert_eq!(refused["message"], "You cannot send messages to this user.");
    assert_eq!(
        bob.history(&direct).await.len(),
        1,
        "the other one keeps it"
    );

    let internal = service.internal();
    let anew = json!({ "externalUserId": "alice", "name": "Alice the second" });
    internal.post("/api/users/sync", anew).await.expect(201);
    let me = with_token(&alice, &issued(&service, "alice", 2));
    let me = me.get("/api/users/me").await.expect(200);
    assert_eq!(me["name"], "Alice the second");
    alice.get("/api/users/me").await.expect(401);
    let again = bob.post(&path, json!({ "content": "welcome back" })).await;
    again.expect_error(403, "FORBIDDEN");
    let anew = service.direct(&bob, &alice).await;
    assert_ne!(anew, direct, "what was said to the former holder of the id");
    bob.say(&anew, "welcome").await;
}

#[tokio::test]
async fn private_data_is_erased_completely() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let left = service.group(&bob, &[&alice]).await;
    for conversation in [&group, &left] {
        let root = alice.say(conversation, "of alice").await;
        let reply = json!({ "content": "of bob", "threadId": root["id"] });
        let messages = format!("/api/conversations/{conversation}/messages");
        bob.post(&messages, reply).await.expect(201);
        for user in [&alice, &bob] {
            let path = format!("/api/conversations/{conversation}");
            let draft = json!({ "draft": "dear" });
            user.patch(&format!("{path}/me"), draft).await.expect(200);
            let read = format!("{path}/read");
            let thread = root["id"].as_str().expect("an id");
            for read in [read, format!("/api/messages/{thread}/replies/read")] {
                let read = user.request(Method::PUT, &read, Some(json!({}))).await;
                read.expect(200);
            }
        }
    }
    let leave = format!("/api/conversations/{left}/leave");
    alice.post(&leave, Value::Null).await.expect(204);
    for user in [&alice, &bob] {
        let later = json!({
            "conversationId": group, "content": "later", "sendAt": "2027-06-01T00:00:00.000Z",
        });
        user.post("/api/scheduled", later).await.expect(201);
        let status = json!({ "status": "busy" });
        let path = "/api/users/me/status";
        user.request(Method::PUT, path, Some(status))
            .await
            .expect(200);
    }
    let export = service.internal().get("/api/users/alice/export").await;
    for kind in ["marker", "read", "scheduled", "presence"] {
        let line = format!("\"kind\":\"{kind}\"");
        assert!(export.text.contains(&line), "{kind}: {}", export.text);
    }
    let of_threads = export
        .text
        .lines()
        .filter(|line| line.contains("\"kind\":\"marker\"") && line.contains("msg_"));
    assert_eq!(of_threads.count(), 2, "{}", export.text);
    delete(&service, "alice", "").await;
    let report = report(&service, "alice").await;
    for (name, removed) in [
        ("markers", 4),
        ("reads", 2),
        ("scheduled", 1),
        ("presence", 1),
    ] {
        let count = report["removed"][name].as_u64();
        assert!(count >= Some(removed), "{name}: {report}");
        let stored = service.sandbox().text(name).await;
        assert!(!stored.contains("alice"), "{name}: {stored}");
        assert!(stored.contains("bob"), "{name}: {stored}");
    }
}

#[tokio::test]
async fn deleting_again_changes_nothing_and_an_unknown_user_is_404() {
    let service = Service::start().await;
    service.user("alice").await;
    let internal = service.internal();
    let answer = internal.get("/api/users/alice/erasure").await;
    answer.expect_error(404, "NOT_FOUND");
    delete(&service, "alice", "?messages=anonymise").await;
    let first = report(&service, "alice").await;
    delete(&service, "alice", "").await;
    assert_eq!(report(&service, "alice").await, first);
    let answer = internal.delete("/api/users/ghost").await;
    answer.expect_error(404, "NOT_FOUND");
    let answer = internal.delete("/api/users/alice?messages=burn").await;
    answer.expect_error(400, "VALIDATION_ERROR");
}

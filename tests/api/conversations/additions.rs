//! Adding members: the configured rule, blocks, and the limit of conversations per user.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{ask, faults, id};
use crate::support::{Answer, Service, User};

async fn block(user: &User, other: &str) {
    let path = format!("/api/users/me/blocks/{other}");
    user.request(Method::PUT, &path, None).await.expect(204);
}

async fn create(user: &User, kind: &str, ids: &[&str]) -> Answer {
    let body = json!({ "type": kind, "participantIds": ids, "name": "Ours" });
    user.post("/api/conversations", body).await
}

async fn add(user: &User, conversation: &str, ids: &[&str]) -> Answer {
    let path = format!("/api/conversations/{conversation}/participants");
    user.post(&path, json!({ "userIds": ids })).await
}

fn refused(answer: &Answer, fields: &[&str]) {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    assert_eq!((answer.status, faults(answer)), (400, fields), "{answer}");
}

#[tokio::test]
async fn adding_a_user_who_blocks_the_caller_fails_like_an_unknown_user() {
    let service = Service::start().await;
    let (alice, mallory) = (service.user("alice").await, service.user("mallory").await);
    service.user("bob").await;
    block(&alice, "mallory").await;
    for kind in ["group", "public"] {
        let answer = create(&mallory, kind, &["bob", "alice", "ghost"]).await;
        refused(&answer, &["participantIds[1]", "participantIds[2]"]);
        let details = &answer.json["details"];
        assert_eq!(details[0]["message"], details[1]["message"]);
    }
    let group = service.group(&mallory, &[]).await;
    let answer = add(&mallory, &group, &["alice", "ghost"]).await;
    refused(&answer, &["userIds[0]", "userIds[1]"]);
    let details = &answer.json["details"];
    assert_eq!(details[0]["message"], details[1]["message"]);
    let acting = service.internal().acting_for("mallory");
    let path = format!("/api/conversations/{group}/participants");
    let answer = acting.post(&path, json!({ "userIds": ["alice"] })).await;
    refused(&answer, &["userIds[0]"]);
    let mine = alice.get("/api/conversations").await.expect(200);
    assert_eq!(mine["conversations"], json!([]));

    // In the other direction the caller gets the reason.
    let answer = create(&alice, "group", &["mallory"]).await;
    refused(&answer, &["participantIds[0]"]);
    assert_eq!(
        answer.json["details"][0]["message"],
        "is a user whom you block; unblock them first"
    );
    // Blocks do not apply to the host without an acting user.
    let host = service.internal();
    let added = host.post(&path, json!({ "userIds": ["alice"] })).await;
    added.expect(201);
    // The user is a member already, so the rule is not checked and no event is sent.
    add(&mallory, &group, &["alice"]).await.expect(201);
}

#[tokio::test]
async fn adding_members_as_a_stranger_reveals_no_membership() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mallory = service.user("mallory").await;
    block(&alice, "mallory").await;
    let group = service.group(&bob, &[&alice]).await;
    let foreign = add(&mallory, &group, &["alice"]).await;
    let unknown = add(&mallory, "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6", &["alice"]).await;
    assert_eq!((foreign.status, &foreign.text), (404, &unknown.text));
}

#[tokio::test]
async fn rule_shared_allows_adding_only_users_with_a_shared_conversation() {
    let service = Service::builder()
        .env("PARTICIPANT_ADD_RULE", "shared")
        .start()
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let answer = create(&alice, "group", &["bob", "carol"]).await;
    refused(&answer, &["participantIds[0]", "participantIds[1]"]);
    // A public conversation counts as shared, because anybody may join it.
    let public = id(&create(&alice, "public", &[]).await.expect(201));
    let join = format!("/api/conversations/{public}/join");
    carol.post(&join, Value::Null).await.expect(200);
    service.direct(&alice, &bob).await;
    let answer = create(&alice, "group", &["bob", "carol"]).await;
    refused(&answer, &["participantIds[1]"]);
    let group = id(&create(&alice, "group", &["bob"]).await.expect(201));
    refused(&add(&alice, &group, &["carol"]).await, &["userIds[0]"]);
    let acting = service.internal().acting_for("alice");
    let path = format!("/api/conversations/{group}/participants");
    let body = json!({ "userIds": ["carol"] });
    acting.post(&path, body).await.expect(201);
    create(&alice, "group", &["carol"]).await.expect(201);
}

#[tokio::test]
async fn rule_host_allows_only_the_host_to_add_members() {
    let service = Service::builder()
        .env("PARTICIPANT_ADD_RULE", "host")
        .start()
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    service.direct(&alice, &bob).await;
    let answer = create(&alice, "group", &["alice", "bob"]).await;
    refused(&answer, &["participantIds[1]"]);
    let group = id(&create(&alice, "group", &["alice"]).await.expect(201));
    refused(&add(&alice, &group, &["bob"]).await, &["userIds[0]"]);
    let host = service.internal();
    let body = json!({ "type": "group", "participantIds": ["bob"] });
    let acting = host.acting_for("alice");
    let made = acting.post("/api/conversations", body).await;
    made.expect(201);
    let path = format!("/api/conversations/{group}/participants");
    host.post(&path, json!({ "userIds": ["bob"] }))
        .await
        .expect(201);
}

#[tokio::test]
async fn conversations_per_user_are_limited() {
    let service = Service::builder()
        .env("MAX_CONVERSATIONS_PER_USER", "2")
        .start()
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let first = service.group(&alice, &[&bob]).await;
    service.direct(&alice, &bob).await;
    // Limits apply when creating, joining, and starting a direct conversation, also with a message.
    let full = create(&alice, "group", &[]).await;
    full.expect_error(409, "CONFLICT");
    let public = id(&create(&carol, "public", &[]).await.expect(201));
    let join = format!("/api/conversations/{public}/join");
    bob.post(&join, Value::Null)
        .await
        .expect_error(409, "CONFLICT");
    let body = json!({ "receiverId": "carol", "content": "hello" });
    bob.post("/api/messages", body)
        .await
        .expect_error(409, "CONFLICT");
    let answer = create(&carol, "direct", &["alice"]).await;
    answer.expect_error(409, "CONFLICT");
    // Limits apply to members added by other users, by the host, and over a socket.
    let answer = create(&carol, "group", &["alice", "bob"]).await;
    refused(&answer, &["participantIds[0]", "participantIds[1]"]);
    refused(&add(&carol, &public, &["bob"]).await, &["userIds[0]"]);
    let path = format!("/api/conversations/{public}/participants");
    let host = service.internal();
    let answer = host.post(&path, json!({ "userIds": ["bob"] })).await;
    refused(&answer, &["userIds[0]"]);
    let mut socket = carol.connect().await;
    let data = json!({ "receiverId": "alice", "content": "hello" });
    let error = socket.refused("message:send", data).await;
    assert_eq!(error["code"], "CONFLICT");
    // Existing conversations keep working, and leaving one frees its place.
    let body = json!({ "receiverId": "bob", "content": "hello" });
    alice.post("/api/messages", body).await.expect(201);
    let path = format!("/api/conversations/{first}/leave");
    bob.post(&path, Value::Null).await.expect(204);
    bob.post(&join, Value::Null).await.expect(200);
    let again = bob.post(&join, Value::Null).await;
    again.expect(200);
    let mine = ask(&bob, "GET", "/api/conversations", None).await;
    assert_eq!(
        mine.expect(200)["conversations"].as_array().map(Vec::len),
        Some(2)
    );
}

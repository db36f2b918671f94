//! An event has at most 128 KiB, measured encoded. A request whose event would be larger is refused, and nothing is stored.

use chat_sdk::Timestamp;
use serde_json::{Value, json};

use crate::{
    support::{
        Receiver, Service, User, eventually,
        large::{EVENT, at_the_limit, hostile, refused_size, size_in},
        send_large,
    },
    webhooks,
};

async fn group(service: &Service) -> (User, User, String, String) {
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let id = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{id}/messages");
    (alice, bob, id, path)
}

fn in_an_hour() -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000).to_string()
}

#[tokio::test]
async fn a_send_whose_event_would_be_too_large_is_refused_and_stores_nothing() {
    let service = Service::start().await;
    let (alice, bob, id, path) = group(&service).await;
    let before = service.sandbox().log(&id).await;
    let size = refused_size(alice.post(&path, hostile()).await);
    assert!(size > 170_000, "{size}");

    let mut socket = alice.connect().await;
    let mut body = hostile();
    body["conversationId"] = json!(id);
    let refusal = socket.refused("message:send", body).await;
    assert_eq!(refusal["code"], "PAYLOAD_TOO_LARGE", "{refusal}");
    assert_eq!(size_in(&refusal["message"]), size);
    assert!(socket.is_alive().await);

    let host = service.internal().post(&path, hostile()).await;
    refused_size(host);
    assert_eq!(service.sandbox().log(&id).await, before);
    assert_eq!(bob.history(&id).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_refused_message_to_a_user_creates_no_conversation() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mut body = hostile();
    body["receiverId"] = json!("bob");
    refused_size(alice.post("/api/messages", body.clone()).await);
    body["sendAt"] = json!(in_an_hour());
    refused_size(alice.post("/api/scheduled", body).await);
    for user in [alice, bob] {
        let list = user.get("/api/conversations").await.expect(200);
        assert_eq!(list["conversations"], json!([]));
    }
}

#[tokio::test]
async fn a_message_of_just_the_largest_event_reaches_sockets_and_webhooks() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    webhooks::hook(&service, &receiver, json!({})).await;
    let (alice, bob, id, path) = group(&service).await;
    let mut socket = bob.connect().await;
    let (body, larger) = at_the_limit(&alice, &path).await;
    assert_eq!(refused_size(alice.post(&path, larger).await), EVENT + 1);
    let sent = alice.post(&path, body).await.expect(201);
    let pushed = socket.next("message:new").await;
    assert_eq!(pushed["data"]["id"], sent["id"]);
    let taken = receiver.wait_for("message.created", 1).await;
    let bytes = taken[0].body.len();
    // The number of the entry was not known when it was measured: 20 digits at most, in two places.
    assert!((EVENT - 38..=EVENT).contains(&bytes), "{bytes}");
    assert_eq!(bob.history(&id).await[0]["content"], sent["content"]);
    assert_eq!(service.sandbox().events("message.created").await.len(), 1);
}

#[tokio::test]
async fn an_edit_whose_event_would_be_too_large_is_refused_and_changes_nothing() {
    let service = Service::builder()
        .env("MAX_MESSAGE_BYTES", "65536")
        .start()
        .await;
    let (alice, _bob, id, _) = group(&service).await;
    let message = alice.say(&id, "short").await;
    let path = format!("/api/messages/{}", message["id"].as_str().expect("an id"));
    let before = service.sandbox().log(&id).await;
    let edit = json!({ "content": "\u{1}".repeat(22_000) });
    let size = refused_size(alice.patch(&path, edit.clone()).await);
    assert!(size > 22_000 * 6, "{size}");
    let mut socket = alice.connect().await;
    let edit = json!({ "messageId": message["id"], "content": edit["content"] });
    let refusal = socket.refused("message:edit", edit).await;
    assert_eq!(refusal["code"], "PAYLOAD_TOO_LARGE", "{refusal}");
    assert_eq!(service.sandbox().log(&id).await, before);
    assert_eq!(alice.get(&path).await.expect(200)["content"], "short");
}

#[tokio::test]
async fn a_message_that_was_edited_to_be_too_large_stays_deleted() {
    let service = Service::start().await;
    let (alice, _bob, id, path) = group(&service).await;
    let mut body = hostile();
    body["content"] = json!("short");
    let message = alice.post(&path, body).await.expect(201);
    let path = format!("/api/messages/{}", message["id"].as_str().expect("an id"));
    // The event of an edit carries no files and no mentions; that of a restored message carries all.
    let edit = json!({ "content": "\u{1}".repeat(16_384) });
    alice.patch(&path, edit).await.expect(200);
    alice.delete(&path).await.expect(204);
    let before = service.sandbox().log(&id).await;
    let restored = alice.post(&format!("{path}/restore"), Value::Null).await;
    assert!(refused_size(restored) > 170_000);
    assert_eq!(service.sandbox().log(&id).await, before);
    assert_eq!(alice.get(&path).await.expect(200)["isDeleted"], true);
}

#[tokio::test]
async fn a_forward_that_would_be_too_large_is_refused_before_any_is_sent() {
    let service = Service::start().await;
    let (alice, _bob, _id, path) = group(&service).await;
    let (body, _) = at_the_limit(&alice, &path).await;
    let message = alice.post(&path, body).await.expect(201);
    let to = [
        service.group(&alice, &[]).await,
        service.group(&alice, &[]).await,
    ];
    // The forwarded message says in addition where it is from.
    let forward = format!(
        "/api/messages/{}/forward",
        message["id"].as_str().expect("an id")
    );
    let answer = alice.post(&forward, json!({ "conversationIds": to })).await;
    refused_size(answer);
    for conversation in &to {
        assert_eq!(alice.history(conversation).await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_forward_with_too_large_an_answer_is_refused_before_any_is_sent() {
    let service = Service::start().await;
    let (alice, _bob, id, _path) = group(&service).await;
    let message = send_large(&alice, &id, 1).await.remove(0);
    let mut to = Vec::new();
    for _ in 0..20 {
        to.push(service.group(&alice, &[]).await);
    }
    let forward = format!(
        "/api/messages/{}/forward",
        message["id"].as_str().expect("an id")
    );
    let answer = alice.post(&forward, json!({ "conversationIds": to })).await;
    let error = answer.expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "conversationIds", "{error}");
    for conversation in &to {
        assert_eq!(alice.history(conversation).await, Vec::<Value>::new());
    }
    let some = alice
        .post(&forward, json!({ "conversationIds": to[..8] }))
        .await;
    some.expect(201);
}

#[tokio::test]
async fn a_scheduled_message_is_measured_when_it_is_scheduled_and_when_it_is_changed() {
    let service = Service::start().await;
    let (alice, _bob, id, _path) = group(&service).await;
    let mut body = hostile();
    body["conversationId"] = json!(id);
    body["sendAt"] = json!(in_an_hour());
    refused_size(alice.post("/api/scheduled", body.clone()).await);
    let list = alice.get("/api/scheduled").await.expect(200);
    assert_eq!(list["scheduled"], json!([]));

    body["content"] = json!("short");
    let waiting = alice.post("/api/scheduled", body).await.expect(201);
    let one = format!("/api/scheduled/{}", waiting["id"].as_str().expect("an id"));
    let change = json!({ "content": "\u{1}".repeat(16_384) });
    refused_size(alice.patch(&one, change).await);
    assert_eq!(alice.get(&one).await.expect(200)["content"], "short");
}

#[tokio::test]
async fn members_with_the_longest_ids_become_entries_that_fit() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let ids: Vec<String> = (0..300)
        .map(|n| format!("{n:03}{}", "😀".repeat(125)))
        .collect();
    let users: Vec<Value> = ids
        .iter()
        .map(|id| json!({ "externalUserId": id, "name": "n" }))
        .collect();
    let synced = service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    assert_eq!(synced["results"].as_array().map(Vec::len), Some(300));
    let body = json!({
        "type": "group", "participantIds": ids[..220], "name": "n".repeat(200),
        "avatarUrl": format!("https://files.example/{}", "😀".repeat(2_000)),
        "metadata": { "order": "m".repeat(16_000) },
    });
    let made = alice.post("/api/conversations", body).await.expect(201);
    assert_eq!(made["participantCount"], 221);
    let path = format!(
        "/api/conversations/{}/participants",
        made["id"].as_str().expect("an id")
    );
    alice
        .post(&path, json!({ "userIds": ids[220..] }))
        .await
        .expect(201);
    let events = eventually("all of it is in the stream", || async {
        let mut events = service.sandbox().events("conversation.created").await;
        events.extend(service.sandbox().events("participant.added").await);
        let count = |event: &Value| {
            let data = &event["data"];
            let ids = data["userIds"]
                .as_array()
                .or(data["participantIds"].as_array());
            ids.map_or(0, Vec::len)
        };
        let members: usize = events.iter().map(count).sum();
        (members == 301).then_some(events)
    })
    .await;
    for event in &events {
        let bytes = event.to_string().len();
        assert!(bytes <= EVENT, "{bytes} bytes of {}", event["type"]);
    }
}

#[tokio::test]
async fn a_draft_whose_event_would_be_too_large_is_refused() {
    let service = Service::builder()
        .env("MAX_MESSAGE_BYTES", "65536")
        .start()
        .await;
    let (alice, _bob, id, _) = group(&service).await;
    let path = format!("/api/conversations/{id}");
    let mine = format!("{path}/me");
    let draft = json!({ "draft": format!("a{}", "\u{1}".repeat(30_000)), "pinned": true });
    refused_size(alice.patch(&mine, draft).await);
    let shown = alice.get(&path).await.expect(200);
    assert!(shown.get("draft").is_none());
    assert_eq!(shown["preferences"]["pinned"], false, "nothing was changed");
}

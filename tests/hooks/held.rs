//! Held messages: visible to their author only, released or dropped once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::sample::{PLUGIN, builder, service};
use crate::support::{Service, User, eventually};

const HOOK: &str = r#"{ name = "review" }"#;

async fn hold(user: &User, conversation: &str, text: &str, client_id: &str) -> Value {
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": text, "clientMessageId": client_id });
    let held = user.post(&path, body).await.expect(201);
    assert_eq!(held["isHeld"], true);
    assert_eq!(held["seq"], 0);
    held
}

async fn held_of(user: &crate::support::Client) -> Vec<Value> {
    let page = user.get("/api/held").await.expect(200);
    page["held"].as_array().expect("held messages").clone()
}

#[tokio::test]
async fn a_held_message_is_visible_to_its_author_only_until_it_is_released() {
    let service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let (mut phone, mut bobs) = (alice.connect().await, bob.connect().await);
    let held = hold(&alice, &conversation, "hold this", "c-1").await;
    let id = held["id"].as_str().expect("an id").to_owned();
    let told = phone.next("message:held").await;
    assert_eq!(told["data"]["messageId"], *id);
    assert_eq!(told["data"]["clientMessageId"], "c-1");
    for user in [&alice, &bob] {
        assert!(user.history(&conversation).await.is_empty());
    }
    assert_eq!(bob.get(&format!("/api/messages/{id}")).await.status, 404);
    assert!(held_of(&bob).await.is_empty());
    let own = held_of(&alice).await;
    assert_eq!(own[0]["message"]["content"], "hold this");
    assert_eq!(own[0]["reason"], json!(null), "for the host only");
    let all = held_of(&service.internal()).await;
    assert_eq!(all[0]["hook"], "review");
    assert_eq!(all[0]["reason"], "Somebody looks at it.");

    let host = service.internal();
    let release = format!("/api/held/{id}/release");
    alice
        .post(&release, json!(null))
        .await
        .expect_error(401, "UNAUTHORIZED");
    let sent = host.post(&release, json!(null)).await.expect(200);
    assert_eq!(sent["id"], *id);
    assert!(sent["seq"].as_u64() > Some(0));
    assert_eq!(sent["isHeld"], json!(null));
    for socket in [&mut phone, &mut bobs] {
        let frame = socket.next("message:new").await;
        assert_eq!(frame["data"]["id"], *id);
        assert_eq!(frame["data"]["senderId"], "alice");
    }
    // A repetition of either request changes nothing.
    host.post(&release, json!(null)).await.expect(200);
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": "hold this", "clientMessageId": "c-1" });
    let again = alice.post(&path, body).await.expect(200);
    assert_eq!(again["id"], *id);
    assert_eq!(again["seq"], sent["seq"]);
    assert_eq!(bob.history(&conversation).await.len(), 1);
    assert!(held_of(&host).await.is_empty());
    host.delete(&format!("/api/held/{id}"))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_dropped_message_is_gone_and_its_repetition_is_refused() {
    let service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut phone = alice.connect().await;
    let first = hold(&alice, &conversation, "hold this", "c-1").await;
    let second = hold(&alice, &conversation, "hold that", "c-2").await;
    let path_of = |held: &Value| format!("/api/held/{}", held["id"].as_str().expect("an id"));
    bob.delete(&path_of(&first))
        .await
        .expect_error(404, "NOT_FOUND");
    service
        .internal()
        .delete(&path_of(&first))
        .await
        .expect(204);
    let told = phone.next("message:dropped").await;
    assert_eq!(told["data"]["messageId"], first["id"]);
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": "hold this", "clientMessageId": "c-1" });
    let error = alice.post(&path, body).await.expect_error(403, "FORBIDDEN");
    assert_eq!(error["details"][0]["message"], "DROPPED");
    // The author withdraws the other one.
    alice.delete(&path_of(&second)).await.expect(204);
    assert!(held_of(&alice).await.is_empty());
    assert!(bob.history(&conversation).await.is_empty());
    let release = format!("{}/release", path_of(&first));
    service
        .internal()
        .post(&release, json!(null))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn concurrent_releases_over_two_processes_send_a_message_once() {
    let one = service(HOOK).await;
    let two = builder(HOOK).database(&one).start_with([PLUGIN]).await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    let conversation = one.group(&alice, &[&bob]).await;
    for round in 0..5 {
        let held = hold(&alice, &conversation, "hold", &format!("c-{round}")).await;
        let id = held["id"].as_str().expect("an id");
        let releases = (0..6).map(|index| {
            let host = if index % 2 == 0 {
                one.internal()
            } else {
                two.internal()
            };
            let path = format!("/api/held/{id}/release");
            async move { host.post_repeating(&path, json!(null)).await }
        });
        let drops = (0..2).map(|_| {
            let host = one.internal();
            let path = format!("/api/held/{id}");
            async move { host.delete(&path).await }
        });
        let (releases, drops) = tokio::join!(join_all(releases), join_all(drops));
        let sent = releases
            .iter()
            .filter(|answer| answer.status == 200)
            .count();
        let is_sent = bob
            .history(&conversation)
            .await
            .iter()
            .any(|one| one["id"] == *id);
        assert_eq!(is_sent, sent > 0, "round {round}");
        if is_sent {
            assert!(
                drops.iter().all(|answer| answer.status != 204),
                "round {round}"
            );
        }
    }
    assert!(held_of(&one.internal()).await.is_empty());
}

#[tokio::test]
async fn held_messages_survive_a_restart() {
    let first = service(HOOK).await;
    let (alice, bob) = (first.user("alice").await, first.user("bob").await);
    let conversation = first.group(&alice, &[&bob]).await;
    let held = hold(&alice, &conversation, "hold", "c-1").await;
    let place = std::sync::Arc::clone(first.sandbox());
    first.crash();
    let second = builder(HOOK).place_of(&place).start_with([PLUGIN]).await;
    let (alice, bob) = (alice.at(&second), bob.at(&second));
    assert_eq!(held_of(&alice).await.len(), 1);
    let path = format!("/api/held/{}/release", held["id"].as_str().expect("an id"));
    second
        .internal()
        .post_repeating(&path, json!(null))
        .await
        .expect(200);
    assert_eq!(bob.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn a_message_whose_author_left_cannot_be_released_and_can_be_dropped() {
    let service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let held = hold(&bob, &conversation, "hold", "c-1").await;
    let path = format!("/api/conversations/{conversation}/leave");
    assert!(bob.post(&path, json!(null)).await.status < 300);
    let path = format!("/api/held/{}", held["id"].as_str().expect("an id"));
    let host = service.internal();
    let release = format!("{path}/release");
    host.post(&release, json!(null))
        .await
        .expect_error(409, "CONFLICT");
    host.delete(&path).await.expect(204);
}

#[tokio::test]
async fn a_first_direct_message_creates_its_conversation_only_when_it_is_released() {
    let service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let refused = json!({ "receiverId": "bob", "content": "refuse" });
    alice
        .post("/api/messages", refused)
        .await
        .expect_error(403, "FORBIDDEN");
    let body = json!({ "receiverId": "bob", "content": "hold", "clientMessageId": "c-1" });
    let held = alice.post("/api/messages", body.clone()).await.expect(201);
    assert_eq!(held["isHeld"], true);
    let again = alice.post("/api/messages", body).await.expect(200);
    assert_eq!(again["id"], held["id"]);
    for user in [&alice, &bob] {
        let list = user.get("/api/conversations").await.expect(200);
        assert_eq!(list["conversations"], json!([]));
    }
    let path = format!("/api/held/{}/release", held["id"].as_str().expect("an id"));
    let sent = service
        .internal()
        .post(&path, json!(null))
        .await
        .expect(200);
    let conversation = sent["conversationId"].as_str().expect("a conversation");
    assert_eq!(bob.history(conversation).await[0]["id"], held["id"]);
}

#[tokio::test]
async fn a_scheduled_message_is_held_when_it_is_due() {
    let service: Service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let send_at = (chat_sdk::Timestamp::now().as_millis() + 1500) / 1000 * 1000;
    let body = json!({
        "conversationId": conversation, "content": "hold", "clientMessageId": "c-1",
        "sendAt": chat_sdk::Timestamp::from_millis(send_at + 1000),
    });
    alice.post("/api/scheduled", body.clone()).await.expect(201);
    let held = eventually("it is held", || async { held_of(&alice).await.pop() }).await;
    let again = alice.post("/api/scheduled", body.clone()).await.expect(200);
    assert_eq!(again["messageId"], held["message"]["id"]);
    let id = held["message"]["id"].as_str().expect("an id");
    let path = format!("/api/held/{id}/release");
    service
        .internal()
        .post(&path, json!(null))
        .await
        .expect(200);
    let again = alice.post("/api/scheduled", body).await.expect(200);
    assert_eq!(again["status"], "sent");
    assert_eq!(bob.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn held_messages_are_erased_with_their_author() {
    let service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    hold(&bob, &conversation, "hold", "c-1").await;
    let host = service.internal();
    host.delete("/api/users/bob?messages=erase").await;
    eventually("it is gone", || async {
        held_of(&host).await.is_empty().then_some(())
    })
    .await;
}

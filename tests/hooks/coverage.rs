//! The ways into the service that hooks cover, as docs/HOOKS.md lists them.

use serde_json::{Value, json};

use super::sample::{asked, service};
use crate::support::eventually;

/// All points in one hook.
const HOOK: &str = r#"{ name = "all", points = [
    "message.before_send", "message.before_edit", "reaction.before_add",
    "conversation.before_create", "participant.before_add"] }"#;

fn id_of(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_refused_word_does_not_arrive_on_any_covered_way() {
    let service = service(HOOK).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    service.user("refused").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let other = service.group(&alice, &[]).await;
    let messages = format!("/api/conversations/{conversation}/messages");
    let sent = alice.say(&conversation, "fine").await;
    let message = format!("/api/messages/{}", id_of(&sent));
    let mut socket = alice.connect().await;

    let refuse = json!({ "content": "refuse" });
    alice
        .post(&messages, refuse.clone())
        .await
        .expect_error(403, "FORBIDDEN");
    let acting = service.internal().acting_for("alice");
    acting
        .post(&messages, refuse.clone())
        .await
        .expect_error(403, "FORBIDDEN");
    let direct = json!({ "receiverId": "bob", "content": "refuse" });
    alice
        .post("/api/messages", direct)
        .await
        .expect_error(403, "FORBIDDEN");
    alice
        .patch(&message, refuse.clone())
        .await
        .expect_error(403, "FORBIDDEN");
    let data = json!({ "messageId": sent["id"], "content": "refuse" });
    assert_eq!(
        socket.refused("message:edit", data).await["code"],
        "FORBIDDEN"
    );
    let data = json!({ "messageId": sent["id"], "emoji": ":refuse:" });
    assert_eq!(
        socket.refused("reaction:add", data.clone()).await["code"],
        "FORBIDDEN"
    );
    let body = json!({ "emoji": ":refuse:" });
    alice
        .post(&format!("{message}/reactions"), body)
        .await
        .expect_error(403, "FORBIDDEN");
    let caption =
        json!({ "content": "refuse", "attachments": [{ "url": "https://shop.example/a.png" }] });
    alice
        .post(&messages, caption)
        .await
        .expect_error(403, "FORBIDDEN");
    let group = json!({ "type": "group", "participantIds": [], "name": "refuse" });
    alice
        .post("/api/conversations", group)
        .await
        .expect_error(403, "FORBIDDEN");
    let participants = format!("/api/conversations/{conversation}/participants");
    let body = json!({ "userIds": ["refused"] });
    alice
        .post(&participants, body)
        .await
        .expect_error(403, "FORBIDDEN");

    // A message of the host in no user's name is not asked about; its copies are.
    let hosts = service.internal().post(&messages, refuse).await.expect(201);
    let path = format!("/api/messages/{}/forward", id_of(&hosts));
    let body = json!({ "conversationIds": [other] });
    alice.post(&path, body).await.expect_error(403, "FORBIDDEN");
    assert!(alice.history(&other).await.is_empty());

    let at = chat_sdk::Timestamp::from_millis(chat_sdk::Timestamp::now().as_millis() + 1500);
    let body = json!({ "conversationId": other, "content": "refuse", "sendAt": at });
    let scheduled = alice.post("/api/scheduled", body).await.expect(201);
    let path = format!("/api/scheduled/{}", id_of(&scheduled));
    let failed = eventually("it fails", || async {
        // While it is being sent, it is not found.
        let found = alice.get(&path).await;
        (found.status == 200 && found.json["status"] == "failed").then_some(found.json)
    })
    .await;
    assert_eq!(failed["failure"]["code"], "FORBIDDEN");
    assert_eq!(
        failed["failure"]["message"],
        "The hook all does not like it."
    );
    assert!(alice.history(&other).await.is_empty());
    let texts = asked(&service).await;
    assert!(
        texts
            .iter()
            .any(|text| text == "all participant.before_add refused"),
        "{texts:?}"
    );
}

#[tokio::test]
async fn hooks_change_edits_and_the_names_of_conversations() {
    let service = service(HOOK).await;
    let alice = service.user("alice").await;
    let body = json!({ "type": "group", "participantIds": [], "name": "a" });
    let conversation = alice.post("/api/conversations", body).await.expect(201);
    let sent = alice.say(&id_of(&conversation), "fine").await;
    let path = format!("/api/messages/{}", id_of(&sent));
    let edited = alice
        .patch(&path, json!({ "content": "change" }))
        .await
        .expect(200);
    assert_eq!(edited["content"], "changed");
    // An edit cannot be held: that is a fault of the hook, which fails open.
    let edited = alice
        .patch(&path, json!({ "content": "hold" }))
        .await
        .expect(200);
    assert_eq!(edited["content"], "hold");
    let before = asked(&service).await.len();
    alice
        .patch(&path, json!({ "content": "hold" }))
        .await
        .expect(200);
    assert_eq!(asked(&service).await.len(), before, "nothing changes");
}

#[tokio::test]
async fn strangers_reach_no_hook() {
    let service = service(HOOK).await;
    let (alice, eve) = (service.user("alice").await, service.user("eve").await);
    let conversation = service.group(&alice, &[]).await;
    let sent = alice.say(&conversation, "fine").await;
    let before = asked(&service).await.len();
    let path = format!("/api/conversations/{conversation}/messages");
    eve.post(&path, json!({ "content": "refuse" }))
        .await
        .expect_error(404, "NOT_FOUND");
    let path = format!("/api/messages/{}", id_of(&sent));
    eve.patch(&path, json!({ "content": "refuse" }))
        .await
        .expect_error(404, "NOT_FOUND");
    let body = json!({ "emoji": "👍" });
    eve.post(&format!("{path}/reactions"), body)
        .await
        .expect_error(404, "NOT_FOUND");
    assert_eq!(asked(&service).await.len(), before);
}

//! `PATCH /api/messages/{id}` and `message:edit`: an edit can set everything that a send can.

use serde_json::{Value, json};

use super::super::{column, faults, id};
use super::Group;

fn picture() -> Value {
    json!([{ "url": "https://shop.example/a.png" }])
}

impl Group {
    async fn sent(&self, body: Value) -> (String, Value) {
        let sent = self.alice.post(&self.messages, body).await.expect(201);
        (format!("/api/messages/{}", id(&sent)), sent)
    }

    async fn edited(&self, path: &str, body: Value) -> Value {
        self.alice.patch(path, body).await.expect(200)
    }

    async fn seq(&self) -> Value {
        let path = format!("/api/conversations/{}", self.id);
        self.alice.get(&path).await.expect(200)["seq"].clone()
    }
}

#[tokio::test]
async fn null_clears_metadata_and_members_are_notified() {
    let group = Group::of_two().await;
    let mut socket = group.bob.connect().await;
    let (path, _) = group
        .sent(json!({ "content": "a", "metadata": { "v": 1 } }))
        .await;
    let cleared = group.edited(&path, json!({ "metadata": null })).await;
    assert_eq!(cleared.get("metadata"), None);
    assert_eq!(
        (&cleared["content"], &cleared["isEdited"]),
        (&json!("a"), &json!(true))
    );
    let told = socket.skip_to("message:updated").await;
    assert_eq!(told["data"]["isMetadataCleared"], true);
    assert_eq!(told["data"].get("metadata"), None);
    assert_eq!(told["data"]["content"], "a");
    assert_eq!(group.bob.get(&path).await.expect(200), cleared);
    // An edit of the text alone does not restore it.
    let edited = group.edited(&path, json!({ "content": "b" })).await;
    assert_eq!(edited.get("metadata"), None);
    let set = group.edited(&path, json!({ "metadata": { "v": 2 } })).await;
    assert_eq!(
        (&set["metadata"], &set["content"]),
        (&json!({ "v": 2 }), &json!("b"))
    );
    let versions = group.bob.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(column(&versions["versions"], "content"), ["a", "b"]);
    // It survives deletion and restoring.
    group.alice.delete(&path).await.expect(204);
    group.edited_back(&path).await;
    let back = group.bob.get(&path).await.expect(200);
    assert_eq!(
        (&back["metadata"], &back["content"]),
        (&json!({ "v": 2 }), &json!("b"))
    );
}

impl Group {
    async fn edited_back(&self, path: &str) {
        self.alice
            .post(&format!("{path}/restore"), Value::Null)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_caption_can_be_edited_away_and_a_text_cannot() {
    let group = Group::of_two().await;
    let (path, _) = group
        .sent(json!({ "content": "caption", "attachments": picture() }))
        .await;
    for (body, content) in [
        (json!({ "content": "" }), ""),
        (json!({ "content": "again" }), "again"),
        (json!({ "content": null }), ""),
    ] {
        let edited = group.edited(&path, body).await;
        assert_eq!(
            (&edited["content"], &edited["attachments"]),
            (&json!(content), &picture())
        );
    }
    let (path, _) = group.sent(json!({ "content": "text" })).await;
    for content in [json!(""), json!(null), json!("\u{200b}\n")] {
        let answer = group
            .alice
            .patch(&path, json!({ "content": content }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["content".to_owned()])
        );
    }
    assert_eq!(group.alice.get(&path).await.expect(200)["isEdited"], false);
}

#[tokio::test]
async fn the_metadata_of_a_custom_message_is_edited_alone() {
    let group = Group::of_two().await;
    let mut socket = group.alice.connect().await;
    let (path, sent) = group
        .sent(json!({ "type": "custom", "metadata": { "votes": 1 } }))
        .await;
    let edited = group
        .edited(&path, json!({ "metadata": { "votes": 2 } }))
        .await;
    assert_eq!(
        (&edited["content"], &edited["metadata"]),
        (&json!(""), &json!({ "votes": 2 }))
    );
    let ack = socket
        .ok(
            "message:edit",
            json!({ "messageId": sent["id"], "metadata": { "votes": 3 } }),
        )
        .await;
    assert_eq!(ack["message"]["metadata"], json!({ "votes": 3 }));
    let ack = socket
        .ok(
            "message:edit",
            json!({ "messageId": sent["id"], "metadata": null, "content": "gone" }),
        )
        .await;
    assert_eq!(ack["message"].get("metadata"), None);
    assert_eq!(ack["message"]["content"], "gone");
    let refused = socket
        .refused("message:edit", json!({ "messageId": sent["id"] }))
        .await;
    assert_eq!(refused["details"][0]["field"], "content");
}

#[tokio::test]
async fn an_edit_without_a_change_writes_no_entry() {
    let group = Group::of_two().await;
    let (path, sent) = group
        .sent(json!({ "content": "same", "metadata": { "n": 1 }, "attachments": picture() }))
        .await;
    let before = group.seq().await;
    for body in [
        json!({ "content": "same" }),
        json!({ "metadata": { "n": 1 } }),
        // A message's fields can be sent back as they were read.
        json!({ "content": sent["content"], "metadata": sent["metadata"] }),
    ] {
        assert_eq!(group.edited(&path, body).await, sent);
    }
    assert_eq!(group.seq().await, before, "no event");
    let edited = group.edited(&path, json!({ "content": "other" })).await;
    assert_eq!(edited["isEdited"], true);
    assert_eq!(
        group.edited(&path, json!({ "content": "other" })).await,
        edited
    );
    // A user who may not edit a message is refused even if the edit changes nothing.
    group
        .bob
        .patch(&path, json!({ "content": "other" }))
        .await
        .expect_error(403, "FORBIDDEN");
    group.alice.delete(&path).await.expect(204);
    group
        .alice
        .patch(&path, json!({ "content": "other" }))
        .await
        .expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn concurrent_edits_do_not_overwrite_each_other() {
    let group = Group::of_two().await;
    let (path, _) = group
        .sent(json!({ "content": "0", "metadata": { "n": 0 } }))
        .await;
    let edits = (1..=12).map(|n| {
        let body = match n % 3 {
            0 => json!({ "metadata": { "n": n } }),
            _ => json!({ "content": format!("{n}") }),
        };
        group.alice.patch(&path, body)
    });
    for answer in futures_util::future::join_all(edits).await {
        assert!(matches!(answer.status, 200 | 409), "{answer}");
    }
    let after = group.bob.get(&path).await.expect(200);
    assert_ne!(after["content"], "0");
    assert_ne!(after["metadata"], json!({ "n": 0 }), "{after}");
    // Two edits in order through one socket: the second has no effect only if the first had none.
    let mut socket = group.alice.connect().await;
    for round in 0..10 {
        let first = json!({ "messageId": after["id"], "content": format!("round {round}") });
        let back = json!({ "messageId": after["id"], "content": "back" });
        let (first, back) = (
            socket.send("message:edit", first).await,
            socket.send("message:edit", back).await,
        );
        assert_eq!(
            (&first["success"], &back["success"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(group.bob.get(&path).await.expect(200)["content"], "back");
    }
}

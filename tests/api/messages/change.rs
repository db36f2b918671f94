//! `PATCH` and `DELETE /api/messages/{id}`, `GET .../history`.

use serde_json::{Value, json};

use super::super::{column, faults, id};
use super::Group;

#[tokio::test]
async fn an_edit_changes_the_text_and_says_so() {
    let group = Group::of_two().await;
    let body = json!({ "content": "tpyo", "metadata": { "a": 1 }, "mentions": ["bob"], "clientMessageId": "c1" });
    let sent = group.alice.post(&group.messages, body).await.expect(201);
    let path = format!("/api/messages/{}", id(&sent));
    let edited = group
        .alice
        .patch(&path, json!({ "content": "typo" }))
        .await
        .expect(200);
    assert_eq!(
        (&edited["content"], &edited["isEdited"]),
        (&json!("typo"), &json!(true))
    );
    assert!(edited["updatedAt"].as_str() >= sent["createdAt"].as_str());
    for kept in [
        "id",
        "seq",
        "senderId",
        "createdAt",
        "metadata",
        "mentions",
        "clientMessageId",
        "type",
        "attachments",
    ] {
        assert_eq!(edited[kept], sent[kept], "{kept}");
    }
    assert_eq!(group.bob.get(&path).await.expect(200), edited);
    assert_eq!(group.bob.history(&group.id).await, [edited]);
}

#[tokio::test]
async fn metadata_of_an_edit_stays_until_another_edit_names_some() {
    let group = Group::of_two().await;
    let sent = group
        .alice
        .post(
            &group.messages,
            json!({ "content": "1", "metadata": { "v": 1 } }),
        )
        .await
        .expect(201);
    let path = format!("/api/messages/{}", id(&sent));
    let edit = async |body: Value| group.alice.patch(&path, body).await.expect(200);
    assert_eq!(
        edit(json!({ "content": "2" })).await["metadata"],
        json!({ "v": 1 })
    );
    assert_eq!(
        edit(json!({ "content": "3", "metadata": { "v": 3 } })).await["metadata"],
        json!({ "v": 3 })
    );
    assert_eq!(
        edit(json!({ "content": "4" })).await["metadata"],
        json!({ "v": 3 }),
        "what was there stays where it is left out"
    );
    assert_eq!(
        edit(json!({ "content": "5", "metadata": {} })).await["metadata"],
        json!({})
    );
}

#[tokio::test]
async fn the_history_of_a_message_has_every_text() {
    let group = Group::of_two().await;
    let sent = group.alice.say(&group.id, "one").await;
    let path = format!("/api/messages/{}", id(&sent));
    for text in ["two", "three"] {
        group
            .alice
            .patch(&path, json!({ "content": text }))
            .await
            .expect(200);
    }
    let history = group.bob.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(
        column(&history["versions"], "content"),
        ["one", "two", "three"]
    );
    assert_eq!(history["versions"][0]["createdAt"], sent["createdAt"]);
    group.alice.delete(&path).await.expect(204);
    let history = group.bob.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(
        history["versions"],
        json!([]),
        "a deleted message has no text, not even an old one"
    );
}

#[tokio::test]
async fn only_its_sender_edits_a_message() {
    let group = Group::of_two().await;
    let of_bob = id(&group.bob.say(&group.id, "mine").await);
    let path = format!("/api/messages/{of_bob}");
    group
        .alice
        .patch(&path, json!({ "content": "yours?" }))
        .await
        .expect_error(403, "FORBIDDEN");
    assert_eq!(group.alice.get(&path).await.expect(200)["content"], "mine");
}

#[tokio::test]
async fn an_edit_keeps_the_limits_of_a_message() {
    let group = Group::of_two().await;
    let path = format!(
        "/api/messages/{}",
        id(&group.alice.say(&group.id, "fine").await)
    );
    for (body, field) in [
        (json!({}), "content"),
        (json!({ "content": "" }), "content"),
        (json!({ "content": "  " }), "content"),
        (json!({ "content": null }), "content"),
        (json!({ "content": "é".repeat(8_193) }), "content"),
        (
            json!({ "content": "x", "metadata": { "x": "y".repeat(16 * 1024) } }),
            "metadata",
        ),
        (json!({ "content": "x", "attachments": [] }), "attachments"),
        (json!({ "content": "x", "senderId": "bob" }), "senderId"),
        (json!({ "content": "x", "isDeleted": false }), "isDeleted"),
    ] {
        let answer = group.alice.patch(&path, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
    assert_eq!(group.alice.get(&path).await.expect(200)["isEdited"], false);
}

#[tokio::test]
async fn a_deleted_message_leaves_a_tombstone_in_its_place() {
    let group = Group::of_two().await;
    let before = group.alice.say(&group.id, "before").await;
    let body = json!({
        "content": "secret", "metadata": { "secret": 1 }, "mentions": ["bob"],
        "attachments": [{ "url": "https://shop.example/secret.png" }],
    });
    let sent = group.bob.post(&group.messages, body).await.expect(201);
    let after = group.alice.say(&group.id, "after").await;
    let path = format!("/api/messages/{}", id(&sent));
    group.bob.delete(&path).await.expect(204);

    let tombstone = group.alice.get(&path).await.expect(200);
    assert_eq!(
        (&tombstone["isDeleted"], &tombstone["content"]),
        (&json!(true), &json!(""))
    );
    assert!(!tombstone.to_string().contains("secret"), "{tombstone}");
    for kept in ["id", "seq", "senderId", "createdAt", "conversationId"] {
        assert_eq!(tombstone[kept], sent[kept], "{kept}");
    }
    assert_eq!(
        group.alice.history(&group.id).await,
        [before, tombstone.clone(), after]
    );

    let seq = group
        .alice
        .get(&format!("/api/conversations/{}", group.id))
        .await
        .expect(200)["seq"]
        .clone();
    group.bob.delete(&path).await.expect(204);
    assert_eq!(
        group
            .alice
            .get(&format!("/api/conversations/{}", group.id))
            .await
            .expect(200)["seq"],
        seq,
        "deleting twice is deleting"
    );
    group
        .bob
        .patch(&path, json!({ "content": "back" }))
        .await
        .expect_error(409, "CONFLICT");
    assert_eq!(group.alice.get(&path).await.expect(200), tombstone);
}

#[tokio::test]
async fn an_admin_deletes_any_message_a_member_ones_own() {
    let group = Group::of_two().await;
    let of_alice = id(&group.alice.say(&group.id, "of alice").await);
    let of_bob = id(&group.bob.say(&group.id, "of bob").await);
    group
        .bob
        .delete(&format!("/api/messages/{of_alice}"))
        .await
        .expect_error(403, "FORBIDDEN");
    group
        .alice
        .delete(&format!("/api/messages/{of_bob}"))
        .await
        .expect(204);
    let role = format!("/api/conversations/{}/participants/bob", group.id);
    group
        .alice
        .patch(&role, json!({ "role": "admin" }))
        .await
        .expect(200);
    group
        .bob
        .delete(&format!("/api/messages/{of_alice}"))
        .await
        .expect(204);
}

#[tokio::test]
async fn concurrent_edits_and_a_deletion_end_deleted() {
    let group = Group::of_two().await;
    let path = format!("/api/messages/{}", id(&group.bob.say(&group.id, "0").await));
    let edits = futures_util::future::join_all(
        (1..20).map(|n| group.bob.patch(&path, json!({ "content": format!("{n}") }))),
    );
    let (edits, deleted) = tokio::join!(edits, group.alice.delete(&path));
    deleted.expect(204);
    for edit in &edits {
        assert!(matches!(edit.status, 200 | 409), "{edit}");
    }
    let after = group.bob.get(&path).await.expect(200);
    assert_eq!(
        (&after["isDeleted"], &after["content"]),
        (&json!(true), &json!(""))
    );
}

#[tokio::test]
async fn a_request_by_a_stranger_reveals_nothing() {
    let group = Group::of_two().await;
    let stranger = group.service.user("stranger").await;
    // A member of another conversation is treated as a stranger.
    service_of_their_own(&group, &stranger).await;
    let message = id(&group.alice.say(&group.id, "private").await);
    let ghost = "msg_00000000000000000000000000";
    for (method, tail, body) in [
        ("GET", "", None),
        ("GET", "/history", None),
        ("PATCH", "", Some(json!({ "content": "x" }))),
        ("DELETE", "", None),
    ] {
        let foreign = super::super::ask(
            &stranger,
            method,
            &format!("/api/messages/{message}{tail}"),
            body.clone(),
        )
        .await;
        let missing = super::super::ask(
            &stranger,
            method,
            &format!("/api/messages/{ghost}{tail}"),
            body,
        )
        .await;
        assert_eq!(
            (foreign.status, &foreign.text),
            (404, &missing.text),
            "{method} {tail}"
        );
    }
}

async fn service_of_their_own(group: &Group, user: &crate::support::User) {
    let own = group.service.group(user, &[]).await;
    user.say(&own, "at home").await;
}

//! `PATCH` and `DELETE /api/conversations/{id}`.

use serde_json::{Value, json};

use super::super::{faults, id};
use crate::support::Service;

#[tokio::test]
async fn a_patch_changes_named_fields_and_null_clears() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let settings =
        json!({ "avatarUrl": "https://shop.example/a.png", "metadata": { "a": 1, "b": 2 } });
    let group = service.group_with(&alice, &[&bob], settings).await;
    let path = format!("/api/conversations/{group}");
    let before = alice.get(&path).await.expect(200);

    assert_eq!(
        alice.patch(&path, json!({})).await.expect(200),
        before,
        "nothing named, nothing changed"
    );
    let named = alice
        .patch(&path, json!({ "name": "Other" }))
        .await
        .expect(200);
    assert_eq!(named["name"], "Other");
    assert_eq!(
        (&named["avatarUrl"], &named["metadata"]),
        (&before["avatarUrl"], &before["metadata"])
    );
    assert_eq!(
        alice
            .patch(&path, json!({ "name": "Other" }))
            .await
            .expect(200),
        named,
        "it was so already"
    );

    let cleared = alice
        .patch(&path, json!({ "avatarUrl": null, "metadata": { "c": 3 } }))
        .await
        .expect(200);
    assert!(cleared.get("avatarUrl").is_none());
    assert_eq!(
        cleared["metadata"],
        json!({ "c": 3 }),
        "metadata is replaced, never merged"
    );
    let joined = alice
        .patch(&path, json!({ "historyVisibility": "joined" }))
        .await
        .expect(200);
    assert_eq!(joined["historyVisibility"], "joined");
    assert_eq!(bob.get(&path).await.expect(200)["name"], "Other");
    assert_eq!(joined["seq"], 4, "the creation and three changes");
}

#[tokio::test]
async fn immutable_fields_are_refused_by_name() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let path = format!("/api/conversations/{}", service.group(&alice, &[]).await);
    for field in [
        "type",
        "id",
        "createdBy",
        "participantIds",
        "participantCount",
        "seq",
        "isDeleted",
        "myRole",
        "lastMessage",
        "$set",
    ] {
        let answer = alice.patch(&path, json!({ field: "public" })).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(201))),
        ("avatarUrl", json!(7)),
        ("metadata", json!([])),
        ("historyVisibility", json!("none")),
    ] {
        let answer = alice.patch(&path, json!({ field: value })).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn deleting_a_conversation_removes_everything_in_it_for_everybody() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let message = id(&bob.say(&group, "soon gone").await);
    let path = format!("/api/conversations/{group}");
    bob.delete(&path).await.expect_error(403, "FORBIDDEN");
    alice.delete(&path).await.expect(204);
    for user in [&alice, &bob] {
        for path in [
            path.clone(),
            format!("{path}/messages"),
            format!("{path}/participants"),
            format!("{path}/log"),
            format!("/api/messages/{message}"),
            format!("/api/messages/{message}/history"),
        ] {
            user.get(&path).await.expect_error(404, "NOT_FOUND");
        }
        user.post(&format!("{path}/messages"), json!({ "content": "hello?" }))
            .await
            .expect(404);
        user.patch(
            &format!("/api/messages/{message}"),
            json!({ "content": "x" }),
        )
        .await
        .expect(404);
        user.delete(&format!("/api/messages/{message}"))
            .await
            .expect(404);
        user.post(&format!("{path}/join"), Value::Null)
            .await
            .expect(404);
        user.delete(&path).await.expect(404);
    }
    let host = service.internal();
    host.post(
        &format!("{path}/participants"),
        json!({ "userIds": ["bob"] }),
    )
    .await
    .expect(404);
}

#[tokio::test]
async fn concurrent_changes_are_all_applied() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let path = format!("/api/conversations/{}", service.group(&alice, &[]).await);
    let changes = (0..20).map(|n| {
        let body = match n % 2 {
            0 => json!({ "name": format!("name {n}") }),
            _ => json!({ "metadata": { "n": n } }),
        };
        alice.patch(&path, body)
    });
    for answer in futures_util::future::join_all(changes).await {
        answer.expect(200);
    }
    let after = alice.get(&path).await.expect(200);
    assert_eq!(after["seq"], 21);
    assert!(
        after["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("name "))
    );
    assert!(
        after["metadata"]["n"].is_i64(),
        "no change undid another's field: {after}"
    );
}

#[tokio::test]
async fn required_fields_cannot_be_cleared() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let settings = json!({ "historyVisibility": "joined", "features": { "typing": false } });
    let group = service.group_with(&alice, &[], settings).await;
    let path = format!("/api/conversations/{group}");
    let before = alice.get(&path).await.expect(200);
    for (body, fields) in [
        (
            json!({ "historyVisibility": null }),
            vec!["historyVisibility"],
        ),
        (json!({ "features": null, "name": "x" }), vec!["features"]),
        (
            json!({ "historyVisibility": null, "features": null }),
            vec!["historyVisibility", "features"],
        ),
    ] {
        let answer = alice.patch(&path, body).await;
        assert_eq!(answer.status, 400, "{answer}");
        assert_eq!(faults(&answer), fields, "{answer}");
    }
    assert_eq!(alice.get(&path).await.expect(200), before);
}

#[tokio::test]
async fn settings_can_be_sent_back_as_read() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let settings = json!({ "avatarUrl": "https://shop.example/a.png", "metadata": { "a": 1 }, "retentionSeconds": 86400 });
    let group = service.group_with(&alice, &[&bob], settings).await;
    let named = json!({ "type": "direct", "participantIds": ["bob"], "name": "Us", "historyVisibility": "joined" });
    let direct = id(&alice.post("/api/conversations", named).await.expect(201));
    for conversation in [group, direct] {
        let path = format!("/api/conversations/{conversation}");
        let read = alice.get(&path).await.expect(200);
        let mut back = serde_json::Map::new();
        for field in [
            "name",
            "avatarUrl",
            "metadata",
            "historyVisibility",
            "features",
            "retentionSeconds",
        ] {
            if let Some(value) = read.get(field) {
                back.insert(field.to_owned(), value.clone());
            }
        }
        let changed = alice.patch(&path, Value::Object(back)).await.expect(200);
        assert_eq!(changed, read);
    }
}

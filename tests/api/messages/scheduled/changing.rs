//! Lists and changes of scheduled messages.

use serde_json::{Value, json};

use super::super::super::{column, faults, id, read_all};
use super::{Group, HOUR, in_millis, path_of};
use crate::support::eventually;

#[tokio::test]
async fn scheduled_messages_are_listed_soonest_first_changed_and_cancelled() {
    let group = Group::of_two().await;
    for hours in [3, 1, 5, 2, 4] {
        group
            .later(&group.alice, &hours.to_string(), hours * HOUR)
            .await;
    }
    group.later(&group.bob, "of bob", HOUR).await;
    for limit in [1, 2, 5, 50] {
        let all = read_all(&group.alice, "/api/scheduled", "scheduled", "after", limit).await;
        assert_eq!(
            column(&json!(all), "content"),
            ["1", "2", "3", "4", "5"],
            "{limit}"
        );
    }
    let all = group.alice.get("/api/scheduled").await.expect(200);
    let second = &all["scheduled"][1];
    let after = group
        .alice
        .get(&format!("/api/scheduled?after={}&limit=1", id(second)))
        .await
        .expect(200);
    assert_eq!(after["scheduled"][0]["content"], "3");
    let unknown = group.alice.get("/api/scheduled?after=x").await;
    assert_eq!(
        (unknown.status, faults(&unknown)),
        (400, vec!["after".to_owned()])
    );

    let path = path_of(second);
    assert_eq!(&group.alice.get(&path).await.expect(200), second);
    let send_at = in_millis(6 * HOUR);
    let change = json!({
        "content": "last", "metadata": { "a": 1 }, "mentions": ["bob"], "silent": true, "ttlSeconds": 5, "sendAt": send_at,
    });
    let changed = group.alice.patch(&path, change.clone()).await.expect(200);
    for (field, value) in change.as_object().expect("an object") {
        assert_eq!(&changed[field], value, "{field}");
    }
    assert_eq!(changed["createdAt"], second["createdAt"]);
    let cleared = group
        .alice
        .patch(&path, json!({ "metadata": null, "ttlSeconds": null }))
        .await
        .expect(200);
    assert!(cleared.get("metadata").is_none() && cleared.get("ttlSeconds").is_none());
    assert_eq!(cleared["content"], "last");
    for (body, field) in [
        (json!({ "content": " " }), "content"),
        (json!({ "sendAt": in_millis(-1) }), "sendAt"),
        (json!({ "clientMessageId": "x" }), "clientMessageId"),
    ] {
        let answer = group.alice.patch(&path, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }

    // Another user's scheduled message answers like a missing one.
    let ghost = "/api/scheduled/sch_00000000000000000000000000";
    for method in ["GET", "PATCH", "DELETE"] {
        let body = (method == "PATCH").then(|| json!({ "content": "mine" }));
        let foreign = super::super::super::ask(&group.bob, method, &path, body.clone()).await;
        let missing = super::super::super::ask(&group.bob, method, ghost, body).await;
        assert_eq!(
            (foreign.status, &foreign.text),
            (404, &missing.text),
            "{method}"
        );
    }
    group.alice.delete(&path).await.expect(204);
    group.alice.delete(&path).await.expect(404);
    group.alice.get(&path).await.expect(404);
    assert_eq!(group.bob.history(&group.id).await, Vec::<Value>::new());
}

#[tokio::test]
async fn null_clears_and_what_was_read_can_be_sent_back() {
    let group = Group::of_two().await;
    let fields = [
        "content",
        "attachments",
        "mentions",
        "metadata",
        "silent",
        "ttlSeconds",
        "sendAt",
    ];
    let body = json!({
        "content": "later", "type": "custom", "attachments": [{ "url": "data:," }], "mentions": ["bob"],
        "metadata": { "a": 1 }, "silent": true, "ttlSeconds": 600, "sendAt": in_millis(HOUR),
    });
    let waiting = group.schedule(&group.alice, body).await.expect(201);
    let path = path_of(&waiting);
    let back: serde_json::Map<String, Value> = fields
        .iter()
        .map(|field| ((*field).to_owned(), waiting[*field].clone()))
        .collect();
    let same = group.alice.patch(&path, Value::Object(back)).await;
    assert_eq!(same.expect(200), waiting, "it changes nothing");
    let answer = group.alice.patch(&path, json!({ "sendAt": null })).await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["sendAt".to_owned()])
    );
    let null = json!({
        "content": null, "attachments": null, "mentions": null, "metadata": null, "silent": null, "ttlSeconds": null,
    });
    let cleared = group.alice.patch(&path, null).await.expect(200);
    assert_eq!(
        (
            &cleared["content"],
            &cleared["attachments"],
            &cleared["mentions"]
        ),
        (&json!(""), &json!([]), &json!([]))
    );
    for field in ["metadata", "silent", "ttlSeconds"] {
        assert_eq!(cleared.get(field), None, "{field}");
    }
    // A failed message stays failed unless it gets a new time.
    let failing = group.later(&group.bob, "hello", 500).await;
    let bob = format!("/api/conversations/{}/participants/bob", group.id);
    group.alice.delete(&bob).await.expect(204);
    let path = path_of(&failing);
    let failed = eventually("it fails", || async {
        let found = group.bob.get(&path).await.json;
        (found["status"] == "failed").then_some(found)
    })
    .await;
    let back = json!({ "content": "hello?", "sendAt": failed["sendAt"] });
    let still = group.bob.patch(&path, back).await.expect(200);
    assert_eq!(
        (&still["status"], &still["content"]),
        (&json!("failed"), &json!("hello?"))
    );
}

//! Requests that schedule a message: which are rejected, and what a repetition returns.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::super::{column, faults, id};
use super::{Group, HOUR, in_millis, path_of};

#[tokio::test]
async fn a_message_that_could_not_be_sent_now_cannot_be_scheduled() {
    let group = Group::of_two().await;
    let stranger = group.service.user("stranger").await;
    let ghost = "msg_00000000000000000000000000";
    for (body, field) in [
        (json!({ "content": "x", "sendAt": in_millis(-1) }), "sendAt"),
        (
            json!({ "content": "x", "sendAt": in_millis(367 * 24 * HOUR) }),
            "sendAt",
        ),
        (json!({ "content": "x", "sendAt": "tomorrow" }), "sendAt"),
        (json!({ "content": "x", "sendAt": 7 }), "sendAt"),
        (
            json!({ "content": "", "sendAt": in_millis(HOUR) }),
            "content",
        ),
        (
            json!({ "content": "x", "ttlSeconds": 0, "sendAt": in_millis(HOUR) }),
            "ttlSeconds",
        ),
        (
            json!({ "content": "x", "replyTo": ghost, "sendAt": in_millis(HOUR) }),
            "replyTo",
        ),
        (
            json!({ "content": "x", "threadId": ghost, "sendAt": in_millis(HOUR) }),
            "threadId",
        ),
    ] {
        let answer = group.schedule(&group.alice, body.clone()).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{body}"
        );
    }
    let fine = json!({ "content": "x", "sendAt": in_millis(HOUR) });
    group
        .schedule(&stranger, fine.clone())
        .await
        .expect_error(404, "NOT_FOUND");
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    group.schedule(&group.bob, fine).await.expect(404);
    for user in [&group.alice, &group.bob, &stranger] {
        let own = user.get("/api/scheduled").await.expect(200);
        assert_eq!(own["scheduled"], json!([]));
    }
}

#[tokio::test]
async fn a_user_has_a_thousand_at_most() {
    let group = Group::of_two().await;
    let first = group.later(&group.alice, "0", HOUR).await;
    // The rest is inserted directly into the database, because scheduling so many over REST would take too long.
    let scheduled = group.service.sandbox().collection("scheduled").await;
    let one = scheduled
        .find_one(mongodb::bson::doc! { "_id": id(&first) })
        .await
        .expect("MongoDB answers")
        .expect("it is there");
    let others = (0..998).map(|_| {
        let mut other = one.clone();
        other.insert("_id", chat_sdk::ScheduledId::generate().to_string());
        other
    });
    scheduled
        .insert_many(others)
        .await
        .expect("MongoDB takes them");
    let body = json!({ "content": "x", "sendAt": in_millis(HOUR) });
    group.schedule(&group.alice, body.clone()).await.expect(201);
    group
        .schedule(&group.alice, body.clone())
        .await
        .expect_error(409, "CONFLICT");
    group.schedule(&group.bob, body.clone()).await.expect(201);
    group.alice.delete(&path_of(&first)).await.expect(204);
    group.schedule(&group.alice, body).await.expect(201);
}

#[tokio::test]
async fn a_send_takes_no_time_and_a_schedule_needs_one_target() {
    let group = Group::of_two().await;
    let at = in_millis(HOUR);
    for (path, body) in [
        (
            group.messages.as_str(),
            json!({ "content": "x", "sendAt": at }),
        ),
        (
            "/api/messages",
            json!({ "receiverId": "bob", "content": "x", "sendAt": at }),
        ),
    ] {
        let answer = group.alice.post(path, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["sendAt".to_owned()])
        );
    }
    for (body, field) in [
        (json!({ "content": "x", "sendAt": at }), "conversationId"),
        (
            json!({ "content": "x", "sendAt": at, "conversationId": group.id, "receiverId": "bob" }),
            "conversationId",
        ),
        (json!({ "content": "x", "receiverId": "bob" }), "sendAt"),
        (
            json!({ "content": "x", "receiverId": "bob", "sendAt": at, "type": "system" }),
            "type",
        ),
    ] {
        let answer = group.alice.post("/api/scheduled", body.clone()).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{body}"
        );
    }
    assert_eq!(group.bob.history(&group.id).await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_host_schedules_only_with_an_acting_user() {
    let group = Group::of_two().await;
    let host = group.service.internal();
    let body = json!({ "content": "from the backend", "sendAt": in_millis(2500) });
    let refused = group.schedule(&host, body.clone()).await;
    assert_eq!(
        (refused.status, faults(&refused)),
        (400, vec!["X-Acting-User".to_owned()])
    );
    let waiting = group
        .schedule(&host.acting_for("alice"), body)
        .await
        .expect(201);
    assert_eq!(waiting["senderId"], "alice");
    assert_eq!(
        group.alice.get(&path_of(&waiting)).await.expect(200),
        waiting
    );
    group.wait_for("from the backend").await;
}

#[tokio::test]
async fn a_repetition_is_the_same_before_and_after_it_is_sent() {
    let group = Group::of_two().await;
    let body = json!({ "content": "once", "clientMessageId": "c", "sendAt": in_millis(1200) });
    let asks = (0..8).map(|_| group.schedule(&group.alice, body.clone()));
    let (mut ids, mut statuses) = (Vec::new(), Vec::new());
    for answer in join_all(asks).await {
        statuses.push(answer.status);
        ids.push(id(&answer.json));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    ids.dedup();
    assert_eq!(ids.len(), 1, "scheduled once: {ids:?}");
    for (field, value) in [
        ("content", json!("other")),
        ("sendAt", json!(in_millis(HOUR))),
    ] {
        let mut other = body.clone();
        other[field] = value;
        group
            .schedule(&group.alice, other)
            .await
            .expect_error(409, "CONFLICT");
    }
    // A repetition is compared with the original request, not with later changes.
    let path = format!("/api/scheduled/{}", ids[0]);
    group
        .alice
        .patch(&path, json!({ "content": "changed" }))
        .await
        .expect(200);
    let message = group.wait_for("changed").await;
    let again = group.schedule(&group.alice, body.clone()).await.expect(200);
    assert_eq!(
        (&again["id"], &again["status"], &again["messageId"]),
        (&json!(ids[0]), &json!("sent"), &message["id"])
    );
    for field in ["conversationId", "senderId", "content", "clientMessageId"] {
        assert_eq!(again[field], message[field], "{field}");
    }
    assert_eq!(again["sendAt"], body["sendAt"]);
    let mut other = body.clone();
    other["sendAt"] = json!(in_millis(HOUR));
    group
        .schedule(&group.alice, other)
        .await
        .expect_error(409, "CONFLICT");
    // The id of a sent message is not an id of a scheduled message.
    let sent = json!({ "content": "now", "clientMessageId": "d" });
    group
        .alice
        .post(&group.messages, sent.clone())
        .await
        .expect(201);
    let mut later = sent;
    later["sendAt"] = json!(in_millis(HOUR));
    group
        .schedule(&group.alice, later)
        .await
        .expect_error(409, "CONFLICT");
    assert_eq!(group.bob.history(&group.id).await.len(), 2);
}

#[tokio::test]
async fn a_repetition_after_a_cancellation_schedules_nothing_again() {
    let group = Group::of_two().await;
    let body = json!({ "content": "secret", "clientMessageId": "c", "sendAt": in_millis(1500) });
    let first = group.schedule(&group.alice, body.clone()).await.expect(201);
    let path = path_of(&first);
    let change = json!({ "content": "changed" });
    group.alice.patch(&path, change).await.expect(200);
    group.alice.delete(&path).await.expect(204);
    let again = group.schedule(&group.alice, body.clone()).await.expect(200);
    assert_eq!(
        (&again["id"], &again["status"], &again["content"]),
        (&first["id"], &json!("cancelled"), &json!("secret"))
    );
    assert!(again["messageId"].is_null());
    let mut other = body.clone();
    other["content"] = json!("other");
    group
        .schedule(&group.alice, other)
        .await
        .expect_error(409, "CONFLICT");
    group.alice.get(&path).await.expect(404);
    group.alice.delete(&path).await.expect(404);
    let listed = group.alice.get("/api/scheduled").await.expect(200);
    assert_eq!(listed["scheduled"], json!([]));
    // Its content is not kept.
    let stored = group.service.sandbox().text("scheduled").await;
    assert!(!stored.contains("secret") && !stored.contains("changed"));
    // A message of the same time shows that the time has passed.
    group.later(&group.alice, "end", 1600).await;
    group.wait_for("end").await;
    let history = json!(group.bob.history(&group.id).await);
    assert_eq!(column(&history, "content"), ["end"]);
    let late = group.schedule(&group.alice, body).await.expect(200);
    assert_eq!(late["status"], "cancelled");
}

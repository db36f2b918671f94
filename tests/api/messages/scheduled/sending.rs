//! Sending of scheduled messages: once, at their time, and what becomes of a rejected one.

use chat_sdk::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::super::{column, faults, id, text};
use super::{Group, HOUR, in_millis, millis, path_of};
use crate::support::{Service, eventually};

#[tokio::test]
async fn it_is_sent_once_at_its_time_and_not_before() {
    let group = Group::of_two().await;
    let mut socket = group.bob.connect().await;
    let first = id(&group.alice.say(&group.id, "first").await);
    let send_at = in_millis(1500);
    let body = json!({
        "content": "later", "type": "custom", "attachments": [{ "url": "data:," }], "replyTo": first,
        "threadId": first, "mentions": ["bob"], "metadata": { "$a.b": [1.0] }, "clientMessageId": "c",
        "silent": true, "ttlSeconds": 600, "sendAt": send_at,
    });
    let waiting = group.schedule(&group.alice, body.clone()).await.expect(201);
    for (field, value) in body.as_object().expect("an object") {
        assert_eq!(&waiting[field], value, "{field}");
    }
    assert_eq!(waiting["status"], "pending");
    assert_eq!(waiting["conversationId"], json!(group.id));
    assert_eq!(waiting["senderId"], "alice");
    assert!(id(&waiting).starts_with("sch_"));
    assert_eq!(group.bob.history(&group.id).await.len(), 1);

    let message = group.wait_for("later").await;
    for (field, value) in body.as_object().expect("an object") {
        if !matches!(field.as_str(), "sendAt" | "ttlSeconds") {
            assert_eq!(&message[field], value, "{field}");
        }
    }
    let sent = millis(&text(&message, "createdAt"));
    let late = sent - millis(&send_at);
    assert!((0..1000).contains(&late), "{late} ms late");
    let end = millis(&text(&message, "expiresAt"));
    assert!(
        (599_000..=601_000).contains(&(end - sent)),
        "its time counts from the send"
    );
    let pushed = socket
        .find("it is pushed", |frame| frame["data"]["content"] == "later")
        .await;
    assert_eq!(pushed["data"]["id"], message["id"]);
    eventually("it is no scheduled message any more", || async {
        (group.alice.get(&path_of(&waiting)).await.status == 404).then_some(())
    })
    .await;
    group.alice.delete(&path_of(&waiting)).await.expect(404);
    assert_eq!(group.bob.history(&group.id).await.len(), 2);
}

#[tokio::test]
async fn exactly_one_of_cancellation_and_send_wins() {
    let group = Group::of_two().await;
    let waiting: Vec<Value> = join_all((0..40).map(|n| {
        let group = &group;
        async move {
            group
                .later(&group.alice, &n.to_string(), 1000 + n * 5)
                .await
        }
    }))
    .await;
    let due = millis(&text(&waiting[0], "sendAt"));
    // Cancellations continue around the time at which the messages are due.
    let cancelled = join_all(waiting.iter().map(|scheduled| async {
        let at = millis(&text(scheduled, "sendAt"));
        let wait = (at - Timestamp::now().as_millis() + (at - due) % 7).max(0);
        tokio::time::sleep(std::time::Duration::from_millis(wait.unsigned_abs())).await;
        let answer = group.alice.delete(&path_of(scheduled)).await;
        assert!(matches!(answer.status, 204 | 404), "{answer}");
        answer.status == 204
    }))
    .await;
    let expected: Vec<String> = (0..40)
        .filter(|n| !cancelled[*n])
        .map(|n| n.to_string())
        .collect();
    eventually("what was not cancelled is sent", || async {
        (group.bob.history(&group.id).await.len() >= expected.len()).then_some(())
    })
    .await;
    // A later one is behind whatever may still be on its way.
    group.later(&group.alice, "end", 100).await;
    group.wait_for("end").await;
    let mut sent = column(&json!(group.bob.history(&group.id).await), "content");
    sent.pop();
    sent.sort_by_key(|content| content.parse::<u32>().unwrap_or(u32::MAX));
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_failed_scheduled_message_has_a_reason_and_can_be_rescheduled() {
    let group = Group::of_two().await;
    let waiting = group.later(&group.bob, "hello", 1000).await;
    let fine = group.later(&group.alice, "fine", 1000).await;
    let path = format!("/api/conversations/{}/participants/bob", group.id);
    group.alice.delete(&path).await.expect(204);
    let failed = eventually("it fails", || async {
        let found = group.bob.get(&path_of(&waiting)).await;
        (found.json["status"] == "failed").then_some(found.json)
    })
    .await;
    assert_eq!(failed["failure"]["code"], "NOT_FOUND");
    assert!(!text(&failed["failure"], "message").is_empty());
    eventually("others are sent all the same", || async {
        (group.alice.get(&path_of(&fine)).await.status == 404).then_some(())
    })
    .await;
    let participants = format!("/api/conversations/{}/participants", group.id);
    group
        .alice
        .post(&participants, json!({ "userIds": ["bob"] }))
        .await
        .expect(201);
    let again = group
        .bob
        .patch(&path_of(&waiting), json!({ "sendAt": in_millis(2500) }))
        .await
        .expect(200);
    assert_eq!(
        (&again["status"], again.get("failure")),
        (&json!("pending"), None)
    );
    group.wait_for("hello").await;
}

#[tokio::test]
async fn to_a_user_it_waits_without_a_conversation() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let body = json!({ "receiverId": "bob", "content": "surprise", "sendAt": in_millis(2500) });
    let waiting = alice.post("/api/scheduled", body.clone()).await.expect(201);
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(
        listed["conversations"],
        json!([]),
        "nobody learns of it before"
    );
    let conversation = text(&waiting, "conversationId");
    eventually("it is sent", || async {
        let path = format!("/api/conversations/{conversation}/messages");
        let history = bob.get(&path).await;
        (history.json["messages"][0]["content"] == "surprise").then_some(())
    })
    .await;
    for receiver in ["ghost", "alice"] {
        let mut wrong = body.clone();
        wrong["receiverId"] = json!(receiver);
        wrong["sendAt"] = json!(in_millis(HOUR));
        let answer = alice.post("/api/scheduled", wrong).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["receiverId".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_refused_schedule_to_a_user_notifies_nobody() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let ghost = "msg_00000000000000000000000000";
    for field in ["replyTo", "threadId"] {
        let body =
            json!({ "receiverId": "bob", "content": "x", "sendAt": in_millis(HOUR), field: ghost });
        let answer = alice.post("/api/scheduled", body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(listed["conversations"], json!([]));
    let own = alice.get("/api/scheduled").await.expect(200);
    assert_eq!(own["scheduled"], json!([]));
}

#[tokio::test]
async fn a_socket_schedules_as_rest_does() {
    let group = Group::of_two().await;
    let mut socket = group.alice.connect().await;
    let body =
        json!({ "conversationId": group.id, "content": "by socket", "sendAt": in_millis(2500) });
    let ack = socket.ok("message:schedule", body).await;
    assert!(ack.get("message").is_none());
    assert_eq!(ack["scheduled"]["status"], "pending");
    assert_eq!(
        group
            .alice
            .get(&path_of(&ack["scheduled"]))
            .await
            .expect(200),
        ack["scheduled"]
    );
    let body = json!({ "receiverId": "bob", "content": "to bob", "sendAt": in_millis(HOUR) });
    let ack = socket.ok("message:schedule", body).await;
    assert_eq!(ack["scheduled"]["content"], "to bob");
    let to = |extra: Value| {
        let mut body = json!({ "conversationId": group.id, "content": "x" });
        let extra = extra.as_object().cloned().unwrap_or_default();
        body.as_object_mut().expect("an object").extend(extra);
        body
    };
    for (command, body, field) in [
        (
            "message:schedule",
            to(json!({ "sendAt": in_millis(-1) })),
            "sendAt",
        ),
        ("message:schedule", to(json!({})), "sendAt"),
        (
            "message:schedule",
            to(json!({ "sendAt": in_millis(HOUR), "receiverId": "bob" })),
            "conversationId",
        ),
        // A message is sent now, or it is scheduled.
        (
            "message:send",
            to(json!({ "sendAt": in_millis(HOUR) })),
            "sendAt",
        ),
    ] {
        let refused = socket.refused(command, body.clone()).await;
        assert_eq!(refused["details"][0]["field"], field, "{command} {body}");
    }
    group.wait_for("by socket").await;
}

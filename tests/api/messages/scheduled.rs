//! `/api/scheduled` and the command `message:schedule`.

use chat_sdk::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::{column, faults, id, read_all, text};
use super::Group;
use crate::support::{Answer, Client, Service, User, eventually};

/// The moment `millis` from now, as the contract writes it.
fn in_millis(millis: i64) -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + millis).to_string()
}

const HOUR: i64 = 3_600_000;

impl Group {
    /// Schedules a text. Returns the scheduled message.
    async fn later(&self, user: &User, content: &str, millis: i64) -> Value {
        let body = json!({ "content": content, "sendAt": in_millis(millis) });
        self.schedule(user, body).await.expect(201)
    }

    /// Asks to schedule `body` for the conversation.
    async fn schedule(&self, user: &Client, mut body: Value) -> Answer {
        body["conversationId"] = json!(self.id);
        user.post("/api/scheduled", body).await
    }

    async fn wait_for(&self, content: &str) -> Value {
        eventually("the message is sent", || async {
            let history = self.bob.history(&self.id).await;
            history
                .into_iter()
                .find(|message| message["content"] == content)
        })
        .await
    }
}

fn path_of(scheduled: &Value) -> String {
    format!("/api/scheduled/{}", id(scheduled))
}

fn millis(at: &str) -> i64 {
    at.parse::<Timestamp>().expect("a time").as_millis()
}

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
        let foreign = super::super::ask(&group.bob, method, &path, body.clone()).await;
        let missing = super::super::ask(&group.bob, method, ghost, body).await;
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
        .patch(&path_of(&waiting), json!({ "sendAt": in_millis(300) }))
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
    let body = json!({ "receiverId": "bob", "content": "surprise", "sendAt": in_millis(1000) });
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
async fn a_user_has_a_thousand_at_most() {
    let group = Group::of_two().await;
    let first = group.later(&group.alice, "0", HOUR).await;
    // The rest is inserted directly into the database, because scheduling so many over REST would take too long.
    let scheduled = group.service.place().collection("scheduled").await;
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
async fn a_socket_schedules_as_rest_does() {
    let group = Group::of_two().await;
    let mut socket = group.alice.connect().await;
    let body =
        json!({ "conversationId": group.id, "content": "by socket", "sendAt": in_millis(800) });
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
    let body = json!({ "content": "from the backend", "sendAt": in_millis(600) });
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

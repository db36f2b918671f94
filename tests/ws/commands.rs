//! Commands that are invalid, about other users' resources, or unrelated to messages.

use serde_json::json;

use crate::support::Service;

#[tokio::test]
async fn ping_is_answered_with_pong_and_the_time() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    let pong = socket.ok("ping", json!({})).await;
    assert_eq!(pong["pong"], true);
    assert!(
        pong["timestamp"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{pong}"
    );
}

#[tokio::test]
async fn an_unknown_event_is_refused_and_the_socket_stays() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    for event in ["message:snd", "connected", "", "message:new"] {
        assert_eq!(
            socket.refused(event, json!({})).await["code"],
            "VALIDATION_ERROR",
            "{event}"
        );
    }
    socket.ok("ping", json!({})).await;
}

#[tokio::test]
async fn wrong_input_is_refused_naming_the_field() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let long = "x".repeat(16_385);
    let key = "k".repeat(129);
    for (event, data, field) in [
        (
            "message:send",
            json!({ "conversationId": conversation, "content": "" }),
            "content",
        ),
        (
            "message:send",
            json!({ "conversationId": conversation, "content": long }),
            "content",
        ),
        (
            "message:send",
            json!({ "conversationId": conversation, "content": 7 }),
            "content",
        ),
        (
            "message:send",
            json!({ "conversationId": "cnv_x", "content": "x" }),
            "conversationId",
        ),
        ("message:send", json!({ "content": "x" }), "conversationId"),
        (
            "message:send",
            json!({ "conversationId": conversation, "receiverId": "bob", "content": "x" }),
            "conversationId",
        ),
        (
            "message:send",
            json!({ "conversationId": conversation, "content": "x", "clientMessageId": key }),
            "clientMessageId",
        ),
        (
            "message:send",
            json!({ "conversationId": conversation, "content": "x", "type": "system" }),
            "type",
        ),
        (
            "message:send",
            json!({ "conversationId": conversation, "content": "x", "attachments": [{ "url": "" }] }),
            "attachments[0].url",
        ),
        ("message:edit", json!({ "content": "x" }), "messageId"),
        (
            "messages:list",
            json!({ "conversationId": conversation, "limit": 0 }),
            "limit",
        ),
        (
            "messages:list",
            json!({ "conversationId": conversation, "limit": 101 }),
            "limit",
        ),
        ("room:join", json!({}), "conversationId"),
    ] {
        let error = socket.refused(event, data.clone()).await;
        assert_eq!(error["code"], "VALIDATION_ERROR", "{event} {data}: {error}");
        let details = error["details"].as_array().cloned().unwrap_or_default();
        assert_eq!(details.len(), 1, "{event} {data}: {error}");
        assert_eq!(details[0]["field"], field, "{event} {data}: {error}");
        let why = details[0]["message"].as_str().expect("a message");
        assert_eq!(error["message"], format!("{field} {why}."));
    }
    // Fields that are not part of the contract are refused, never stored.
    for field in ["senderId", "seq", "createdAt", "id", "$where"] {
        let mut data = json!({ "conversationId": conversation, "content": "x" });
        data[field] = json!("evil");
        let error = socket.refused("message:send", data).await;
        assert_eq!(error["code"], "VALIDATION_ERROR", "{field}: {error}");
        let detail = json!({ "field": field, "message": "is not a known field" });
        assert_eq!(error["details"][0], detail);
    }
    for (event, data, message) in [
        (
            "message:edit",
            json!({ "content": "x" }),
            "messageId is required.",
        ),
        ("message:edit", json!([]), "data must be an object."),
        (
            "presence:subscribe",
            json!({ "userIds": "bob" }),
            "userIds must be a list.",
        ),
        (
            "messages:list",
            json!({ "conversationId": conversation, "limit": "ten" }),
            "limit must be a whole number.",
        ),
    ] {
        let error = socket.refused(event, data).await;
        assert_eq!(error["message"], message, "{event}");
    }
    assert!(alice.history(&conversation).await.is_empty());
}

#[tokio::test]
async fn all_invalid_fields_are_reported_at_once() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let mut body = json!({
        "content": 7, "mentions": ["bob", "bob"], "attachments": [{ "url": "", "colour": 1 }], "replyTo": "msg_1", "senderId": "bob",
    });
    let path = format!("/api/conversations/{conversation}/messages");
    let over_rest = alice.post(&path, body.clone()).await;
    body["conversationId"] = json!(conversation);
    let error = socket.refused("message:send", body).await;
    let fields = |error: &serde_json::Value| {
        let details = error["details"].as_array().cloned().unwrap_or_default();
        let fields = details
            .iter()
            .map(|detail| (detail["field"].clone(), detail["message"].clone()));
        fields
            .map(|(field, message)| format!("{field} {message}"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(fields(&error).len(), 6, "{error}");
    assert_eq!(fields(&error), fields(&over_rest.json), "{error}");
    // Rules that no schema has are checked together, once the form of the data is valid.
    let data = json!({ "conversationId": conversation, "content": " ", "metadata": { "a": "x".repeat(17_000) } });
    let error = socket.refused("message:send", data).await;
    assert_eq!(fields(&error).len(), 2, "{error}");
}

#[tokio::test]
async fn a_foreign_object_answers_exactly_as_a_missing_one() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let mallory = service.user("mallory").await;
    let conversation = service.group(&alice, &[]).await;
    let message = alice.say(&conversation, "secret").await["id"].clone();
    let missing = "cnv_00000000000000000000000000";
    let no_message = "msg_00000000000000000000000000";
    let mut socket = mallory.connect().await;
    for (event, foreign, absent) in [
        (
            "message:send",
            json!({ "conversationId": conversation, "content": "x" }),
            json!({ "conversationId": missing, "content": "x" }),
        ),
        (
            "messages:list",
            json!({ "conversationId": conversation }),
            json!({ "conversationId": missing }),
        ),
        (
            "messages:sync",
            json!({ "conversationId": conversation, "lastMessageId": message }),
            json!({ "conversationId": missing, "lastMessageId": no_message }),
        ),
        (
            "room:join",
            json!({ "conversationId": conversation }),
            json!({ "conversationId": missing }),
        ),
        (
            "message:edit",
            json!({ "messageId": message, "content": "x" }),
            json!({ "messageId": no_message, "content": "x" }),
        ),
        (
            "message:delete",
            json!({ "messageId": message }),
            json!({ "messageId": no_message }),
        ),
    ] {
        let foreign = socket.refused(event, foreign).await;
        let absent = socket.refused(event, absent).await;
        assert_eq!(foreign, absent, "{event}");
        assert_eq!(foreign["code"], "NOT_FOUND", "{event}");
    }
    assert_eq!(alice.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn a_socket_may_leave_a_room_and_come_back() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let fence = service.group(&alice, &[&bob]).await;
    let mut quiet = bob.connect().await;
    let mut other = bob.connect().await;
    quiet
        .ok("room:leave", json!({ "conversationId": conversation }))
        .await;
    alice.say(&conversation, "unheard").await;
    alice.say(&fence, "fence").await;
    assert_eq!(
        other.next("message:new").await["data"]["content"],
        "unheard",
        "its other socket stays"
    );
    assert_eq!(quiet.next("message:new").await["data"]["content"], "fence");

    quiet
        .ok("room:join", json!({ "conversationId": conversation }))
        .await;
    // Joining twice changes nothing.
    quiet
        .ok("room:join", json!({ "conversationId": conversation }))
        .await;
    alice.say(&conversation, "heard").await;
    alice.say(&fence, "fence").await;
    assert_eq!(quiet.next("message:new").await["data"]["content"], "heard");
    assert_eq!(quiet.next("message:new").await["data"]["content"], "fence");
}

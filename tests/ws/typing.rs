//! Typing and recording indicators: their recipients and their end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Service, Socket};

/// The next indicator, of either kind.
async fn indicator(socket: &mut Socket) -> Value {
    socket
        .find("an indicator", |frame| {
            matches!(
                frame["event"].as_str(),
                Some("user:typing" | "user:recording")
            )
        })
        .await
}

async fn indicators(socket: &mut Socket) -> Vec<Value> {
    let frames = socket.drain().await;
    frames
        .into_iter()
        .filter(|frame| {
            matches!(
                frame["event"].as_str(),
                Some("user:typing" | "user:recording")
            )
        })
        .collect()
}

fn in_room(conversation: &str) -> Value {
    json!({ "conversationId": conversation })
}

#[tokio::test]
async fn typing_is_shown_to_the_others_and_ends_with_stop() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut phone = alice.connect().await;
    let mut laptop = alice.connect().await;
    let mut b = bob.connect().await;
    for (command, event) in [("typing", "user:typing"), ("recording", "user:recording")] {
        phone
            .ok(&format!("{command}:start"), in_room(&conversation))
            .await;
        let began = indicator(&mut b).await;
        assert_eq!(began["event"], event);
        assert!(began.get("seq").is_none() && began["data"]["timestamp"].is_string());
        let expected = json!({ "conversationId": conversation, "userId": "alice", "type": command,
            "isActive": true, "timestamp": began["data"]["timestamp"] });
        assert_eq!(began["data"], expected);
        phone
            .ok(&format!("{command}:stop"), in_room(&conversation))
            .await;
        assert_eq!(indicator(&mut b).await["data"]["isActive"], false);
        // A second stop sends no event.
        phone
            .ok(&format!("{command}:stop"), in_room(&conversation))
            .await;
    }
    assert!(indicators(&mut b).await.is_empty());
    assert!(indicators(&mut phone).await.is_empty());
    assert!(
        indicators(&mut laptop).await.is_empty(),
        "the own sockets are told nothing"
    );
}

#[tokio::test]
async fn repeated_starts_are_one_indicator_that_ends_by_itself() {
    let service = Service::builder()
        .env("TYPING_TTL_SECONDS", "1")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        a.ok("typing:start", in_room(&conversation)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let shown = indicators(&mut b).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0]["data"]["isActive"], true);
    let stopped = Instant::now();
    assert_eq!(indicator(&mut b).await["data"]["isActive"], false);
    assert!(
        stopped.elapsed() < Duration::from_secs(3),
        "{:?}",
        stopped.elapsed()
    );
    // A new start is shown again.
    a.ok("typing:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
}

#[tokio::test]
async fn a_message_clears_the_indicator_before_it_comes() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    a.ok("typing:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
    a.ok(
        "message:send",
        json!({ "conversationId": conversation, "content": "hello" }),
    )
    .await;
    let mut events = Vec::new();
    while events.last().map(String::as_str) != Some("message:new") {
        let frame = b.any().await.expect("a frame");
        if frame["event"] == "user:typing" {
            assert_eq!(frame["data"]["isActive"], false);
        }
        let event = frame["event"].as_str().expect("an event").to_owned();
        if event == "user:typing" || event == "message:new" {
            events.push(event);
        }
    }
    assert_eq!(events, ["user:typing", "message:new"]);
    // The sender's node knows it too: the next start is pushed at once.
    a.ok("typing:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
}

#[tokio::test]
async fn the_end_of_the_socket_and_of_the_membership_clear_the_indicator() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&bob, &[&alice]).await;
    let mut b = bob.connect().await;
    let mut a = alice.connect().await;
    a.ok("recording:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
    drop(a);
    assert_eq!(indicator(&mut b).await["data"]["isActive"], false);

    let mut a = alice.connect().await;
    a.ok("recording:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
    alice
        .post(
            &format!("/api/conversations/{conversation}/leave"),
            json!({}),
        )
        .await
        .expect(204);
    assert_eq!(indicator(&mut b).await["data"]["isActive"], false);
    let error = a.refused("recording:start", in_room(&conversation)).await;
    assert_eq!(error["code"], "NOT_FOUND");
}

#[tokio::test]
async fn typing_without_permission_is_refused_and_notifies_nobody() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let mut c = carol.connect().await;
    let missing = "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6";
    let foreign = c.refused("typing:start", in_room(&conversation)).await;
    let unknown = c.refused("typing:start", in_room(missing)).await;
    assert_eq!(foreign, unknown);
    assert_eq!(foreign["code"], "NOT_FOUND");
    let error = a
        .refused("typing:start", json!({ "conversation": conversation }))
        .await;
    assert_eq!(error["code"], "VALIDATION_ERROR");

    // Allowed now, and remembered; then the switch is turned, and that is noticed.
    a.ok("typing:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
    a.ok("typing:stop", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], false);
    alice
        .patch(
            &format!("/api/conversations/{conversation}"),
            json!({ "features": { "typing": false } }),
        )
        .await
        .expect(200);
    b.next("conversation:updated").await;
    let error = a.refused("typing:start", in_room(&conversation)).await;
    assert_eq!(error["code"], "FORBIDDEN");
    assert!(indicators(&mut b).await.is_empty());
}

#[tokio::test]
async fn typing_reaches_the_other_node_and_silenced_rooms_hear_nothing() {
    let one = Service::start().await;
    let two = Service::builder().database(&one).start().await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await.between(&two, &two);
    let conversation = one.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    a.ok("typing:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], true);
    alice.say(&conversation, "done").await;
    assert_eq!(indicator(&mut b).await["data"]["isActive"], false);
    // A room that was left on this socket is silent, and its member may still type.
    b.ok("room:leave", in_room(&conversation)).await;
    b.ok("typing:start", in_room(&conversation)).await;
    assert_eq!(indicator(&mut a).await["data"]["userId"], "bob");
    a.ok("typing:start", in_room(&conversation)).await;
    b.ok("room:join", in_room(&conversation)).await;
    a.ok("typing:stop", in_room(&conversation)).await;
    a.ok("recording:start", in_room(&conversation)).await;
    let next = indicator(&mut b).await;
    assert_eq!(next["event"], "user:recording", "{next}");
}

#[tokio::test]
async fn large_conversations_and_blockers_get_no_typing_events() {
    use mongodb::bson::doc;
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let large = service.group(&alice, &[&bob]).await;
    let direct = service.direct(&alice, &bob).await;
    let usual = service.group(&alice, &[&bob]).await;
    let place = service.sandbox();
    let change = place
        .collection("conversations")
        .await
        .update_one(
            doc! { "_id": large.as_str() },
            doc! { "$set": { "participantCount": 1000 } },
        )
        .await;
    assert_eq!(change.expect("an update").modified_count, 1);
    let change = place
        .collection("participants")
        .await
        .update_one(
            doc! { "conversationId": direct.as_str(), "userId": "bob" },
            doc! { "$set": { "isBlocking": true } },
        )
        .await;
    assert_eq!(change.expect("an update").modified_count, 1);
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    for conversation in [&large, &direct, &usual] {
        a.ok("typing:start", in_room(conversation)).await;
    }
    let shown = indicator(&mut b).await;
    assert_eq!(shown["data"]["conversationId"], usual.as_str(), "{shown}");
    assert!(indicators(&mut b).await.is_empty());
}

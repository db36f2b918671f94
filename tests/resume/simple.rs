//! One client, one absence.

use mongodb::bson::doc;
use serde_json::json;

use crate::support::{Connect, Link, Sandbox, Seen, Service, TokenBy};

#[tokio::test]
async fn missed_entries_come_in_order_before_connected_and_live_events_after() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut seen = Seen::default();
    let mut witness = alice.connect().await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "heard").await;
    seen.note([socket.next("message:new").await]);
    let cursor = socket.cursor();
    socket.vanish();

    let message = alice.say(&conversation, "missed").await["id"].clone();
    let path = format!("/api/messages/{}", message.as_str().expect("an id"));
    alice
        .patch(&path, json!({ "content": "missed, corrected" }))
        .await
        .expect(200);
    alice.say(&conversation, "missed too").await;
    alice.delete(&path).await.expect(204);
    alice
        .patch(
            &format!("/api/conversations/{conversation}"),
            json!({ "name": "New" }),
        )
        .await
        .expect(200);

    // The node has delivered these entries to another socket before, so they are missed entries here and not live ones.
    witness.find("number 7", |frame| frame["seq"] == 7).await;
    let mut socket = bob.resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    let missed = socket.take_arrived();
    let names: Vec<&str> = missed
        .iter()
        .filter_map(|frame| frame["event"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "message:new",
            "message:updated",
            "message:new",
            "message:deleted",
            "conversation:updated"
        ],
        "before connected"
    );
    seen.note(missed);
    alice.say(&conversation, "live").await;
    seen.note([socket.next("message:new").await]);
    seen.assert_complete(&conversation, 2, 8);
    assert_eq!(seen.repeats, 0);
}

#[tokio::test]
async fn nothing_is_replayed_if_nothing_was_missed() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    // The cursor of `connected`, before anything came.
    let socket = bob.connect().await;
    let cursor = socket.cursor();
    drop(socket);
    let mut socket = bob.resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    assert!(
        socket
            .drain()
            .await
            .iter()
            .all(|frame| frame["seq"].is_null())
    );
    // The cursor of a push.
    alice.say(&conversation, "x").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    drop(socket);
    let mut socket = bob.resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    let again = socket.drain().await;
    assert!(
        again.iter().all(|frame| frame["seq"].is_null()),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_cursor_may_be_used_more_than_once_and_by_every_way_of_connecting() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.direct(&alice, &bob).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "first").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    for n in 0..5 {
        alice.say(&conversation, &n.to_string()).await;
    }
    for token_by in [
        TokenBy::Header,
        TokenBy::Protocol,
        TokenBy::Query,
        TokenBy::FirstFrame,
    ] {
        let mut again = bob
            .connect_with(Connect {
                token_by,
                resume: Some(cursor.clone()),
                ..Connect::default()
            })
            .await;
        let mut seen = Seen::default();
        seen.follow(&mut again, &conversation, 7).await;
        seen.assert_complete(&conversation, 3, 7);
    }
}

#[tokio::test]
async fn a_conversation_that_began_meanwhile_is_part_of_what_was_missed() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let old = service.group(&alice, &[&bob]).await;
    let socket = bob.connect().await;
    let cursor = socket.cursor();
    drop(socket);
    let new = service.group(&alice, &[&bob]).await;
    alice.say(&new, "hello").await;
    alice.say(&old, "hello").await;
    let mut socket = bob.resume(&cursor).await;
    let mut seen = Seen::default();
    seen.follow(&mut socket, &new, 2).await;
    seen.follow(&mut socket, &old, 2).await;
    seen.assert_complete(&new, 1, 2);
    assert_eq!(seen.last(&old), 2);
    assert_eq!(seen.frames(&new)[0]["event"], "conversation:new");
}

#[tokio::test]
async fn another_node_delivers_missed_entries_too() {
    let one = Service::start().await;
    let two = Service::builder().database(&one).start().await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await;
    let conversation = one.group(&alice, &[&bob]).await;
    let mut seen = Seen::default();
    let mut cursor: Option<String> = None;
    let nodes = [&one, &two];
    for round in 0..6 {
        let here = bob.at(nodes[round % 2]);
        let mut socket = match &cursor {
            None => here.connect().await,
            Some(cursor) => here.resume(cursor).await,
        };
        alice
            .at(nodes[round / 2 % 2])
            .say(&conversation, &format!("live {round}"))
            .await;
        let text = format!("live {round}");
        let live = socket
            .find(&text, |frame| frame["data"]["content"] == *text)
            .await;
        let mut frames = socket.take_arrived();
        frames.push(live);
        // Missed entries that arrived before the live one were taken from the socket before it.
        frames.sort_by_key(|frame| frame["seq"].as_u64());
        seen.note(frames);
        cursor = Some(socket.cursor());
        drop(socket);
        for n in 0..3 {
            alice.at(nodes[n % 2]).say(&conversation, "missed").await;
        }
    }
    let mut socket = bob.resume(&cursor.expect("a cursor")).await;
    seen.follow(&mut socket, &conversation, 25).await;
    seen.assert_complete(&conversation, 2, 25);
}

#[tokio::test]
async fn a_node_with_an_empty_cache_reads_missed_entries_from_the_log() {
    let first = Service::start().await;
    let alice = first.user("alice").await;
    let bob = first.user("bob").await;
    let conversation = first.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "heard").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    socket.vanish();
    for n in 0..30 {
        alice.say(&conversation, &n.to_string()).await;
    }
    // A later process and an empty stream: the node has only the database to read from.
    let second = Service::builder().database(&first).start().await;
    first
        .sandbox()
        .jetstream()
        .await
        .delete_stream(first.sandbox().stream())
        .await
        .expect("is deleted");
    let place = std::sync::Arc::clone(first.sandbox());
    first.crash();
    let third = Service::builder().database(&second).start().await;
    second.crash();
    let mut socket = bob.at(&third).resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    let mut seen = Seen::default();
    seen.follow(&mut socket, &conversation, 32).await;
    seen.assert_complete(&conversation, 3, 32);
    alice.at(&third).say(&conversation, "live").await;
    let live = socket
        .find("the live one", |frame| frame["data"]["content"] == "live")
        .await;
    assert_eq!(live["seq"], 33);
    assert_eq!(place.log(&conversation).await.len(), 33);
}

#[tokio::test]
async fn a_node_that_has_just_started_repeats_nothing() {
    let first = Service::start().await;
    let alice = first.user("alice").await;
    let bob = first.user("bob").await;
    let conversation = first.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    for n in 0..300 {
        alice.say(&conversation, &n.to_string()).await;
        socket.next("message:new").await;
    }
    let cursor = socket.cursor();
    // Its tail starts some minutes back and passes all of this again while clients connect.
    let second = Service::builder().database(&first).start().await;
    let bob = bob.at(&second);
    let mut resumed = bob.resume(&cursor).await;
    let mut fresh = bob.connect().await;
    alice.say(&conversation, "fence").await;
    for socket in [&mut resumed, &mut fresh] {
        socket
            .find("the fence", |frame| frame["data"]["content"] == "fence")
            .await;
        let others = socket.take_arrived();
        assert!(
            others.is_empty(),
            "{} old entries came again, the first: {:?}",
            others.len(),
            others.first()
        );
    }
}

#[tokio::test]
async fn a_node_that_is_behind_repeats_nothing() {
    let ahead = Service::start().await;
    let place: &Sandbox = ahead.sandbox();
    let line = Link::to(&place.nats_url).await;
    let behind = Service::builder()
        .database(&ahead)
        .env("NATS_URL", &line.url(&place.nats_url))
        .start()
        .await;
    let alice = ahead.user("alice").await;
    let bob = ahead.user("bob").await;
    let conversation = ahead.group(&alice, &[&bob]).await;
    // The node that will be behind knows the conversation.
    let mut witness = bob.at(&behind).connect().await;
    alice.say(&conversation, "heard by both").await;
    witness.next("message:new").await;

    line.hold();
    let mut seen = Seen::default();
    let mut socket = bob.connect().await;
    for n in 0..3 {
        alice.say(&conversation, &n.to_string()).await;
        seen.note([socket.next("message:new").await]);
    }
    let cursor = socket.cursor();
    socket.vanish();
    let mut socket = bob.at(&behind).resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    line.let_go();
    alice.say(&conversation, "last").await;
    seen.follow(&mut socket, &conversation, 6).await;
    seen.assert_complete(&conversation, 3, 6);
    assert_eq!(seen.repeats, 0);
}

#[tokio::test]
async fn documents_that_are_behind_cause_no_repetition() {
    let one = Service::start().await;
    let two = Service::builder().database(&one).start().await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await;
    let carol = one.user("carol").await;
    let conversation = one.group(&alice, &[&bob]).await;
    let other = one.group(&alice, &[&carol]).await;
    let mut witness = carol.at(&two).connect().await;
    let mut seen = Seen::default();
    let mut socket = bob.connect().await;
    for n in 0..3 {
        alice.say(&conversation, &n.to_string()).await;
        seen.note([socket.next("message:new").await]);
    }
    let cursor = socket.cursor();
    socket.vanish();
    // The second node serves no member of the conversation, but has it cached by the time that this arrives.
    alice.say(&other, "after all of it").await;
    witness.next("message:new").await;
    // As if they had not been written yet.
    one.sandbox()
        .collection("conversations")
        .await
        .update_one(
            doc! { "_id": &conversation },
            doc! { "$set": { "applied": 1_i64 } },
        )
        .await
        .expect("an update");

    let mut socket = bob.at(&two).resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    alice.say(&conversation, "last").await;
    seen.follow(&mut socket, &conversation, 5).await;
    seen.assert_complete(&conversation, 2, 5);
    assert_eq!(seen.repeats, 0);
}

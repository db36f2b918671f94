//! Memberships that change while a client is away.

use serde_json::json;

use crate::support::{Seen, Service, User};

async fn add(owner: &User, conversation: &str, user: &str) {
    let path = format!("/api/conversations/{conversation}/participants");
    let answer = owner.post(&path, json!({ "userIds": [user] })).await;
    assert!(matches!(answer.status, 200 | 201), "{answer}");
}

async fn remove(owner: &User, conversation: &str, user: &str) {
    let path = format!("/api/conversations/{conversation}/participants/{user}");
    owner.delete(&path).await.expect(204);
}

#[tokio::test]
async fn nothing_from_outside_the_membership_comes_after_leaving_and_rejoining() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "2 heard").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    socket.vanish();
    alice.say(&conversation, "3 inside").await;
    remove(&alice, &conversation, "bob").await; // 4
    alice.say(&conversation, "5 outside").await;
    add(&alice, &conversation, "bob").await; // 6
    alice.say(&conversation, "7 inside").await;
    remove(&alice, &conversation, "bob").await; // 8
    alice.say(&conversation, "9 outside").await;
    add(&alice, &conversation, "bob").await; // 10
    alice.say(&conversation, "11 inside").await;

    let mut socket = bob.resume(&cursor).await;
    let mut seen = Seen::default();
    seen.follow(&mut socket, &conversation, 11).await;
    assert_eq!(seen.numbers(&conversation), [3, 4, 6, 7, 8, 10, 11]);
    let frames = seen.frames(&conversation);
    assert!(
        frames
            .iter()
            .all(|frame| !frame.to_string().contains("outside")),
        "{frames:?}"
    );
    let names: Vec<&str> = frames
        .iter()
        .filter_map(|frame| frame["event"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "message:new",
            "conversation:removed",
            "conversation:joined",
            "message:new",
            "conversation:removed",
            "conversation:joined",
            "message:new"
        ]
    );
    alice.say(&conversation, "live").await;
    assert_eq!(socket.next("message:new").await["seq"], 12);
}

#[tokio::test]
async fn a_client_removed_while_away_gets_entries_up_to_the_removal() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let fence = service.group(&alice, &[&bob]).await;
    let socket = bob.connect().await;
    let cursor = socket.cursor();
    drop(socket);
    alice.say(&conversation, "inside").await;
    remove(&alice, &conversation, "bob").await;
    alice.say(&conversation, "outside").await;
    let mut socket = bob.resume(&cursor).await;
    let mut seen = Seen::default();
    seen.follow(&mut socket, &conversation, 3).await;
    let numbers = seen.numbers(&conversation);
    assert!(numbers.ends_with(&[2, 3]), "{numbers:?}");
    seen.assert_dense(&conversation);
    alice.say(&conversation, "outside").await;
    alice.say(&fence, "fence").await;
    let next = socket.next("message:new").await;
    assert_eq!(next["data"]["content"], "fence");
}

#[tokio::test]
async fn a_conversation_deleted_while_away_ends_with_its_removal() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let gone = service.group(&alice, &[&bob]).await;
    let socket = bob.connect().await;
    let cursor = socket.cursor();
    drop(socket);
    alice.say(&gone, "before its end").await;
    alice
        .delete(&format!("/api/conversations/{gone}"))
        .await
        .expect(204);
    alice.say(&conversation, "x").await;
    let mut socket = bob.resume(&cursor).await;
    let mut seen = Seen::default();
    seen.follow(&mut socket, &conversation, 2).await;
    seen.follow(&mut socket, &gone, 3).await;
    assert_eq!(seen.last(&conversation), 2);
    seen.assert_dense(&gone);
    assert_eq!(seen.last(&gone), 3, "the end of the conversation is told");
    let frames = seen.frames(&gone);
    assert_eq!(
        frames.last().expect("a frame")["event"],
        "conversation:removed"
    );
}

#[tokio::test]
async fn history_reaches_back_as_far_as_the_conversation_says() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    for (visibility, expected) in [("full", 3), ("joined", 2)] {
        let settings = json!({ "historyVisibility": visibility });
        let conversation = service.group_with(&alice, &[], settings).await;
        let mut socket = bob.connect().await;
        let cursor = socket.cursor();
        alice.say(&conversation, "before").await;
        add(&alice, &conversation, "bob").await;
        alice.say(&conversation, "inside").await;
        alice.say(&conversation, "inside").await;
        // Entries of the membership are pushed and resumed, whatever the history shows.
        let mut seen = Seen::default();
        seen.note([socket.next("conversation:joined").await]);
        seen.note([
            socket.next("message:new").await,
            socket.next("message:new").await,
        ]);
        seen.assert_complete(&conversation, 3, 5);
        let mut again = bob.resume(&cursor).await;
        let mut seen = Seen::default();
        seen.follow(&mut again, &conversation, 5).await;
        seen.assert_complete(&conversation, 3, 5);

        assert_eq!(
            bob.history(&conversation).await.len(),
            expected,
            "{visibility}"
        );
        let listed = again
            .ok("messages:list", json!({ "conversationId": conversation }))
            .await;
        assert_eq!(
            listed["messages"].as_array().map(Vec::len),
            Some(expected),
            "{visibility}"
        );
        // A former member keeps access to the messages of their membership.
        remove(&alice, &conversation, "bob").await;
        alice.say(&conversation, "after").await;
        assert_eq!(
            bob.history(&conversation).await.len(),
            expected,
            "{visibility}, after leaving"
        );
    }
}

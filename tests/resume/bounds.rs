//! Conditions under which a client must reload.

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::support::{Seen, Service};

#[tokio::test]
async fn an_invalid_cursor_leads_to_a_reset_and_a_working_socket() {
    let elsewhere = Service::start().await;
    let foreign = elsewhere.user("bob").await.connect().await.cursor();
    elsewhere.stop();
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.direct(&alice, &bob).await;
    let own = bob.connect().await.cursor();
    let mut changed = own.clone();
    let last = changed.pop();
    changed.push(if last == Some('A') { 'B' } else { 'A' });
    for (what, cursor) in [
        ("garbage", "garbage".to_owned()),
        ("long", "A".repeat(9000)),
        ("of another deployment", foreign),
        ("of another user", alice.connect().await.cursor()),
        ("changed", changed),
        ("cut", own[..own.len() / 2].to_owned()),
    ] {
        let mut socket = bob.resume(&cursor).await;
        assert_eq!(
            socket.connected["resumed"], false,
            "a cursor that is {what}"
        );
        let reset = socket.next("sync:reset").await;
        assert!(reset["data"]["reason"].is_string(), "{reset}");
        alice.say(&conversation, what).await;
        assert_eq!(socket.next("message:new").await["data"]["content"], what);
        // And from here on it resumes again.
        let cursor = socket.cursor();
        drop(socket);
        assert_eq!(
            bob.resume(&cursor).await.connected["resumed"],
            true,
            "after one that is {what}"
        );
    }
}

#[tokio::test]
async fn a_cursor_reveals_nothing_its_bearer_may_not_see() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let mallory = service.user("mallory").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "first").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    alice.say(&conversation, "secret").await;
    let mut socket = mallory.resume(&cursor).await;
    assert!(
        socket
            .drain()
            .await
            .iter()
            .all(|frame| frame["seq"].is_null())
    );
}

#[tokio::test]
async fn a_client_that_missed_over_ten_thousand_entries_must_reload() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "first").await;
    socket.next("message:new").await;
    let cursor = socket.cursor();
    socket.vanish();
    let mut sender = alice.connect().await;
    let mut ids = std::collections::VecDeque::new();
    let mut late_cursor = None;
    for n in 0..10_100 {
        ids.push_back(sender.post(
            "message:send",
            json!({ "conversationId": conversation, "content": "x" }),
        ));
        if ids.len() >= 64 {
            let id = ids.pop_front().expect("an id");
            assert_eq!(sender.ack(&id).await["success"], true);
        }
        if n % 1000 == 0 {
            sender.take_arrived();
            ids.clear();
        }
        if n == 1000 {
            late_cursor = Some(bob.connect().await.cursor());
        }
    }
    for id in ids {
        assert_eq!(sender.ack(&id).await["success"], true);
    }
    let place = service.sandbox();
    let stored = crate::support::eventually("all is stored", || async {
        let count = place.log(&conversation).await.len() as u64;
        (count >= 10_102).then_some(count)
    })
    .await;
    sender
        .find("the last one", |frame| frame["seq"] == stored)
        .await;
    let mut socket = bob.resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], false);
    socket.next("sync:reset").await;
    assert!(socket.take_arrived().is_empty(), "either all of it or none");
    alice.say(&conversation, "live").await;
    assert_eq!(socket.next("message:new").await["seq"], stored + 1);
    // Just below the bound all of it comes.
    let mut socket = bob.resume(&late_cursor.expect("a cursor")).await;
    assert_eq!(socket.connected["resumed"], true);
    let mut seen = Seen::default();
    seen.follow(&mut socket, &conversation, stored + 1).await;
    let numbers = seen.numbers(&conversation);
    assert!(numbers.len() > 9_000, "{}", numbers.len());
    seen.assert_dense(&conversation);
    assert_eq!(numbers.last(), Some(&(stored + 1)));
}

#[tokio::test]
async fn missed_entries_of_many_conversations_are_all_delivered() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let groups: Vec<String> = stream::iter(0..120)
        .map(|_| async { service.group(&alice, &[&bob]).await })
        .buffer_unordered(8)
        .collect()
        .await;
    let mut socket = bob.connect().await;
    for group in &groups {
        alice.say(group, "heard").await;
    }
    let mut seen = Seen::default();
    for _ in &groups {
        seen.note([socket.next("message:new").await]);
    }
    let cursor = socket.cursor();
    socket.vanish();
    for group in &groups {
        alice.say(group, "missed").await;
    }
    let mut socket = bob.resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    for group in &groups {
        seen.follow(&mut socket, group, 3).await;
    }
    for group in &groups {
        // A cursor has room for fifty positions. Of more conversations older entries come again, which a client knows by their numbers.
        let mut numbers = seen.numbers(group);
        numbers.retain(|seq| *seq > 1);
        assert_eq!(numbers, [2, 3]);
    }
    // A client that disconnects during catching up has a cursor from which it can continue.
    assert!(!socket.cursor().is_empty());
}

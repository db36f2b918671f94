//! Large volumes: pages over a socket, resumes, and users with many conversations.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Connect, EventStream, Seen, Service, cursor_before, many_groups, send_large, switch,
    wait_until_offline,
};

/// The items of a page over a socket have at most 256 KiB; a little surrounds them.
const MAX_PAGE: usize = (256 << 10) + 1024;

fn contents(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().expect("messages");
    let content = |message: &Value| message["content"].as_str().expect("a text").to_owned();
    messages.iter().map(content).collect()
}

#[tokio::test]
async fn a_page_that_is_full_ends_early_and_the_socket_stays() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let mut sent = Vec::new();
    for n in 0..40 {
        let content = format!("{n} {}", "x".repeat(16_000));
        alice.say(&group, &content).await;
        sent.push(content);
    }
    let mut socket = alice.connect().await;
    let (mut listed, mut before) = (Vec::new(), Value::Null);
    loop {
        let mut data = json!({ "conversationId": group, "limit": 100 });
        if !before.is_null() {
            data["before"] = before;
        }
        let page = socket.ok("messages:list", data).await;
        assert!(page.to_string().len() <= MAX_PAGE);
        listed.extend(contents(&page));
        before = page["nextCursor"].clone();
        assert_eq!(page["hasMore"], json!(!before.is_null()));
        if before.is_null() {
            break;
        }
    }
    listed.reverse();
    assert_eq!(listed, sent);

    let first = alice.history(&group).await[0]["id"].clone();
    let (mut synced, mut last) = (vec![sent[0].clone()], first);
    loop {
        let data = json!({ "conversationId": group, "lastMessageId": last, "limit": 100 });
        let page = socket.ok("messages:sync", data).await;
        assert!(page.to_string().len() <= MAX_PAGE);
        synced.extend(contents(&page));
        if page["hasMore"] == false {
            break;
        }
        last = page["nextCursor"].clone();
    }
    assert_eq!(synced, sent);
    assert!(socket.is_alive().await);
}

#[tokio::test]
async fn large_missed_entries_come_in_order_to_sockets_and_streams() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let other = service.group(&alice, &[&bob]).await;
    let cursor = cursor_before(&bob, &alice, &group).await;
    let host = service.internal().acting_for("alice");
    send_large(&host, &group, 25).await;
    for n in 0..100 {
        alice.say(&other, &format!("small {n}")).await;
    }
    send_large(&host, &other, 5).await;

    let mut socket = bob.resume(&cursor).await;
    assert_eq!(socket.connected["resumed"], true);
    let mut seen = Seen::default();
    seen.follow(&mut socket, &group, 27).await;
    seen.follow(&mut socket, &other, 106).await;
    seen.assert_dense(&group);
    seen.assert_dense(&other);
    assert_eq!(seen.repeats, 0);
    // The cursor of `connected` covers all of that.
    let cursor = socket.connected["cursor"].as_str().expect("a cursor");
    let mut again = bob.resume(cursor).await;
    assert!(
        again
            .take_arrived()
            .iter()
            .all(|frame| frame["seq"].is_null())
    );

    let (_, missed) = EventStream::follow(&service, &bob, Some(&socket.cursor())).await;
    assert!(missed.iter().all(|event| event.data["seq"].is_null()));
    alice.say(&group, "live").await;
    assert_eq!(socket.next("message:new").await["seq"], 28);
}

#[tokio::test]
async fn a_client_that_asks_for_pages_and_does_not_read_is_closed() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    send_large(&service.internal().acting_for("alice"), &group, 3).await;
    let how = Connect {
        token: Some(alice.token.clone()),
        ..Connect::default()
    };
    let (mut silent, _) = switch(service.ws_url(), &how).await.expect("a socket");
    for n in 0..500 {
        let data = json!({ "conversationId": group, "limit": 100 });
        let frame = json!({ "id": n, "event": "messages:list", "data": data });
        let text = Message::text(frame.to_string());
        // The node stops reading from it at some point.
        let sent = tokio::time::timeout(Duration::from_millis(500), silent.send(text)).await;
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    let bob = service.user("bob").await;
    service.direct(&alice, &bob).await;
    wait_until_offline(&bob, "alice").await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was measured is worth reading")]
async fn a_user_with_twenty_thousand_conversations_connects_and_delays_nobody() {
    const COUNT: usize = 20_000;
    let service = Service::start().await;
    let (crowd, mate) = (service.user("crowd").await, service.user("mate").await);
    let groups = many_groups(&service, &crowd, &mate, COUNT).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let quiet = service.group(&alice, &[&bob]).await;
    let mut listener = bob.connect().await;
    let mut delivery = async |n: usize| {
        let began = Instant::now();
        alice.say(&quiet, &format!("{n}")).await;
        listener.next("message:new").await;
        began.elapsed()
    };
    let mut before = Vec::new();
    for n in 0..50 {
        before.push(delivery(n).await);
    }

    let connecting = async {
        let began = Instant::now();
        let socket = crowd.connect().await;
        (socket, began.elapsed())
    };
    tokio::pin!(connecting);
    let mut during = Vec::new();
    let (mut socket, took) = loop {
        tokio::select! {
            biased;
            connected = &mut connecting => break connected,
            delivered = delivery(during.len()) => during.push(delivered),
        }
    };
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let (usual, median_during) = (median(&mut before), median(&mut during));
    let slowest = during.last().copied().unwrap_or_default();
    println!(
        "connected in {took:?}; a delivery took {usual:?} before, {median_during:?} meanwhile, at most {slowest:?} ({} of them)",
        during.len()
    );
    assert!(
        median_during < 4 * usual + Duration::from_millis(50),
        "{median_during:?} instead of {usual:?}"
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");

    let rooms_of = |data: &Value| -> Vec<String> {
        let rooms = data["rooms"].as_array().expect("rooms");
        rooms
            .iter()
            .filter_map(|room| room.as_str())
            .map(str::to_owned)
            .collect()
    };
    let mut rooms: BTreeSet<String> = BTreeSet::new();
    let first = rooms_of(&socket.connected);
    assert!(first.len() < COUNT && socket.connected["hasMoreRooms"] == true);
    let mut count = first.len();
    rooms.extend(first);
    loop {
        let frame = socket.next("rooms").await;
        assert!(frame.to_string().len() <= MAX_PAGE);
        let more = rooms_of(&frame["data"]);
        count += more.len();
        rooms.extend(more);
        if frame["data"]["hasMore"] == false {
            break;
        }
    }
    assert_eq!(
        (rooms.len(), count),
        (COUNT + 1, COUNT + 1),
        "each room once"
    );
    assert!(groups.iter().all(|group| rooms.contains(group)));

    for group in [&groups[0], &groups[COUNT / 2], &groups[COUNT - 1]] {
        mate.say(group, "live").await;
        let message = socket.next("message:new").await;
        assert_eq!(message["data"]["conversationId"], **group);
    }
    let page = crowd.get("/api/conversations?limit=3").await.expect(200);
    let listed = page["conversations"].as_array().expect("conversations");
    let newest: Vec<&Value> = listed.iter().map(|one| &one["id"]).collect();
    assert_eq!(newest, [&groups[COUNT - 1], &groups[COUNT / 2], &groups[0]]);
    // Disconnecting removes it from all rooms, and delays nobody either.
    drop(socket);
    for n in 0..20 {
        assert!(delivery(n).await < Duration::from_secs(2));
    }
    let (_, missed) = EventStream::follow(&service, &crowd, None).await;
    assert!(missed.is_empty());
}

//! Several processes: users on different nodes exchange messages, and the loss of one process of each role does no harm.

use std::sync::Arc;

use serde_json::json;

use super::traffic::{Listener, Traffic, check_history};
use crate::support::{Seen, Service, User};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_on_different_nodes_talk_and_the_loss_of_nodes_loses_nothing() {
    let api_one = Service::builder().roles("api").spawn().await;
    let mut api_two = Service::builder()
        .roles("api")
        .database(&api_one)
        .spawn()
        .await;
    let ws_one = Service::builder()
        .roles("ws")
        .database(&api_one)
        .spawn()
        .await;
    let mut ws_two = Service::builder()
        .roles("ws")
        .database(&api_one)
        .spawn()
        .await;
    let place = Arc::clone(api_one.sandbox());

    let alice = api_one.user("alice").await.between(&api_one, &ws_one);
    let bob = api_one.user("bob").await.between(&api_two, &ws_two);
    let conversation = api_one.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    // Over sockets of different nodes and over both REST nodes, all at the same time.
    let mut ids = Vec::new();
    for n in 0..40 {
        let body = |text: &str| serde_json::json!({ "conversationId": conversation, "content": format!("{text}{n}") });
        ids.push((
            a.post("message:send", body("a")),
            b.post("message:send", body("b")),
        ));
        if n % 4 == 0 {
            tokio::join!(alice.say(&conversation, "x"), bob.say(&conversation, "y"));
        }
    }
    for (of_a, of_b) in &ids {
        assert_eq!(a.ack(of_a).await["success"], true);
        assert_eq!(b.ack(of_b).await["success"], true);
    }
    let last = place.log(&conversation).await.len() as u64;
    assert_eq!(last, 1 + 80 + 20);
    for socket in [&mut a, &mut b] {
        let mut seen = Seen::default();
        while seen.last(&conversation) < last {
            seen.note([socket.next("message:new").await]);
        }
        seen.assert_complete(&conversation, 2, last);
        for of in ["a", "b"] {
            let own: Vec<u32> = seen
                .frames(&conversation)
                .iter()
                .filter_map(|frame| {
                    frame["data"]["content"]
                        .as_str()?
                        .strip_prefix(of)?
                        .parse()
                        .ok()
                })
                .collect();
            assert_eq!(
                own,
                (0..40).collect::<Vec<u32>>(),
                "one socket's messages keep their order"
            );
        }
    }

    // One process of each role is killed while all users send.
    let listener = api_one.user("listener").await;
    let mut senders: Vec<User> = Vec::new();
    for n in 0..6 {
        let user = api_one.user(&format!("s{n}")).await;
        senders.push(if n % 2 == 0 {
            user.between(&api_one, &ws_one)
        } else {
            user.between(&api_two, &ws_two)
        });
    }
    let others: Vec<&User> = senders.iter().collect();
    let conversations = [
        api_one.group(&listener, &others).await,
        api_one.group(&listener, &others).await,
    ];
    let listening = Listener::start(vec![
        listener.between(&api_one, &ws_two),
        listener.between(&api_one, &ws_one),
    ])
    .await;
    let traffic = Traffic::start(&senders, &conversations);
    traffic.go_on(150).await;
    ws_two.kill();
    traffic.go_on(100).await;
    api_two.kill();
    // Clients of the first node continue, although half of the shards had their writer in the second.
    let before = traffic.count();
    traffic.go_on(50).await;
    assert!(traffic.count() > before);
    api_two.restart().await;
    ws_two.restart().await;
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    check_history(
        &place,
        &listener.between(&api_one, &ws_one),
        &conversations,
        &outcome.promises,
    )
    .await;
    listening.check(&place, &conversations).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_dies_after_its_insert_is_finished_by_another_node() {
    // The process that started first is the writer.
    let mut victim = Service::builder()
        .roles("api")
        .env("CHAT_FAILPOINT", "append.after_insert:30")
        .spawn()
        .await;
    let survivor = Service::builder().database(&victim).start().await;
    let alice = survivor.user("alice").await;
    let bob = survivor.user("bob").await;
    let mut conversations = Vec::new();
    for _ in 0..16 {
        conversations.push(survivor.group(&alice, &[&bob]).await);
    }
    let listening = Listener::start(vec![bob.clone()]).await;
    let senders = [
        alice.at(&survivor),
        alice.between(&victim, &survivor),
        bob.at(&survivor),
    ];
    let traffic = Traffic::start(&senders, &conversations);
    victim.ended().await;
    traffic.go_on(20).await;
    victim.restart().await;
    let outcome = traffic.finish().await;
    check_history(survivor.sandbox(), &bob, &conversations, &outcome.promises).await;
    listening.check(survivor.sandbox(), &conversations).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sockets_sends_keep_their_order_while_their_writer_dies_and_returns() {
    // First the process that started first is the writer, then the other one.
    let mut goes = Service::builder().roles("api").spawn().await;
    let stays = Service::builder().database(&goes).start().await;
    let alice = stays.user("alice").await;
    let mut conversations = Vec::new();
    for n in 0..16 {
        let other = stays.user(&format!("other{n}")).await;
        conversations.push(stays.group(&alice, &[&other]).await);
    }
    let mut socket = alice.connect().await;
    let mut last = vec![0; conversations.len()];
    for round in 0..30 {
        let ids: Vec<(usize, String)> = (0..48)
            .map(|n| {
                let index = n % conversations.len();
                let content = format!("{round}/{n}");
                let body = json!({ "conversationId": conversations[index], "content": content });
                (index, socket.post("message:send", body))
            })
            .collect();
        match round {
            5 => goes.kill(),
            20 => goes.restart().await,
            _ => {}
        }
        for (index, id) in ids {
            let ack = socket.ack(&id).await;
            assert_eq!(ack["success"], true, "round {round}: {ack}");
            let seq = ack["message"]["seq"].as_u64().expect("a number");
            assert!(
                seq > last[index],
                "round {round}: {seq} after {}",
                last[index]
            );
            last[index] = seq;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_are_listed_at_once_by_another_process() {
    let first = Service::builder().spawn().await;
    let second = Service::builder().database(&first).spawn().await;
    let alice = first.user("alice").await;
    let bob = first.user("bob").await;
    let conversation = first.group(&alice, &[&bob]).await;
    let there = bob.between(&second, &second);
    // Each message is written through one node; for every second one the other node is read first. The second reader finds the message applied already.
    for n in 1..=20 {
        let text = format!("m{n}");
        alice.say(&conversation, &text).await;
        let mut readers = [&bob, &there];
        readers.rotate_left(n % 2);
        for reader in readers {
            let listed = reader.get("/api/conversations").await.expect(200);
            let listed = &listed["conversations"][0];
            assert_eq!(listed["lastMessage"]["content"], text);
            assert_eq!(listed["unreadCount"], n);
        }
    }
}

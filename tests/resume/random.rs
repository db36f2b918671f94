//! Random traffic and random disconnections: a client ends up with every seq of its memberships, in order and without gaps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::support::{Node, Seen, Service, Socket, User, random_seed};

/// Sends, changes, deletes and renames at random until `stop`.
async fn make_traffic(user: User, conversations: Vec<String>, seed: u64, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut own: Vec<String> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let conversation = &conversations[random.random_range(0..conversations.len())];
        let pick = random.random_range(0..10);
        let message = own.get(random.random_range(0..own.len().max(1))).cloned();
        match (pick, message) {
            (0, Some(message)) => {
                let path = format!("/api/messages/{message}");
                let answer = user
                    .patch(
                        &path,
                        json!({ "content": format!("changed {}", random.random::<u16>()) }),
                    )
                    .await;
                assert!(matches!(answer.status, 200 | 409), "{answer}");
            }
            (1, Some(message)) => {
                let answer = user.delete(&format!("/api/messages/{message}")).await;
                assert!(matches!(answer.status, 204 | 409), "{answer}");
            }
            (2, _) => {
                let name = format!("name {}", random.random::<u32>());
                let path = format!("/api/conversations/{conversation}");
                let answer = user.patch(&path, json!({ "name": name })).await;
                assert!(matches!(answer.status, 200 | 403), "{answer}");
            }
            _ => {
                let said = user.say(conversation, "x").await;
                own.push(said["id"].as_str().expect("an id").to_owned());
            }
        }
    }
}

/// Connects and disconnects at random between `nodes` for a while, then stays. Returns what it received and the socket on which it stays.
async fn come_and_go(user: User, nodes: Vec<&Node>, rounds: u32, seed: u64) -> (Seen, Socket) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = Seen::default();
    let mut cursor: Option<String> = None;
    for _ in 0..rounds {
        let here = user.at(nodes[random.random_range(0..nodes.len())]);
        let socket = match &cursor {
            None => here.connect().await,
            Some(cursor) => here.resume(cursor).await,
        };
        if let Some(cursor) = &cursor {
            assert_eq!(socket.connected["resumed"], true, "seed {seed}: {cursor}");
        }
        // A random moment is part of the plan, not a wait for anything.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
        let connected = socket.connected["cursor"].clone();
        let frames = socket.vanish();
        let last = frames
            .iter()
            .rev()
            .find_map(|frame| frame["cursor"].as_str().filter(|cursor| !cursor.is_empty()));
        // A client that has received no push since then keeps the cursor of `connected`.
        cursor = last.or(connected.as_str()).map(str::to_owned);
        seen.note(frames);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
    }
    let socket = user.resume(&cursor.expect("a cursor")).await;
    (seen, socket)
}

/// Records the frames of `socket` until `is_enough`, at most for ten seconds.
async fn note_until(seen: &mut Seen, socket: &mut Socket, is_enough: impl Fn(&Seen) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_enough(seen) && Instant::now() < deadline {
        seen.note(socket.drain().await);
    }
    seen.note(socket.drain().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_and_goes_between_nodes_has_every_number_once_and_in_order() {
    let seed = random_seed();
    let one = Service::start().await;
    let two = Service::builder().database(&one).start().await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await;
    let mut conversations = Vec::new();
    for _ in 0..5 {
        conversations.push(one.group(&alice, &[&bob]).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = [alice.clone(), bob.at(&two)].map(|user| {
        let seed = seed ^ user.id.len() as u64;
        tokio::spawn(make_traffic(
            user,
            conversations.clone(),
            seed,
            Arc::clone(&stop),
        ))
    });
    let place = Arc::clone(one.sandbox());
    let (mut seen, mut socket) = come_and_go(bob.clone(), vec![&one, &two], 12, seed).await;
    stop.store(true, Ordering::Relaxed);
    for task in traffic {
        task.await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    let mut logs = Vec::new();
    for conversation in &conversations {
        logs.push((conversation, place.log(conversation).await));
    }
    note_until(&mut seen, &mut socket, |seen| {
        logs.iter()
            .all(|(conversation, log)| seen.last(conversation) >= log.len() as u64)
    })
    .await;
    for (conversation, log) in &logs {
        let last = log.len() as u64;
        assert_eq!(
            log.last().map(|(seq, _)| *seq),
            Some(last),
            "seed {seed}: the log is dense"
        );
        let numbers = seen.numbers(conversation);
        let first = numbers.first().copied().unwrap_or(last + 1);
        let expected: Vec<u64> = (first..=last).collect();
        assert_eq!(numbers, expected, "seed {seed}");
        // Events of the log and of the socket are the same ones.
        for (frame, (_, kind)) in seen
            .frames(conversation)
            .iter()
            .zip(&log[first as usize - 1..])
        {
            let event = frame["event"].as_str().expect("a name");
            let expected = match kind.as_str() {
                "message.created" => "message:new",
                "message.updated" => "message:updated",
                "message.deleted" => "message:deleted",
                "conversation.created" => "conversation:new",
                "conversation.updated" => "conversation:updated",
                _ => "seq:skip",
            };
            assert_eq!(event, expected, "seed {seed}: {frame}");
        }
    }
    assert_eq!(seen.repeats, 0, "seed {seed}");
    assert!(
        seen.numbers(&conversations[0]).len() > 3,
        "seed {seed}: there was traffic"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_while_clients_come_and_go_see_exactly_their_memberships() {
    let seed = random_seed();
    let mut random = StdRng::seed_from_u64(seed);
    let service = Service::start().await;
    let owner = service.user("owner").await;
    let guest = service.user("guest").await;
    let conversation = service.group(&owner, &[&guest]).await;
    let path = format!("/api/conversations/{conversation}/participants");
    let mut seen = Seen::default();
    let mut cursor = guest.connect().await.cursor();
    let mut is_in = true;
    let mut expected = Vec::new();
    let mut seq = 1_u64;
    for _ in 0..25 {
        let mut socket = guest.resume(&cursor).await;
        for _ in 0..random.random_range(1..8) {
            seq += 1;
            match random.random_range(0..4) {
                0 if is_in => {
                    owner.delete(&format!("{path}/guest")).await.expect(204);
                    expected.push(seq);
                    is_in = false;
                }
                0 | 1 if !is_in => {
                    let answer = owner.post(&path, json!({ "userIds": ["guest"] })).await;
                    assert!(matches!(answer.status, 200 | 201), "seed {seed}: {answer}");
                    is_in = true;
                    expected.push(seq);
                }
                _ => {
                    owner.say(&conversation, "x").await;
                    if is_in {
                        expected.push(seq);
                    }
                }
            }
            if random.random_bool(0.2) {
                let frames = socket.drain().await;
                seen.note(frames);
                cursor = socket.cursor();
                socket.vanish();
                socket = guest.resume(&cursor).await;
            }
        }
        // A disconnection at any moment: frames under way are missed, and delivered later.
        let frames = socket.take_arrived();
        seen.note(frames);
        cursor = socket.cursor();
        socket.vanish();
    }
    let mut socket = guest.resume(&cursor).await;
    note_until(&mut seen, &mut socket, |seen| {
        seen.numbers(&conversation).len() >= expected.len()
    })
    .await;
    assert_eq!(seen.repeats, 0, "seed {seed}");
    // The first connection began after number 1.
    assert_eq!(seen.numbers(&conversation), expected, "seed {seed}");
}

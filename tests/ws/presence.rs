//! Presence: several devices, several nodes, chosen states, blocks, and the recipients of each event.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Service, Socket, User, eventually, eventually_within};

/// The presence of `user` as `viewer` sees it.
async fn presence(viewer: &User, user: &str) -> Value {
    let path = format!("/api/users/{user}/presence");
    viewer.get(&path).await.expect(200)
}

async fn wait_for(viewer: &User, user: &str, status: &str) -> Value {
    let what = format!("{} sees {user} {status}", viewer.id);
    eventually_within(Duration::from_secs(15), &what, || async {
        let presence = presence(viewer, user).await;
        (presence["status"] == status).then_some(presence)
    })
    .await
}

/// The next event of presence of `user`.
async fn told(socket: &mut Socket, user: &str) -> Value {
    let is_wanted = |frame: &Value| {
        let is_presence = matches!(
            frame["event"].as_str(),
            Some("user:online" | "user:away" | "user:offline")
        );
        is_presence && frame["data"]["userId"] == user
    };
    let limit = Duration::from_secs(15);
    socket
        .find_within(limit, &format!("presence of {user}"), is_wanted)
        .await
}

async fn choose(user: &User, body: Value) -> Value {
    let answer = user.request(reqwest::Method::PUT, "/api/users/me/status", Some(body));
    answer.await.expect(200)
}

/// Everything about presence that came so far.
async fn all_told(socket: &mut Socket) -> Vec<Value> {
    let frames = socket.drain().await;
    frames
        .into_iter()
        .filter(|frame| {
            frame["event"]
                .as_str()
                .is_some_and(|event| event.starts_with("user:"))
        })
        .collect()
}

#[tokio::test]
async fn presence_changes_are_pushed_once_to_users_with_a_shared_conversation() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let one = service.group(&alice, &[&bob]).await;
    let other = service.group(&alice, &[&bob]).await;
    let mut b = bob.connect().await;
    let mut stranger = carol.connect().await;

    let a = alice.connect().await;
    let online = told(&mut b, "alice").await;
    assert_eq!(online["event"], "user:online");
    assert_eq!(online["data"]["status"], "online");
    assert!(online["data"]["timestamp"].is_string(), "{online}");
    assert!(online["data"].get("lastSeen").is_none(), "{online}");
    assert!(online.get("seq").is_none(), "{online}");
    let shared = online["data"]["conversationId"]
        .as_str()
        .unwrap_or_default();
    assert!(shared == one || shared == other, "{online}");

    drop(a);
    let offline = told(&mut b, "alice").await;
    assert_eq!(offline["event"], "user:offline");
    assert_eq!(offline["data"]["status"], "offline");
    assert!(offline["data"]["lastSeen"].is_string(), "{offline}");
    // The time is stored a moment after the event is pushed.
    eventually("it is kept when alice was last there", || async {
        let presence = presence(&bob, "alice").await;
        (presence["lastSeen"] == offline["data"]["lastSeen"]).then_some(())
    })
    .await;
    assert!(all_told(&mut b).await.is_empty(), "each was told once");
    assert!(
        all_told(&mut stranger).await.is_empty(),
        "who shares nothing is told nothing"
    );
}

#[tokio::test]
async fn a_user_is_there_while_any_device_is_and_a_quick_return_is_no_departure() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    service.group(&alice, &[&bob, &carol]).await;
    let mut b = bob.connect().await;
    let phone = alice.connect().await;
    assert_eq!(told(&mut b, "alice").await["event"], "user:online");
    let laptop = alice.connect().await;
    drop(phone);
    drop(laptop);
    let laptop = alice.connect().await;
    // Carol comes and goes after it: had alice gone, she would have gone before.
    let c = carol.connect().await;
    assert_eq!(told(&mut b, "carol").await["event"], "user:online");
    drop(c);
    assert_eq!(told(&mut b, "carol").await["event"], "user:offline");
    assert!(all_told(&mut b).await.is_empty());
    assert_eq!(presence(&bob, "alice").await["status"], "online");
    drop(laptop);
    assert_eq!(told(&mut b, "alice").await["event"], "user:offline");
}

#[tokio::test]
async fn a_user_idle_on_all_devices_is_away_until_active() {
    let service = Service::builder()
        .env("AWAY_THRESHOLD_SECONDS", "2")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    service.group(&alice, &[&bob]).await;
    let mut b = bob.connect().await;
    let mut phone = alice.connect().await;
    let mut laptop = alice.connect().await;
    assert_eq!(told(&mut b, "alice").await["event"], "user:online");
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        // One device in use is enough.
        laptop.ok("activity:ping", json!({})).await;
        b.ok("ping", json!({})).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(all_told(&mut b).await.is_empty(), "alice was active");
    let away = told(&mut b, "alice").await;
    assert_eq!(away["event"], "user:away");
    assert_eq!(away["data"]["status"], "away");
    assert_eq!(presence(&bob, "alice").await["status"], "away");
    phone.ok("activity:ping", json!({})).await;
    let online = told(&mut b, "alice").await;
    assert_eq!(online["event"], "user:online");
}

#[tokio::test]
async fn others_see_the_chosen_presence() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    service.group(&alice, &[&bob]).await;
    let mut b = bob.connect().await;
    choose(&alice, json!({ "status": "busy", "text": "On the phone" })).await;
    assert_eq!(
        presence(&bob, "alice").await["status"],
        "offline",
        "a choice brings nobody online"
    );
    let a = alice.connect().await;
    let busy = told(&mut b, "alice").await;
    assert_eq!(busy["event"], "user:online");
    assert_eq!(busy["data"]["status"], "busy");
    assert_eq!(busy["data"]["text"], "On the phone");

    let chosen = choose(&alice, json!({ "status": "away" })).await;
    assert_eq!(chosen, json!({ "status": "away" }));
    let away = told(&mut b, "alice").await;
    assert_eq!(away["event"], "user:away");
    assert!(away["data"].get("text").is_none(), "{away}");

    choose(&alice, json!({ "status": "invisible", "text": "secret" })).await;
    let gone = told(&mut b, "alice").await;
    assert_eq!(gone["event"], "user:offline");
    assert!(gone["data"].get("text").is_none(), "{gone}");
    let hidden = presence(&bob, "alice").await;
    assert_eq!(hidden["status"], "offline");
    assert!(hidden.get("text").is_none(), "{hidden}");
    assert_eq!(presence(&alice, "alice").await["status"], "online");
    drop(a);
    let mut a = alice.connect().await;
    a.ok("activity:ping", json!({})).await;
    choose(&alice, json!({ "status": "online" })).await;
    let back = told(&mut b, "alice").await;
    assert_eq!(
        (&back["event"], &back["data"]["status"]),
        (&json!("user:online"), &json!("online")),
        "nothing was told of who came and went unseen"
    );
}

#[tokio::test]
async fn each_switch_to_invisible_and_back_is_pushed() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    service.group(&alice, &[&bob]).await;
    let mut b = bob.connect().await;
    let mut ids = Vec::new();
    let _a = alice.connect().await;
    ids.push(told(&mut b, "alice").await["id"].clone());
    for _ in 0..3 {
        choose(&alice, json!({ "status": "invisible" })).await;
        let gone = told(&mut b, "alice").await;
        assert_eq!(gone["event"], "user:offline");
        choose(&alice, json!({ "status": "online" })).await;
        let back = told(&mut b, "alice").await;
        assert_eq!(back["event"], "user:online");
        assert!(!ids.contains(&back["id"]), "an id of its own: {back}");
        ids.push(back["id"].clone());
    }
}

#[tokio::test]
async fn a_blocked_user_sees_the_blocker_offline() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob, &carol]).await;
    let blocks = chat_blocks(&service, "alice", "bob").await;
    assert!(blocks, "alice blocks bob");
    let mut b = bob.connect().await;
    let mut c = carol.connect().await;
    let now = b
        .ok("presence:subscribe", json!({ "userIds": ["alice"] }))
        .await;
    assert_eq!(now["presence"][0]["status"], "offline");
    let _a = alice.connect().await;
    assert_eq!(told(&mut c, "alice").await["event"], "user:online");
    wait_for(&carol, "alice", "online").await;
    let seen = presence(&bob, "alice").await;
    assert_eq!(seen, json!({ "userId": "alice", "status": "offline" }));
    let path = format!("/api/conversations/{conversation}/presence");
    let members = bob.get(&path).await.expect(200);
    assert_eq!(members["presence"][0]["status"], "offline", "{members}");
    let frames = all_told(&mut b).await;
    let of_alice = |frame: &&Value| frame["data"]["userId"] == "alice";
    assert_eq!(frames.iter().filter(of_alice).count(), 0, "{frames:?}");
}

/// Lets `user` block `other` in the database, as the log's fold does.
async fn chat_blocks(service: &Service, user: &str, other: &str) -> bool {
    let blocks = service.sandbox().collection("blocks").await;
    let block = mongodb::bson::doc! {
        "_id": format!("{}:{user}:{other}", user.len()), "userId": user, "blockedUserId": other,
        "seq": 99_i64, "at": mongodb::bson::DateTime::now(), "isActive": true,
    };
    blocks.insert_one(block).await.is_ok()
}

#[tokio::test]
async fn a_subscription_covers_users_without_a_shared_conversation_until_it_ends() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let mut b = bob.connect().await;
    let answer = b
        .ok(
            "presence:subscribe",
            json!({ "userIds": ["alice", "carol", "nobody"] }),
        )
        .await;
    let statuses: Vec<&Value> = answer["presence"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|presence| &presence["status"])
        .collect();
    assert_eq!(statuses, ["offline", "offline", "offline"]);
    let a = alice.connect().await;
    let online = told(&mut b, "alice").await;
    assert_eq!(online["event"], "user:online");
    assert!(online["data"].get("conversationId").is_none(), "{online}");
    b.ok("presence:unsubscribe", json!({ "userIds": ["alice"] }))
        .await;
    drop(a);
    wait_for(&bob, "alice", "offline").await;
    let _c = carol.connect().await;
    assert_eq!(told(&mut b, "carol").await["event"], "user:online");
    assert!(
        all_told(&mut b).await.is_empty(),
        "nothing was told of alice"
    );
    let many: Vec<String> = (0..1001).map(|n| format!("u{n}")).collect();
    let error = b
        .refused("presence:subscribe", json!({ "userIds": many }))
        .await;
    assert_eq!(error["details"][0]["field"], "userIds");
    b.ok("presence:subscribe", json!({ "userIds": many[..998] }))
        .await;
    let error = b
        .refused("presence:subscribe", json!({ "userIds": ["x", "y"] }))
        .await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
}

#[tokio::test]
async fn presence_goes_to_the_stream_once_per_change() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let in_stream = async |count: usize| {
        eventually("the changes are in the stream", || async {
            let events = service.sandbox().events("user.o").await;
            (events.len() >= count).then_some(events)
        })
        .await
    };
    let a = alice.connect().await;
    in_stream(1).await;
    choose(&alice, json!({ "status": "busy" })).await;
    in_stream(2).await;
    drop(a);
    wait_for(&bob, "alice", "offline").await;
    let events = in_stream(3).await;
    let kinds: Vec<(&Value, &Value)> = events
        .iter()
        .map(|event| (&event["type"], &event["data"]["status"]))
        .collect();
    assert_eq!(
        kinds,
        [
            (&json!("user.online"), &json!("online")),
            (&json!("user.online"), &json!("busy")),
            (&json!("user.offline"), &json!("offline")),
        ]
    );
    for event in &events {
        assert!(event.get("seq").is_none(), "{event}");
        assert_eq!(event["userId"], "alice");
        assert_eq!(event["data"]["userId"], "alice");
    }
}

#[tokio::test]
async fn nodes_know_each_others_online_users() {
    let one = Service::start().await;
    let two = Service::builder().database(&one).start().await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await.between(&two, &two);
    one.group(&alice, &[&bob]).await;
    let mut b = bob.connect().await;
    let here = alice.connect().await;
    assert_eq!(told(&mut b, "alice").await["event"], "user:online");
    let there = alice.clone().between(&two, &two).connect().await;
    // A node that starts learns the presence of all users before it serves for long.
    let three = Service::builder().database(&one).start().await;
    let viewer = bob.clone().between(&three, &three);
    wait_for(&viewer, "alice", "online").await;
    drop(here);
    choose(&alice, json!({ "status": "busy" })).await;
    assert_eq!(told(&mut b, "alice").await["data"]["status"], "busy");
    wait_for(&viewer, "alice", "busy").await;
    drop(there);
    assert_eq!(told(&mut b, "alice").await["event"], "user:offline");
    wait_for(&viewer, "alice", "offline").await;
    assert!(all_told(&mut b).await.is_empty());
}

#[tokio::test]
async fn a_large_conversation_does_not_count_as_shared() {
    use mongodb::bson::doc;
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let large = service.group(&alice, &[&bob, &carol]).await;
    let small = service.group(&alice, &[&bob]).await;
    let conversations = service.sandbox().collection("conversations").await;
    let change = conversations
        .update_one(
            doc! { "_id": large.as_str() },
            doc! { "$set": { "participantCount": 1000 } },
        )
        .await;
    assert_eq!(change.expect("an update").modified_count, 1);
    let mut b = bob.connect().await;
    let mut c = carol.connect().await;
    let _a = alice.connect().await;
    let online = told(&mut b, "alice").await;
    assert_eq!(online["data"]["conversationId"], small.as_str(), "{online}");
    let frames = all_told(&mut c).await;
    let of_alice = |frame: &&Value| frame["data"]["userId"] == "alice";
    assert_eq!(frames.iter().filter(of_alice).count(), 0, "{frames:?}");
}

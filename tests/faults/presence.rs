//! Presence cannot get stuck: after any failure users are offline within the lease, and no typing indicator outlives its time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Service, User, eventually_within};

/// The lease of a node, its grace for late notice, and the time of a slow machine.
const WITHIN: Duration = Duration::from_secs(20);

async fn status(viewer: &User, user: &str) -> Value {
    let path = format!("/api/users/{user}/presence");
    viewer.get(&path).await.expect(200)
}

async fn wait_for(viewer: &User, user: &str, status_wanted: &str) -> Value {
    let what = format!("{user} is {status_wanted}");
    eventually_within(WITHIN, &what, || async {
        let presence = status(viewer, user).await;
        (presence["status"] == status_wanted).then_some(presence)
    })
    .await
}

fn is_of(frame: &Value, event: &str, user: &str) -> bool {
    frame["event"] == event && frame["data"]["userId"] == user
}

#[tokio::test]
async fn users_of_a_killed_node_go_offline_unless_they_are_elsewhere() {
    let one = Service::start().await;
    let mut two = Service::builder().roles("ws").database(&one).spawn().await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await;
    let carol = one.user("carol").await;
    one.group(&alice, &[&bob, &carol]).await;
    let mut b = bob.connect().await;
    let _doomed = alice.between(&one, &two).connect().await;
    let _also_doomed = carol.between(&one, &two).connect().await;
    let _elsewhere = carol.connect().await;
    for user in ["alice", "carol"] {
        b.find("somebody online", |frame| is_of(frame, "user:online", user))
            .await;
    }
    two.kill();
    let killed = Instant::now();
    let offline = b
        .find_within(WITHIN, "alice's end", |frame| {
            is_of(frame, "user:offline", "alice")
        })
        .await;
    assert!(
        killed.elapsed() < Duration::from_secs(12),
        "{:?}",
        killed.elapsed()
    );
    assert!(offline["data"]["lastSeen"].is_string(), "{offline}");
    let seen = wait_for(&bob, "alice", "offline").await;
    assert!(seen["lastSeen"].is_string(), "{seen}");
    assert_eq!(status(&bob, "carol").await["status"], "online");
    let rest = b.drain().await;
    assert!(
        !rest
            .iter()
            .any(|frame| is_of(frame, "user:offline", "carol")),
        "{rest:?}"
    );
    let events = one.sandbox().events("user.offline").await;
    assert_eq!(events.len(), 1, "told once: {events:?}");
}

#[tokio::test]
async fn users_of_a_deployment_that_died_are_offline_after_its_return() {
    let mut only = Service::builder().spawn().await;
    let alice = only.user("alice").await;
    let bob = only.user("bob").await;
    let a = alice.connect().await;
    wait_for(&bob, "alice", "online").await;
    eventually_within(WITHIN, "it is kept that alice is there", || async {
        let presence = only.sandbox().collection("presence").await;
        let filter = mongodb::bson::doc! { "_id": "alice", "isOnline": true };
        presence.find_one(filter).await.ok().flatten()
    })
    .await;
    only.kill();
    drop(a);
    only.restart().await;
    // The host was notified that alice is online; it must be notified that she is offline.
    eventually_within(
        Duration::from_secs(30),
        "the change is published",
        || async {
            let events = only.sandbox().events("user.offline").await;
            (events.len() == 1 && events[0]["userId"] == "alice").then_some(())
        },
    )
    .await;
    let seen = status(&bob, "alice").await;
    assert_eq!(seen["status"], "offline");
    assert!(seen["lastSeen"].is_string(), "{seen}");
}

#[tokio::test]
async fn an_indicator_ends_by_itself_when_the_node_of_its_user_is_killed() {
    let one = Service::builder()
        .env("TYPING_TTL_SECONDS", "2")
        .env("RECORDING_TTL_SECONDS", "3")
        .start()
        .await;
    let mut two = Service::builder()
        .roles("ws")
        .database(&one)
        .env("TYPING_TTL_SECONDS", "2")
        .env("RECORDING_TTL_SECONDS", "3")
        .spawn()
        .await;
    let alice = one.user("alice").await;
    let bob = one.user("bob").await;
    let conversation = one.group(&alice, &[&bob]).await;
    let mut b = bob.connect().await;
    let mut a = alice.between(&one, &two).connect().await;
    for (command, event) in [
        ("typing:start", "user:typing"),
        ("recording:start", "user:recording"),
    ] {
        a.ok(command, json!({ "conversationId": conversation }))
            .await;
        let shown = b.next(event).await;
        assert_eq!(shown["data"]["isActive"], true);
    }
    two.kill();
    let killed = Instant::now();
    for event in ["user:typing", "user:recording"] {
        let ended = b.next(event).await;
        assert_eq!(ended["data"]["isActive"], false);
    }
    assert!(
        killed.elapsed() < Duration::from_secs(6),
        "{:?}",
        killed.elapsed()
    );
}

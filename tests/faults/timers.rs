//! Timers in processes that die: scheduled messages are sent once and expired ones end once, on time or right after.

use std::{
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use chat_sdk::Timestamp;
use serde_json::{Value, json};

use crate::support::{Node, Service, User, eventually, eventually_within};

/// Maximum time that the timers may take to catch up after a restart.
const CATCH_UP: Duration = Duration::from_secs(3);

fn in_millis(millis: i64) -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + millis).to_string()
}

async fn schedule(user: &User, conversation: &str, content: &str, millis: i64) -> Value {
    let body = json!({
        "conversationId": conversation, "content": content, "sendAt": in_millis(millis),
    });
    user.post("/api/scheduled", body).await.expect(201)
}

async fn count(node: &Node, conversation: &str, kind: &str) -> usize {
    let log = node.sandbox().log(conversation).await;
    log.iter().filter(|(_, of)| of == kind).count()
}

/// Waits until no message is scheduled.
async fn nothing_waits(user: &User) {
    eventually("nothing is scheduled any more", || async {
        let listed = user.get("/api/scheduled").await.expect(200);
        listed["scheduled"].as_array()?.is_empty().then_some(())
    })
    .await;
}

async fn is_sent_once_after_a_crash_at(point: &str) {
    let mut process = Service::builder()
        .env("CHAT_FAILPOINT", point)
        .spawn()
        .await;
    let (alice, bob) = (process.user("alice").await, process.user("bob").await);
    let group = process.group(&alice, &[&bob]).await;
    schedule(&alice, &group, "once", 1000).await;
    let status = process.ended().await;
    assert_eq!(
        status.signal(),
        Some(6),
        "it ended at the fail point: {status}"
    );
    process.restart().await;
    let restarted = Instant::now();
    eventually("it is sent", || async {
        let history = bob.history(&group).await;
        (!history.is_empty()).then_some(())
    })
    .await;
    assert!(restarted.elapsed() < CATCH_UP, "{:?}", restarted.elapsed());
    // The claim of the dead process is checked again, and the message that it sent is recognised.
    let scheduled = process.sandbox().collection("scheduled").await;
    eventually_within(Duration::from_secs(15), "it is done with", || async {
        let left = scheduled.count_documents(mongodb::bson::doc! {}).await;
        (left.ok()? == 0).then_some(())
    })
    .await;
    assert_eq!(count(&process, &group, "message.created").await, 1);
    let history = bob.history(&group).await;
    assert_eq!(history[0]["content"], "once");
}

#[tokio::test]
async fn a_crash_before_the_send_leaves_it_sent_once() {
    is_sent_once_after_a_crash_at("timer.before_send").await;
}

#[tokio::test]
async fn a_crash_after_the_send_leaves_it_sent_once() {
    is_sent_once_after_a_crash_at("timer.after_send").await;
}

async fn is_over_once_after_a_crash_at(point: &str) {
    let mut process = Service::builder()
        .env("CHAT_FAILPOINT", point)
        .spawn()
        .await;
    let (alice, bob) = (process.user("alice").await, process.user("bob").await);
    let group = process.group(&alice, &[&bob]).await;
    let body = json!({ "content": "a secret", "ttlSeconds": 1 });
    alice
        .post(&format!("/api/conversations/{group}/messages"), body)
        .await
        .expect(201);
    let status = process.ended().await;
    assert_eq!(
        status.signal(),
        Some(6),
        "it ended at the fail point: {status}"
    );
    process.restart().await;
    let restarted = Instant::now();
    let log = process.sandbox().collection("log").await;
    eventually("its content is erased", || async {
        let erased = mongodb::bson::doc! { "isErased": true, "data.content": "" };
        (log.count_documents(erased).await.ok()? == 1).then_some(())
    })
    .await;
    assert!(restarted.elapsed() < CATCH_UP, "{:?}", restarted.elapsed());
    assert_eq!(count(&process, &group, "message.deleted").await, 1);
    assert_eq!(bob.history(&group).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_crash_before_a_message_is_ended_leaves_it_ended_once() {
    is_over_once_after_a_crash_at("timer.before_expiry").await;
}

#[tokio::test]
async fn a_crash_between_the_end_and_the_erasure_leaves_it_erased() {
    is_over_once_after_a_crash_at("timer.after_expiry").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_many_are_due_sends_and_ends_each_once() {
    let mut process = Service::builder().spawn().await;
    let (alice, bob) = (process.user("alice").await, process.user("bob").await);
    let group = process.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}/messages");
    let wishes = (0..120).map(|n| {
        let (alice, group, path) = (&alice, &group, &path);
        async move {
            schedule(alice, group, &format!("s{n}"), 2500 + n * 5).await;
            let body = json!({ "content": format!("e{n}"), "ttlSeconds": 3 });
            alice.post(path, body).await.expect(201);
        }
    });
    futures_util::future::join_all(wishes).await;
    eventually("some are sent", || async {
        (count(&process, &group, "message.created").await > 130).then_some(())
    })
    .await;
    process.kill();
    process.restart().await;
    eventually_within(
        Duration::from_secs(20),
        "all are sent and ended",
        || async {
            let sent = count(&process, &group, "message.created").await;
            let ended = count(&process, &group, "message.deleted").await;
            (sent == 240 && ended == 120).then_some(())
        },
    )
    .await;
    nothing_waits(&alice).await;
    let mut contents: Vec<String> = bob
        .history(&group)
        .await
        .iter()
        .map(|message| message["content"].as_str().unwrap_or_default().to_owned())
        .collect();
    contents.sort();
    let mut expected: Vec<String> = (0..120).map(|n| format!("s{n}")).collect();
    expected.sort();
    assert_eq!(contents, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_each_thing_is_done_once_and_one_takes_over() {
    let one = Service::start().await;
    let mut two = Service::builder().roles("api").database(&one).spawn().await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    let group = one.group(&alice, &[&bob]).await;
    for n in 0..60 {
        let user = if n % 2 == 0 {
            alice.clone()
        } else {
            alice.between(&two, &one)
        };
        schedule(&user, &group, &n.to_string(), 1500).await;
    }
    eventually("all are sent", || async {
        (bob.history(&group).await.len() >= 60).then_some(())
    })
    .await;
    nothing_waits(&alice).await;
    assert_eq!(count(&one, &group, "message.created").await, 60);
    // Either process may hold the lease: the other one continues without it.
    let bob_of_two = bob.between(&two, &two);
    let alice_of_two = alice.between(&two, &two);
    schedule(&alice, &group, "after the end", 1500).await;
    one.crash();
    eventually("the other one sends", || async {
        (bob_of_two.history(&group).await.len() == 61).then_some(())
    })
    .await;
    nothing_waits(&alice_of_two).await;
    two.kill();
}

//! MongoDB away or frozen. Promise 7: a send answers 503 within two seconds, and a repetition under the same id is never stored twice.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::json;

use super::traffic::{Listener, Traffic, check_history};
use crate::support::{Answer, Mongod, Sandbox, Service, User, eventually_within};

/// Two seconds by the contract, and a little for the way there and back on a busy machine.
const LIMIT: Duration = Duration::from_millis(2300);

async fn timed_send(user: &User, conversation: &str, key: &str) -> (Answer, Duration) {
    let path = format!("/api/conversations/{conversation}/messages");
    let started = Instant::now();
    let answer = user
        .post(&path, json!({ "content": key, "clientMessageId": key }))
        .await;
    (answer, started.elapsed())
}

fn check_refused(answer: Answer, took: Duration) {
    assert!(took < LIMIT, "it took {took:?}: {answer}");
    let retry_after: u64 = answer.header("retry-after").parse().unwrap_or_default();
    assert!(
        (1..=30).contains(&retry_after),
        "Retry-After is {retry_after}: {answer}"
    );
    answer.expect_error(503, "UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mongodb_frozen_sends_answer_503_in_time_and_are_never_there_twice() {
    let mongod = Mongod::start().await;
    let service = Service::builder().mongod(&mongod).start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = alice.connect().await;
    let mut b = bob.connect().await;
    alice.say(&conversation, "before").await;
    b.next("message:new").await;

    mongod.freeze();
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let sends = keys
        .iter()
        .map(|key| timed_send(&alice, &conversation, key));
    for (answer, took) in futures_util::future::join_all(sends).await {
        check_refused(answer, took);
    }
    // One that comes while others wait is not slower.
    let (answer, took) = timed_send(&alice, &conversation, &keys[0]).await;
    check_refused(answer, took);
    let started = Instant::now();
    let body = json!({ "conversationId": conversation, "content": "k0", "clientMessageId": "k0" });
    let error = socket.refused("message:send", body).await;
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    // Operations that need no database still work.
    socket.ok("ping", json!({})).await;
    service.anonymous().get("/health/live").await.expect(200);
    assert_eq!(service.anonymous().get("/health/ready").await.status, 503);

    mongod.thaw();
    let mut sent = Vec::new();
    for key in &keys {
        let message = eventually_within(
            Duration::from_secs(15),
            "the repeated send succeeds",
            || async {
                let (answer, _) = timed_send(&alice, &conversation, key).await;
                matches!(answer.status, 200 | 201).then_some(answer.json)
            },
        )
        .await;
        sent.push(message["id"].clone());
    }
    let history = bob.history(&conversation).await;
    for (key, id) in keys.iter().zip(&sent) {
        let found: Vec<_> = history
            .iter()
            .filter(|message| message["clientMessageId"] == key.as_str())
            .collect();
        assert_eq!(found.len(), 1, "{key} is there once");
        assert_eq!(found[0]["id"], *id);
    }
    let last = service.sandbox().log(&conversation).await.len() as u64;
    let mut seen = crate::support::Seen::default();
    while seen.last(&conversation) < last {
        seen.note([b
            .find_within(Duration::from_secs(15), "what was sent", |frame| {
                frame["seq"].is_u64()
            })
            .await]);
    }
    seen.assert_complete(&conversation, 3, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_killed_under_load_loses_and_repeats_nothing() {
    let mut mongod = Mongod::start().await;
    let service = Service::builder().mongod(&mongod).start().await;
    let listener = service.user("listener").await;
    let mut senders = Vec::new();
    for n in 0..8 {
        senders.push(service.user(&format!("s{n}")).await);
    }
    let others: Vec<&User> = senders.iter().collect();
    let conversations = [
        service.group(&listener, &others).await,
        service.group(&listener, &others).await,
    ];
    let listening = Listener::start(vec![listener.clone()]).await;
    let traffic = Traffic::start(&senders, &conversations);
    traffic.go_on(100).await;
    mongod.kill();
    let (answer, took) = timed_send(&listener, &conversations[0], "during").await;
    check_refused(answer, took);
    mongod.restart().await;
    traffic.go_on(100).await;
    mongod.freeze();
    let (answer, took) = timed_send(&listener, &conversations[0], "during").await;
    check_refused(answer, took);
    mongod.thaw();
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    assert!(outcome.refusals > 0, "the outage was noticed");
    check_history(
        service.sandbox(),
        &listener,
        &conversations,
        &outcome.promises,
    )
    .await;
    listening.check(service.sandbox(), &conversations).await;
}

/// The operations that the service ran on the MongoDB of `place` since `profile` was turned on.
async fn profiled(place: &Sandbox) -> Vec<Document> {
    let profile = place.collection("system.profile").await;
    let of_service = doc! { "appName": "chat-service" };
    let found = profile.find(of_service).await.expect("readable");
    found.try_collect().await.expect("readable")
}

#[tokio::test]
async fn every_read_says_how_long_mongod_may_work_on_it() {
    let service = Service::start().await;
    let place = service.sandbox();
    let any = place.collection("log").await;
    let database = any.client().database(&place.database);
    database
        .run_command(doc! { "profile": 2 })
        .await
        .expect("profiled");
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let message = alice.say(&group, "text").await;
    let id = message["id"].as_str().expect("an id");
    let mut socket = bob.connect().await;
    socket.drain().await;
    let reaction = json!({ "emoji": "👍" });
    bob.post(&format!("/api/messages/{id}/reactions"), reaction)
        .await;
    let read = format!("/api/conversations/{group}/read");
    bob.request(Method::PUT, &read, None).await;
    for path in [
        "/api/conversations".to_owned(),
        "/api/conversations/public".to_owned(),
        "/api/unread".to_owned(),
        "/api/users/me/blocks".to_owned(),
        "/api/users/search?q=a".to_owned(),
        format!("/api/conversations/{group}"),
        format!("/api/conversations/{group}/messages"),
        format!("/api/conversations/{group}/participants"),
        format!("/api/conversations/{group}/log?after=0"),
        format!("/api/conversations/{group}/pins"),
        format!("/api/messages/{id}/reactions"),
        format!("/api/messages/{id}/history"),
    ] {
        bob.get(&path).await;
    }
    let internal = service.internal();
    internal.get("/api/users/bob/export").await;
    internal.delete("/api/users/bob?messages=erase").await;
    // The relay, the timers and the eraser read too.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut reads = 0;
    for operation in profiled(place).await {
        let Ok(command) = operation.get_document("command") else {
            continue;
        };
        let is_read = ["find", "aggregate", "count", "distinct", "findAndModify"]
            .iter()
            .any(|name| command.contains_key(*name));
        if is_read {
            reads += 1;
            assert!(command.contains_key("maxTimeMS"), "{command}");
        }
    }
    assert!(reads > 30, "only {reads} reads were seen");
}

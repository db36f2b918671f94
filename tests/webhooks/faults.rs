//! Workers that are killed, receivers that are away, and a broker that loses data. Promise 4: every endpoint gets every logged event at least once under one
//! stable id.

use std::{collections::HashSet, os::unix::process::ExitStatusExt, time::Duration};

use serde_json::json;

use super::{Hook, hook, make, scenario};
use crate::{
    faults::{Traffic, senders},
    support::{Answering, Nats, Node, Receiver, Service, eventually, eventually_within},
};

/// Maximum time for everything to arrive.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_worker_killed_between_the_post_and_its_acknowledgement_delivers_again_under_the_same_id()
{
    let service = Service::builder().roles("api").start().await;
    let receiver = Receiver::start().await;
    let _hook = hook(&service, &receiver, json!({})).await;
    let mut worker = Service::builder()
        .database(&service)
        .roles("webhooks")
        .env("WEBHOOK_TIMEOUT_MS", "1000")
        .env("CHAT_FAILPOINT", "durable.before_ack:3")
        .spawn()
        .await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..6 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    let status = worker.ended().await;
    assert_eq!(
        status.signal(),
        Some(6),
        "it ended at the fail point: {status}"
    );
    let before: HashSet<String> = receiver
        .received()
        .iter()
        .map(|one| one.id().to_owned())
        .collect();
    assert!(before.len() >= 3);
    worker.restart().await;
    eventually_within(
        LONG,
        "one comes again under its id, and all come",
        || async {
            let all = receiver.received();
            let ids: HashSet<String> = all.iter().map(|one| one.id().to_owned()).collect();
            (ids.len() == 6 && all.len() > 6).then_some(())
        },
    )
    .await;
    for one in receiver.received() {
        assert_eq!(one.header("webhook-id"), one.id());
    }
}

/// Waits until every message in the log of `conversations` was taken by `receiver`.
async fn all_arrive(node: &Node, receiver: &Receiver, conversations: &[String]) {
    use futures_util::TryStreamExt;
    let log = node.sandbox().collection("log").await;
    let found: Vec<mongodb::bson::Document> = log
        .find(mongodb::bson::doc! { "conversationId": { "$in": conversations }, "type": "message.created" })
        .await
        .expect("the log can be read")
        .try_collect()
        .await
        .expect("the log can be read");
    let logged: HashSet<String> = found
        .iter()
        .map(|entry| entry.get_str("_id").expect("an id").to_owned())
        .collect();
    assert!(logged.len() > 50);
    let missing = || {
        let taken: HashSet<String> = receiver
            .of("message.created")
            .into_iter()
            .filter(|one| one.status < 300)
            .map(|one| one.id().to_owned())
            .collect();
        logged.difference(&taken).count()
    };
    let deadline = std::time::Instant::now() + LONG;
    while missing() > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} of {} events did not arrive",
            missing(),
            logged.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_for_a_while_gets_everything_afterwards() {
    let service = Service::builder()
        .env(
            "WEBHOOK_RETRY_SCHEDULE",
            "200ms,400ms,800ms,1s,2s,2s,2s,2s,2s,2s,2s,2s",
        )
        .start()
        .await;
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (users, conversations) = senders(&service).await;
    let traffic = Traffic::start(&users, &conversations);
    traffic.go_on(50).await;
    receiver.answer(|_, _| Answering::with(503));
    traffic.go_on(200).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    receiver.answer(|_, _| Answering::with(200));
    traffic.go_on(50).await;
    traffic.finish().await;
    all_arrive(&service, &receiver, &conversations).await;
    assert!(hook.dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_recreated_under_load_loses_no_event_of_an_endpoint() {
    let nats = Nats::start().await;
    let service = Service::builder().nats(&nats).start().await;
    let receiver = Receiver::start().await;
    let ordered = Receiver::start().await;
    let _hook = hook(&service, &receiver, json!({})).await;
    let _ordered = hook(&service, &ordered, json!({ "ordered": true })).await;
    let (users, conversations) = senders(&service).await;
    let traffic = Traffic::start(&users, &conversations);
    let jetstream = service.sandbox().jetstream().await;
    for _ in 0..2 {
        traffic.go_on(100).await;
        jetstream
            .delete_stream(service.sandbox().stream())
            .await
            .expect("is deleted");
        traffic.go_on(100).await;
    }
    traffic.finish().await;
    all_arrive(&service, &receiver, &conversations).await;
    all_arrive(&service, &ordered, &conversations).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_reset_to_an_earlier_state_loses_no_event_of_an_endpoint() {
    let mut nats = Nats::start().await;
    let service = Service::builder().nats(&nats).start().await;
    let receiver = Receiver::start().await;
    let _hook = hook(&service, &receiver, json!({})).await;
    let (users, conversations) = senders(&service).await;
    let traffic = Traffic::start(&users, &conversations);
    traffic.go_on(100).await;
    nats.kill();
    nats.keep_copy();
    nats.restart().await;
    traffic.go_on(200).await;
    // Long enough for the relay to have stored a marker that the copy does not have.
    tokio::time::sleep(Duration::from_secs(5)).await;
    nats.kill();
    nats.rewind();
    traffic.go_on(100).await;
    nats.restart().await;
    traffic.go_on(100).await;
    traffic.finish().await;
    all_arrive(&service, &receiver, &conversations).await;
}

#[tokio::test]
async fn events_that_expired_in_the_stream_are_delivered_from_the_database() {
    let service = Service::builder().roles("api").start().await;
    let receiver = Receiver::start().await;
    let _hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..30 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    let jetstream = service.sandbox().jetstream().await;
    let name = service.sandbox().stream();
    alice.say(&conversation, "the last one").await;
    let mut stream = jetstream.get_stream(&name).await.expect("the stream");
    let mut config = stream.info().await.expect("its state").config.clone();
    config.max_messages = 2;
    jetstream
        .update_stream(config.clone())
        .await
        .expect("is changed");
    config.max_messages = -1;
    jetstream
        .update_stream(config)
        .await
        .expect("is changed back");
    let _worker = Service::builder()
        .database(&service)
        .roles("webhooks")
        .start()
        .await;
    // The newest entries are read from the log only once it is certain that no earlier entry can still be inserted.
    eventually_within(LONG, "all come", || async {
        let all = receiver.received();
        let come: HashSet<&str> = all.iter().map(|one| one.content()).collect();
        (come.len() == 31).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_deliveries_and_an_orderly_stop_repeats_none() {
    let service = Service::builder().roles("api").start().await;
    let receiver =
        Receiver::answering(|_, _| Answering::with(200).after(Duration::from_millis(5))).await;
    let hook: Hook = make(
        &service,
        json!({ "url": receiver.url(), "events": ["message.created"] }),
    )
    .await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = Service::builder().database(&service).roles("webhooks");
        workers.push(worker.start().await);
    }
    let (users, conversations) = senders(&service).await;
    let traffic = Traffic::start(&users, &conversations);
    traffic.go_on(100).await;
    workers.remove(0).stop();
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    all_arrive(&service, &receiver, &conversations).await;
    eventually("everything is settled", || async {
        let lag = hook.shown().await["lag"].clone();
        (lag["pending"] == 0 && lag["inFlight"] == 0).then_some(())
    })
    .await;
    assert_eq!(receiver.of("message.created").len(), outcome.promises.len());
}

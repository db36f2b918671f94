//! A host's durable through broker failures: the host gets every logged event.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Host, STREAM, durable, ids, service_on};
use crate::{
    faults::{Traffic, senders},
    support::{Nats, Node, Service, eventually_within},
};

/// Maximum time for everything to arrive.
const LONG: Duration = Duration::from_secs(60);

/// A host that takes its events all the time.
struct Taking {
    events: Arc<Mutex<HashMap<String, Value>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Taking {
    fn start(host: Host) -> Self {
        let events: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let taken = Arc::clone(&events);
        let task = tokio::spawn(async move {
            loop {
                for event in host.take(100).await {
                    let id = event["id"].as_str().unwrap_or_default().to_owned();
                    taken.lock().insert(id, event);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { events, task }
    }

    /// Waits until it has every message in the log of `conversations`.
    async fn has_all(&self, node: &Node, conversations: &[String]) {
        use futures_util::TryStreamExt;
        let log = node.sandbox().collection("log").await;
        let found: Vec<mongodb::bson::Document> = log
            .find(mongodb::bson::doc! {
                "conversationId": { "$in": conversations }, "type": "message.created",
            })
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
        let deadline = Instant::now() + LONG;
        loop {
            let missing = {
                let taken = self.events.lock();
                logged.iter().filter(|id| !taken.contains_key(*id)).count()
            };
            if missing == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{missing} of {} events did not arrive",
                logged.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Scenario {
    nats: Nats,
    service: Service,
    host: Host,
    taking: Taking,
    conversations: Vec<String>,
    traffic: Traffic,
}

impl Scenario {
    async fn set() -> Self {
        let nats = Nats::with_hosts(&["shop"]).await;
        let service = service_on(&nats).await;
        let wanted = json!({ "events": ["message.*"], "ackWaitSeconds": 1 });
        durable(&service, "shop", wanted).await;
        let host = Host::connect(&nats, "shop").await;
        let taking = Taking::start(host.clone());
        let (users, conversations) = senders(&service).await;
        let traffic = Traffic::start(&users, &conversations);
        Self {
            nats,
            service,
            host,
            taking,
            conversations,
            traffic,
        }
    }

    /// Waits until the host's acknowledgements are stored.
    async fn wait_marked(&self) {
        let durables = self.service.sandbox().collection("durables").await;
        let newest = || async {
            let found = durables
                .find_one(mongodb::bson::doc! { "_id": "shop" })
                .await;
            let marks = found.ok()??.get_array("marks").ok()?.last().cloned()?;
            marks.as_document()?.get_i64("sequence").ok()
        };
        let before = newest().await.unwrap_or_default();
        eventually_within(Duration::from_secs(20), "another mark is noted", || async {
            newest().await.filter(|now| *now > before)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_recreated_under_load_loses_no_event_of_a_host() {
    let scenario = Scenario::set().await;
    let jetstream = scenario.service.sandbox().jetstream().await;
    for _ in 0..2 {
        scenario.traffic.go_on(100).await;
        scenario.wait_marked().await;
        jetstream.delete_stream(STREAM).await.expect("is deleted");
        scenario.traffic.go_on(100).await;
    }
    scenario.traffic.finish().await;
    scenario
        .taking
        .has_all(&scenario.service, &scenario.conversations)
        .await;
    assert!(scenario.host.refused.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_loses_its_last_minute_loses_no_event_of_a_host() {
    let mut scenario = Scenario::set().await;
    scenario.traffic.go_on(100).await;
    scenario.nats.kill();
    scenario.nats.keep_copy();
    scenario.nats.restart().await;
    scenario.traffic.go_on(200).await;
    scenario.wait_marked().await;
    scenario.nats.kill();
    scenario.nats.rewind();
    scenario.traffic.go_on(100).await;
    scenario.nats.restart().await;
    scenario.traffic.go_on(100).await;
    scenario.traffic.finish().await;
    scenario
        .taking
        .has_all(&scenario.service, &scenario.conversations)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_missing_at_the_broker_is_recreated_at_the_hosts_position() {
    let scenario = Scenario::set().await;
    scenario.traffic.go_on(100).await;
    scenario.wait_marked().await;
    let jetstream = scenario.service.sandbox().jetstream().await;
    let stream = jetstream.get_stream(STREAM).await.expect("the stream");
    stream.delete_consumer("shop").await.expect("is deleted");
    scenario.traffic.go_on(100).await;
    scenario.traffic.finish().await;
    scenario
        .taking
        .has_all(&scenario.service, &scenario.conversations)
        .await;
}

#[tokio::test]
async fn after_a_loss_nothing_is_given_out_while_a_late_acknowledgement_may_come() {
    let nats = Nats::with_hosts(&["shop"]).await;
    let service = service_on(&nats).await;
    let wanted = json!({ "events": ["message.*"], "ackWaitSeconds": 4 });
    durable(&service, "shop", wanted).await;
    let host = Host::connect(&nats, "shop").await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    alice.say(&conversation, "before").await;
    let jetstream = service.sandbox().jetstream().await;
    jetstream.delete_stream(STREAM).await.expect("is deleted");
    alice.say(&conversation, "after").await;
    let paused = eventually_within(LONG, "the durable is there again, paused", || async {
        let shown = service.internal().get("/api/admin/consumers/shop").await;
        shown.json["lag"]["pausedForMs"].as_u64()
    })
    .await;
    assert!(paused <= 4000, "{paused}");
    let mut taken = Vec::new();
    eventually_within(LONG, "both messages come", || {
        let host = host.clone();
        async move { Some(host.take(10).await).filter(|events| !events.is_empty()) }
    })
    .await
    .into_iter()
    .for_each(|event| taken.push(event));
    while ids(&taken).len() < 2 {
        taken.extend(host.take(10).await);
    }
}

#[tokio::test]
async fn expired_events_are_republished_only_for_the_host_that_missed_them() {
    let nats = Nats::with_hosts(&["shop", "game"]).await;
    let service = service_on(&nats).await;
    for host in ["shop", "game"] {
        durable(&service, host, json!({ "events": ["message.created"] })).await;
    }
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    for n in 0..30 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    let game = Host::connect(&nats, "game").await;
    let mut by_game = Vec::new();
    while ids(&by_game).len() < 30 {
        by_game.extend(game.take(100).await);
    }
    // The position of a durable is checked on a new connection.
    let mut nats = nats;
    let jetstream = service.sandbox().jetstream().await;
    let mut stream = jetstream.get_stream(STREAM).await.expect("the stream");
    let mut config = stream.info().await.expect("its state").config.clone();
    config.max_messages = 2;
    let changed = jetstream.update_stream(config.clone()).await;
    changed.expect("is changed");
    config.max_messages = -1;
    jetstream
        .update_stream(config)
        .await
        .expect("is changed back");
    nats.restart().await;
    let shop = Host::connect(&nats, "shop").await;
    let mut by_shop = Vec::new();
    let deadline = Instant::now() + LONG;
    while ids(&by_shop).len() < 30 {
        assert!(Instant::now() < deadline, "{} came", ids(&by_shop).len());
        by_shop.extend(shop.take(100).await);
    }
    assert_eq!(ids(&by_shop), ids(&by_game));
}

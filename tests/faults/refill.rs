//! A broker that returns empty: every durable gets its unacknowledged events first and quickly, however large the history is.

use std::{
    collections::HashSet,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mongodb::bson::{Bson, DateTime, Document, Timestamp, doc};
use serde_json::{Value, json};

use crate::{
    support::{Answering, Nats, Node, Receiver, Sandbox, Service, User, eventually_within},
    webhooks::{Hook, hook},
};

/// Number of entries that all durables have acknowledged long ago.
const HISTORY: usize = 20_000;

fn seconds_ago(seconds: u64) -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    (now.as_secs() - seconds) as u32
}

/// Writes `count` entries of another conversation, like the last message of `like`, as if mongod had taken them in at `second`. Returns their ids.
async fn insert_old(place: &Sandbox, like: &str, count: usize, second: u32) -> Vec<String> {
    let log = place.collection("log").await;
    let sample: Document = log
        .find_one(doc! { "conversationId": like, "type": "message.created" })
        .await
        .expect("the log can be read")
        .expect("there is a message");
    let conversation = format!("cnv_{}", ulid::Ulid::generate().to_string().to_lowercase());
    let mut ids = Vec::new();
    for chunk in (1..=count).collect::<Vec<_>>().chunks(5000) {
        let entries: Vec<Document> = chunk
            .iter()
            .map(|seq| {
                let mut entry = sample.clone();
                let id = format!("evt_{}", ulid::Ulid::generate().to_string().to_lowercase());
                entry.insert("_id", &id);
                entry.insert("conversationId", &conversation);
                entry.insert("seq", *seq as i64);
                let ts = Timestamp {
                    time: second,
                    increment: *seq as u32,
                };
                entry.insert("ts", ts);
                entry.insert("at", DateTime::from_millis(i64::from(second) * 1000));
                let data = entry.get_document_mut("data").expect("data");
                data.remove("clientMessageId");
                data.remove("requestHash");
                ids.push(id);
                entry
            })
            .collect();
        log.insert_many(entries).await.expect("is inserted");
    }
    ids
}

/// Says that a durable had settled everything until `second` and nothing since.
async fn put_back_to(place: &Sandbox, hook: &Hook, second: u32) {
    let durables = place.collection("durables").await;
    let changed = durables
        .update_one(
            doc! { "_id": format!("webhooks-{}", hook.id) },
            doc! { "$set": {
                "settledUntil": i64::from(second) * 1000, "born": i64::from(seconds_ago(86_400)) * 1000,
            } },
        )
        .await
        .expect("is changed");
    assert_eq!(changed.matched_count, 1);
}

async fn wait_for(receiver: &Receiver, ids: &[String], patience: Duration) {
    let ids: HashSet<String> = ids.iter().cloned().collect();
    eventually_within(patience, "everything undelivered arrives", || async {
        let got: HashSet<String> = receiver
            .received()
            .iter()
            .filter(|one| one.status < 300)
            .map(|one| one.id().to_owned())
            .collect();
        ids.is_subset(&got).then_some(())
    })
    .await;
}

async fn consumer(node: &Node, hook: &Hook) -> Value {
    let status = node.internal().get("/api/status").await.expect(200);
    let name = format!("webhooks-{}", hook.id);
    let all = status["consumers"].as_array().cloned().unwrap_or_default();
    all.into_iter()
        .find(|one| one["name"] == name)
        .unwrap_or_default()
}

struct Scenario {
    nats: Nats,
    service: Service,
    receivers: Vec<Receiver>,
    hooks: Vec<Hook>,
    conversation: String,
}

impl Scenario {
    async fn set(endpoints: usize) -> (Self, User) {
        let nats = Nats::start().await;
        let service = Service::builder().nats(&nats).start().await;
        let alice = service.user("alice").await;
        let bob = service.user("bob").await;
        let conversation = service.group(&alice, &[&bob]).await;
        let (mut receivers, mut hooks) = (Vec::new(), Vec::new());
        for _ in 0..endpoints {
            let receiver = Receiver::start().await;
            hooks.push(hook(&service, &receiver, json!({})).await);
            receivers.push(receiver);
        }
        let scenario = Self {
            nats,
            service,
            receivers,
            hooks,
            conversation,
        };
        (scenario, alice)
    }

    /// Waits until both sweeps of the relay have passed the existing entries, so that a loss is detected, and entries that are inserted with an older time are
    /// ignored.
    async fn wait_swept(&self, alice: &User) {
        let relay = self.service.sandbox().collection("relay").await;
        eventually_within(Duration::from_secs(60), "the relay is there", || async {
            alice.say(&self.conversation, "tick").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let state = relay.find_one(doc! {}).await.ok()??;
            let markers = state.get_array("markers").ok()?.len();
            let is_recent = |name: &str| {
                let passed = state.get_timestamp(name).ok();
                passed.is_some_and(|passed| passed.time > seconds_ago(150))
            };
            let has_passed = is_recent("watermark") && is_recent("lateWatermark");
            (markers > 0 && has_passed).then_some(())
        })
        .await;
    }

    async fn messages_in_stream(&self) -> u64 {
        let place = self.service.sandbox();
        let jetstream = place.jetstream().await;
        let mut stream = jetstream
            .get_stream(place.stream())
            .await
            .expect("is there");
        stream.info().await.expect("answers").state.messages
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_undelivered_entries_come_first_with_any_history() {
    let (mut scenario, alice) = Scenario::set(3).await;
    let place = std::sync::Arc::clone(scenario.service.sandbox());
    alice.say(&scenario.conversation, "first").await;
    for receiver in &scenario.receivers {
        receiver.wait_taken("first").await;
    }
    scenario.wait_swept(&alice).await;
    insert_old(&place, &scenario.conversation, HISTORY, seconds_ago(10_800)).await;
    let hour = insert_old(&place, &scenario.conversation, 50, seconds_ago(2400)).await;
    let minutes = insert_old(&place, &scenario.conversation, 20, seconds_ago(900)).await;
    // One has everything, one lacks the last minutes, one the last hour.
    scenario.nats.kill();
    put_back_to(&place, &scenario.hooks[1], seconds_ago(1200)).await;
    put_back_to(&place, &scenario.hooks[2], seconds_ago(3600)).await;
    scenario.nats.lose_everything();
    alice.say(&scenario.conversation, "last").await;
    let started = Instant::now();
    scenario.nats.restart().await;
    let limit = Duration::from_secs(30);
    for receiver in &scenario.receivers {
        receiver.wait_taken("last").await;
    }
    wait_for(&scenario.receivers[1], &minutes, limit).await;
    let both = [hour, minutes].concat();
    wait_for(&scenario.receivers[2], &both, limit).await;
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
    // Entries that every consumer had acknowledged are not put back.
    assert!(scenario.messages_in_stream().await < 1000);
    let refills = place.collection("refills").await;
    eventually_within(limit, "the refills end", || async {
        (refills.count_documents(doc! {}).await.ok()? == 0).then_some(())
    })
    .await;
    eventually_within(limit, "no lag is left", || async {
        let lag = consumer(&scenario.service, &scenario.hooks[2]).await;
        (lag["pending"] == 0 && lag["toPutBack"] == 0 && lag["oldestAgeMs"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refill_continues_after_a_further_loss_and_its_lag_is_shown() {
    const UNDELIVERED: usize = 5000;
    let (mut scenario, alice) = Scenario::set(1).await;
    let place = std::sync::Arc::clone(scenario.service.sandbox());
    alice.say(&scenario.conversation, "first").await;
    scenario.receivers[0].wait_taken("first").await;
    scenario.wait_swept(&alice).await;
    let missed = insert_old(
        &place,
        &scenario.conversation,
        UNDELIVERED,
        seconds_ago(2400),
    )
    .await;
    scenario.nats.kill();
    put_back_to(&place, &scenario.hooks[0], seconds_ago(3600)).await;
    scenario.nats.lose_everything();
    scenario.nats.restart().await;
    let limit = Duration::from_secs(60);
    eventually_within(limit, "the lag is shown", || async {
        let lag = consumer(&scenario.service, &scenario.hooks[0]).await;
        let is_old = lag["oldestAgeMs"].as_u64()? > 1_000_000;
        (lag["pending"].as_u64()? > 0 && is_old).then_some(())
    })
    .await;
    // Some of it is delivered and noted; then everything is lost once more.
    let refills = place.collection("refills").await;
    let begun = eventually_within(limit, "some of it is settled", || async {
        let refill = refills.find_one(doc! {}).await.ok()??;
        let settled = refill.get_timestamp("settled").ok()?;
        (settled.time >= seconds_ago(2500) && settled.increment < UNDELIVERED as u32)
            .then_some(settled)
    })
    .await;
    scenario.nats.kill();
    let before = scenario.receivers[0].received().len();
    scenario.nats.lose_everything();
    scenario.nats.restart().await;
    wait_for(&scenario.receivers[0], &missed, limit).await;
    // Entries that were acknowledged before the second loss were not delivered again.
    let settled: HashSet<&String> = missed.iter().take(begun.increment as usize).collect();
    let received = scenario.receivers[0].received();
    let again = received[before..]
        .iter()
        .filter(|one| settled.contains(&one.id().to_owned()))
        .count();
    assert_eq!(again, 0, "of {}", settled.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_that_the_stream_lost_settles_nothing() {
    let (scenario, alice) = Scenario::set(1).await;
    let receiver = &scenario.receivers[0];
    alice.say(&scenario.conversation, "first").await;
    receiver.wait_taken("first").await;
    // From here on the position of the durable stays.
    receiver.answer(|_, _| Answering::with(500));
    alice.say(&scenario.conversation, "second").await;
    let place = scenario.service.sandbox();
    let name = format!("webhooks-{}", scenario.hooks[0].id);
    let stream = place.jetstream().await.get_stream(place.stream()).await;
    let stream = stream.expect("the stream");
    let limit = Duration::from_secs(20);
    let floor = eventually_within(limit, "the second one is pending", || async {
        let info = stream.consumer_info(&name).await.ok()?;
        let floor = info.ack_floor.stream_sequence;
        (info.num_ack_pending > 0 && floor > 0).then_some(floor)
    })
    .await;
    let passed = stream.get_raw_message(floor).await.expect("a message");
    let id = passed.headers.get("Nats-Msg-Id").expect("an id");
    let mark = doc! { "sequence": floor as i64, "id": id.as_str() };
    let relay = place.collection("relay").await;
    let seq = |marker: &Bson| {
        let marker = marker.as_document().expect("a marker");
        marker.get_i64("streamSeq").expect("a number") as u64
    };
    let mut markers = eventually_within(limit, "a marker is behind it", || async {
        let state = relay.find_one(doc! {}).await.ok()??;
        let markers = state.get_array("markers").ok()?.clone();
        (seq(markers.last()?) > floor).then_some(markers)
    })
    .await;
    // Simulates a stream that was restored to an earlier state a moment ago: the relay still knows a marker that the stream no longer has.
    let far = seconds_ago(0) + 3600;
    let lost = doc! {
        "watermark": Timestamp { time: far, increment: 1 }, "streamSeq": floor as i64, "id": "marker-lost",
    };
    let before = markers.iter().filter(|marker| seq(marker) <= floor).count();
    markers.insert(before, lost.into());
    let update = doc! { "$set": { "markers": markers } };
    relay.update_one(doc! {}, update).await.expect("is changed");
    let durables = place.collection("durables").await;
    let update = doc! { "$set": { "marks": [mark], "server": "none" } };
    let filter = doc! { "_id": &name };
    durables
        .update_one(filter.clone(), update)
        .await
        .expect("is changed");
    let settled = eventually_within(limit, "its position is stored again", || async {
        let state = durables.find_one(filter.clone()).await.ok()??;
        let is_stored = state.get_str("server").ok()? != "none";
        is_stored.then_some(state.get_i64("settledUntil").ok()?)
    })
    .await;
    assert!(settled < i64::from(far - 1800) * 1000, "{settled}");
}

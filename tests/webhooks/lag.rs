//! The lag of endpoints, as operators see it: `GET /api/status` and `/metrics`.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{hook, make, scenario};
use crate::support::{Answering, Node, Receiver, Service, eventually_within};

/// Longer than the time for which a result may be served from the cache.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A durable's part of the status; null while it is not listed.
async fn consumer(node: &Node, name: &str) -> Value {
    let status = node.internal().get("/api/status").await.expect(200);
    let all = status["consumers"].as_array().expect("NATS answers");
    let found = all.iter().find(|one| one["name"] == name);
    found.cloned().unwrap_or_default()
}

/// A durable's line of a metric.
async fn metric(node: &Node, metric: &str, durable: &str) -> Option<f64> {
    let text = metrics(node).await;
    let start = format!("{metric}{{durable=\"{durable}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(value.parse().expect("a number"))
}

async fn metrics(node: &Node) -> String {
    let url = format!("{}/metrics", node.api_url());
    let answer = reqwest::get(url).await.expect("an answer");
    answer.text().await.expect("a text")
}

#[tokio::test]
async fn the_lag_of_an_endpoint_grows_while_its_receiver_is_away_and_shrinks_when_it_is_back() {
    let service = Service::builder()
        .env("WEBHOOK_RETRY_SCHEDULE", "400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,400ms,1h")
        .start()
        .await;
    let receiver = Receiver::answering(|_, _| Answering::with(503)).await;
    let one = hook(&service, &receiver, json!({})).await;
    let name = format!("webhooks-{}", one.id);
    let began = Instant::now();
    let idle = eventually_within(TIMEOUT, "the durable is listed", || async {
        Some(consumer(&service, &name).await).filter(Value::is_object)
    })
    .await;
    assert_eq!(
        idle,
        json!({ "name": name, "pending": 0, "toPutBack": 0, "inFlight": 0, "retrying": 0, "oldestAgeMs": 0 })
    );
    let (alice, conversation) = scenario(&service).await;
    for n in 0..5 {
        alice.say(&conversation, &format!("waits {n}")).await;
    }
    let behind = eventually_within(TIMEOUT, "all five are in flight, tried again", || async {
        let lag = consumer(&service, &name).await;
        let is_behind = lag["inFlight"] == 5 && lag["retrying"].as_u64() > Some(0);
        is_behind.then_some(lag)
    })
    .await;
    let age = behind["oldestAgeMs"].as_u64().expect("an age");
    assert!(
        age > 0 && age <= began.elapsed().as_millis() as u64,
        "{behind}"
    );
    assert_eq!(
        metric(&service, "chat_durable_in_flight", &name).await,
        Some(5.0)
    );
    let later = consumer(&service, &name).await["oldestAgeMs"].as_u64();
    assert!(later > Some(age), "it grows older between two looks, too");
    receiver.answer(|_, _| Answering::with(204));
    eventually_within(TIMEOUT, "nothing is left", || async {
        (consumer(&service, &name).await == idle).then_some(())
    })
    .await;
    for family in ["pending", "in_flight", "retrying", "oldest_seconds"] {
        let name_of = format!("chat_durable_{family}");
        assert_eq!(
            metric(&service, &name_of, &name).await,
            Some(0.0),
            "{family}"
        );
    }
}

#[tokio::test]
async fn untaken_events_are_pending_and_the_most_delayed_durable_is_first() {
    let service = Service::start().await;
    let silent = make(&service, json!({ "events": ["message.created"] })).await;
    let idle = make(&service, json!({ "events": ["message.deleted"] })).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..3 {
        alice.say(&conversation, &format!("waits {n}")).await;
    }
    let name = format!("webhooks-{}", silent.id);
    let lag = eventually_within(TIMEOUT, "three are pending", || async {
        let lag = consumer(&service, &name).await;
        (lag["pending"] == 3).then_some(lag)
    })
    .await;
    assert_eq!(lag["inFlight"], 0);
    // Older events that it does not read lie in between, so the age is that of the first message.
    let oldest = Duration::from_millis(lag["oldestAgeMs"].as_u64().expect("an age"));
    assert!(oldest > Duration::ZERO && oldest < TIMEOUT, "{oldest:?}");
    let status = service.internal().get("/api/status").await.expect(200);
    assert_eq!(status["consumers"][0]["name"], name);
    // One that was removed is gone from both.
    let path = idle.path("");
    service.internal().delete(&path).await.expect(204);
    let gone = format!("webhooks-{}", idle.id);
    eventually_within(TIMEOUT, "it is not listed any more", || async {
        let is_shown = metrics(&service).await.contains(&gone);
        (consumer(&service, &gone).await.is_null() && !is_shown).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_role_reports_the_lag_and_queries_the_broker_rarely() {
    let api = Service::builder().roles("api").start().await;
    let hook = make(&api, json!({ "events": ["message.created"] })).await;
    let name = format!("webhooks-{}", hook.id);
    for roles in ["ws", "webhooks"] {
        let node = Service::builder().roles(roles).database(&api).start().await;
        let base = match roles {
            "ws" => node.ws_base(),
            _ => node.api_url().to_owned(),
        };
        let scrape = || async {
            let answer = reqwest::get(format!("{base}/metrics")).await;
            let text = answer.expect("an answer").text().await;
            text.expect("a text")
        };
        let text = scrape().await;
        assert!(
            text.contains(&format!("chat_durable_pending{{durable=\"{name}\"}} 0")),
            "{roles}: {text}"
        );
        // Constant scraping does not add requests to the broker.
        let nats = api.sandbox().nats().await;
        let asked = format!("$JS.API.CONSUMER.LIST.{}", api.sandbox().stream());
        let mut questions = nats.subscribe(asked).await.expect("can listen");
        nats.flush().await.expect("listens");
        let began = Instant::now();
        for _ in 0..50 {
            scrape().await;
        }
        let most = began.elapsed().as_secs() / 5 + 1;
        // A request of the test itself proves that the subscription sees them.
        let jetstream = api.sandbox().jetstream().await;
        let stream = jetstream.get_stream_no_info(api.sandbox().stream()).await;
        let mut own = stream.expect("the stream").consumers();
        own.next().await.expect("a consumer").expect("an answer");
        let mut count = 0;
        while let Ok(Some(_)) =
            tokio::time::timeout(Duration::from_millis(100), questions.next()).await
        {
            count += 1;
        }
        assert!(
            (1..=most + 1).contains(&count),
            "{roles}: {count} questions for 50 scrapes"
        );
    }
}

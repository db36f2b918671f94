//! Retries, dead letters, and endpoints that are slow, gone or dead.

use std::{collections::HashSet, time::Duration};

use serde_json::json;

use super::{hook, scenario};
use crate::support::{Answering, Receiver, Service, eventually};

#[tokio::test]
async fn failed_deliveries_are_retried_under_the_same_id_with_a_fresh_timestamp() {
    let service = Service::start().await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Answering::with(500).body("the database of the host is away"),
        1 => Answering::with(503),
        _ => Answering::with(200).body("thanks"),
    })
    .await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "persist").await;
    let taken = receiver.wait_taken("persist").await;
    let all = receiver.of("message.created");
    assert_eq!(all.len(), 3);
    let ids: HashSet<&str> = all.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1);
    let times: HashSet<&str> = all
        .iter()
        .map(|one| one.header("x-webhook-timestamp"))
        .collect();
    assert_eq!(times.len(), 3, "each attempt has its own");
    for one in &all {
        assert!(super::sign::verify_standard(one, &hook.secret));
    }
    let attempts = eventually("the attempts are recorded", || async {
        let attempts = hook.attempts(taken.id()).await;
        (attempts.as_array().map(Vec::len) == Some(3)).then_some(attempts)
    })
    .await;
    assert_eq!(attempts[0]["status"], 500);
    assert_eq!(attempts[0]["number"], 1);
    assert_eq!(attempts[0]["answer"], "the database of the host is away");
    assert_eq!(attempts[2]["status"], 200);
    assert_eq!(attempts[2]["number"], 3);
    assert!(attempts[2]["error"].is_null());
    let list = service
        .internal()
        .get(&hook.path("/deliveries?status=delivered"))
        .await
        .expect(200);
    assert_eq!(list["deliveries"][0]["eventId"], taken.id());
    assert_eq!(list["deliveries"][0]["attempts"], 3);
}

#[tokio::test]
async fn an_endpoint_has_a_retry_schedule_of_its_own() {
    let service = Service::builder()
        .env("WEBHOOK_RETRY_SCHEDULE", "24h,24h")
        .start()
        .await;
    let receiver = Receiver::answering(|_, _| Answering::with(500)).await;
    let patient = hook(&service, &receiver, json!({})).await;
    let brief = hook(&service, &receiver, json!({ "retrySchedule": [1] })).await;
    let once = hook(&service, &receiver, json!({ "retrySchedule": [] })).await;
    assert_eq!(brief.shown().await["retrySchedule"], json!([1]));
    assert_eq!(once.shown().await["retrySchedule"], json!([]));
    assert!(patient.shown().await["retrySchedule"].is_null());
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "lost").await;
    for (endpoint, attempts) in [(&once, 1), (&brief, 2)] {
        let letters = eventually("it is a dead letter", || async {
            let letters = endpoint.dead_letters().await;
            (letters.len() == 1).then_some(letters)
        })
        .await;
        assert_eq!(letters[0]["attempts"], attempts);
    }
    assert!(patient.dead_letters().await.is_empty());
    let host = service.internal();
    let change = json!({ "retrySchedule": null, "description": null });
    let changed = host.patch(&brief.path(""), change).await.expect(200);
    assert!(changed.get("retrySchedule").is_none() && changed.get("description").is_none());
    let change = json!({ "retrySchedule": [60.0, 1e3] });
    let changed = host.patch(&brief.path(""), change).await.expect(200);
    assert_eq!(changed["retrySchedule"], json!([60, 1000]));
}

#[tokio::test]
async fn after_the_last_retry_an_event_is_a_dead_letter_and_can_be_replayed() {
    let service = Service::start().await;
    let receiver = Receiver::answering(|_, _| Answering::with(500)).await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..3 {
        alice.say(&conversation, &format!("lost {n}")).await;
    }
    let letters = eventually("all three are dead letters", || async {
        let letters = hook.dead_letters().await;
        (letters.len() == 3).then_some(letters)
    })
    .await;
    let letter = &letters[0];
    assert_eq!(letter["reason"], "answered 500");
    assert_eq!(letter["attempts"], 4, "one and the three of the schedule");
    assert_eq!(letter["type"], "message.created");
    assert_eq!(letter["event"]["id"], letter["eventId"]);
    let before = receiver.of("message.created").len();
    assert_eq!(before, 12);
    receiver.answer(|_, _| Answering::with(200));
    let host = service.internal();
    let path = format!(
        "/api/admin/webhooks/dead-letters/{}",
        letter["id"].as_str().expect("an id")
    );
    assert_eq!(host.get(&path).await.expect(200)["id"], letter["id"]);
    host.request(reqwest::Method::POST, &format!("{path}/replay"), None)
        .await
        .expect(204);
    let content = letter["event"]["data"]["content"].as_str().expect("a text");
    let taken = receiver.wait_taken(content).await;
    assert_eq!(taken.header("webhook-id"), letter["eventId"]);
    assert!(super::sign::verify_standard(&taken, &hook.secret));
    eventually("it left the list", || async {
        (hook.dead_letters().await.len() == 2).then_some(())
    })
    .await;
    let all = "/api/admin/webhooks/dead-letters/replay";
    let replayed = host
        .post(all, json!({ "endpointId": hook.id, "limit": 1 }))
        .await
        .expect(200);
    assert_eq!(replayed["replayed"], 1);
    assert_eq!(replayed["remaining"], 1, "{replayed}");
    let rest = json!({ "endpointId": hook.id, "before": replayed["nextCursor"] });
    let replayed = host.post(all, rest).await.expect(200);
    assert_eq!(replayed, json!({ "replayed": 1, "hasMore": false }));
    eventually("the list is empty", || async {
        hook.dead_letters().await.is_empty().then_some(())
    })
    .await;
    for n in 0..3 {
        receiver.wait_taken(&format!("lost {n}")).await;
    }
}

#[tokio::test]
async fn the_environments_endpoint_has_its_own_number_of_retries() {
    let receiver = Receiver::answering(|_, _| Answering::with(500)).await;
    let service = Service::builder()
        .env("WEBHOOK_URL", &receiver.url())
        .env(
            "WEBHOOK_SECRET",
            "0123456789 a secret of the environment 0123456789",
        )
        .env("WEBHOOK_ENABLED", "true")
        .env("WEBHOOK_EVENTS", "message.created")
        .env("WEBHOOK_RETRY_ATTEMPTS", "1")
        .start()
        .await;
    let host = service.internal();
    eventually("the endpoint has its durable", || async {
        let shown = host
            .get("/api/admin/webhooks/environment")
            .await
            .expect(200);
        shown["lag"].is_object().then_some(())
    })
    .await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "lost").await;
    let page = eventually("it is a dead letter", || async {
        let page = host
            .get("/api/admin/webhooks/dead-letters")
            .await
            .expect(200);
        (!page["deadLetters"][0].is_null()).then_some(page)
    })
    .await;
    assert_eq!(page["deadLetters"][0]["attempts"], 2);
    assert_eq!(receiver.of("message.created").len(), 2);
}

#[tokio::test]
async fn an_endpoint_that_asks_to_wait_is_waited_for() {
    let service = Service::start().await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Answering::with(429).header("Retry-After", "2"),
        _ => Answering::with(200),
    })
    .await;
    let _hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "slowly").await;
    receiver.wait_taken("slowly").await;
    let all = receiver.of("message.created");
    assert_eq!(all.len(), 2);
    let pause = all[1].at - all[0].at;
    assert!(pause >= Duration::from_millis(1900), "{pause:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_gets_everything_when_it_is_enabled_again() {
    let service = Service::start().await;
    let receiver = Receiver::answering(|_, _| Answering::with(410)).await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "first").await;
    let shown = eventually("it is disabled", || async {
        let shown = hook.shown().await;
        (shown["isEnabled"] == false).then_some(shown)
    })
    .await;
    assert_eq!(shown["disabledReason"], "it answered 410 Gone");
    alice.say(&conversation, "second").await;
    receiver.answer(|_, _| Answering::with(200));
    let enable = hook.path("/enable");
    let host = service.internal();
    let shown = host
        .request(reqwest::Method::POST, &enable, None)
        .await
        .expect(200);
    assert_eq!(shown["isEnabled"], true);
    receiver.wait_taken("first").await;
    receiver.wait_taken("second").await;
    assert!(hook.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_dead_endpoint_delays_nobody_else() {
    let service = Service::builder()
        .env("WEBHOOK_TIMEOUT_MS", "2000")
        .start()
        .await;
    let silent =
        Receiver::answering(|_, _| Answering::with(200).after(Duration::from_secs(60))).await;
    let broken = Receiver::answering(|_, _| Answering::with(500)).await;
    let good = Receiver::start().await;
    let dead = hook(&service, &silent, json!({})).await;
    let _broken = hook(&service, &broken, json!({})).await;
    let unreachable = json!({ "url": "http://127.0.0.1:9/", "events": ["*"] });
    // Port 9 has no listener.
    super::make(&service, unreachable).await;
    let _good = hook(&service, &good, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    let mut slowest = Duration::ZERO;
    for n in 0..60 {
        let text = format!("message {n}");
        alice.say(&conversation, &text).await;
        let sent = std::time::Instant::now();
        let taken = good.wait_taken(&text).await;
        slowest = slowest.max(taken.at.saturating_duration_since(sent));
    }
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
    let shown = dead.shown().await;
    assert_eq!(shown["isEnabled"], true, "{shown}");
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_paused_and_probed() {
    let service = Service::builder()
        // Six times the first pause: how long it is left alone at first.
        .env(
            "WEBHOOK_RETRY_SCHEDULE",
            "300ms,300ms,300ms,300ms,300ms,300ms,300ms,300ms",
        )
        .start()
        .await;
    let receiver = Receiver::answering(|_, _| Answering::with(500)).await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..20 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    eventually("it is paused", || async {
        let shown = hook.shown().await;
        shown["lag"]["pausedForMs"].is_u64().then_some(())
    })
    .await;
    receiver.answer(|_, _| Answering::with(200));
    for n in 0..20 {
        receiver.wait_taken(&format!("message {n}")).await;
    }
    assert!(hook.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_test_event_is_delivered_and_its_outcome_recorded() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let sent = service
        .internal()
        .request(reqwest::Method::POST, &hook.path("/test"), None)
        .await
        .expect(200);
    let received = receiver.wait_for("webhook.test", 1).await.remove(0);
    assert_eq!(received.header("webhook-id"), sent["eventId"]);
    assert_eq!(received.event["data"]["webhookId"], hook.id.as_str());
    assert!(super::sign::verify_standard(&received, &hook.secret));
    eventually("it is recorded", || async {
        let attempts = hook.attempts(received.id()).await;
        (attempts[0]["status"] == 204).then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_before_an_endpoints_creation_can_be_delivered_to_it() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let since = chat_sdk::Timestamp::now();
    let (alice, conversation) = scenario(&service).await;
    for n in 0..5 {
        alice.say(&conversation, &format!("early {n}")).await;
    }
    let hook = hook(&service, &receiver, json!({})).await;
    let host = service.internal();
    // The newest entries are read only once no earlier entry can be inserted.
    eventually("all five are put in", || async {
        let put = host
            .post(&hook.path("/backfill"), json!({ "since": since }))
            .await
            .expect(200);
        (put["replayed"] == 5 && put["hasMore"] == false).then_some(())
    })
    .await;
    for n in 0..5 {
        receiver.wait_taken(&format!("early {n}")).await;
    }
    // Piece by piece it is the same five.
    let (mut body, mut count) = (json!({ "since": since, "limit": 2 }), 0);
    loop {
        let put = host
            .post(&hook.path("/backfill"), body.clone())
            .await
            .expect(200);
        count += put["replayed"].as_u64().expect("a number");
        if put["hasMore"] == false {
            break;
        }
        assert!(put["upTo"].is_string(), "{put}");
        body["after"] = put["nextCursor"].clone();
    }
    assert_eq!(count, 5);
    host.post(
        &hook.path("/backfill"),
        json!({ "since": since, "after": "yesterday" }),
    )
    .await
    .expect_error(400, "VALIDATION_ERROR");
}

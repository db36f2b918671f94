//! The admin API: refused requests, and values that are never shown.

use std::time::Duration;

use mongodb::bson::doc;
use serde_json::json;

use super::{hook, make, scenario};
use crate::support::{Answering, Receiver, Service, eventually, eventually_within, send_large};

#[tokio::test]
async fn endpoints_are_created_listed_changed_and_removed() {
    let service = Service::start().await;
    let host = service.internal();
    let receiver = Receiver::start().await;
    let one = hook(&service, &receiver, json!({ "description": "Orders" })).await;
    let other = make(&service, json!({ "events": ["*"] })).await;
    let page = host.get("/api/admin/webhooks?limit=1").await.expect(200);
    assert_eq!(
        page["webhooks"][0]["id"],
        other.id.as_str(),
        "the newest first"
    );
    assert_eq!(page["hasMore"], true);
    let cursor = page["nextCursor"].as_str().expect("a cursor");
    let page = host
        .get(&format!("/api/admin/webhooks?limit=1&before={cursor}"))
        .await
        .expect(200);
    assert_eq!(page["webhooks"][0]["id"], one.id.as_str());
    assert_eq!(page["hasMore"], false);
    let shown = one.shown().await;
    assert_eq!(shown["events"], json!(["message.created"]));
    assert_eq!(shown["description"], "Orders");
    assert_eq!(shown["isEnabled"], true);
    assert_eq!(shown["lag"]["pending"], 0);
    let changed = host
        .patch(
            &one.path(""),
            json!({ "events": ["reaction.*"], "isEnabled": false }),
        )
        .await
        .expect(200);
    assert_eq!(changed["events"], json!(["reaction.*"]));
    assert_eq!(changed["isEnabled"], false);
    assert_eq!(changed["description"], "Orders", "what is left out stays");
    host.delete(&one.path("")).await.expect(204);
    host.get(&one.path("")).await.expect_error(404, "NOT_FOUND");
    host.delete(&one.path(""))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn invalid_fields_are_named() {
    let service = Service::start().await;
    let host = service.internal();
    for (body, field) in [
        (json!({}), "events"),
        (json!({ "events": ["message.exploded"] }), "events[0]"),
        (json!({ "events": ["*", "mess.*"] }), "events[1]"),
        (
            json!({ "events": ["*"], "url": "ftp://shop.example/" }),
            "url",
        ),
        (json!({ "events": ["*"], "url": "http://10.0.0.1/" }), "url"),
        (
            json!({ "events": ["*"], "url": "http://169.254.169.254/" }),
            "url",
        ),
        (
            json!({ "events": ["*"], "url": "https://u:p@shop.example/" }),
            "url",
        ),
        (json!({ "events": ["*"], "url": "nowhere" }), "url"),
        (json!({ "events": [] }), "events"),
        (
            json!({ "events": ["*"], "url": "https://shop.example:0/" }),
            "url",
        ),
        (
            json!({ "events": ["*"], "url": " https://shop.example/" }),
            "url",
        ),
        (
            json!({ "events": ["*"], "url": "https://shop.example/ " }),
            "url",
        ),
        (
            json!({ "events": ["*"], "url": "https://shop.example/", "retrySchedule": [5, 0] }),
            "retrySchedule[1]",
        ),
        (
            json!({ "events": ["*"], "url": "https://shop.example/", "retrySchedule": [86_401] }),
            "retrySchedule[0]",
        ),
        (
            json!({ "events": ["*"], "url": "https://shop.example/", "retrySchedule": vec![1; 21] }),
            "retrySchedule",
        ),
        (
            json!({ "events": ["*"], "retrySchedule": [5] }),
            "retrySchedule",
        ),
        (json!({ "events": ["*"], "colour": "red" }), "colour"),
        (json!({ "events": ["*"], "ordered": true }), "ordered"),
        (
            json!({ "events": ["*"], "description": "x".repeat(501) }),
            "description",
        ),
    ] {
        let answer = host.post("/api/admin/webhooks", body.clone()).await;
        let error = answer.expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field, "{body}: {error}");
    }
    let ghost = "/api/admin/webhooks/whk_00000000000000000000000000";
    for (method, rest, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(json!({}))),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
        ("POST", "/test", None),
        ("POST", "/enable", None),
        (
            "POST",
            "/backfill",
            Some(json!({ "since": "2026-01-15T10:30:00.000Z" })),
        ),
        ("GET", "/deliveries", None),
        (
            "GET",
            "/deliveries/evt_00000000000000000000000000/attempts",
            None,
        ),
        ("GET", "/events", None),
        ("POST", "/events/ack", Some(json!({ "ackIds": [] }))),
    ] {
        let method = method.parse().expect("a method");
        host.request(method, &format!("{ghost}{rest}"), body)
            .await
            .expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn without_a_key_no_secret_is_stored() {
    let service = Service::builder().env("SECRETS_KEY", "").start().await;
    let error = service
        .internal()
        .post("/api/admin/webhooks", json!({ "events": ["*"] }))
        .await
        .expect_error(409, "CONFLICT");
    assert!(
        error["message"]
            .as_str()
            .expect("a text")
            .contains("SECRETS_KEY")
    );
}

#[tokio::test]
async fn without_the_plugin_the_core_runs_and_has_none_of_its_routes() {
    let service = Service::builder().env("PLUGINS", "none").start().await;
    // Without the check against the document, which has the operations of all plugins.
    let answer = reqwest::Client::new()
        .get(format!("{}/api/admin/webhooks", service.api_url()))
        .header("X-Internal-Secret", crate::support::INTERNAL_SECRET)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 404);
    let (alice, conversation) = super::scenario(&service).await;
    alice.say(&conversation, "hello").await;
}

#[tokio::test]
async fn a_secret_is_shown_once_and_is_in_no_log_and_nowhere_in_the_database() {
    let process = Service::builder().env("LOG_LEVEL", "debug").spawn().await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Answering::with(500),
        _ => Answering::with(200),
    })
    .await;
    let host = process.internal();
    let url = format!("{}?token=in-the-url-5f7a", receiver.url());
    let made = make(
        &process,
        json!({ "url": url, "events": ["message.created"] }),
    )
    .await;
    let (alice, conversation) = super::scenario(&process).await;
    alice.say(&conversation, "quite private").await;
    let received = receiver.wait_taken("quite private").await;
    assert!(received.path.ends_with("?token=in-the-url-5f7a"));
    let bare = made.secret.strip_prefix("whsec_").expect("whsec_");
    for path in [
        made.path(""),
        "/api/admin/webhooks".to_owned(),
        made.path("/deliveries"),
    ] {
        let answer = host.get(&path).await;
        assert!(!answer.text.contains(bare), "{answer}");
    }
    for name in ["webhooks_endpoints", "webhooks_deliveries"] {
        use futures_util::TryStreamExt;
        let found: Vec<mongodb::bson::Document> = eventually("there is something", || async {
            let all = process.sandbox().collection(name).await;
            let found: Vec<_> = all
                .find(mongodb::bson::doc! {})
                .await
                .ok()?
                .try_collect()
                .await
                .ok()?;
            (!found.is_empty()).then_some(found)
        })
        .await;
        assert!(!format!("{found:?}").contains(bare), "{name}");
    }
    let log = process.log();
    assert!(log.contains("answered"), "there is a log: {log}");
    for secret in [bare, "in-the-url-5f7a", "quite private"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn dead_letters_with_large_events_fill_pages() {
    const COUNT: usize = 15;
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let receiver = Receiver::answering(|_, _| Answering::with(500)).await;
    let hook = hook(&service, &receiver, json!({})).await;
    let sent = send_large(&alice, &group, COUNT).await;
    let host = service.internal();
    let path = "/api/admin/webhooks/dead-letters?limit=100";
    let read = async || {
        let (mut contents, mut pages, mut before) = (Vec::new(), 0, String::new());
        loop {
            let answer = host.get(&format!("{path}{before}")).await;
            assert!(
                answer.text.len() <= (1 << 20) + 1024,
                "{}",
                answer.text.len()
            );
            let page = answer.expect(200);
            let letters = page["deadLetters"].as_array().expect("a list");
            contents.extend(
                letters
                    .iter()
                    .map(|of| of["event"]["data"]["content"].clone()),
            );
            pages += 1;
            match page["nextCursor"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return (contents, pages),
            }
        }
    };
    let (contents, pages) =
        eventually_within(Duration::from_secs(60), "all are dead letters", || async {
            let (contents, pages) = read().await;
            (contents.len() == COUNT).then_some((contents, pages))
        })
        .await;
    assert!(pages > 1, "{pages}");
    assert!(
        sent.iter()
            .all(|message| contents.contains(&message["content"]))
    );

    // Replayed a piece at a time, all of them are.
    receiver.answer(|_, _| Answering::with(200));
    let body = json!({ "endpointId": hook.id, "since": "2020-01-01T00:00:00.000Z" });
    let all = "/api/admin/webhooks/dead-letters/replay";
    let replayed = host.post(all, body).await.expect(200);
    assert_eq!(replayed["replayed"], COUNT);
    assert_eq!(replayed["hasMore"], false);
    eventually("none is left", || async {
        read().await.0.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn patterns_that_left_the_catalogue_select_nothing_and_are_reported() {
    let service = Service::start().await;
    let (mixed, none) = (Receiver::start().await, Receiver::start().await);
    let some = hook(&service, &mixed, json!({})).await;
    let nothing = hook(&service, &none, json!({})).await;
    assert!(some.shown().await["unknownEvents"].is_null());
    // Simulates endpoints that a version with another catalogue stored.
    let stored = service.sandbox().collection("webhooks_endpoints").await;
    for (hook, events) in [
        (&some, vec!["message.exploded", "message.created"]),
        (&nothing, vec!["message.exploded", "mess.*"]),
    ] {
        let update = doc! { "$set": { "events": events }, "$inc": { "revision": 1_i64 } };
        let changed = stored.update_one(doc! { "_id": &hook.id }, update).await;
        assert_eq!(changed.expect("is changed").matched_count, 1);
    }
    assert_eq!(
        some.shown().await["unknownEvents"],
        json!(["message.exploded"])
    );
    // Changes of other fields do not fail because of them, and set up the durable anew.
    let host = service.internal();
    for hook in [&some, &nothing] {
        let change = json!({ "description": "changed" });
        host.patch(&hook.path(""), change).await.expect(200);
    }
    assert_eq!(
        nothing.shown().await["unknownEvents"],
        json!(["message.exploded", "mess.*"])
    );
    let wrong = json!({ "events": ["message.created", "message.exploded"] });
    host.patch(&some.path(""), wrong)
        .await
        .expect_error(400, "VALIDATION_ERROR");
    let (alice, conversation) = scenario(&service).await;
    let message = alice.say(&conversation, "one").await;
    let id = message["id"].as_str().expect("an id");
    let edit = json!({ "content": "two" });
    alice
        .patch(&format!("/api/messages/{id}"), edit)
        .await
        .expect(200);
    alice.say(&conversation, "last").await;
    mixed.wait_taken("last").await;
    assert_eq!(mixed.received().len(), mixed.of("message.created").len());
    eventually("the other endpoint has nothing to read", || async {
        (nothing.shown().await["lag"]["pending"] == 0).then_some(())
    })
    .await;
    assert_eq!(none.received().len(), 0);
}

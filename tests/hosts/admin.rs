//! The durables of hosts over REST.

use mongodb::bson::doc;
use serde_json::json;

use super::{Host, STREAM, durable, ids, service_on};
use crate::support::{Nats, Service, eventually};

const PATH: &str = "/api/admin/consumers";

#[tokio::test]
async fn a_durable_is_created_shown_changed_and_removed() {
    let service = Service::start().await;
    let host = service.internal();
    let made = durable(
        &service,
        "shop",
        json!({ "events": ["message.*"], "description": "orders" }),
    )
    .await;
    assert_eq!(
        (&made["name"], &made["stream"], &made["events"]),
        (
            &json!("shop"),
            &json!(service.sandbox().stream()),
            &json!(["message.*"])
        )
    );
    assert_eq!(
        (&made["ackWaitSeconds"], &made["maxPending"]),
        (&json!(30), &json!(1000))
    );
    assert_eq!(made["lag"]["pending"], 0);
    let again = host
        .post(PATH, json!({ "name": "shop", "maxPending": 7 }))
        .await
        .expect(200);
    assert_eq!(
        (&again["maxPending"], &again["events"]),
        (&json!(7), &json!(["*"]))
    );
    assert_eq!(again["createdAt"], made["createdAt"]);
    assert!(
        again.get("description").is_none(),
        "what is left out is cleared"
    );
    let stream = service.sandbox().jetstream().await;
    let stream = stream.get_stream(service.sandbox().stream()).await;
    let stream = stream.expect("the stream");
    let info = stream.consumer_info("shop").await.expect("the consumer");
    assert_eq!(info.config.max_ack_pending, 7);
    durable(&service, "game", json!({})).await;
    let list = host.get(PATH).await.expect(200);
    let names: Vec<&str> = list["consumers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["game", "shop"]);
    let piece = host.get(&format!("{PATH}?limit=1")).await.expect(200);
    assert_eq!(
        (&piece["hasMore"], &piece["nextCursor"]),
        (&json!(true), &json!("game"))
    );
    let rest = host.get(&format!("{PATH}?limit=1&after=game")).await;
    assert_eq!(rest.expect(200)["consumers"][0]["name"], "shop");
    host.delete(&format!("{PATH}/shop")).await.expect(204);
    for path in [format!("{PATH}/shop"), format!("{PATH}/Webhooks-1")] {
        host.get(&path).await.expect_error(404, "NOT_FOUND");
        host.delete(&path).await.expect_error(404, "NOT_FOUND");
    }
    assert!(stream.consumer_info("shop").await.is_err());
}

#[tokio::test]
async fn every_fault_of_a_durable_is_named() {
    let service = Service::start().await;
    let host = service.internal();
    let body = json!({
        "name": "webhooks-1", "events": ["message.exploded"], "ackWaitSeconds": 3601, "maxPending": 0,
    });
    let refused = host.post(PATH, body).await;
    let refused = refused.expect_error(400, "VALIDATION_ERROR");
    let fields: Vec<&str> = refused["details"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|fault| fault["field"].as_str())
        .collect();
    assert_eq!(
        fields,
        ["name", "events[0]", "ackWaitSeconds", "maxPending"]
    );
    for name in ["*", ">", "$JS", "a.b", "SYS", "", "me too"] {
        let refused = host.post(PATH, json!({ "name": name })).await;
        refused.expect_error(400, "VALIDATION_ERROR");
    }
    let list = host.get(PATH).await.expect(200);
    assert_eq!(list["consumers"], json!([]));
}

#[tokio::test]
async fn a_changed_filter_takes_nothing_back_and_repeats_nothing() {
    let nats = Nats::with_hosts(&["shop"]).await;
    let service = service_on(&nats).await;
    durable(&service, "shop", json!({ "events": ["message.created"] })).await;
    let shop = Host::connect(&nats, "shop").await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let message = alice.say(&conversation, "one").await;
    let first = eventually("it comes", || {
        let shop = shop.clone();
        async move { Some(shop.take(10).await).filter(|events| !events.is_empty()) }
    })
    .await;
    assert_eq!(first[0]["data"]["id"], message["id"]);
    let body = json!({ "name": "shop", "events": ["message.created", "reaction.*"] });
    service.internal().post(PATH, body).await.expect(200);
    let id = message["id"].as_str().expect("an id");
    let reaction = alice
        .post(
            &format!("/api/messages/{id}/reactions"),
            json!({ "emoji": "👍" }),
        )
        .await;
    reaction.expect(200);
    alice.say(&conversation, "two").await;
    let mut then = Vec::new();
    while ids(&then).len() < 2 {
        then.extend(shop.take(10).await);
    }
    let types: Vec<&str> = then.iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(types, ["reaction.added", "message.created"]);
    assert_eq!(then[1]["data"]["content"], "two");
    let jetstream = service.sandbox().jetstream().await;
    let stream = jetstream.get_stream(STREAM).await.expect("the stream");
    let info = stream.consumer_info("shop").await.expect("the consumer");
    assert_eq!(info.num_pending, 0);
}

#[tokio::test]
async fn event_types_that_left_the_catalogue_select_nothing_and_are_reported() {
    let service = Service::start().await;
    let path = format!("{PATH}/shop");
    let made = durable(&service, "shop", json!({ "events": ["message.*"] })).await;
    assert!(made["unknownEvents"].is_null());
    // Simulates a durable that a version with another catalogue stored.
    let stored = service.sandbox().collection("consumers").await;
    let events = vec!["message.exploded"];
    let update = doc! { "$set": { "events": events } };
    let changed = stored.update_one(doc! { "_id": "shop" }, update).await;
    assert_eq!(changed.expect("is changed").matched_count, 1);
    let shown = service.internal().get(&path).await.expect(200);
    assert_eq!(shown["unknownEvents"], json!(["message.exploded"]));
    let stream = service.sandbox().jetstream().await;
    let stream = stream.get_stream(service.sandbox().stream()).await;
    let stream = stream.expect("the stream");
    eventually("the durable reads only its replays", || async {
        let info = stream.consumer_info("shop").await.ok()?;
        let subjects = info.config.filter_subjects.join(" ") + &info.config.filter_subject;
        (!subjects.contains(".events.") && subjects.contains(".replay.")).then_some(())
    })
    .await;
}

//! Endpoints without a URL: the host takes its events.

use serde_json::json;

use super::{make, scenario};
use crate::support::{Receiver, Service};

#[tokio::test]
async fn a_host_without_a_url_takes_its_events_and_acknowledges_them() {
    let service = Service::start().await;
    let host = service.internal();
    let hook = make(&service, json!({ "events": ["message.created"] })).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..5 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let taken = host
            .get(&hook.path("/events?limit=2&waitSeconds=5"))
            .await
            .expect(200);
        let events = taken["events"].as_array().expect("a list");
        assert!(!events.is_empty() && events.len() <= 2, "{taken}");
        let acks: Vec<&str> = events
            .iter()
            .map(|event| event["ackId"].as_str().expect("a token"))
            .collect();
        seen.extend(events.iter().map(|event| {
            event["event"]["data"]["content"]
                .as_str()
                .expect("a text")
                .to_owned()
        }));
        let done = host
            .post(&hook.path("/events/ack"), json!({ "ackIds": acks }))
            .await
            .expect(200);
        assert_eq!(done["acknowledged"], acks.len());
    }
    assert_eq!(
        seen,
        [
            "message 0",
            "message 1",
            "message 2",
            "message 3",
            "message 4"
        ]
    );
    let shown = hook.shown().await;
    assert_eq!(shown["lag"]["pending"], 0);
    assert_eq!(shown["lag"]["inFlight"], 0);
    let empty = host.get(&hook.path("/events")).await.expect(200);
    assert_eq!(empty, json!({ "events": [] }));
}

#[tokio::test]
async fn one_endpoints_tokens_acknowledge_nothing_of_another() {
    let service = Service::start().await;
    let host = service.internal();
    let one = make(&service, json!({ "events": ["message.created"] })).await;
    let other = make(&service, json!({ "events": ["message.created"] })).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "hello").await;
    let taken = host
        .get(&one.path("/events?waitSeconds=5"))
        .await
        .expect(200);
    let token = taken["events"][0]["ackId"].clone();
    for tokens in [
        json!([token]),
        json!(["", "nonsense", "JEpTLkFQSS5TVFJFQU0uREVMRVRFLlg"]),
    ] {
        let done = host
            .post(&other.path("/events/ack"), json!({ "ackIds": tokens }))
            .await
            .expect(200);
        assert_eq!(done["acknowledged"], 0);
    }
    assert_eq!(one.shown().await["lag"]["inFlight"], 1);
    let receiver = Receiver::start().await;
    let push = super::hook(&service, &receiver, json!({})).await;
    host.get(&push.path("/events"))
        .await
        .expect_error(409, "CONFLICT");
}

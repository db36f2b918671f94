//! Pushes by the host's gateway for FCM and APNs.

use chat_sdk::outbound::sign::{Key, Keys};
use reqwest::Method;
use serde_json::{Value, json};

use super::{notify, service};
use crate::support::{Answering, Receiver, User, eventually, free_port, http_client, mortal};

const SECRET: &str = "7f1c9a7e5b2d4860f1e2d3c4b5a69788";
const PATH: &str = "/api/notifications/push/subscriptions";

async fn register(user: &User, platform: &str, token: &str) -> Value {
    let body = json!({ "platform": platform, "token": token });
    user.request(Method::PUT, PATH, Some(body))
        .await
        .expect(200)
}

#[tokio::test]
async fn the_gateway_gets_signed_requests_for_devices_of_other_platforms() {
    let gateway = Receiver::start().await;
    let service = service(0, "")
        .env("PUSH_GATEWAY_URL", &gateway.url())
        .env("PUSH_GATEWAY_SECRET", SECRET)
        .start()
        .await;
    let alice = service.user("alice").await;
    register(&alice, "fcm", "token-of-a-phone").await;
    notify(&service, &["alice"], json!({})).await;
    let received = eventually("the gateway is called", || async {
        gateway.received().pop()
    })
    .await;
    let body = &received.event;
    assert_eq!(
        (&body["platform"], &body["token"]),
        (&json!("fcm"), &json!("token-of-a-phone"))
    );
    assert_eq!(body["payload"]["title"], "New like");
    assert_eq!(
        (&body["ttlSeconds"], &body["urgency"]),
        (&json!(86_400), &json!("high"))
    );
    assert_eq!(received.header("x-webhook-event"), "push.send");
    let key = Key::new(SECRET);
    assert_eq!(
        received.header("x-webhook-signature"),
        key.sign_body(&received.body)
    );
    let seconds = received
        .header("webhook-timestamp")
        .parse()
        .expect("a number");
    let keys = Keys {
        newest: key,
        previous: None,
    };
    let signature = keys.sign(received.header("webhook-id"), seconds, &received.body);
    assert_eq!(received.header("webhook-signature"), signature);
}

#[tokio::test]
async fn a_token_that_the_gateway_calls_gone_is_removed_and_a_failure_is_tried_again() {
    let gateway = Receiver::answering(|body, tries| match (&body["token"], tries) {
        (Value::String(token), _) if token == "gone" => Answering::with(410),
        (_, 0) => Answering::with(500),
        _ => Answering::with(200),
    })
    .await;
    let service = service(0, "")
        .env("PUSH_GATEWAY_URL", &gateway.url())
        .env("PUSH_GATEWAY_SECRET", SECRET)
        .start()
        .await;
    let alice = service.user("alice").await;
    register(&alice, "apns", "gone").await;
    register(&alice, "apns", "failing").await;
    notify(&service, &["alice"], json!({})).await;
    eventually("the failed one is repeated under the same id", || async {
        let received = gateway.received();
        let of: Vec<_> = received
            .iter()
            .filter(|one| one.event["token"] == "failing")
            .collect();
        (of.len() == 2 && of[0].id() == of[1].id()).then_some(())
    })
    .await;
    let page = alice.get(PATH).await.expect(200);
    assert_eq!(page["subscriptions"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn the_example_gateway_sends_by_fcm_and_passes_its_answers_on() {
    let fcm = Receiver::answering(|body, _| match body["message"]["token"].as_str() {
        Some("gone") => Answering::with(404),
        _ => Answering::with(200),
    })
    .await;
    let port = free_port();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut gateway = mortal("node")
        .arg(root.join("examples/server/push-gateway.js"))
        .env("PUSH_GATEWAY_SECRET", SECRET)
        .env("PORT", port.to_string())
        .env("FCM_URL", fcm.url().trim_end_matches("/hook"))
        .env("FCM_PROJECT", "shop")
        .env("FCM_ACCESS_TOKEN", "a-token")
        .spawn()
        .expect("node starts");
    let url = format!("http://127.0.0.1:{port}/push");
    eventually("the gateway listens", || async {
        http_client().get(&url).send().await.ok().map(drop)
    })
    .await;
    let service = service(0, "")
        .env("PUSH_GATEWAY_URL", &url)
        .env("PUSH_GATEWAY_SECRET", SECRET)
        .start()
        .await;
    let alice = service.user("alice").await;
    register(&alice, "fcm", "gone").await;
    register(&alice, "fcm", "phone").await;
    notify(&service, &["alice"], json!({ "body": "Carol likes it." })).await;
    let sent = eventually("FCM gets the push", || async {
        let mut received = fcm.received().into_iter();
        received.find(|one| one.event["message"]["token"] == "phone")
    })
    .await;
    assert_eq!(sent.path, "/v1/projects/shop/messages:send");
    assert_eq!(sent.header("authorization"), "Bearer a-token");
    let message = &sent.event["message"];
    assert_eq!(
        message["notification"],
        json!({ "title": "New like", "body": "Carol likes it." })
    );
    assert_eq!(message["android"]["ttl"], "86400s");
    eventually("the device that is gone is removed", || async {
        let page = alice.get(PATH).await.expect(200);
        (page["subscriptions"].as_array()?.len() == 1).then_some(())
    })
    .await;
    // An unsigned request is refused.
    let answer = reqwest::Client::new()
        .post(&url)
        .body("{}")
        .header("content-type", "application/json");
    assert_eq!(answer.send().await.expect("an answer").status(), 401);
    let _ = gateway.kill();
    let _ = gateway.wait();
}

#[tokio::test]
async fn without_a_gateway_other_platforms_are_refused() {
    let service = service(0, "").start().await;
    let alice = service.user("alice").await;
    let body = json!({ "platform": "fcm", "token": "x" });
    let answer = alice.request(Method::PUT, PATH, Some(body)).await;
    answer.expect_error(409, "CONFLICT");
    let off = super::service(0, "")
        .env("PUSH_ENABLED", "false")
        .start()
        .await;
    let bob = off.user("bob").await;
    bob.get("/api/notifications/push/key")
        .await
        .expect_error(409, "CONFLICT");
    bob.get(PATH).await.expect_error(409, "CONFLICT");
}

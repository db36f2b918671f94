//! Addresses that deliveries may reach.

use serde_json::json;

use super::{hook, make, scenario};
use crate::support::{Answering, Nats, Receiver, Service, eventually};

#[tokio::test]
async fn in_production_private_addresses_are_refused_however_they_are_written() {
    // Its stream is as large as a real one: a server of its own.
    let nats = Nats::start().await;
    let service = Service::builder()
        .nats(&nats)
        .env("APP_ENV", "production")
        .env("ALLOWED_ORIGINS", "https://shop.example")
        .start()
        .await;
    let host = service.internal();
    for url in [
        "http://127.0.0.1:3000/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/",
        "http://10.1.2.3/",
        "http://100.64.0.1/",
        "http://[fc00::1]/",
        "http://[fe80::1%eth0]/",
        "http://0.0.0.0/",
        "http://shop.example@10.0.0.1/",
        "http://127。0。0。1/",
        "http://localhost/",
        "file:///etc/passwd",
        "gopher://shop.example/",
    ] {
        let error = host
            .post(
                "/api/admin/webhooks",
                json!({ "url": url, "events": ["*"] }),
            )
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], "url", "{url}: {error}");
    }
}

#[tokio::test]
async fn addresses_are_checked_again_when_dialling() {
    let nats = Nats::start().await;
    let lenient = Service::builder().nats(&nats).roles("api").start().await;
    let receiver = Receiver::start().await;
    let hook = hook(&lenient, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&lenient).await;
    alice.say(&conversation, "into the house").await;
    let strict = Service::builder()
        .database(&lenient)
        .roles("api,webhooks")
        .env("APP_ENV", "production")
        .env("ALLOWED_ORIGINS", "https://shop.example");
    lenient.stop();
    let strict = strict.start().await;
    let path = format!("/api/admin/webhooks/dead-letters?endpointId={}", hook.id);
    let letters = eventually("it is a dead letter", || async {
        let page = strict.internal().get(&path).await.expect(200);
        let letters = page["deadLetters"].as_array().expect("a list").clone();
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    let reason = letters[0]["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("private, loopback or link-local"),
        "{reason}"
    );
    assert!(receiver.received().is_empty(), "nothing was dialled");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let service = Service::start().await;
    let target = Receiver::start().await;
    let location = target.url();
    let receiver =
        Receiver::answering(move |_, _| Answering::with(307).header("Location", &location)).await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "elsewhere").await;
    let letters = eventually("it is a dead letter", || async {
        let letters = hook.dead_letters().await;
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert_eq!(
        letters[0]["reason"],
        "answered 307; redirects are not followed"
    );
    assert!(target.received().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_its_status_counts() {
    let service = Service::start().await;
    let endless = "x".repeat(4 << 20);
    let receiver = Receiver::answering(move |_, _| Answering::with(200).body(&endless)).await;
    let hook = make(
        &service,
        json!({ "url": receiver.url(), "events": ["message.created"] }),
    )
    .await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "much").await;
    let received = receiver.wait_taken("much").await;
    let attempts = eventually("it is recorded", || async {
        let attempts = hook.attempts(received.id()).await;
        attempts.is_array().then_some(attempts)
    })
    .await;
    assert_eq!(attempts[0]["status"], 200);
    assert_eq!(attempts[0]["answer"].as_str().map(str::len), Some(1024));
    assert_eq!(receiver.of("message.created").len(), 1);
}

//! Hooks in other processes: over NATS with the rights of `nats/`, and over HTTP with signed requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{Answering, Nats, Node, Receiver, Service, eventually, eventually_within};

/// A key for stored secrets.
const SECRETS_KEY: &str = "c1f0a3b5d7e90812345678901a2b3c4d";

/// A service on a broker with plugins.
pub async fn service_on(nats: &Nats) -> Service {
    Service::builder()
        .nats(nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_COMMAND_HOSTS", "words")
        .env("SECRETS_KEY", SECRETS_KEY)
        .start()
        .await
}

/// Registers a plugin, and waits until this process asks it.
pub async fn register(service: &Node, body: Value) -> Value {
    let path = "/api/admin/plugins";
    service.internal().post(path, body).await.expect(201)
}

/// An instance of the plugin `words` that answers every request with `answer`, or not at all.
pub async fn instance(nats: &Nats, answer: Option<&'static str>) -> (Client, Arc<AtomicUsize>) {
    let (client, count, _) = instance_that_says(nats, answer).await;
    (client, count)
}

/// An instance whose answer can be changed.
async fn instance_that_says(
    nats: &Nats,
    answer: Option<&'static str>,
) -> (Client, Arc<AtomicUsize>, Arc<Mutex<Option<&'static str>>>) {
    let options =
        ConnectOptions::with_user_and_password("words".to_owned(), nats.host_password().to_owned());
    let client = options.connect(nats.address()).await.expect("a login");
    let subject = "chat.hook.words".to_owned();
    let mut requests = client
        .queue_subscribe(subject, "instances".to_owned())
        .await
        .expect("may subscribe");
    client.flush().await.expect("the subscription is known");
    let count = Arc::new(AtomicUsize::new(0));
    let answer = Arc::new(Mutex::new(answer));
    let (own, counted) = (client.clone(), Arc::clone(&count));
    let says = Arc::clone(&answer);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = *says.lock();
            if let (Some(answer), Some(reply)) = (answer, request.reply) {
                let _ = own.publish(reply, answer.into()).await;
            }
        }
    });
    (client, count, answer)
}

#[tokio::test]
async fn a_plugin_on_nats_is_registered_asked_changed_and_deleted() {
    let nats = Nats::with_plugins(&["words"]).await;
    let service = service_on(&nats).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    let refuse = r#"{"action":"refuse","code":"NO","reason":"Not today."}"#;
    let (_one, first) = instance(&nats, Some(refuse)).await;
    let (_two, second) = instance(&nats, Some(refuse)).await;
    let body = json!({ "name": "words", "points": ["message.before_send"], "timeoutMs": 2000 });
    register(&service, body.clone()).await;
    eventually("the hook is asked", || async {
        let answer = alice.post(&path, json!({ "content": "hello" })).await;
        (answer.status == 403).then_some(())
    })
    .await;
    for _ in 0..20 {
        let answer = alice.post(&path, json!({ "content": "hello" })).await;
        let error = answer.expect_error(403, "FORBIDDEN");
        assert_eq!(error["message"], "Not today.");
        assert_eq!(error["details"][0]["message"], "NO");
    }
    let counts = [&first, &second].map(|count| count.load(Ordering::SeqCst));
    assert!(
        counts.iter().all(|count| *count > 0),
        "they share: {counts:?}"
    );
    let host = service.internal();
    let shown = host.get("/api/admin/plugins/words").await.expect(200);
    assert_eq!(shown["isAnswering"], true);
    let mut changed = body;
    changed["shadow"] = json!(true);
    host.post("/api/admin/plugins", changed).await.expect(200);
    eventually("it decides nothing", || async {
        let answer = alice.post(&path, json!({ "content": "hello" })).await;
        (answer.status == 201).then_some(())
    })
    .await;
    host.delete("/api/admin/plugins/words").await.expect(204);
    host.get("/api/admin/plugins/words")
        .await
        .expect_error(404, "NOT_FOUND");
    let all = host.get("/api/admin/plugins").await.expect(200);
    assert_eq!(all["plugins"], json!([]));
}

#[tokio::test]
async fn answers_other_than_the_documented_ones_are_faults() {
    let nats = Nats::with_plugins(&["words"]).await;
    let service = service_on(&nats).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({
        "name": "words", "points": ["message.before_send"], "timeoutMs": 2000, "failure": "closed",
    });
    register(&service, body).await;
    eventually("without an instance nothing passes", || async {
        let answer = alice.post(&path, json!({ "content": "hello" })).await;
        (answer.status == 503).then_some(())
    })
    .await;
    let pass = r#"{"action":"pass"}"#;
    let (_client, count, says) = instance_that_says(&nats, Some(pass)).await;
    let send = async || alice.post(&path, json!({ "content": "hello" })).await;
    // A success between two faults, so that the hook is never left alone.
    let it_passes = async || {
        eventually_within(Duration::from_secs(60), "it serves", async || {
            (send().await.status == 201).then_some(())
        })
        .await;
    };
    for answer in [
        "",
        "{}",
        "null",
        "<html>",
        "{\"action\":",
        r#"{"action":"allow"}"#,
        r#"{"action":"pass","x":1}"#,
        r#"{"action":"change","data":{"seq":7}}"#,
        r#"{"action":"change","data":{"name":"x"}}"#,
    ] {
        it_passes().await;
        let before = count.load(Ordering::SeqCst);
        *says.lock() = Some(answer);
        assert_eq!(send().await.status, 503, "{answer}");
        assert_eq!(count.load(Ordering::SeqCst), before + 1, "{answer}");
        *says.lock() = Some(pass);
    }
    it_passes().await;
}

#[tokio::test]
async fn a_silent_plugin_that_fails_open_delays_messages_by_its_limit_at_most() {
    let nats = Nats::with_plugins(&["words"]).await;
    let service = service_on(&nats).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let (_client, count) = instance(&nats, None).await;
    let body = json!({ "name": "words", "points": ["message.before_send"], "timeoutMs": 300 });
    register(&service, body).await;
    let mut slowest = Duration::ZERO;
    eventually("it is asked", || async {
        alice.say(&conversation, "hello").await;
        (count.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    for n in 0..10 {
        let began = Instant::now();
        alice.say(&conversation, &format!("{n}")).await;
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
}

#[tokio::test]
async fn a_plugin_may_answer_its_own_requests_only() {
    let nats = Nats::with_plugins(&["words", "other"]).await;
    let refused = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&refused);
    let options =
        ConnectOptions::with_user_and_password("words".to_owned(), nats.host_password().to_owned())
            .event_callback(move |event| {
                let seen = Arc::clone(&seen);
                async move {
                    if let async_nats::Event::ServerError(error) = event {
                        seen.lock().push(error.to_string().to_lowercase());
                    }
                }
            });
    let client = options.connect(nats.address()).await.expect("a login");
    for subject in [
        "chat.hook.words",
        "chat.hook.other",
        "chat.events.s00.message.created",
        "chat.cmd.x",
        "_INBOX.guess",
    ] {
        client.publish(subject, "{}".into()).await.expect("leaves");
        client.flush().await.expect("arrives");
        eventually("it is refused", || async {
            let wanted = format!("publish to \"{}\"", subject.to_lowercase());
            let refused = refused.lock();
            refused
                .iter()
                .any(|text| text.contains(&wanted))
                .then_some(())
        })
        .await;
    }
    for subject in ["chat.hook.other", "chat.hook.>", "chat.cmd.>"] {
        let _subscription = client.subscribe(subject).await.expect("leaves");
        client.flush().await.expect("arrives");
        eventually("it is refused", || async {
            let wanted = format!("subscription to \"{subject}\"");
            let refused = refused.lock();
            refused
                .iter()
                .any(|text| text.contains(&wanted))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_hook_over_http_gets_signed_requests_and_decides() {
    let service = Service::builder()
        .env("SECRETS_KEY", SECRETS_KEY)
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.answer(|request, _| {
        let content = request["data"]["content"].as_str().unwrap_or_default();
        let verdict = match content {
            "refuse" => json!({ "action": "refuse", "code": "NO", "reason": "Not today." }),
            "change" => json!({ "action": "change", "data": { "content": "changed" } }),
            _ => json!({ "action": "pass" }),
        };
        Answering::with(200).body(&verdict.to_string())
    });
    let body = json!({
        "name": "words", "points": ["message.before_send"], "url": receiver.url(), "timeoutMs": 3000,
    });
    let plugin = register(&service, body).await;
    let secret = plugin["secret"].as_str().expect("a secret");
    assert!(secret.starts_with("whsec_"));
    let host = service.internal();
    let shown = host.get("/api/admin/plugins/words").await.expect(200);
    assert_eq!(
        (&shown["secret"], &shown["isAnswering"]),
        (&json!(null), &json!(true))
    );
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    eventually("the hook is asked", || async {
        let answer = alice.post(&path, json!({ "content": "refuse" })).await;
        (answer.status == 403).then_some(())
    })
    .await;
    let changed = alice
        .post(&path, json!({ "content": "change" }))
        .await
        .expect(201);
    assert_eq!(changed["content"], "changed");
    // Probes come in between.
    let received = receiver.received().into_iter();
    let asked = received.filter(|one| one.header("x-webhook-event") != "probe");
    let request = asked.last().expect("a request");
    assert_eq!(request.event["point"], "message.before_send");
    assert_eq!(request.event["actorId"], "alice");
    assert_eq!(request.event["conversationType"], "group");
    assert_eq!(request.header("x-webhook-event"), "message.before_send");
    let key = chat_sdk::outbound::sign::Key::new(secret);
    assert_eq!(
        request.header("x-webhook-signature"),
        key.sign_body(&request.body)
    );
    for status in [204, 302, 500] {
        receiver.answer(move |_, _| {
            Answering::with(status).body(r#"{"action":"refuse","code":"NO","reason":"x"}"#)
        });
        alice
            .say(&conversation, "a fault of the hook, which fails open")
            .await;
    }
}

#[tokio::test]
async fn invalid_registrations_are_refused() {
    // Without a key no secret can be stored.
    let service = Service::builder()
        .env("PLUGINS", "none")
        .env("SECRETS_KEY", "")
        .start()
        .await;
    let host = service.internal();
    let path = "/api/admin/plugins";
    for (body, field) in [
        (
            json!({ "name": "A", "points": ["message.before_send"] }),
            "name",
        ),
        (json!({ "name": "a", "points": [] }), "points"),
        (
            json!({ "name": "a", "points": ["message.before_send"], "timeoutMs": 0 }),
            "timeoutMs",
        ),
        (
            json!({ "name": "a", "points": ["message.before_send"], "url": "ftp://x" }),
            "url",
        ),
    ] {
        let error = host
            .post(path, body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
    let body =
        json!({ "name": "a", "points": ["message.before_send"], "url": "https://shop.example/" });
    host.post(path, body).await.expect_error(409, "CONFLICT");
    let alice = service.user("alice").await;
    alice.get(path).await.expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_configuration_declares_hooks_that_cannot_be_changed_at_run_time() {
    let nats = Nats::with_plugins(&["words"]).await;
    let service = Service::builder()
        .nats(&nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .toml("[hooks.words]\npoints = [\"message.before_send\"]\nfailure = \"closed\"\ntimeout_ms = 500\n")
        .start()
        .await;
    let host = service.internal();
    let all = host.get("/api/admin/plugins").await.expect(200);
    assert_eq!(all["plugins"][0]["name"], "words");
    assert_eq!(all["plugins"][0]["failure"], "closed");
    let body = json!({ "name": "words", "points": ["message.before_send"] });
    host.post("/api/admin/plugins", body)
        .await
        .expect_error(409, "CONFLICT");
    host.delete("/api/admin/plugins/words")
        .await
        .expect_error(409, "CONFLICT");
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    eventually("nothing passes without the plugin", || async {
        let answer = alice.post(&path, json!({ "content": "hello" })).await;
        (answer.status == 503).then_some(())
    })
    .await;
}

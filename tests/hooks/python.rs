//! The plugin of `examples/plugin-python`: a word filter and a bot; killed and frozen while messages are sent.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use super::remote::{register, service_on};
use crate::support::{Nats, Service, User, eventually_within, mortal, signal};

/// Maximum time for the plugin to start on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A running instance; killed with its handle.
struct Plugin {
    child: Child,
    folder: tempfile::TempDir,
}

impl Plugin {
    async fn start(nats: &Nats) -> Self {
        let libraries = std::env::var("TEST_HOST_PYTHON").expect("./dev test brings them");
        let folder = tempfile::tempdir().expect("a folder");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugin-python/plugin.py");
        let child = mortal("python3")
            .arg(source)
            .env("PYTHONPATH", libraries)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NATS_URL", nats.address())
            .env("PLUGIN_PASSWORD", nats.host_password())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("python3 starts");
        let plugin = Self { child, folder };
        eventually_within(LONG, "the plugin is ready", || async {
            plugin.log().contains("ready").then_some(())
        })
        .await;
        plugin
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn set_up(nats: &Nats, failure: &str) -> (Service, User, String) {
    let service = service_on(nats).await;
    let consumer = json!({ "name": "words", "events": ["message.created"] });
    service
        .internal()
        .post("/api/admin/consumers", consumer)
        .await
        .expect(201);
    let body = json!({
        "name": "words", "points": ["message.before_send", "message.before_edit"], "timeoutMs": 1500,
        "failure": failure, "bots": ["words-bot"],
    });
    register(&service, body).await;
    let alice = service.user("alice").await;
    let bot = service.user("words-bot").await;
    let conversation = service.group(&alice, &[&bot]).await;
    (service, alice, conversation)
}

async fn is_filtering(alice: &User, conversation: &str) {
    let path = format!("/api/conversations/{conversation}/messages");
    eventually_within(LONG, "the filter works", || async {
        let answer = alice.post(&path, json!({ "content": "free money" })).await;
        (answer.status == 403).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_word_filter_changes_holds_and_refuses_and_the_bot_answers() {
    let nats = Nats::with_plugins(&["words"]).await;
    let (service, alice, conversation) = set_up(&nats, "closed").await;
    let plugin = Plugin::start(&nats).await;
    is_filtering(&alice, &conversation).await;
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": "What the heck", "metadata": { "order": 7 } });
    let changed = alice.post_repeating(&path, body).await.expect(201);
    assert_eq!(changed["content"], "What the ****");
    assert_eq!(changed["metadata"], json!({ "order": 7 }));
    let body = json!({ "content": "see https://shop.example", "clientMessageId": "c-1" });
    let held = alice.post_repeating(&path, body).await.expect(201);
    assert_eq!(held["isHeld"], true);
    let error = alice
        .post_repeating(&path, json!({ "content": "Free Money" }))
        .await;
    let error = error.expect_error(403, "FORBIDDEN");
    assert_eq!(error["message"], "This looks like an advertisement.");
    let edit = format!("/api/messages/{}", changed["id"].as_str().expect("an id"));
    let edited = alice
        .patch(&edit, json!({ "content": "darn" }))
        .await
        .expect(200);
    assert_eq!(edited["content"], "****");
    let release = format!("/api/held/{}/release", held["id"].as_str().expect("an id"));
    service
        .internal()
        .post(&release, json!(null))
        .await
        .expect(200);

    let mut socket = alice.connect().await;
    alice
        .post_repeating(&path, json!({ "content": "!ping" }))
        .await
        .expect(201);
    let answer = socket
        .find_within(LONG, "the bot answers", |frame| {
            frame["data"]["senderId"] == "words-bot"
        })
        .await;
    assert_eq!(answer["data"]["content"], "pong, alice");
    assert!(!plugin.log().contains("hook:"), "{}", plugin.log());
}

#[tokio::test]
async fn sends_go_on_by_the_policy_while_the_plugin_is_killed_and_frozen() {
    let nats = Nats::with_plugins(&["words"]).await;
    let (_service, alice, conversation) = set_up(&nats, "open").await;
    let mut plugin = Plugin::start(&nats).await;
    is_filtering(&alice, &conversation).await;
    // Each kind of failure in the middle of fifty sends.
    for kind in ["killed", "frozen"] {
        let began = Instant::now();
        let sends = (0..50_u64).map(|n| {
            let (alice, conversation) = (alice.clone(), conversation.clone());
            async move {
                tokio::time::sleep(Duration::from_millis(n * 20)).await;
                let began = Instant::now();
                alice.say(&conversation, &format!("{kind} {n}")).await;
                began.elapsed()
            }
        });
        let fail = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if kind == "killed" {
                plugin.child.kill().expect("is killed");
            } else {
                signal(&plugin.child, Signal::STOP);
            }
        };
        let (times, ()) = tokio::join!(join_all(sends), fail);
        let slowest = times.iter().max().copied().unwrap_or_default();
        // The time limit is 1.5 s; the rest is for a busy machine.
        assert!(
            slowest < Duration::from_millis(1500) + Duration::from_secs(4),
            "{kind}: {slowest:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(30), "{kind}");
        if kind == "killed" {
            plugin = Plugin::start(&nats).await;
        } else {
            signal(&plugin.child, Signal::CONT);
        }
        is_filtering(&alice, &conversation).await;
    }
}

#[tokio::test]
async fn after_sigterm_the_next_start_continues_at_the_position_of_the_durable() {
    let nats = Nats::with_plugins(&["words"]).await;
    let (_service, alice, conversation) = set_up(&nats, "open").await;
    let mut plugin = Plugin::start(&nats).await;
    is_filtering(&alice, &conversation).await;
    signal(&plugin.child, Signal::TERM);
    signal(&plugin.child, Signal::TERM);
    let child = &mut plugin.child;
    eventually_within(LONG, "it ends", || {
        let ended = child.try_wait().expect("a child");
        async move { ended.map(drop) }
    })
    .await;
    let mut socket = alice.connect().await;
    alice.say(&conversation, "!ping").await;
    let _next = Plugin::start(&nats).await;
    let answer = socket
        .find_within(LONG, "the bot answers", |frame| {
            frame["data"]["senderId"] == "words-bot"
        })
        .await;
    assert_eq!(answer["data"]["content"], "pong, alice");
}

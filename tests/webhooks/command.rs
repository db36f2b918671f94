//! `chat-service webhooks`: the real binary against a running service.

use std::process::Command;

use serde_json::{Value, json};

use super::{hook, scenario};
use crate::support::{Answering, INTERNAL_SECRET, Node, Receiver, Service, eventually};

/// The output of the command.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{} {}", self.out, self.err);
        self.out
    }
}

/// Runs `chat-service webhooks` as an operator would: with the internal secret and nothing else.
async fn webhooks(url: &str, args: &[&str]) -> Said {
    webhooks_as(INTERNAL_SECRET, url, args).await
}

async fn webhooks_as(secret: &str, url: &str, args: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
    command
        .env_clear()
        .env("INTERNAL_API_SECRET", secret)
        .current_dir(folder.path())
        .args(["webhooks", "--url", url])
        .args(args);
    // The receiver uses this runtime, so it must keep running while the command runs.
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it runs")
        .expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

async fn json_of(node: &Node, args: &[&str]) -> Value {
    let args = [args, &["--json"]].concat();
    serde_json::from_str(&webhooks(node.api_url(), &args).await.ok()).expect("JSON")
}

#[tokio::test]
async fn one_command_lists_and_replays_dead_letters() {
    let service = Service::start().await;
    let url = service.api_url();
    let receiver = Receiver::answering(|_, _| Answering::with(500).body("down\u{7}")).await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    for n in 0..3 {
        alice.say(&conversation, &format!("lost {n}")).await;
    }
    eventually("all three are dead letters", || async {
        (hook.dead_letters().await.len() == 3).then_some(())
    })
    .await;

    let list = webhooks(url, &["dead-letters"]).await.ok();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    for name in ["LETTER", "ENDPOINT", "REASON"] {
        assert!(lines[0].contains(name), "{list}");
    }
    for line in &lines[1..] {
        assert!(
            line.contains(&hook.id) && line.ends_with("answered 500"),
            "{list}"
        );
    }
    let letter = lines[1].split(' ').next().expect("an id").to_owned();
    let whole = webhooks(url, &["dead-letters", &letter]).await.ok();
    let whole: Value = serde_json::from_str(&whole).expect("JSON");
    let content = whole["event"]["data"]["content"].as_str();
    assert!(
        content.is_some_and(|content| content.starts_with("lost ")),
        "{whole}"
    );
    let event = whole["eventId"].as_str().expect("an id").to_owned();

    eventually("the attempts are recorded", || async {
        let page = json_of(&service, &["deliveries", &hook.id, "--status", "dead"]).await;
        (page.as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;
    let attempts = webhooks(url, &["attempts", &hook.id, &event]).await.ok();
    assert_eq!(
        attempts.lines().count(),
        5,
        "one and three retries: {attempts}"
    );
    assert!(attempts.contains("answered 500"), "{attempts}");
    assert!(!attempts.contains('\u{7}'), "no bell is rung: {attempts}");

    // While the receiver is broken the command says so, and by its exit code.
    let still = webhooks(url, &["replay", "--endpoint", &hook.id, "--wait", "1"]).await;
    assert_eq!(still.code, Some(1), "{}", still.out);
    assert!(
        still
            .err
            .contains("3 of the dead letters were not delivered"),
        "{}",
        still.err
    );

    receiver.answer(|_, _| Answering::with(200));
    let replayed = webhooks(url, &["replay", "--endpoint", &hook.id, "--wait", "30"]).await;
    assert!(
        replayed.err.contains("replayed: 3 of 3"),
        "{}",
        replayed.err
    );
    assert_eq!(replayed.ok(), "3 dead letters were delivered\n");
    for n in 0..3 {
        receiver.wait_taken(&format!("lost {n}")).await;
    }
    assert_eq!(webhooks(url, &["dead-letters"]).await.ok(), "none\n");
    assert_eq!(
        webhooks(url, &["replay", "--all"]).await.ok(),
        "no dead letters match\n"
    );
}

#[tokio::test]
async fn endpoints_are_listed_tested_enabled_and_filled_from_the_log() {
    let service = Service::start().await;
    let url = service.api_url();
    let (alice, conversation) = scenario(&service).await;
    for n in 0..5 {
        alice.say(&conversation, &format!("before {n}")).await;
    }
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let list = webhooks(url, &["list"]).await.ok();
    let row = list.lines().nth(1).expect("a row");
    assert!(
        row.starts_with(&hook.id) && row.contains(" enabled "),
        "{list}"
    );
    assert!(row.contains(&receiver.url()), "{list}");

    let test = webhooks(url, &["test", &hook.id]).await.ok();
    assert!(
        test.starts_with("event evt_") && test.contains("204"),
        "{test}"
    );
    receiver.wait_for("webhook.test", 1).await;

    let said = webhooks(
        url,
        &["backfill", &hook.id, "--since", "2020-01-01T00:00:00.000Z"],
    )
    .await;
    assert!(said.err.contains("seconds of the log: "), "{}", said.err);
    // The newest seconds of the log cannot be read yet; their events were delivered live, or are read by the next backfill.
    let count: usize = said
        .out
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!(count <= 5, "{}", said.out);
    eventually("everything is in the reach of a backfill", || async {
        let args = ["backfill", &hook.id, "--since", "2020-01-01T00:00:00Z"];
        (json_of(&service, &args).await["replayed"] == 5).then_some(())
    })
    .await;
    for n in 0..5 {
        receiver.wait_taken(&format!("before {n}")).await;
    }

    receiver.answer(|_, _| Answering::with(410));
    alice.say(&conversation, "gone").await;
    eventually("the list says why it is disabled", || async {
        let list = webhooks(url, &["list"]).await.ok();
        list.contains("disabled: it answered 410 Gone")
            .then_some(())
    })
    .await;
    let refused = webhooks(url, &["test", &hook.id]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.starts_with("409: The endpoint is disabled"),
        "{}",
        refused.err
    );
    receiver.answer(|_, _| Answering::with(200));
    let enabled = webhooks(url, &["enable", &hook.id]).await.ok();
    assert!(enabled.contains(" enabled "), "{enabled}");
    receiver.wait_taken("gone").await;
}

#[tokio::test]
async fn errors_are_one_line_and_an_exit_code() {
    let service = Service::start().await;
    let url = service.api_url();
    let missing = webhooks(url, &["deliveries", "whk_../../users"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(
        missing
            .err
            .starts_with("404: There is no such webhook endpoint."),
        "{}",
        missing.err
    );
    let secret = "a9c4e1d27b5f38069e1c7a4d2b8f5036";
    let wrong = webhooks_as(secret, url, &["list"]).await;
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong
            .err
            .contains("INTERNAL_API_SECRET differs from the one of"),
        "{}",
        wrong.err
    );
    assert!(
        !wrong.err.contains(secret),
        "no secret is told: {}",
        wrong.err
    );
    let weak = webhooks_as("short", url, &["list"]).await;
    assert_eq!(weak.code, Some(78), "{}", weak.err);
    assert!(
        weak.err.starts_with("INTERNAL_API_SECRET: "),
        "{}",
        weak.err
    );
    let nobody = webhooks("http://127.0.0.1:1", &["list"]).await;
    assert_eq!(nobody.code, Some(69), "{}", nobody.err);
    assert!(
        nobody
            .err
            .contains("did not respond; check that the service runs"),
        "{}",
        nobody.err
    );
    let which = webhooks(url, &["replay"]).await;
    assert_eq!(
        which.code,
        Some(2),
        "all of them only when it is said: {}",
        which.err
    );
    let since = webhooks(url, &["dead-letters", "--since", "yesterday"]).await;
    assert_eq!(since.code, Some(1), "{}", since.err);
    assert!(since.err.contains("since"), "{}", since.err);
    let bare = Service::builder().env("PLUGINS", "none").start().await;
    let bare = webhooks(bare.api_url(), &["list"]).await;
    assert_eq!(bare.code, Some(1));
    assert!(
        bare.err.contains("check that its PLUGINS include webhooks"),
        "{}",
        bare.err
    );
}

//! `chat-bench webhooks`: it works, cleans up, and says how the service must be started.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{INTERNAL_SECRET, JWT_SECRET, Nats, Node, Service};

/// Runs the bench. Returns its exit code, what it printed, and its results.
async fn bench(node: &Node, args: &[&str]) -> (Option<i32>, String, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("results.json");
    // `./dev test` builds every program of the workspace into one folder.
    let program = Path::new(env!("CARGO_BIN_EXE_chat-service")).with_file_name("chat-bench");
    let mut command = Command::new(program);
    command
        .args(["webhooks", "--secs", "1", "--warmup", "0", "--convs", "5"])
        .args(args)
        .arg("--json")
        .arg(&results)
        .env_clear()
        .env("AUTH_JWT_SECRET", JWT_SECRET)
        .env("INTERNAL_API_SECRET", INTERNAL_SECRET)
        .env("CHAT_BENCH_API_URLS", node.api_url())
        .current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it runs")
        .expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let results = std::fs::read(&results).unwrap_or_default();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
        serde_json::from_slice(&results).unwrap_or_default(),
    )
}

#[tokio::test]
async fn the_bench_measures_what_arrives_and_leaves_nothing_behind() {
    let service = Service::start().await;
    let (code, said, results) = bench(&service, &["--inflight", "8"]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "commit to receipt",
        "due to receipt",
        "0 repeats",
        "check: the events of all",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let runs = results["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2, "as fast as it goes, and half of it");
    for run in runs {
        assert!(run["deliveries"].as_u64() > Some(0), "{run}");
        assert_eq!(run["missing"], 0);
        let p99 = run["fromCommit"]["p99Ms"].as_f64().expect("a number");
        assert!(p99 > 0.0 && p99 < 60_000.0, "{run}");
    }
    let list = service.internal().get("/api/admin/webhooks").await;
    assert_eq!(list.expect(200)["webhooks"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn the_bench_says_how_the_service_must_be_started() {
    // Its stream is as large as a real one: a server of its own.
    let nats = Nats::start().await;
    let service = Service::builder()
        .nats(&nats)
        .env("APP_ENV", "production")
        .env("ALLOWED_ORIGINS", "https://shop.example")
        .start()
        .await;
    let (code, said, _) = bench(&service, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let last = said.lines().last().expect("a line");
    assert!(
        last.contains("start it with WEBHOOK_ALLOW_PRIVATE=true"),
        "{said}"
    );
    drop(service);
    let bare = Service::builder().env("PLUGINS", "none").start().await;
    let (code, said, _) = bench(&bare, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("start it with PLUGINS=webhooks"), "{said}");
}

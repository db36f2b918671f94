//! Long-running tasks that fail: each is restarted, or ends the process with its own exit code; readiness reports it meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Node, Process, Service, eventually_within};

/// Two failures and their pauses, with room for a slow machine.
const LIMIT: Duration = Duration::from_secs(40);

/// State of the task `name` according to the status.
async fn task(node: &Node, name: &str) -> Value {
    let status = node.internal().get("/api/status").await.expect(200);
    let tasks = status["tasks"].as_array().expect("a list").clone();
    let found = tasks.into_iter().find(|task| task["name"] == *name);
    found.unwrap_or_else(|| panic!("no task {name}: {status}"))
}

#[tokio::test]
async fn every_task_of_a_healthy_process_is_listed_as_running() {
    let service = Service::start().await;
    let status = service.internal().get("/api/status").await.expect(200);
    let tasks = status["tasks"].as_array().expect("a list");
    for name in [
        "writer",
        "announcer",
        "command-forwarder",
        "commands",
        "typing",
        "watchers",
        "tail",
        "presence",
        "relay",
        "refills",
        "erasure",
        "hosts",
        "timers",
        "webhooks",
        "limits",
        "flusher",
        "rest-port",
        "socket-port",
    ] {
        let task = tasks.iter().find(|task| task["name"] == name);
        let task = task.unwrap_or_else(|| panic!("no task {name}: {status}"));
        assert_eq!(task["state"], "running", "{task}");
        assert_eq!(task["restarts"], 0, "{task}");
        assert_eq!(task.get("lastFailure"), None, "{task}");
    }
    let metrics = service.internal().get("/api/metrics").await;
    assert!(
        metrics
            .text
            .contains("chat_task_running{task=\"writer\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_required_task_that_panics_is_restarted_and_readiness_is_red_meanwhile() {
    for name in ["announcer", "command-forwarder"] {
        let process = Service::builder()
            .env("CHAT_FAIL_TASK", &format!("{name}:2"))
            .spawn()
            .await;
        let answer = eventually_within(LIMIT, "readiness is red", || async {
            let answer = process.anonymous().get("/health/ready").await;
            (answer.status == 503).then_some(answer)
        })
        .await;
        assert_eq!(answer.json["code"], "UNAVAILABLE", "{answer}");
        assert_eq!(answer.json["details"][0]["field"], name, "{answer}");
        process.anonymous().get("/health/live").await.expect(200);
        works_again(&process, name).await;
    }
}

#[tokio::test]
async fn a_background_duty_that_panics_is_restarted_and_the_process_stays_ready() {
    for name in ["relay", "presence"] {
        let process = Service::builder()
            .env("CHAT_FAIL_TASK", &format!("{name}:2"))
            .spawn()
            .await;
        eventually_within(LIMIT, "it fails", || async {
            process.anonymous().get("/health/ready").await.expect(200);
            (task(&process, name).await["state"] == "failed").then_some(())
        })
        .await;
        process.anonymous().get("/health/ready").await.expect(200);
        works_again(&process, name).await;
    }
}

/// Waits until the task `name` runs after two failures, and checks that the service works.
async fn works_again(process: &Process, name: &str) {
    let task = eventually_within(LIMIT, "it works again", || async {
        let task = task(process, name).await;
        (task["restarts"] == 2 && task["state"] == "running").then_some(task)
    })
    .await;
    for path in ["/health/ready", "/api/health"] {
        process.anonymous().get(path).await.expect(200);
    }
    assert_eq!(task["lastFailure"], "it panicked", "{task}");
    let alice = process.user("alice").await;
    let conversation = process.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let said = alice.say(&conversation, "after it").await;
    assert_eq!(socket.next("message:new").await["data"], said);
    assert!(process.log().contains(name), "{}", process.log());
}

#[tokio::test]
async fn a_task_whose_state_cannot_be_rebuilt_ends_the_process() {
    for name in ["writer", "tail", "rest-port"] {
        let mut process = Service::builder().env("CHAT_FAIL_TASK", name).spawn().await;
        let alice = process.user("alice").await;
        let conversation = process.group(&alice, &[]).await;
        let mut socket = alice.connect().await;
        let body = json!({ "conversationId": conversation, "content": "before it" });
        let sent = socket.ok("message:send", body).await;
        assert_eq!(socket.closed().await, 1012, "{name}: clients go elsewhere");
        let status = process.ended().await;
        assert_eq!(
            status.code(),
            Some(70),
            "{name}: {status}\n{}",
            process.log()
        );
        let log = process.log();
        let told = log.lines().filter(|line| line.contains("the process ends"));
        assert_eq!(told.clone().count(), 1, "{log}");
        assert!(told.clone().all(|line| line.contains(name)), "{log}");
        // Acknowledged messages are stored, and another process continues with them.
        let other = Service::builder().database(&process).start().await;
        let history = alice.at(&other).history(&conversation).await;
        assert_eq!(history, [sent["message"].clone()]);
    }
}

//! Sizes in bytes of the groups that processes send one another, and of a server's first group: never more than NATS accepts.

use std::{path::Path, process::Stdio};

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    Sandbox, Service, User, eventually, free_port, large::near_limit, mortal, program,
};

/// Two processes of one deployment. The first writes for all shards, so commands of the second's users are forwarded.
async fn writer_and_other() -> (Service, Service) {
    let writer = Service::start().await;
    let other = Service::builder().place_of(writer.sandbox()).start().await;
    // The other has heard of the writer once a command of it was handed over.
    let user = other.user("first").await;
    eventually("commands are handed over", || async {
        other.group(&user, &[]).await;
        (metric(&other, "chat_hand_overs_total").await > 0).then_some(())
    })
    .await;
    (writer, other)
}

/// A counter of the test's process, which all services in it share.
async fn metric(service: &Service, name: &str) -> u64 {
    let page = service.internal().get("/api/metrics").await;
    let line = page.text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

async fn all_sent(user: &User, path: &str, count: usize) {
    let answers = (0..count).map(|n| {
        let mut body = near_limit(&format!("{n:03}"));
        body["clientMessageId"] = json!(format!("c{n}"));
        user.post_repeating(path, body)
    });
    for answer in join_all(answers).await {
        assert!(matches!(answer.status, 200 | 201), "{answer}");
    }
}

#[tokio::test]
async fn large_commands_are_handed_over_in_groups_that_fit() {
    let (_writer, other) = writer_and_other().await;
    let alice = other.user("alice").await;
    let id = other.group(&alice, &[]).await;
    all_sent(&alice, &format!("/api/conversations/{id}/messages"), 12).await;
    assert_eq!(metric(&other, "chat_hand_overs_failed_total").await, 0);
}

#[tokio::test]
async fn small_commands_with_large_outcomes_are_answered_in_parts() {
    let (_writer, other) = writer_and_other().await;
    let alice = other.user("alice").await;
    let settings = json!({
        "avatarUrl": format!("https://files.example/{}", "a".repeat(2_000)),
        "metadata": { "order": "m".repeat(16_000) },
    });
    let mut groups = Vec::new();
    for _ in 0..40 {
        groups.push(other.group_with(&alice, &[], settings.clone()).await);
    }
    let paths: Vec<String> = groups
        .iter()
        .map(|id| format!("/api/conversations/{id}"))
        .collect();
    let renamed = paths
        .iter()
        .map(|path| alice.patch(path, json!({ "name": "renamed" })));
    for answer in join_all(renamed).await {
        assert_eq!(answer.expect(200)["name"], "renamed");
    }
    assert_eq!(metric(&other, "chat_hand_overs_failed_total").await, 0);
    for id in &groups {
        let updates = other.sandbox().log(id).await;
        let updates = updates
            .iter()
            .filter(|(_, kind)| kind == "conversation.updated");
        assert_eq!(updates.count(), 1, "what was asked for twice is done once");
    }
}

/// nats-server with a smaller `max_payload` than the configuration of `nats/` has.
fn small_nats(folder: &Path, port: u16) -> std::process::Child {
    let configuration = folder.join("nats.conf");
    let text = format!(
        "host: 127.0.0.1\nport: {port}\nmax_payload: 128KB\njetstream {{ store_dir: {:?} }}\n",
        folder.join("store").display().to_string()
    );
    std::fs::write(&configuration, text).expect("written");
    mortal(&program("NATS_SERVER"))
        .arg("-c")
        .arg(configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts")
}

#[tokio::test]
async fn a_server_that_takes_too_small_messages_ends_the_start_with_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut server = small_nats(folder.path(), port);
    let url = format!("nats://127.0.0.1:{port}");
    eventually("the server is there", || async {
        async_nats::connect(&url).await.ok()
    })
    .await;
    let place = Sandbox::new();
    let mut command = mortal(env!("CARGO_BIN_EXE_chat-service"));
    command
        .arg("serve")
        .env_clear()
        .envs(place.settings())
        .env("NATS_URL", &url)
        .current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it runs")
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("max_payload"))
        .collect();
    assert_eq!(
        lines,
        [
            "NATS_URL: the server's max_payload is 131072 bytes, and at least 262144 are needed; \
             raise it in the server's configuration"
        ]
    );
    let _ = server.kill();
    let _ = server.wait();
}

//! The service killed during an erasure: it continues by itself, and the report is correct.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use serde_json::json;

use crate::support::{Service, eventually_within};

async fn finishes_after_a_crash_at(point: &str) {
    let mut process = Service::builder()
        .env("CHAT_FAILPOINT", point)
        .spawn()
        .await;
    let alice = process.user("alice").await;
    let bob = process.user("bob").await;
    let mut conversations = Vec::new();
    for _ in 0..3 {
        let conversation = process.group(&alice, &[&bob]).await;
        for n in 0..20 {
            let sent = alice.say(&conversation, &format!("private {n}")).await;
            if n % 4 == 0 {
                let path = format!("/api/messages/{}", sent["id"].as_str().expect("an id"));
                let edit = json!({ "content": format!("private, changed {n}") });
                alice.patch(&path, edit).await.expect(200);
            }
        }
        conversations.push(conversation);
    }
    let path = "/api/users/alice?messages=erase";
    process.internal().delete(path).await.expect(204);
    let status = process.ended().await;
    assert!(
        status.signal() == Some(6),
        "it ended at the fail point and not otherwise: {status}"
    );
    process.restart().await;
    let internal = process.internal();
    let limit = Duration::from_secs(40);
    let report = eventually_within(limit, "the erasure is done", || async {
        let report = internal.get("/api/users/alice/erasure").await.expect(200);
        (report["status"] == "done").then_some(report)
    })
    .await;
    let removed = &report["removed"];
    assert_eq!(removed["messages"], 60, "{report}");
    assert_eq!(removed["edits"], 15, "{report}");
    assert_eq!(removed["memberships"], 3, "{report}");
    assert_eq!(removed["profileEntries"], 1, "{report}");
    let stored = process.sandbox().text("log").await;
    assert!(!stored.contains("private"), "something is left");
    for conversation in &conversations {
        let history = bob.history(conversation).await;
        assert_eq!(history.len(), 20);
        assert!(history.iter().all(|message| message["isDeleted"] == true));
    }
}

#[tokio::test]
async fn an_erasure_continues_after_a_crash_between_deleting_and_erasing() {
    finishes_after_a_crash_at("erasure.deleted:2").await;
}

#[tokio::test]
async fn an_erasure_continues_after_a_crash_among_messages() {
    finishes_after_a_crash_at("erasure.messages:2").await;
}

#[tokio::test]
async fn an_erasure_continues_after_a_crash_among_memberships() {
    finishes_after_a_crash_at("erasure.membership:2").await;
}

#[tokio::test]
async fn an_erasure_continues_after_a_crash_at_its_start() {
    finishes_after_a_crash_at("erasure.profile").await;
}

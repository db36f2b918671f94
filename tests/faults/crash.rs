//! The service killed during sends. Promise 1: an acknowledged message is in the history exactly once.

use std::os::unix::process::ExitStatusExt;

use serde_json::json;

use super::traffic::{Listener, Traffic, check_history};
use crate::support::{Service, User};

/// Users `s0`, `s1` and so on, and one user who only listens.
async fn people(service: &crate::support::Node, count: usize) -> (Vec<User>, User) {
    let users = (0..count)
        .map(|n| json!({ "externalUserId": format!("s{n}"), "name": "Sender" }))
        .collect::<Vec<_>>();
    let answer = service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await;
    assert!(matches!(answer.status, 200 | 201 | 207), "{answer}");
    let senders = (0..count)
        .map(|n| service.known_user(&format!("s{n}")))
        .collect();
    (senders, service.user("listener").await)
}

async fn groups(
    service: &crate::support::Node,
    count: usize,
    owner: &User,
    others: &[&User],
) -> Vec<String> {
    let mut groups = Vec::new();
    for _ in 0..count {
        groups.push(service.group(owner, others).await);
    }
    groups
}

async fn survives_a_crash_at(point: &str) {
    let mut process = Service::builder()
        .env("CHAT_FAILPOINT", &format!("{point}:40"))
        .spawn()
        .await;
    let (senders, listener) = people(&process, 8).await;
    let others: Vec<&User> = senders.iter().collect();
    let conversations = groups(&process, 2, &listener, &others).await;
    let listening = Listener::start(vec![listener.clone()]).await;
    let traffic = Traffic::start(&senders, &conversations);
    let status = process.ended().await;
    assert!(
        status.signal() == Some(6),
        "it ended at the fail point and not otherwise: {status}"
    );
    let before = traffic.count();
    process.restart().await;
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    assert!(before < outcome.promises.len() && outcome.broken > 0);
    check_history(
        process.sandbox(),
        &listener,
        &conversations,
        &outcome.promises,
    )
    .await;
    listening.check(process.sandbox(), &conversations).await;
}

#[tokio::test]
async fn a_crash_before_the_insert_loses_and_repeats_nothing() {
    survives_a_crash_at("append.before_insert").await;
}

#[tokio::test]
async fn a_crash_after_the_insert_loses_and_repeats_nothing() {
    survives_a_crash_at("append.after_insert").await;
}

#[tokio::test]
async fn a_crash_after_the_announcement_loses_and_repeats_nothing() {
    survives_a_crash_at("append.after_announce").await;
}

#[tokio::test]
async fn a_crash_after_the_documents_were_written_loses_and_repeats_nothing() {
    survives_a_crash_at("append.after_apply").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_a_hundred_senders_loses_and_repeats_nothing() {
    let mut process = Service::builder().spawn().await;
    let (senders, listener) = people(&process, 100).await;
    let others: Vec<&User> = senders.iter().collect();
    let conversations = groups(&process, 3, &listener, &others).await;
    let listening = Listener::start(vec![listener.clone()]).await;
    let traffic = Traffic::start(&senders, &conversations);
    for _ in 0..2 {
        traffic.go_on(300).await;
        process.kill();
        process.restart().await;
    }
    traffic.go_on(200).await;
    let outcome = traffic.finish().await;
    assert!(outcome.broken > 0, "the kills were noticed");
    check_history(
        process.sandbox(),
        &listener,
        &conversations,
        &outcome.promises,
    )
    .await;
    listening.check(process.sandbox(), &conversations).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_restart_answers_every_request_in_flight() {
    let mut process = Service::builder().spawn().await;
    let (senders, listener) = people(&process, 10).await;
    let others: Vec<&User> = senders.iter().collect();
    let conversations = groups(&process, 2, &listener, &others).await;
    let listening = Listener::start(vec![listener.clone()]).await;
    let traffic = Traffic::start(&senders, &conversations);
    traffic.go_on(100).await;
    process.terminate();
    let status = process.ended().await;
    assert!(status.success(), "{status}");
    process.restart().await;
    traffic.go_on(100).await;
    let outcome = traffic.finish().await;
    assert_eq!(outcome.refusals, 0, "what was in flight was finished");
    check_history(
        process.sandbox(),
        &listener,
        &conversations,
        &outcome.promises,
    )
    .await;
    listening.check(process.sandbox(), &conversations).await;
}

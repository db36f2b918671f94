//! A process stays within its memory however clients behave. docs/OPERATIONS.md states the bound that is asserted here.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use mongodb::bson::doc;
use serde_json::json;

use crate::support::{
    Connect, Service, cursor_before, eventually_within, many_groups, send_large, switch,
    wait_until_offline,
};

/// Maximum growth of the process's memory, in MiB, while clients request all of this at once.
const MAX_GROWTH: u64 = 256;

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was measured is worth reading")]
async fn hostile_readers_of_large_messages_leave_memory_bounded() {
    let service = Service::builder().spawn().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let group = service.group(&alice, &[&bob]).await;
    let cursor = cursor_before(&bob, &alice, &group).await;
    let host = service.internal().acting_for("alice");
    send_large(&host, &group, 600).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.forget_peak();
    let (idle, _) = service.memory();

    // Each of these would hold 58 MB if everything was read at once.
    let how = Connect {
        token: Some(bob.token.clone()),
        resume: Some(cursor),
        ..Connect::default()
    };
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(switch(service.ws_url(), &how).await.expect("a socket"));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (_, of_resumes) = service.memory();

    // Each of these would be an answer of 9.7 MB.
    let path = format!("/api/conversations/{group}/messages?limit=100");
    let answers: Vec<(u16, usize)> = stream::iter(0..200)
        .map(|_| async {
            let answer = alice.get(&path).await;
            (answer.status, answer.text.len())
        })
        .buffer_unordered(40)
        .collect()
        .await;
    // A slow machine may not read all of them in time; whatever is answered is a whole page.
    let whole = answers.iter().filter(|(status, _)| *status == 200);
    assert!(
        whole
            .clone()
            .all(|(_, bytes)| (900_000..1_100_000).contains(bytes)),
        "{answers:?}"
    );
    assert!(
        answers
            .iter()
            .all(|(status, _)| matches!(status, 200 | 503)),
        "{answers:?}"
    );
    assert!(whole.count() >= 40, "{answers:?}");
    let (now, most) = service.memory();
    println!(
        "idle {idle} MiB; 12 resumes at most {of_resumes} MiB; with 40 pages at once {most} MiB; then {now} MiB"
    );
    assert!(
        most <= idle + MAX_GROWTH,
        "{most} MiB instead of {idle} MiB"
    );

    // An export of 58 MB is handed on as it is read.
    service.forget_peak();
    let (idle, _) = service.memory();
    let export = service.internal().get("/api/users/alice/export").await;
    assert!(
        export.status == 200 && export.text.len() > 50_000_000,
        "{}",
        export.text.len()
    );
    let (_, of_export) = service.memory();
    assert!(
        of_export <= idle + MAX_GROWTH / 4,
        "{of_export} MiB instead of {idle} MiB"
    );

    // A client that does not read is disconnected.
    wait_until_offline(&alice, "bob").await;
    let url = format!("{}/metrics", service.api_url());
    let metrics = reqwest::get(url).await.expect("metrics");
    let metrics = metrics.text().await.expect("metrics");
    let closes = r#"chat_ws_closes_total{code="4408"} 12"#;
    assert!(metrics.contains(closes), "each is closed with 4408");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was measured is worth reading")]
async fn lists_of_a_user_with_many_large_conversations_leave_memory_bounded() {
    const COUNT: usize = 2000;
    let service = Service::builder().spawn().await;
    let (crowd, mate) = (service.user("crowd").await, service.user("mate").await);
    let groups = many_groups(&service, &crowd, &mate, COUNT).await;
    // Each of them gets the metadata of the first one: together they have 32 MB.
    let metadata = json!({ "metadata": { "text": "x".repeat(16_000) } });
    let path = format!("/api/conversations/{}", groups[0]);
    crowd.patch(&path, metadata).await.expect(200);
    let conversations = service.sandbox().collection("conversations").await;
    let limit = Duration::from_secs(10);
    let stored = eventually_within(limit, "the metadata is stored", || async {
        let filter = doc! { "_id": &groups[0] };
        let found = conversations.find_one(filter).await.ok()??;
        found
            .get("metadata")
            .filter(|found| found.as_null().is_none())
            .cloned()
    })
    .await;
    let all = doc! { "_id": { "$in": &groups } };
    let update = doc! { "$set": { "metadata": stored } };
    let changed = conversations.update_many(all, update).await;
    assert_eq!(changed.expect("is changed").matched_count, COUNT as u64);
    for group in [&groups[1], &groups[COUNT - 1]] {
        mate.say(group, "unread").await;
    }
    let badge = crowd.get("/api/unread-count").await.expect(200);
    assert_eq!(badge["unreadCount"], 2);
    service.forget_peak();
    let (idle, _) = service.memory();
    let paths = [
        "/api/unread-count",
        "/api/unread",
        "/api/conversations?limit=100",
    ];
    let reader = &crowd;
    let answers: Vec<(&str, u16)> = stream::iter(paths.into_iter().cycle().take(24))
        .map(|path| async move { (path, reader.try_get(path).await.unwrap_or(503)) })
        .buffer_unordered(8)
        .collect()
        .await;
    // A slow machine may not answer all of them in time; each of them is answered alone.
    assert!(
        answers
            .iter()
            .all(|(_, status)| matches!(status, 200 | 503)),
        "{answers:?}"
    );
    for path in paths {
        reader.get(path).await.expect(200);
    }
    let (_, most) = service.memory();
    println!("idle {idle} MiB; with 8 lists at once {most} MiB");
    assert!(
        most <= idle + MAX_GROWTH,
        "{most} MiB instead of {idle} MiB"
    );
}

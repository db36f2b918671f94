//! `GET /api/users/{id}/export`: all stored data of a user.

use serde_json::{Value, json};

use crate::support::Service;

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

#[tokio::test]
async fn an_export_has_all_of_one_person_and_nothing_of_another() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let first = alice.say(&conversation, "first text").await;
    let path = format!("/api/messages/{}", first["id"].as_str().expect("an id"));
    alice
        .patch(&path, json!({ "content": "second text" }))
        .await
        .expect(200);
    for n in 0..250 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    bob.say(&conversation, "of bob alone").await;
    let path = format!("/api/conversations/{conversation}/me");
    for (user, draft) in [(&alice, "dear bob"), (&bob, "of bob alone")] {
        let draft = json!({ "draft": draft });
        user.patch(&path, draft).await.expect(200);
    }

    let answer = service.internal().get("/api/users/alice/export").await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.status, 200);
    let lines = lines(&answer.text);
    let of =
        |kind: &str| -> Vec<&Value> { lines.iter().filter(|line| line["kind"] == kind).collect() };
    assert_eq!(of("profile")[0]["externalUserId"], "alice");
    assert_eq!(of("membership")[0]["role"], "owner");
    assert_eq!(of("message").len(), 251);
    assert_eq!(of("message")[0]["content"], "first text");
    assert_eq!(of("edit")[0]["content"], "second text");
    assert_eq!(of("marker")[0]["draft"], "dear bob");
    let end = lines.last().expect("lines");
    assert_eq!(end["kind"], "end");
    assert_eq!(end["lines"], lines.len() - 1);
    assert!(!answer.text.contains("of bob alone"));
}

#[tokio::test]
async fn a_deleted_user_has_no_export() {
    let service = Service::start().await;
    service.user("alice").await;
    let internal = service.internal();
    internal.delete("/api/users/alice").await.expect(204);
    for user in ["alice", "ghost"] {
        let answer = internal.get(&format!("/api/users/{user}/export")).await;
        answer.expect_error(404, "NOT_FOUND");
    }
}

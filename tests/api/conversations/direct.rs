//! Direct conversations: one for a pair, whoever begins and however often.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::{faults, id};
use crate::support::{Answer, Service, User};

async fn begin(one: &User, other: &str) -> Answer {
    one.post(
        "/api/conversations",
        json!({ "type": "direct", "participantIds": [other] }),
    )
    .await
}

#[tokio::test]
async fn a_pair_has_one_direct_conversation_from_both_sides() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let made = begin(&alice, "bob").await.expect(201);
    assert_eq!(made["type"], "direct");
    assert_eq!(made["participantIds"], json!(["alice", "bob"]));
    assert_eq!(made["myRole"], "member");
    assert_eq!(begin(&alice, "bob").await.expect(200), made);
    let both = json!({ "type": "direct", "participantIds": ["bob", "alice"] });
    assert_eq!(
        id(&bob.post("/api/conversations", both).await.expect(200)),
        id(&made)
    );
    assert_eq!(
        bob.get("/api/conversations").await.expect(200)["conversations"][0]["id"],
        made["id"]
    );
    let carol = service.user("carol").await;
    assert_ne!(id(&begin(&carol, "bob").await.expect(201)), id(&made));
}

#[tokio::test]
async fn twenty_at_once_from_both_sides_make_one() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let asks = (0..20).map(|n| {
        if n % 2 == 0 {
            begin(&alice, "bob")
        } else {
            begin(&bob, "alice")
        }
    });
    let answers = join_all(asks).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let found = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((made, found), (1, 19));
    let first = id(&answers[0].json);
    assert!(answers.iter().all(|answer| id(&answer.json) == first));
    assert_eq!(service.place().log(&first).await.len(), 1);
}

#[tokio::test]
async fn twenty_at_once_through_two_nodes_make_one() {
    let service = Service::start().await;
    let second = Service::builder().database(&service).start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let bob_there = bob.at(&second);
    let asks = (0..20).map(|n| {
        if n % 2 == 0 {
            begin(&alice, "bob")
        } else {
            begin(&bob_there, "alice")
        }
    });
    let answers = join_all(asks).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 201))
    );
    assert_eq!(service.place().log(&id(&answers[0].json)).await.len(), 1);
}

#[tokio::test]
async fn it_takes_exactly_one_other_user() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for user in ["bob", "carol"] {
        service.user(user).await;
    }
    for ids in [
        json!([]),
        json!(["alice"]),
        json!(["bob", "carol"]),
        json!(["alice", "bob", "carol"]),
    ] {
        let answer = alice
            .post(
                "/api/conversations",
                json!({ "type": "direct", "participantIds": ids }),
            )
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["participantIds".to_owned()]),
            "{ids}"
        );
    }
}

#[tokio::test]
async fn its_members_never_change() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    service.user("carol").await;
    let path = format!("/api/conversations/{}", service.direct(&alice, &bob).await);
    alice
        .post(&format!("{path}/leave"), Value::Null)
        .await
        .expect_error(403, "FORBIDDEN");
    alice.delete(&path).await.expect_error(403, "FORBIDDEN");
    alice
        .post(
            &format!("{path}/participants"),
            json!({ "userIds": ["carol"] }),
        )
        .await
        .expect_error(403, "FORBIDDEN");
    alice
        .delete(&format!("{path}/participants/bob"))
        .await
        .expect_error(403, "FORBIDDEN");
    alice
        .delete(&format!("{path}/participants/alice"))
        .await
        .expect_error(403, "FORBIDDEN");
    alice
        .patch(&path, json!({ "name": "Us" }))
        .await
        .expect_error(403, "FORBIDDEN");
    let changed = bob
        .patch(&path, json!({ "metadata": { "about": "tea" } }))
        .await
        .expect(200);
    assert_eq!(changed["metadata"], json!({ "about": "tea" }));
}

#[tokio::test]
async fn one_that_is_there_is_found_after_the_other_user_was_deleted() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let direct = service.direct(&alice, &bob).await;
    service
        .internal()
        .delete("/api/users/bob")
        .await
        .expect(204);
    let body = json!({ "type": "direct", "participantIds": ["bob"] });
    let found = alice.post("/api/conversations", body).await.expect(200);
    assert_eq!(found["id"], json!(direct));
}

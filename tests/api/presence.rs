//! Presence over REST: answers and errors.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, column, faults, read_all};
use crate::support::{Service, eventually};

#[tokio::test]
async fn a_batch_is_answered_in_its_order_and_the_unknown_look_offline() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let _a = alice.connect().await;
    let body = json!({ "userIds": ["nobody", "alice", "bob", "alice"] });
    let presence = eventually("alice is online", || async {
        let answer = bob.post("/api/presence/batch", body.clone()).await;
        let presence = answer.expect(200)["presence"].take();
        (presence[1]["status"] == "online").then_some(presence)
    })
    .await;
    assert_eq!(
        presence,
        json!([
            { "userId": "nobody", "status": "offline" },
            { "userId": "alice", "status": "online" },
            { "userId": "bob", "status": "offline" },
            { "userId": "alice", "status": "online" },
        ])
    );
    let host = service.internal();
    let same = host.post("/api/presence/batch", body).await.expect(200);
    assert_eq!(same["presence"], presence);
    let none = bob
        .post("/api/presence/batch", json!({ "userIds": [] }))
        .await
        .expect(200);
    assert_eq!(none, json!({ "presence": [] }));
}

#[tokio::test]
async fn invalid_presence_requests_name_the_field() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let many: Vec<String> = (0..1001).map(|n| format!("u{n}")).collect();
    let answer = alice
        .post("/api/presence/batch", json!({ "userIds": many }))
        .await;
    assert_eq!(faults(&answer), ["userIds"]);
    answer.expect_error(400, "VALIDATION_ERROR");
    let answer = alice
        .post("/api/presence/batch", json!({ "userIds": ["a", "b\u{7}"] }))
        .await;
    assert_eq!(faults(&answer), ["userIds[1]"]);
    for (body, field) in [
        (json!({ "status": "offline" }), "status"),
        (json!({ "text": "no status" }), "status"),
        (json!({ "status": "busy", "text": "x".repeat(201) }), "text"),
        (json!({ "status": "busy", "text": "a\nb" }), "text"),
        (json!({ "status": "busy", "until": "noon" }), "until"),
    ] {
        let answer = ask(&alice, "PUT", "/api/users/me/status", Some(body.clone())).await;
        assert_eq!(faults(&answer), [field], "{body}");
        answer.expect_error(400, "VALIDATION_ERROR");
    }
    let text = "é".repeat(200);
    let body = json!({ "status": "busy", "text": text });
    let chosen = ask(&alice, "PUT", "/api/users/me/status", Some(body.clone())).await;
    assert_eq!(chosen.expect(200), body);
    // An empty status text counts as no text.
    let body = json!({ "status": "online", "text": "" });
    let chosen = alice
        .request(Method::PUT, "/api/users/me/status", Some(body))
        .await;
    assert_eq!(chosen.expect(200), json!({ "status": "online" }));
}

#[tokio::test]
async fn the_members_of_a_conversation_are_listed_in_pieces() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let stranger = service.user("dave").await;
    let conversation = service.group(&alice, &[&bob, &carol]).await;
    let path = format!("/api/conversations/{conversation}/presence");
    let _c = carol.connect().await;
    eventually("carol is online", || async {
        let all = read_all(&alice, &path, "presence", "after", 2).await;
        let ids = column(&Value::from(all.clone()), "userId");
        assert_eq!(ids, ["alice", "bob", "carol"]);
        (all[2]["status"] == "online").then_some(())
    })
    .await;
    let of_host = service.internal().get(&path).await.expect(200);
    assert_eq!(of_host["presence"].as_array().map(Vec::len), Some(3));
    stranger.get(&path).await.expect_error(404, "NOT_FOUND");
    let missing = "/api/conversations/cnv_01hzx3v7k9q2m4n6p8r0s2t4v6/presence";
    service
        .internal()
        .get(missing)
        .await
        .expect_error(404, "NOT_FOUND");
}

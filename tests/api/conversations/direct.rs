//! Direct conversations: one per pair, whichever side starts it and however often.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::{faults, id};
use crate::support::{Answer, Service, User, in_an_hour};

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
async fn twenty_concurrent_requests_from_both_sides_create_one_conversation() {
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
    assert_eq!(service.sandbox().log(&first).await.len(), 1);
}

#[tokio::test]
async fn twenty_concurrent_requests_through_two_nodes_create_one_conversation() {
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
    assert_eq!(service.sandbox().log(&id(&answers[0].json)).await.len(), 1);
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
async fn an_existing_one_is_found_after_the_other_user_is_deleted() {
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

/// The id that can be computed from two user ids without a secret.
fn computed_id(one: &str, other: &str) -> String {
    use sha2::{Digest, Sha256};
    let (first, second) = (one.min(other), one.max(other));
    let mut digest = Sha256::new();
    digest.update((first.len() as u64).to_le_bytes());
    digest.update(first);
    digest.update(second);
    let digest = digest.finalize();
    let characters = (0..26).map(|index| {
        let bit = index * 5;
        let pair = u16::from_be_bytes([digest[bit / 8], digest[bit / 8 + 1]]);
        let value = usize::from((pair >> (11 - bit % 8)) & 31);
        b"0123456789abcdefghjkmnpqrstvwxyz"[value] as char
    });
    format!("cnv_{}", characters.collect::<String>())
}

#[tokio::test]
async fn its_id_follows_from_a_secret_of_the_deployment() {
    let service = Service::start().await;
    let other = Service::start().await;
    let mut ids = Vec::new();
    for service in [&service, &other] {
        let (alice, bob) = (service.user("alice").await, service.user("bob").await);
        ids.push(service.direct(&alice, &bob).await);
    }
    assert_ne!(ids[0], ids[1], "two deployments have two keys");
    let computed = computed_id("alice", "bob");
    assert!(!ids.contains(&computed));
    // Another process, and one after a change of every secret of the configuration, find the same.
    let second = Service::builder()
        .database(&service)
        .env(
            "INTERNAL_API_SECRET",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978",
        )
        .start()
        .await;
    let alice = service.known_user("alice").at(&second);
    let found = begin(&alice, "bob").await.expect(200);
    assert_eq!(id(&found), ids[0]);
}

#[tokio::test]
async fn processes_that_start_concurrently_share_one_key() {
    let place = crate::support::Sandbox::new();
    let starts = (0..3).map(|_| Service::builder().place_of(&place).start());
    let services = join_all(starts).await;
    let mut ids = Vec::new();
    for service in &services {
        let (alice, bob) = (service.user("alice").await, service.user("bob").await);
        ids.push(service.direct(&alice, &bob).await);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_conversation_of_an_earlier_version_stays_in_use() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let made = service.direct(&alice, &bob).await;
    alice.say(&made, "hello").await;
    let place = std::sync::Arc::clone(service.sandbox());
    service.stop();
    // As an earlier version stored it: the same conversation, under the id that follows from the two ids alone.
    let former = computed_id("alice", "bob");
    rename_conversation(&place, &made, &former).await;

    let service = Service::builder().place_of(&place).start().await;
    let (alice, bob) = (alice.at(&service), bob.at(&service));
    let body = json!({ "receiverId": "alice", "content": "still here" });
    let sent = bob.post("/api/messages", body).await.expect(201);
    assert_eq!(sent["conversationId"], former.as_str());
    assert_eq!(id(&begin(&alice, "bob").await.expect(200)), former);
    let mut socket = alice.connect().await;
    let data = json!({ "receiverId": "bob", "content": "by socket" });
    let sent = socket.ok("message:send", data).await;
    assert_eq!(sent["message"]["conversationId"], former.as_str());
    let later = json!({
        "receiverId": "bob", "content": "later", "sendAt": in_an_hour(),
    });
    let scheduled = alice.post("/api/scheduled", later).await.expect(201);
    assert_eq!(scheduled["conversationId"], former.as_str());
    // A block is said there, too.
    let block = "/api/users/me/blocks/alice";
    bob.request(reqwest::Method::PUT, block, None)
        .await
        .expect(204);
    let body = json!({ "receiverId": "bob", "content": "anyone?" });
    let refused = alice.post("/api/messages", body).await;
    refused.expect_error(403, "FORBIDDEN");
    assert_eq!(bob.history(&former).await.len(), 3);
}

/// Gives a stored conversation another id.
async fn rename_conversation(place: &crate::support::Sandbox, from: &str, to: &str) {
    use futures_util::TryStreamExt;
    use mongodb::bson::{Document, doc};
    for (name, field) in [
        ("log", "conversationId"),
        ("participants", "conversationId"),
        ("markers", "conversationId"),
        ("conversations", "_id"),
    ] {
        let collection = place.collection(name).await;
        let found: Vec<Document> = collection
            .find(doc! { field: from })
            .await
            .expect("MongoDB answers")
            .try_collect()
            .await
            .expect("documents");
        collection
            .delete_many(doc! { field: from })
            .await
            .expect("MongoDB answers");
        for mut document in found {
            document.insert(field, to);
            let key = document.get_str("_id").expect("an id").replace(from, to);
            document.insert("_id", key);
            collection
                .insert_one(document)
                .await
                .expect("MongoDB answers");
        }
    }
}

//! Public conversations: found by name; anybody may join and leave.

use serde_json::{Value, json};

use super::super::{column, id, read_all};
use crate::support::{Service, User};

async fn open(owner: &User, name: &str) -> String {
    let body = json!({ "type": "public", "participantIds": [], "name": name });
    id(&owner.post("/api/conversations", body).await.expect(201))
}

async fn find(user: &User, query: &str) -> Vec<String> {
    let found = user
        .get(&format!("/api/conversations/public{query}"))
        .await
        .expect(200);
    column(&found["conversations"], "name")
}

#[tokio::test]
async fn public_conversations_are_found_by_name_prefix() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    for name in [
        "Tea lovers",
        "tea house",
        "Coffee",
        "ÉCOLE",
        "100% fun",
        "[a-z]+",
    ] {
        open(&alice, name).await;
    }
    service
        .group_with(&alice, &[], json!({ "name": "Tea in private" }))
        .await;
    for (query, found) in [
        ("?q=tea", vec!["tea house", "Tea lovers"]),
        ("?q=TEA%20L", vec!["Tea lovers"]),
        ("?q=lovers", vec![]),
        ("?q=%C3%A9co", vec!["ÉCOLE"]),
        ("?q=100%25", vec!["100% fun"]),
        ("?q=[a-z", vec!["[a-z]+"]),
        ("?q=.*", vec![]),
        ("?q=%5E", vec![]),
        (
            "",
            vec![
                "100% fun",
                "[a-z]+",
                "Coffee",
                "tea house",
                "Tea lovers",
                "ÉCOLE",
            ],
        ),
    ] {
        assert_eq!(find(&bob, query).await, found, "{query}");
    }
}

#[tokio::test]
async fn pages_list_every_public_conversation_once() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let mut made = Vec::new();
    for n in 0..12 {
        // Equal names, and names that differ only in case and spaces, sort next to each other.
        let name = ["Room", "room", " Room ", "Room 1"][n % 4];
        made.push(open(&alice, name).await);
    }
    made.sort();
    for (cursor, limit) in [("before", 1), ("after", 5), ("before", 100)] {
        let read = read_all(
            &alice,
            "/api/conversations/public?q=room",
            "conversations",
            cursor,
            limit,
        )
        .await;
        let mut ids = column(&json!(read), "id");
        ids.sort();
        assert_eq!(ids, made, "{cursor} in pieces of {limit}");
    }
}

#[tokio::test]
async fn anybody_can_join_and_leave() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let tea = open(&alice, "Tea").await;
    alice.say(&tea, "before bob").await;
    let path = format!("/api/conversations/{tea}");

    let found = bob.get("/api/conversations/public?q=tea").await.expect(200);
    let shown = &found["conversations"][0];
    assert!(
        shown.get("lastMessage").is_none() && shown.get("myRole").is_none(),
        "{shown}"
    );
    bob.get(&format!("{path}/messages")).await.expect(404);

    let joined = bob
        .post(&format!("{path}/join"), Value::Null)
        .await
        .expect(200);
    assert_eq!(
        (&joined["participantCount"], &joined["myRole"]),
        (&json!(2), &json!("member"))
    );
    assert_eq!(
        bob.post(&format!("{path}/join"), Value::Null)
            .await
            .expect(200),
        joined,
        "joining twice is joining"
    );
    bob.say(&tea, "hello").await;
    assert_eq!(
        bob.history(&tea).await.len(),
        2,
        "who joins sees what came before"
    );

    bob.post(&format!("{path}/leave"), Value::Null)
        .await
        .expect(204);
    bob.post(&format!("{path}/messages"), json!({ "content": "and yet" }))
        .await
        .expect_error(404, "NOT_FOUND");
    assert_eq!(alice.get(&path).await.expect(200)["participantCount"], 1);
    bob.post(&format!("{path}/join"), Value::Null)
        .await
        .expect(200);
}

#[tokio::test]
async fn joining_a_group_fails_like_a_missing_conversation() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[]).await;
    let refused = bob
        .post(&format!("/api/conversations/{group}/join"), Value::Null)
        .await;
    let missing = bob
        .post(
            "/api/conversations/cnv_00000000000000000000000000/join",
            Value::Null,
        )
        .await;
    assert_eq!((refused.status, refused.text), (404, missing.text));
}

#[tokio::test]
async fn a_deleted_public_conversation_is_not_found() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let tea = open(&alice, "Tea").await;
    alice
        .delete(&format!("/api/conversations/{tea}"))
        .await
        .expect(204);
    assert!(find(&bob, "?q=tea").await.is_empty());
    bob.post(&format!("/api/conversations/{tea}/join"), Value::Null)
        .await
        .expect(404);
}

#[tokio::test]
async fn a_hundred_concurrent_joins_all_succeed() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let tea = open(&alice, "Tea").await;
    let users: Vec<User> = (0..100)
        .map(|n| service.known_user(&format!("u{n:02}")))
        .collect();
    let path = format!("/api/conversations/{tea}/join");
    let joins = users.iter().map(|user| user.post(&path, Value::Null));
    for answer in futures_util::future::join_all(joins).await {
        answer.expect(200);
    }
    assert_eq!(
        alice
            .get(&format!("/api/conversations/{tea}"))
            .await
            .expect(200)["participantCount"],
        101
    );
    let numbers: Vec<u64> = service
        .sandbox()
        .log(&tea)
        .await
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(numbers, (1..=101).collect::<Vec<u64>>());
}

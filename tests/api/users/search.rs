//! `GET /api/users/search`.

use serde_json::json;

use super::super::{column, faults, read_all};
use crate::support::Service;

async fn people(service: &Service) {
    let users = [
        ("u1", "Alice Liddell"),
        ("u2", "alice cooper"),
        ("u3", "Bob Alison"),
        ("u4", "ÉMILE Zola"),
        ("ali-baba", "Somebody"),
        ("u5", "Malice"),
        ("u6", "100% Cotton"),
    ];
    let users: Vec<_> = users
        .map(|(id, name)| json!({ "externalUserId": id, "name": name }))
        .to_vec();
    service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
}

#[tokio::test]
async fn people_are_found_by_the_beginning_of_a_name_a_word_or_an_id() {
    let service = Service::start().await;
    people(&service).await;
    let seeker = service.known_user("seeker");
    for (query, found) in [
        ("alice", vec!["u1", "u2"]),
        ("ALICE", vec!["u1", "u2"]),
        ("Ali", vec!["ali-baba", "u1", "u2", "u3"]),
        ("lidd", vec!["u1"]),
        ("alice%20l", vec!["u1"]),
        ("%20alice%20", vec!["u1", "u2"]),
        ("U5", vec!["u5"]),
        ("%C3%A9mi", vec!["u4"]),
        ("100%25", vec!["u6"]),
        ("lice", vec![]),
        ("a*", vec![]),
        (".", vec![]),
        ("%5Ea", vec![]),
    ] {
        let answer = seeker
            .get(&format!("/api/users/search?q={query}"))
            .await
            .expect(200);
        assert_eq!(column(&answer["users"], "externalUserId"), found, "{query}");
    }
}

#[tokio::test]
async fn a_search_needs_something_to_search_for() {
    let service = Service::start().await;
    let seeker = service.user("seeker").await;
    let long = format!("?q={}", "x".repeat(101));
    for query in ["", "?q=", "?q=%20%20", long.as_str()] {
        let answer = seeker.get(&format!("/api/users/search{query}")).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["q".to_owned()]),
            "{query}"
        );
    }
}

#[tokio::test]
async fn results_come_in_pages_without_loss_or_repetition() {
    let service = Service::start().await;
    let users: Vec<_> = (0..230)
        .map(|index| json!({ "externalUserId": format!("p{index:03}"), "name": "Page Turner" }))
        .collect();
    service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    let seeker = service.user("seeker").await;
    for (cursor, limit) in [("before", 100), ("after", 37), ("after", 1)] {
        if limit == 1 {
            let page = seeker
                .get("/api/users/search?q=turner&limit=1")
                .await
                .expect(200);
            assert_eq!(page["hasMore"], true);
            continue;
        }
        let found = read_all(
            &seeker,
            "/api/users/search?q=turner",
            "users",
            cursor,
            limit,
        )
        .await;
        assert_eq!(
            column(&json!(found), "externalUserId"),
            column(&json!(users), "externalUserId"),
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn a_new_name_is_found_and_the_old_one_is_not() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    alice
        .patch("/api/users/me", json!({ "name": "Queen of Hearts" }))
        .await
        .expect(200);
    let find = async |query: &str| {
        let answer = alice
            .get(&format!("/api/users/search?q={query}"))
            .await
            .expect(200);
        column(&answer["users"], "externalUserId").len()
    };
    assert_eq!(find("queen").await, 1);
    assert_eq!(find("hearts").await, 1);
    assert_eq!(find("alice").await, 1, "the id is still found");
    alice
        .patch("/api/users/me", json!({ "name": null }))
        .await
        .expect(200);
    assert_eq!(find("queen").await, 0);
}

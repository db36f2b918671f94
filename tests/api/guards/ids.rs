//! User ids are chosen by the host: every id is preserved in bodies, tokens and paths.

use serde_json::json;

use super::super::{column, faults, wire};
use crate::support::Service;

/// Ids that hosts use, and their form in a path.
const IDS: [(&str, &str); 16] = [
    ("42", "42"),
    ("user.42@shop.example", "user.42@shop.example"),
    ("auth0|5f7c8", "auth0%7C5f7c8"),
    ("a/b", "a%2Fb"),
    ("../../me", "..%2F..%2Fme"),
    ("a b", "a%20b"),
    ("100%", "100%25"),
    ("%2F", "%252F"),
    ("a+b", "a+b"),
    ("a?b#c", "a%3Fb%23c"),
    ("名前", "%E5%90%8D%E5%89%8D"),
    ("😀", "%F0%9F%98%80"),
    ("$ne", "%24ne"),
    ("chat.>", "chat.%3E"),
    ("\"quoted\"\\", "%22quoted%22%5C"),
    ("Me", "Me"),
];

#[tokio::test]
async fn every_id_that_a_host_may_use_works_everywhere() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [("authorization", bearer.as_str())];
    for (id, encoded) in IDS {
        let user = service.user(id).await;
        let me = user.get("/api/users/me").await.expect(200);
        assert_eq!(me["externalUserId"], id);
        let shown = wire::send(
            &service,
            "GET",
            &format!("/api/users/{encoded}"),
            &headers,
            b"",
        )
        .await;
        assert_eq!(
            (shown.status, &shown.json()["externalUserId"]),
            (200, &json!(id)),
            "{id}"
        );

        let conversation = service.group(&alice, &[&user]).await;
        let path = format!("/api/conversations/{conversation}/participants/{encoded}");
        let body = br#"{"role":"admin"}"#;
        let with_type = [headers[0], ("content-type", "application/json")];
        let changed = wire::send(&service, "PATCH", &path, &with_type, body).await;
        assert_eq!(
            (changed.status, &changed.json()["userId"]),
            (200, &json!(id)),
            "{id}"
        );
        assert_eq!(
            wire::send(&service, "DELETE", &path, &headers, b"")
                .await
                .status,
            204,
            "{id}"
        );

        let direct = service.direct(&alice, &user).await;
        assert_eq!(service.direct(&user, &alice).await, direct, "{id}");
        user.say(&direct, "hello").await;
        let history = alice.history(&direct).await;
        assert_eq!(history[0]["senderId"], id);
    }
}

#[tokio::test]
async fn reserved_and_invisible_ids_are_refused() {
    let service = Service::start().await;
    let host = service.internal();
    let long = "x".repeat(129);
    for id in [
        "",
        "me",
        "search",
        "sync",
        "a\nb",
        "a\u{0}b",
        "a\u{7f}",
        "\u{85}",
        long.as_str(),
    ] {
        let answer = host
            .post(
                "/api/users/sync",
                json!({ "externalUserId": id, "name": "X" }),
            )
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["externalUserId".to_owned()]),
            "{id:?}"
        );
        let token = service.token(id).sign();
        let bearer = service
            .anonymous()
            .with("Authorization", &format!("Bearer {token}"));
        bearer
            .get("/api/users/me")
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
    let longest = "名".repeat(128);
    host.post(
        "/api/users/sync",
        json!({ "externalUserId": longest, "name": "X" }),
    )
    .await
    .expect(201);
    host.post(
        "/api/users/sync",
        json!({ "externalUserId": 42, "name": "X" }),
    )
    .await
    .expect(400);
}

#[tokio::test]
async fn a_path_with_an_impossible_user_id_matches_no_user() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [("authorization", bearer.as_str())];
    let missing = wire::send(&service, "GET", "/api/users/ghost", &headers, b"").await;
    assert_eq!(missing.status, 404);
    let long = "x".repeat(129);
    for id in ["%00", "a%0Ab", "%ff", "%C3%28", "sync", long.as_str()] {
        let answer = wire::send(&service, "GET", &format!("/api/users/{id}"), &headers, b"").await;
        // `sync` is a path of its own, with other methods; bytes that are not UTF-8 match no path.
        assert!(
            matches!(answer.status, 404 | 405),
            "{id}: {}",
            answer.status
        );
        if !matches!(id, "sync" | "%ff" | "%C3%28") {
            assert_eq!(answer.json(), missing.json(), "{id}");
        }
    }
}

#[tokio::test]
async fn the_first_request_with_a_valid_token_creates_the_user() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    alice.get("/api/users/newcomer").await.expect(404);
    let token = service
        .token("newcomer")
        .claim("name", json!("New Comer"))
        .claim("picture", json!("https://shop.example/n.png"))
        .claim("roles", json!(["buyer", 7]));
    let newcomer = service
        .anonymous()
        .with("Authorization", &format!("Bearer {}", token.sign()));
    let me = newcomer.get("/api/users/me").await.expect(200);
    assert_eq!(me["name"], "New Comer");
    assert_eq!(me["avatarUrl"], "https://shop.example/n.png");
    assert_eq!(me["roles"], json!(["buyer"]));
    assert_eq!(
        alice.get("/api/users/newcomer").await.expect(200)["name"],
        "New Comer"
    );
    // After a sync by the host, the synced profile applies, whatever later tokens contain.
    let sync = json!({ "externalUserId": "newcomer", "name": "As the host says" });
    service
        .internal()
        .post("/api/users/sync", sync)
        .await
        .expect(200);
    assert_eq!(
        newcomer.get("/api/users/me").await.expect(200)["name"],
        "As the host says"
    );
}

#[tokio::test]
async fn concurrent_first_requests_create_one_user() {
    let service = Service::start().await;
    let newcomer = service.known_user("newcomer");
    let asks = (0..20).map(|_| newcomer.get("/api/users/me"));
    for answer in futures_util::future::join_all(asks).await {
        answer.expect(200);
    }
    let found = newcomer
        .get("/api/users/search?q=newcomer")
        .await
        .expect(200);
    assert_eq!(column(&found["users"], "externalUserId"), ["newcomer"]);
    let log = service.sandbox().log("user:newcomer").await;
    assert_eq!(log, [(1, "user.synced".to_owned())]);
}

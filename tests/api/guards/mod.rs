//! Authentication of the caller: user tokens, the internal secret, and the user for whom the host acts.

mod ids;
mod matrix;
mod oracles;
mod reserved;
mod roles;
mod tokens;

use serde_json::json;

use super::{faults, wire};
use crate::support::Service;

#[tokio::test]
async fn the_internal_secret_gives_access_to_host_operations() {
    let service = Service::start().await;
    for path in ["/api/status", "/api/metrics"] {
        service.internal().get(path).await.expect(200);
        service
            .anonymous()
            .get(path)
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_wrong_internal_secret_is_401_even_beside_a_good_token() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for secret in [
        "",
        "wrong",
        "f3b5c7d9e1a2047685949ab0c1d2e3f4a5b6c7d8e9f0011",
        "null",
    ] {
        let guess = service.anonymous().with("X-Internal-Secret", secret);
        let user = json!({ "externalUserId": "mallory", "name": "Mallory" });
        guess
            .post("/api/users/sync", user)
            .await
            .expect_error(401, "UNAUTHORIZED");
        alice
            .with("X-Internal-Secret", secret)
            .get("/api/users/me")
            .await
            .expect_error(401, "UNAUTHORIZED");
        guess
            .acting_for("alice")
            .get("/api/users/me")
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
    service
        .internal()
        .get("/api/users/mallory")
        .await
        .expect(404);
}

#[tokio::test]
async fn a_user_token_gives_no_access_to_host_operations() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for (method, path, body) in [
        (
            "POST",
            "/api/users/sync",
            Some(json!({ "externalUserId": "alice", "name": "Queen", "roles": ["admin"] })),
        ),
        (
            "POST",
            "/api/users/sync/batch",
            Some(json!({ "users": [] })),
        ),
        ("GET", "/api/status", None),
        ("GET", "/api/metrics", None),
    ] {
        super::ask(&alice, method, path, body)
            .await
            .expect_error(401, "UNAUTHORIZED");
    }
    let me = alice.get("/api/users/me").await.expect(200);
    assert_eq!(me["name"], "alice");
}

#[tokio::test]
async fn the_secret_is_taken_from_its_header_only() {
    let service = Service::start().await;
    let secret = crate::support::INTERNAL_SECRET;
    let anyone = service.anonymous();
    anyone
        .get(&format!("/api/status?X-Internal-Secret={secret}"))
        .await
        .expect(401);
    anyone
        .with("Authorization", &format!("Bearer {secret}"))
        .get("/api/status")
        .await
        .expect(401);
    anyone
        .with("Cookie", &format!("X-Internal-Secret={secret}"))
        .get("/api/status")
        .await
        .expect(401);
}

#[tokio::test]
async fn the_host_acts_for_a_user_as_that_user() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let as_bob = service.internal().acting_for("bob");
    let sent = as_bob
        .post(
            &format!("/api/conversations/{conversation}/messages"),
            json!({ "content": "from the host" }),
        )
        .await
        .expect(201);
    assert_eq!(sent["senderId"], "bob");
    assert_eq!(
        as_bob.get("/api/users/me").await.expect(200)["externalUserId"],
        "bob"
    );
    // It has bob's rights, not the host's.
    as_bob
        .delete(&format!("/api/conversations/{conversation}"))
        .await
        .expect_error(403, "FORBIDDEN");
    let user = json!({ "externalUserId": "carol", "name": "Carol" });
    as_bob.post("/api/users/sync", user).await.expect(201);
}

#[tokio::test]
async fn acting_for_an_unknown_or_invalid_user_is_refused() {
    let service = Service::start().await;
    for user in ["ghost", "me", "", "%00", "%ff", "a%0Ab"] {
        let answer = service
            .internal()
            .acting_for(user)
            .get("/api/users/me")
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["X-Acting-User".to_owned()]),
            "{user}: {answer}"
        );
    }
    let answer = service.internal().get("/api/users/me").await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["X-Acting-User".to_owned()])
    );
    // The request created no user.
    service.internal().get("/api/users/ghost").await.expect(404);
}

#[tokio::test]
async fn the_acting_user_is_percent_encoded() {
    let service = Service::start().await;
    for (id, header) in [
        ("名前", "%E5%90%8D%E5%89%8D"),
        ("100%", "100%25"),
        ("a/b c", "a/b c"),
        ("auth0|5f7", "auth0|5f7"),
    ] {
        service.user(id).await;
        let me = service
            .internal()
            .acting_for(header)
            .get("/api/users/me")
            .await
            .expect(200);
        assert_eq!(me["externalUserId"], id);
    }
}

#[tokio::test]
async fn acting_for_a_user_requires_the_secret() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    service.user("bob").await;
    let me = alice
        .with("X-Acting-User", "bob")
        .get("/api/users/me")
        .await
        .expect(200);
    assert_eq!(
        me["externalUserId"], "alice",
        "a user cannot act for another"
    );
    service
        .anonymous()
        .acting_for("bob")
        .get("/api/users/me")
        .await
        .expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_repeated_secret_header_is_refused() {
    let service = Service::start().await;
    service.user("alice").await;
    let secret = crate::support::INTERNAL_SECRET;
    let headers = [
        ("x-internal-secret", "wrong"),
        ("x-internal-secret", secret),
    ];
    let answer = wire::send(&service, "GET", "/api/status", &headers, b"").await;
    assert_eq!(answer.status, 401);
}

//! `GET /api/users/{id}` and `/api/users/me`: profile fields and their visibility.

use serde_json::{Value, json};

use super::super::faults;
use crate::support::Service;

const PUBLIC: [&str; 5] = [
    "externalUserId",
    "name",
    "avatarUrl",
    "createdAt",
    "updatedAt",
];

async fn with_profile(service: &Service) -> Value {
    let profile = json!({
        "externalUserId": "alice",
        "name": "Alice",
        "avatarUrl": "https://shop.example/alice.png",
        "email": "alice@shop.example",
        "roles": ["vip"],
        "metadata": { "tier": 3 },
    });
    service
        .internal()
        .post("/api/users/sync", profile)
        .await
        .expect(201)
}

fn fields(user: &Value) -> Vec<&str> {
    user.as_object()
        .expect("a user")
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn others_see_the_public_fields_only() {
    let service = Service::start().await;
    let full = with_profile(&service).await;
    let (alice, bob) = (service.known_user("alice"), service.user("bob").await);

    let seen = bob.get("/api/users/alice").await.expect(200);
    let mut shown = fields(&seen);
    let mut public = PUBLIC.to_vec();
    shown.sort_unstable();
    public.sort_unstable();
    assert_eq!(shown, public);
    let as_bob = service.internal().acting_for("bob");
    assert_eq!(as_bob.get("/api/users/alice").await.expect(200), seen);

    assert_eq!(alice.get("/api/users/me").await.expect(200), full);
    assert_eq!(alice.get("/api/users/alice").await.expect(200), full);
    assert_eq!(
        service.internal().get("/api/users/alice").await.expect(200),
        full
    );

    let found = bob.get("/api/users/search?q=alice").await.expect(200);
    assert_eq!(found["users"], json!([seen]));
    service.group(&bob, &[&alice]).await;
}

#[tokio::test]
async fn a_profile_change_affects_only_named_fields() {
    let service = Service::start().await;
    let before = with_profile(&service).await;
    let alice = service.known_user("alice");
    let change = async |body: Value| alice.patch("/api/users/me", body).await.expect(200);

    assert_eq!(
        change(json!({})).await,
        before,
        "nothing named, nothing changed"
    );

    let named = change(json!({ "name": "Alice in Wonderland" })).await;
    assert_eq!(named["name"], "Alice in Wonderland");
    for kept in ["avatarUrl", "email", "roles", "metadata", "createdAt"] {
        assert_eq!(named[kept], before[kept], "{kept}");
    }

    let cleared = change(json!({ "avatarUrl": null, "metadata": null })).await;
    assert!(
        cleared.get("avatarUrl").is_none() && cleared.get("metadata").is_none(),
        "{cleared}"
    );
    assert_eq!(cleared["name"], "Alice in Wonderland");

    let set = change(
        json!({ "metadata": { "a": { "b": null } }, "avatarUrl": "https://shop.example/2.png" }),
    )
    .await;
    assert_eq!(
        set["metadata"],
        json!({ "a": { "b": null } }),
        "metadata is replaced, never merged"
    );
    assert_eq!(alice.get("/api/users/me").await.expect(200), set);
}

#[tokio::test]
async fn users_cannot_change_host_fields() {
    let service = Service::start().await;
    let before = with_profile(&service).await;
    let alice = service.known_user("alice");
    for field in [
        "email",
        "roles",
        "externalUserId",
        "createdAt",
        "updatedAt",
        "isDeleted",
        "_id",
        "$set",
        "profile.roles",
    ] {
        let answer = alice
            .patch("/api/users/me", json!({ "name": "X", field: ["admin"] }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }
    assert_eq!(alice.get("/api/users/me").await.expect(200), before);
}

#[tokio::test]
async fn profile_fields_have_limits() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(321))),
        ("name", json!("a\u{7}b")),
        ("avatarUrl", json!("x".repeat(2049))),
        ("metadata", json!({ "x": "y".repeat(16 * 1024) })),
        ("metadata", json!([])),
    ] {
        let answer = alice.patch("/api/users/me", json!({ field: value })).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
}

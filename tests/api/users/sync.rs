//! `POST /api/users/sync` and `/sync/batch`.

use serde_json::{Value, json};

use super::super::{column, faults};
use crate::support::Service;

fn alice() -> Value {
    json!({
        "externalUserId": "alice",
        "name": "Alice Liddell",
        "avatarUrl": "https://shop.example/alice.png",
        "email": "alice@shop.example",
        "roles": ["buyer", "vip"],
        "metadata": { "tier": 3, "$set": { "a.b": 18_446_744_073_709_551_615u64 } },
    })
}

#[tokio::test]
async fn a_new_user_is_201_a_known_one_200() {
    let service = Service::start().await;
    let host = service.internal();
    let made = host.post("/api/users/sync", alice()).await.expect(201);
    for (field, value) in alice().as_object().expect("an object") {
        assert_eq!(&made[field], value, "{field}");
    }
    let same = host.post("/api/users/sync", alice()).await.expect(200);
    assert_eq!(same, made, "repeating it changes nothing");
    let changed = json!({ "externalUserId": "alice", "name": "Alice" });
    let changed = host.post("/api/users/sync", changed).await.expect(200);
    assert_eq!(changed["name"], "Alice");
    assert_eq!(changed["createdAt"], made["createdAt"]);
    assert!(changed["updatedAt"].as_str() >= made["updatedAt"].as_str());
    for cleared in ["avatarUrl", "email", "metadata"] {
        assert!(
            changed.get(cleared).is_none(),
            "what is left out is cleared: {changed}"
        );
    }
    assert_eq!(changed["roles"], json!([]));
}

#[tokio::test]
async fn concurrent_syncs_of_one_new_user_create_one() {
    let service = Service::start().await;
    let host = service.internal();
    let answers =
        futures_util::future::join_all((0..20).map(|_| host.post("/api/users/sync", alice())))
            .await;
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{answer}");
    }
    assert_eq!(service.sandbox().log("user:alice").await.len(), 1);
}

#[tokio::test]
async fn every_limit_of_a_profile_is_enforced() {
    let service = Service::start().await;
    let host = service.internal();
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(321))),
        ("name", json!("a\nb")),
        ("avatarUrl", json!("")),
        ("avatarUrl", json!("x".repeat(2049))),
        ("avatarUrl", json!("javascript:alert(1)")),
        ("email", json!("")),
        ("email", json!("x".repeat(321))),
        ("roles", json!(vec!["r"; 51])),
        ("roles[1]", json!(["fine", ""])),
        ("roles[0]", json!(["x".repeat(101)])),
        ("metadata", json!({ "x": "y".repeat(16 * 1024) })),
        ("metadata", json!("text")),
    ] {
        let mut user = alice();
        user[field.split('[').next().unwrap_or_default()] = value;
        let answer = host.post("/api/users/sync", user).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{field}: {answer}"
        );
    }
    host.get("/api/users/alice").await.expect(404);
    let longest =
        json!({ "externalUserId": "alice", "name": "名".repeat(320), "roles": vec!["r"; 50] });
    host.post("/api/users/sync", longest).await.expect(201);
}

#[tokio::test]
async fn events_of_a_thousand_synced_users_are_in_order() {
    let service = Service::start().await;
    let host = service.internal();
    let users: Vec<Value> = (0..1000)
        .map(|index| json!({ "externalUserId": format!("u{index}"), "name": format!("User {index}") }))
        .collect();
    let ids = column(&json!(users), "externalUserId");

    let results = host
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    assert_eq!(column(&results["results"], "externalUserId"), ids);
    assert!(
        column(&results["results"], "status")
            .iter()
            .all(|status| status == "created")
    );

    let mut again = users.clone();
    again[500]["name"] = json!("Somebody else");
    let results = host
        .post("/api/users/sync/batch", json!({ "users": again }))
        .await
        .expect(200);
    for (index, status) in column(&results["results"], "status").iter().enumerate() {
        assert_eq!(
            status,
            if index == 500 { "updated" } else { "unchanged" },
            "item {index}"
        );
    }
    assert_eq!(
        host.get("/api/users/u999").await.expect(200)["name"],
        "User 999"
    );

    let mut too_many = users;
    too_many.push(json!({ "externalUserId": "one-more", "name": "One more" }));
    let answer = host
        .post("/api/users/sync/batch", json!({ "users": too_many }))
        .await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["users".to_owned()])
    );
    host.get("/api/users/one-more").await.expect(404);
}

#[tokio::test]
async fn a_faulty_item_of_a_batch_fails_alone() {
    let service = Service::start().await;
    let host = service.internal();
    let users = json!([
        alice(),
        { "externalUserId": "me", "name": "Reserved" },
        { "externalUserId": "bob" },
        { "name": "Nobody" },
        7,
        null,
        { "externalUserId": "carol", "name": "Carol", "isAdmin": true },
        { "externalUserId": "dave", "name": "Dave", "metadata": { "x": "y".repeat(16 * 1024) } },
        { "externalUserId": { "$ne": null }, "name": "Order" },
        { "externalUserId": "erin", "name": "Erin" },
        { "externalUserId": "erin", "name": "Erin again" },
    ]);
    let answer = host
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    let results = answer["results"].as_array().expect("results");
    let found: Vec<(Option<&str>, &str, Option<&str>)> = results
        .iter()
        .map(|result| {
            let status = result["status"].as_str().expect("a status");
            (
                result["externalUserId"].as_str(),
                status,
                result["error"]["details"][0]["field"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (Some("alice"), "created", None),
            (Some("me"), "failed", Some("externalUserId")),
            (Some("bob"), "failed", Some("name")),
            (None, "failed", Some("externalUserId")),
            (None, "failed", Some("body")),
            (None, "failed", Some("body")),
            (Some("carol"), "failed", Some("isAdmin")),
            (Some("dave"), "failed", Some("metadata")),
            (None, "failed", Some("externalUserId")),
            (Some("erin"), "created", None),
            (Some("erin"), "failed", Some("externalUserId")),
        ]
    );
    for failed in ["bob", "carol", "dave"] {
        host.get(&format!("/api/users/{failed}")).await.expect(404);
    }
    assert_eq!(
        host.get("/api/users/erin").await.expect(200)["name"],
        "Erin"
    );
}

#[tokio::test]
async fn an_invalid_batch_is_refused_as_a_whole() {
    let service = Service::start().await;
    let host = service.internal();
    for (body, field) in [
        (json!({}), "users"),
        (json!({ "users": null }), "users"),
        (json!({ "users": { "0": alice() } }), "users"),
        (json!({ "users": [alice()], "dryRun": true }), "dryRun"),
        (json!([alice()]), "body"),
    ] {
        let answer = host.post("/api/users/sync/batch", body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
    let empty = host
        .post("/api/users/sync/batch", json!({ "users": [] }))
        .await
        .expect(200);
    assert_eq!(empty["results"], json!([]));
    host.get("/api/users/alice").await.expect(404);
}

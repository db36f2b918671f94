//! `POST /api/conversations` of groups and public conversations.

use serde_json::{Value, json};

use super::super::{column, faults, id, read_all};
use crate::support::Service;

#[tokio::test]
async fn a_new_group_has_the_requested_fields_and_its_creator_as_owner() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let settings = json!({
        "type": "group",
        "participantIds": ["bob", "bob"],
        "name": "Tea ☕",
        "avatarUrl": "https://shop.example/tea.png",
        "metadata": { "order": 4711, "$where": { "a.b": 9_007_199_254_740_993i64 } },
        "historyVisibility": "joined",
    });
    let made = alice
        .post("/api/conversations", settings.clone())
        .await
        .expect(201);
    for field in ["type", "name", "avatarUrl", "metadata", "historyVisibility"] {
        assert_eq!(made[field], settings[field], "{field}");
    }
    assert_eq!(made["createdBy"], "alice");
    assert_eq!(
        made["participantCount"], 2,
        "the maker is a member even when not listed, and nobody twice"
    );
    assert_eq!(made["participantIds"], json!(["alice", "bob"]));
    assert_eq!(made["myRole"], "owner");
    assert!(id(&made).starts_with("cnv_"));

    let path = format!("/api/conversations/{}", id(&made));
    assert_eq!(alice.get(&path).await.expect(200), made);
    let mut as_bob = made.clone();
    as_bob["myRole"] = json!("member");
    assert_eq!(bob.get(&path).await.expect(200), as_bob);
}

#[tokio::test]
async fn omitted_fields_have_defaults() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let made = alice
        .post(
            "/api/conversations",
            json!({ "type": "group", "participantIds": [] }),
        )
        .await
        .expect(201);
    assert_eq!(made["historyVisibility"], "full");
    assert_eq!(made["participantIds"], json!(["alice"]));
    for absent in ["name", "avatarUrl", "metadata", "lastMessage"] {
        assert!(made.get(absent).is_none(), "{absent} in {made}");
    }
    let listed = json!({ "type": "public", "participantIds": ["alice"], "name": null });
    assert_eq!(
        alice.post("/api/conversations", listed).await.expect(201)["participantCount"],
        1
    );
}

#[tokio::test]
async fn unknown_participants_are_all_named_and_no_group_is_created() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    service.user("bob").await;
    for kind in ["group", "public"] {
        let body = json!({ "type": kind, "participantIds": ["ghost", "bob", "alice", "phantom"] });
        let answer = alice.post("/api/conversations", body).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            faults(&answer),
            ["participantIds[0]", "participantIds[3]"],
            "{kind}"
        );
    }
    let answer = alice
        .post(
            "/api/conversations",
            json!({ "type": "direct", "participantIds": ["ghost"] }),
        )
        .await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["participantIds[0]".to_owned()])
    );
    assert_eq!(
        alice.get("/api/conversations").await.expect(200)["conversations"],
        json!([])
    );
}

#[tokio::test]
async fn a_group_of_450_members_is_created_in_one_request() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let users: Vec<Value> = (0..450)
        .map(|n| json!({ "externalUserId": format!("m{n:03}"), "name": format!("Member {n}") }))
        .collect();
    let ids = column(&json!(users), "externalUserId");
    service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);

    let made = alice
        .post(
            "/api/conversations",
            json!({ "type": "group", "participantIds": ids }),
        )
        .await
        .expect(201);
    assert_eq!(made["participantCount"], 451);
    let mut everybody = ids.clone();
    everybody.insert(0, "alice".to_owned());
    assert_eq!(
        made["participantIds"],
        json!(everybody[..20]),
        "the first 20 by user id"
    );

    // No entry names more than 200.
    let log = service.sandbox().log(&id(&made)).await;
    let kinds: Vec<&str> = log.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "conversation.created",
            "participant.added",
            "participant.added"
        ]
    );
    assert_eq!(made["seq"], 3);

    let path = format!("/api/conversations/{}/participants", id(&made));
    for limit in [100, 37] {
        let members = read_all(&alice, &path, "participants", "after", limit).await;
        assert_eq!(column(&json!(members), "userId"), everybody);
        assert_eq!(members[1]["name"], "Member 0");
        assert_eq!(members[0]["role"], "owner");
        assert!(members[1..].iter().all(|member| member["role"] == "member"));
    }
    // The last of them is in as well.
    service.known_user("m449").say(&id(&made), "hello").await;
}

#[tokio::test]
async fn members_per_conversation_are_limited_by_configuration() {
    let service = Service::builder()
        .env("MAX_GROUP_MEMBERS", "3")
        .start()
        .await;
    let alice = service.user("alice").await;
    for user in ["bob", "carol", "dave"] {
        service.user(user).await;
    }
    let make = async |ids: Value| {
        alice
            .post(
                "/api/conversations",
                json!({ "type": "group", "participantIds": ids }),
            )
            .await
    };
    let answer = make(json!(["bob", "carol", "dave"])).await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["participantIds".to_owned()]),
        "with alice these are four"
    );
    let group = make(json!(["bob", "carol", "alice", "bob"]))
        .await
        .expect(201);
    assert_eq!(group["participantCount"], 3, "the same user twice is one");

    let path = format!("/api/conversations/{}/participants", id(&group));
    alice
        .post(&path, json!({ "userIds": ["dave"] }))
        .await
        .expect_error(409, "CONFLICT");
    alice
        .post(&path, json!({ "userIds": ["bob", "carol"] }))
        .await
        .expect(201);
    alice.delete(&format!("{path}/bob")).await.expect(204);
    alice
        .post(&path, json!({ "userIds": ["dave"] }))
        .await
        .expect(201);

    let open = json!({ "type": "public", "participantIds": ["bob", "carol"], "name": "Open" });
    let open = alice.post("/api/conversations", open).await.expect(201);
    let dave = service.known_user("dave");
    dave.post(
        &format!("/api/conversations/{}/join", id(&open)),
        Value::Null,
    )
    .await
    .expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn every_limit_of_the_settings_is_enforced() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("   ")),
        ("name", json!("x".repeat(201))),
        ("avatarUrl", json!("")),
        ("avatarUrl", json!("x".repeat(2049))),
        ("avatarUrl", json!("javascript:alert(1)")),
        ("metadata", json!({ "x": "y".repeat(16 * 1024) })),
    ] {
        let answer = alice
            .post(
                "/api/conversations",
                json!({ "type": "group", "participantIds": [], field: value }),
            )
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
    let longest = json!({ "type": "group", "participantIds": [], "name": "名".repeat(200) });
    alice.post("/api/conversations", longest).await.expect(201);
}

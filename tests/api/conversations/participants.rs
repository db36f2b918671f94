//! `/api/conversations/{id}/participants`.

use serde_json::{Value, json};

use super::super::{column, faults, read_all};
use crate::support::{Service, User};

struct Group {
    service: Service,
    alice: User,
    path: String,
}

impl Group {
    /// A group with only alice, and five users who are members of nothing.
    async fn of_alice() -> Self {
        let service = Service::start().await;
        let alice = service.user("alice").await;
        for user in ["bob", "carol", "dave", "erin", "frank"] {
            service.user(user).await;
        }
        let path = format!("/api/conversations/{}", service.group(&alice, &[]).await);
        Self {
            service,
            alice,
            path,
        }
    }

    async fn add(&self, ids: Value) -> Value {
        self.alice
            .post(
                &format!("{}/participants", self.path),
                json!({ "userIds": ids }),
            )
            .await
            .expect(201)
    }

    async fn members(&self) -> Vec<(String, String)> {
        let members = read_all(
            &self.alice,
            &format!("{}/participants", self.path),
            "participants",
            "after",
            100,
        )
        .await;
        let members = json!(members);
        column(&members, "userId")
            .into_iter()
            .zip(column(&members, "role"))
            .collect()
    }
}

fn pairs(members: &[(&str, &str)]) -> Vec<(String, String)> {
    members
        .iter()
        .map(|(user, role)| ((*user).to_owned(), (*role).to_owned()))
        .collect()
}

#[tokio::test]
async fn added_users_are_members_and_members_stay_as_they_are() {
    let group = Group::of_alice().await;
    let added = group.add(json!(["carol", "bob"])).await;
    assert_eq!(column(&added["participants"], "userId"), ["bob", "carol"]);
    assert_eq!(added["participants"][0]["name"], "bob");
    let path = format!("{}/participants", group.path);
    group
        .alice
        .patch(&format!("{path}/bob"), json!({ "role": "admin" }))
        .await
        .expect(200);
    let again = group.add(json!(["bob", "dave", "dave", "alice"])).await;
    assert_eq!(
        column(&again["participants"], "userId"),
        ["alice", "bob", "dave"],
        "who is a member now, of those asked for"
    );
    let members = [
        ("alice", "owner"),
        ("bob", "admin"),
        ("carol", "member"),
        ("dave", "member"),
    ];
    assert_eq!(group.members().await, pairs(&members));

    let seq = group.alice.get(&group.path).await.expect(200)["seq"].clone();
    group.add(json!(["bob", "carol"])).await;
    assert_eq!(
        group.alice.get(&group.path).await.expect(200)["seq"],
        seq,
        "nobody new, no entry"
    );

    let with_role = json!({ "userIds": ["erin"], "role": "admin" });
    let added = group.alice.post(&path, with_role).await.expect(201);
    assert_eq!(added["participants"][0]["role"], "admin");
}

#[tokio::test]
async fn unknown_users_are_named_and_nobody_is_added() {
    let group = Group::of_alice().await;
    let path = format!("{}/participants", group.path);
    let answer = group
        .alice
        .post(
            &path,
            json!({ "userIds": ["bob", "ghost", "carol", "phantom"] }),
        )
        .await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["userIds[1]".to_owned(), "userIds[3]".to_owned()])
    );
    for (body, field) in [
        (json!({ "userIds": [] }), "userIds"),
        (json!({ "userIds": ["me"] }), "userIds[0]"),
        (json!({ "userIds": ["bob"], "role": "god" }), "role"),
        (json!({ "userId": "bob" }), "userId"),
    ] {
        let answer = group.alice.post(&path, body).await;
        assert_eq!(answer.status, 400);
        assert!(faults(&answer).contains(&field.to_owned()), "{answer}");
    }
    assert_eq!(group.members().await, pairs(&[("alice", "owner")]));
}

#[tokio::test]
async fn a_group_with_members_always_has_an_owner() {
    let group = Group::of_alice().await;
    group.add(json!(["bob"])).await;
    let path = format!("{}/participants", group.path);
    let leave = format!("{}/leave", group.path);
    group
        .alice
        .post(&leave, Value::Null)
        .await
        .expect_error(409, "CONFLICT");
    group
        .alice
        .delete(&format!("{path}/alice"))
        .await
        .expect_error(409, "CONFLICT");
    group
        .alice
        .patch(&format!("{path}/alice"), json!({ "role": "admin" }))
        .await
        .expect_error(409, "CONFLICT");
    group
        .service
        .internal()
        .delete(&format!("{path}/alice"))
        .await
        .expect_error(409, "CONFLICT");

    group
        .alice
        .patch(&format!("{path}/bob"), json!({ "role": "owner" }))
        .await
        .expect(200);
    group.alice.post(&leave, Value::Null).await.expect(204);
    let bob = group.service.known_user("bob");
    bob.patch(&format!("{path}/bob"), json!({ "role": "member" }))
        .await
        .expect_error(409, "CONFLICT");
    // The last member may leave.
    bob.post(&leave, Value::Null).await.expect(204);
    bob.get(&group.path).await.expect(404);
}

#[tokio::test]
async fn one_of_two_owners_leaving_concurrently_is_refused() {
    let group = Group::of_alice().await;
    group.add(json!(["bob", "carol"])).await;
    group
        .alice
        .patch(
            &format!("{}/participants/bob", group.path),
            json!({ "role": "owner" }),
        )
        .await
        .expect(200);
    let bob = group.service.known_user("bob");
    let leave = format!("{}/leave", group.path);
    let (one, other) = tokio::join!(
        group.alice.post(&leave, Value::Null),
        bob.post(&leave, Value::Null)
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}

#[tokio::test]
async fn a_removed_member_is_out_and_can_come_back() {
    let group = Group::of_alice().await;
    group.add(json!(["bob"])).await;
    let path = format!("{}/participants", group.path);
    let bob = group.service.known_user("bob");
    group.alice.delete(&format!("{path}/bob")).await.expect(204);
    bob.get(&group.path).await.expect_error(404, "NOT_FOUND");
    bob.post(
        &format!("{}/messages", group.path),
        json!({ "content": "hello?" }),
    )
    .await
    .expect_error(404, "NOT_FOUND");
    group
        .alice
        .delete(&format!("{path}/bob"))
        .await
        .expect_error(404, "NOT_FOUND");
    group
        .alice
        .patch(&format!("{path}/bob"), json!({ "role": "admin" }))
        .await
        .expect_error(404, "NOT_FOUND");
    group
        .alice
        .delete(&format!("{path}/ghost"))
        .await
        .expect_error(404, "NOT_FOUND");
    group.add(json!(["bob"])).await;
    assert_eq!(bob.get(&group.path).await.expect(200)["myRole"], "member");
}

#[tokio::test]
async fn only_the_named_role_changes() {
    let group = Group::of_alice().await;
    group.add(json!(["bob", "carol"])).await;
    let path = format!("{}/participants", group.path);
    let changed = group
        .alice
        .patch(&format!("{path}/bob"), json!({ "role": "admin" }))
        .await
        .expect(200);
    assert_eq!(
        (&changed["userId"], &changed["role"]),
        (&json!("bob"), &json!("admin"))
    );
    let seq = group.alice.get(&group.path).await.expect(200)["seq"].clone();
    group
        .alice
        .patch(&format!("{path}/bob"), json!({ "role": "admin" }))
        .await
        .expect(200);
    assert_eq!(
        group.alice.get(&group.path).await.expect(200)["seq"],
        seq,
        "it was so already"
    );
    assert_eq!(
        group.members().await,
        pairs(&[("alice", "owner"), ("bob", "admin"), ("carol", "member")])
    );
    for body in [
        json!({}),
        json!({ "role": "god" }),
        json!({ "role": null }),
        json!({ "role": "admin", "userId": "carol" }),
    ] {
        group
            .alice
            .patch(&format!("{path}/bob"), body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn pages_go_forth_and_back_by_user_id() {
    let group = Group::of_alice().await;
    group
        .add(json!(["bob", "carol", "dave", "erin", "frank"]))
        .await;
    let path = format!("{}/participants", group.path);
    let page = async |query: &str| {
        let page = group
            .alice
            .get(&format!("{path}?{query}"))
            .await
            .expect(200);
        (
            column(&page["participants"], "userId"),
            page["hasMore"] == true,
        )
    };
    let (first, more) = page("limit=2").await;
    assert_eq!(
        (first, more),
        (vec!["alice".to_owned(), "bob".to_owned()], true)
    );
    assert_eq!(
        page("limit=2&after=bob").await,
        (vec!["carol".to_owned(), "dave".to_owned()], true)
    );
    assert_eq!(
        page("limit=2&after=dave").await,
        (vec!["erin".to_owned(), "frank".to_owned()], false)
    );
    assert_eq!(page("limit=9&after=zoe").await, (vec![], false));
}

#[tokio::test]
async fn the_host_manages_members_without_an_acting_user() {
    let group = Group::of_alice().await;
    let host = group.service.internal();
    let path = format!("{}/participants", group.path);
    host.post(&path, json!({ "userIds": ["bob"], "role": "owner" }))
        .await
        .expect(201);
    host.patch(&format!("{path}/bob"), json!({ "role": "admin" }))
        .await
        .expect(200);
    host.delete(&format!("{path}/bob")).await.expect(204);
    let log = group
        .alice
        .get(&format!("{}/log", group.path))
        .await
        .expect(200);
    let actors: Vec<bool> = log["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry.get("actorId").is_some())
        .collect();
    assert_eq!(actors, [true, false, false, false]);
}

#[tokio::test]
async fn if_not_all_fit_nobody_is_added() {
    let service = Service::builder()
        .env("MAX_GROUP_MEMBERS", "250")
        .start()
        .await;
    let alice = service.user("alice").await;
    let users: Vec<Value> = (0..260)
        .map(|n| json!({ "externalUserId": format!("u{n:03}"), "name": "User" }))
        .collect();
    service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    let group = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{group}");
    let participants = format!("{path}/participants");
    let ids = |range: std::ops::Range<u32>| -> Vec<String> {
        range.map(|n| format!("u{n:03}")).collect()
    };
    let count = async || alice.get(&path).await.expect(200)["participantCount"].clone();
    alice
        .post(&participants, json!({ "userIds": ids(0..260) }))
        .await
        .expect_error(409, "CONFLICT");
    assert_eq!(count().await, 1);
    // Users who are members already take no further place.
    alice
        .post(&participants, json!({ "userIds": ids(0..150) }))
        .await
        .expect(201);
    let added = alice
        .post(&participants, json!({ "userIds": ids(0..249) }))
        .await
        .expect(201);
    assert_eq!(added["participants"].as_array().map(Vec::len), Some(249));
    assert_eq!(count().await, 250);
    alice
        .post(&participants, json!({ "userIds": ids(0..260) }))
        .await
        .expect_error(409, "CONFLICT");
    assert_eq!(count().await, 250);
}

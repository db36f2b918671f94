//! `GET /api/conversations`: latest activity first.

use serde_json::{Value, json};

use super::super::{column, id, next_cursor, read_all, take};
use crate::support::{Service, User};

async fn groups(service: &Service, owner: &User, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(service.group(owner, &[]).await);
    }
    ids
}

#[tokio::test]
async fn the_latest_activity_comes_first_with_the_newest_message() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let first = service.group(&alice, &[&bob]).await;
    let second = service.group(&alice, &[&bob]).await;
    let list = async |user: &User| {
        user.get("/api/conversations").await.expect(200)["conversations"].take()
    };

    assert_eq!(column(&list(&alice).await, "id"), [second.as_str(), &first]);
    let sent = bob.say(&first, "ping").await;
    let listed = list(&alice).await;
    assert_eq!(column(&listed, "id"), [first.as_str(), &second]);
    assert_eq!(listed[0]["lastMessage"], sent);
    assert_eq!(listed[0]["lastActivityAt"], sent["createdAt"]);
    assert_eq!(listed[0]["myRole"], "owner");
    assert!(listed[1].get("lastMessage").is_none());
    assert_eq!(list(&bob).await[0]["myRole"], "member");

    // A change of the newest message is visible in the list, too.
    bob.patch(
        &format!("/api/messages/{}", id(&sent)),
        json!({ "content": "pong" }),
    )
    .await
    .expect(200);
    assert_eq!(list(&alice).await[0]["lastMessage"]["content"], "pong");
    bob.delete(&format!("/api/messages/{}", id(&sent)))
        .await
        .expect(204);
    let tombstone = &list(&alice).await[0]["lastMessage"];
    assert_eq!(
        (&tombstone["isDeleted"], &tombstone["content"]),
        (&json!(true), &json!(""))
    );
}

#[tokio::test]
async fn the_list_has_only_the_callers_conversations() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let shared = service.group(&alice, &[&bob]).await;
    let left = service.group(&alice, &[&bob]).await;
    let gone = service.group(&alice, &[&bob]).await;
    service.group(&alice, &[]).await;
    bob.post(&format!("/api/conversations/{left}/leave"), Value::Null)
        .await
        .expect(204);
    alice
        .delete(&format!("/api/conversations/{gone}"))
        .await
        .expect(204);
    let seen = bob.get("/api/conversations").await.expect(200);
    assert_eq!(column(&seen["conversations"], "id"), [shared]);
    let stranger = service.user("stranger").await;
    assert_eq!(
        stranger.get("/api/conversations").await.expect(200),
        json!({ "conversations": [], "hasMore": false })
    );
}

#[tokio::test]
async fn pages_hold_every_conversation_once() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let mut ids = groups(&service, &alice, 25).await;
    ids.reverse();
    for limit in [1, 4, 25, 100] {
        let read = read_all(
            &alice,
            "/api/conversations",
            "conversations",
            "before",
            limit,
        )
        .await;
        assert_eq!(column(&json!(read), "id"), ids, "in pieces of {limit}");
    }
    // An id can replace a cursor, and `after` pages in the opposite direction.
    let page = alice
        .get(&format!("/api/conversations?before={}&limit=3", ids[9]))
        .await
        .expect(200);
    assert_eq!(column(&page["conversations"], "id"), ids[10..13]);
    let page = alice
        .get(&format!("/api/conversations?after={}&limit=3", ids[9]))
        .await
        .expect(200);
    let expected: Vec<String> = ids[6..9].iter().rev().cloned().collect();
    assert_eq!(
        column(&page["conversations"], "id"),
        expected,
        "oldest first"
    );
}

#[tokio::test]
async fn paging_loses_and_repeats_nothing_while_messages_arrive() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let ids = groups(&service, &alice, 30).await;
    let mut seen: Vec<String> = Vec::new();
    let mut touched = Vec::new();
    let mut path = "/api/conversations?limit=7".to_owned();
    for round in 0.. {
        let mut page = alice.get(&path).await.expect(200);
        seen.extend(column(&json!(take(&mut page, "conversations")), "id"));
        let Some(next) = next_cursor(&page) else {
            break;
        };
        path = format!("/api/conversations?limit=7&before={next}");
        // One that was read already, and the oldest of all, which jumps over what is being read.
        alice.say(&ids[29 - round], "again").await;
        alice.say(&ids[round], "up").await;
        touched.push(ids[round].clone());
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len(), "something came twice: {seen:?}");
    let latest = alice.get("/api/conversations?limit=20").await.expect(200);
    let latest = column(&latest["conversations"], "id");
    for id in &ids {
        // A conversation that moved to the front after the reader passed it is on the first page, which the reader loads next.
        assert!(
            seen.contains(id) || touched.contains(id) && latest.contains(id),
            "{id} was lost"
        );
    }
}

#[tokio::test]
async fn under_joined_the_newest_message_from_before_is_not_shown() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service
        .group_with(&alice, &[], json!({ "historyVisibility": "joined" }))
        .await;
    alice.say(&group, "before bob").await;
    alice
        .post(
            &format!("/api/conversations/{group}/participants"),
            json!({ "userIds": [bob.id] }),
        )
        .await
        .expect(201);
    let listed = bob.get("/api/conversations").await.expect(200);
    assert!(
        listed["conversations"][0].get("lastMessage").is_none(),
        "{listed}"
    );
    alice.say(&group, "with bob").await;
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(
        listed["conversations"][0]["lastMessage"]["content"],
        "with bob"
    );
}

#[tokio::test]
async fn list_items_have_unread_counts_and_equal_the_single_resource() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    alice.say(&group, "one").await;
    alice
        .post(
            &format!("/api/conversations/{group}/messages"),
            json!({ "content": "two", "mentions": ["bob"] }),
        )
        .await
        .expect(201);
    let listed = bob.get("/api/conversations").await.expect(200)["conversations"][0].take();
    assert_eq!(
        (&listed["unreadCount"], &listed["mentionCount"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(listed["preferences"]["archived"], false);
    let path = format!("/api/conversations/{group}");
    assert_eq!(bob.get(&path).await.expect(200), listed);
    let own = alice.get(&path).await.expect(200);
    assert_eq!(own["unreadCount"], 0);
}

#[tokio::test]
async fn after_expiry_of_the_newest_message_the_previous_one_is_shown() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let stays = alice.say(&group, "stays").await;
    let path = format!("/api/conversations/{group}/messages");
    let short = json!({ "content": "soon gone", "ttlSeconds": 1 });
    alice.post(&path, short).await.expect(201);
    let last = async || {
        let listed = alice.get("/api/conversations").await.expect(200);
        listed["conversations"][0]["lastMessage"].clone()
    };
    assert_eq!(last().await["content"], "soon gone");
    crate::support::eventually("the newest is over", async || {
        (last().await == stays).then_some(())
    })
    .await;
}

#[tokio::test]
async fn archived_are_listed_separately_and_hidden_reappear_with_a_new_message() {
    use mongodb::bson::doc;
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let group = service.group(&alice, &[&bob]).await;
        alice.say(&group, "hello").await;
        ids.push(group);
    }
    // The member's preferences, as the fold stores them.
    let participants = service.sandbox().collection("participants").await;
    let set = async |group: &String, set: mongodb::bson::Document| {
        let id = doc! { "_id": format!("{group}:bob") };
        let done = participants.update_one(id, doc! { "$set": set }).await;
        assert_eq!(done.expect("an answer").modified_count, 1);
    };
    set(&ids[0], doc! { "preferences.archived": true }).await;
    set(
        &ids[1],
        doc! { "preferences.hidden": true, "hiddenAt": 2_i64 },
    )
    .await;
    let list = async |query: &str| {
        let page = bob.get(&format!("/api/conversations{query}")).await;
        column(&page.expect(200)["conversations"], "id")
    };
    assert_eq!(list("").await, [ids[2].as_str()]);
    assert_eq!(list("?archived=false").await, [ids[2].as_str()]);
    assert_eq!(list("?archived=true").await, [ids[0].as_str()]);
    alice.say(&ids[1], "again").await;
    assert_eq!(list("").await, [ids[1].as_str(), &ids[2]]);
    let pages = read_all(&bob, "/api/conversations", "conversations", "before", 1).await;
    assert_eq!(column(&json!(pages), "id"), [ids[1].as_str(), &ids[2]]);
    bob.get("/api/conversations?archived=maybe")
        .await
        .expect_error(400, "VALIDATION_ERROR");
}

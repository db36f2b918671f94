//! Conversations with very many former members, and users who joined very often. Past memberships must cost nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

use super::super::{column, id};
use crate::support::{Sandbox, Service, User, eventually_within};

const FORMER_MEMBERS: i32 = 500_000;
const LARGE_GROUP: i32 = 10_000;

async fn open_conversation(owner: &User, visibility: &str) -> String {
    let body = json!({
        "type": "public", "participantIds": [], "name": "Town square", "historyVisibility": visibility,
    });
    id(&owner.post("/api/conversations", body).await.expect(201))
}

/// Writes `count` documents of members as the applier would have, inside MongoDB.
async fn add_members(place: &Sandbox, conversation: &str, count: i32, is_active: bool) {
    let user = doc! { "$concat": ["many-", { "$toString": "$number" }] };
    let left = if is_active {
        Bson::Null
    } else {
        Bson::Int64(1)
    };
    let pipeline = vec![
        doc! { "$match": { "_id": conversation } },
        doc! { "$project": { "number": { "$range": [0, count] } } },
        doc! { "$unwind": "$number" },
        doc! { "$project": {
            "_id": { "$concat": [conversation, ":", user.clone()] },
            "conversationId": { "$literal": conversation },
            "userId": user,
            "role": { "$literal": "member" },
            "intervals": { "$literal": [[1_i64, left]] },
            "leftUnder": { "$literal": if is_active { Bson::Null } else { "full".into() } },
            "isActive": { "$literal": is_active },
            "joinedAt": "$$NOW",
            "preferences": { "$literal": {
                "muted": false, "archived": false, "pinned": false, "hidden": false, "notificationLevel": "all",
            } },
            "hiddenAt": { "$literal": 0_i64 },
            "isBlocking": { "$literal": false },
            "seq": { "$literal": 1_i64 },
        } },
        doc! { "$merge": { "into": "participants", "whenMatched": "fail" } },
    ];
    let conversations = place.collection("conversations").await;
    conversations.aggregate(pipeline).await.expect("written");
}

/// A new process that replaces `service`.
async fn start_anew(service: Service) -> Service {
    let place = Arc::clone(service.sandbox());
    service.stop();
    Service::builder().place_of(&place).start().await
}

async fn member(place: &Sandbox, conversation: &str, user: &str) -> Document {
    let participants = place.collection("participants").await;
    let filter = doc! { "_id": format!("{conversation}:{user}") };
    let found = participants.find_one(filter).await.expect("readable");
    found.expect("a record")
}

#[tokio::test]
async fn former_members_cost_a_conversation_nothing() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let many = service.user("many-7").await;
    let square = open_conversation(&alice, "full").await;
    add_members(service.sandbox(), &square, FORMER_MEMBERS, false).await;
    // A new process has an empty cache and loads what it needs of the conversation.
    let service = start_anew(service).await;
    let (alice, bob, many) = (alice.at(&service), bob.at(&service), many.at(&service));
    let path = format!("/api/conversations/{square}");
    for text in ["cold", "warm"] {
        let begun = Instant::now();
        alice.say(&square, text).await;
        let elapsed = begun.elapsed();
        assert!(elapsed < Duration::from_millis(1000), "{text}: {elapsed:?}");
    }
    let begun = Instant::now();
    bob.post(&format!("{path}/join"), Value::Null)
        .await
        .expect(200);
    // A former member who rejoins continues the earlier record.
    many.post(&format!("{path}/join"), Value::Null)
        .await
        .expect(200);
    alice
        .post(
            &format!("{path}/participants"),
            json!({ "userIds": ["many-7", "bob"] }),
        )
        .await
        .expect(201);
    many.post(&format!("{path}/leave"), Value::Null)
        .await
        .expect(204);
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_millis(4000), "{elapsed:?}");
    let conversation = alice.get(&path).await.expect(200);
    assert_eq!(conversation["participantCount"], 2);
    let stored = member(service.sandbox(), &square, "many-7").await;
    let intervals = stored.get_array("intervals").expect("a list");
    assert_eq!(intervals.len(), 2, "{intervals:?}");
    assert_eq!(intervals[0], Bson::from(vec![1_i64, 1]), "{intervals:?}");
}

#[tokio::test]
async fn a_user_who_joined_very_often_still_reads_history() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let square = open_conversation(&alice, "joined").await;
    let path = format!("/api/conversations/{square}");
    bob.post(&format!("{path}/join"), Value::Null)
        .await
        .expect(200);
    alice.say(&square, "seen").await;
    let place = Arc::clone(service.sandbox());
    service.stop();
    let mut intervals = vec![Bson::from(vec![1_i64, 1]); 20_000];
    intervals.push(Bson::Array(vec![Bson::Int64(2), Bson::Null]));
    let participants = place.collection("participants").await;
    participants
        .update_one(
            doc! { "_id": format!("{square}:bob") },
            doc! { "$set": { "intervals": intervals } },
        )
        .await
        .expect("written");
    let service = Service::builder().place_of(&place).start().await;
    let (alice, bob) = (alice.at(&service), bob.at(&service));
    let texts = async || column(&json!(bob.history(&square).await), "content");
    assert_eq!(texts().await, ["seen"]);
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(listed["conversations"][0]["unreadCount"], 1);
    let pins = bob.get(&format!("{path}/pins")).await;
    assert_eq!(pins.status, 200, "{pins}");
    bob.post(&format!("{path}/leave"), Value::Null)
        .await
        .expect(204);
    alice.say(&square, "not seen").await;
    bob.post(&format!("{path}/join"), Value::Null)
        .await
        .expect(200);
    alice.say(&square, "seen again").await;
    let stored = member(service.sandbox(), &square, "bob").await;
    let kept = stored.get_array("intervals").expect("a list").len();
    assert_eq!(kept, 100);
    let mut socket = bob.connect().await;
    alice.say(&square, "pushed").await;
    let pushed = socket.next("message:new").await;
    assert_eq!(pushed["data"]["content"], "pushed");
    let mut texts = texts().await;
    texts.sort();
    assert_eq!(texts, ["pushed", "seen", "seen again"]);
}

#[tokio::test]
async fn joining_and_leaving_in_turn_keeps_a_bounded_record() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let square = open_conversation(&alice, "joined").await;
    let path = format!("/api/conversations/{square}");
    for round in 0..8 {
        bob.post(&format!("{path}/join"), Value::Null)
            .await
            .expect(200);
        if round == 4 {
            alice.say(&square, "while bob is there").await;
        }
        bob.post(&format!("{path}/leave"), Value::Null)
            .await
            .expect(204);
        if round == 5 {
            alice.say(&square, "while bob is away").await;
        }
    }
    let stored = member(service.sandbox(), &square, "bob").await;
    let intervals = stored.get_array("intervals").expect("a list");
    // Nothing lies between the first six, nor between the others; of those the newest stays by itself.
    assert_eq!(intervals.len(), 3, "{intervals:?}");
    let texts = column(&json!(bob.history(&square).await), "content");
    assert_eq!(texts, ["while bob is there"]);
}

/// Measures the time to change a message.
async fn edit(user: &User, message: &str) -> Duration {
    let begun = Instant::now();
    let body = json!({ "content": format!("{begun:?}") });
    user.patch(&format!("/api/messages/{message}"), body)
        .await
        .expect(200);
    begun.elapsed()
}

#[tokio::test]
async fn deleting_a_large_group_does_not_block_others() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[]).await;
    let other = service.group(&bob, &[]).await;
    let message = id(&bob.say(&other, "text").await);
    add_members(service.sandbox(), &group, LARGE_GROUP, true).await;
    let service = start_anew(service).await;
    let (alice, bob) = (alice.at(&service), bob.at(&service));
    edit(&bob, &message).await;
    // A busy machine may not load a large group within the deadline of a request; then its client asks again.
    let path = format!("/api/conversations/{group}/messages");
    eventually_within(Duration::from_secs(30), "the group is loaded", || async {
        let body = json!({ "content": "loads the group", "clientMessageId": "first" });
        let answer = alice.post(&path, body).await;
        matches!(answer.status, 200 | 201).then_some(())
    })
    .await;
    let deletion = {
        let (alice, path) = (alice.clone(), format!("/api/conversations/{group}"));
        tokio::spawn(async move {
            let begun = Instant::now();
            // This test does not check whether the answer comes within the deadline.
            alice.delete(&path).await;
            begun
        })
    };
    let participants = service.sandbox().collection("participants").await;
    let active = doc! { "conversationId": &group, "isActive": true };
    let mut slowest = Duration::ZERO;
    let mut edits = 0;
    let begun = Instant::now();
    while participants
        .find_one(active.clone())
        .await
        .expect("readable")
        .is_some()
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "not deleted");
        slowest = slowest.max(edit(&bob, &message).await);
        edits += 1;
    }
    let took = deletion.await.expect("no panic").elapsed();
    assert!(
        edits >= 3 && slowest < took / 2,
        "the slowest of {edits} edits took {slowest:?}, the deletion {took:?}"
    );
    eventually_within(Duration::from_secs(10), "the group is gone", || async {
        let answer = alice.get(&format!("/api/conversations/{group}")).await;
        (answer.status == 404).then_some(())
    })
    .await;
}

//! `PUT`, `DELETE` and `GET /api/messages/{id}/read`, and `/delivered`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ask, column, counts, id, put, read, read_all, readers, text, unread};
use crate::support::Service;

#[tokio::test]
async fn reading_a_message_reads_all_before_it_and_says_since_when() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut said = Vec::new();
    for n in 0..4 {
        said.push(alice.say(&group, &n.to_string()).await);
    }
    assert!(readers(&alice, &said[0]).await.is_empty());
    let first = read(&bob, &said[1]).await;
    assert_eq!(counts(&bob, &group).await, (2, 0));
    let second = read(&bob, &said[3]).await;
    assert!(first <= second);
    // Each message was read at the first step to it or beyond.
    for (message, at) in said.iter().zip([&first, &first, &second, &second]) {
        let expected = vec![("bob".to_owned(), at.clone())];
        assert_eq!(readers(&alice, message).await, expected);
    }
    // Repeated and earlier marks: the watermark never moves back, and the time stays.
    assert_eq!(read(&bob, &said[3]).await, second);
    assert_eq!(read(&bob, &said[0]).await, first);
    assert_eq!(counts(&bob, &group).await, (0, 0));
}

#[tokio::test]
async fn marking_unread_takes_the_watermark_back_to_before_the_message() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut said = Vec::new();
    for n in 0..5 {
        said.push(alice.say(&group, &n.to_string()).await);
    }
    let at = read(&bob, &said[4]).await;
    unread(&bob, &said[2]).await;
    assert_eq!(counts(&bob, &group).await, (3, 0));
    assert!(readers(&alice, &said[2]).await.is_empty());
    // A message that stays read keeps its first read time.
    assert_eq!(
        readers(&alice, &said[1]).await,
        [("bob".to_owned(), at.clone())]
    );
    // Later messages are unread already, so nothing changes.
    unread(&bob, &said[4]).await;
    assert_eq!(counts(&bob, &group).await, (3, 0));
    let again = read(&bob, &said[3]).await;
    assert!(again >= at);
    assert_eq!(
        readers(&alice, &said[2]).await,
        [("bob".to_owned(), again)],
        "read anew, at another time"
    );
    assert_eq!(readers(&alice, &said[0]).await, [("bob".to_owned(), at)]);
    unread(&bob, &said[0]).await;
    assert_eq!(counts(&bob, &group).await, (5, 0));
    assert!(readers(&alice, &said[0]).await.is_empty());
}

#[tokio::test]
async fn a_client_can_count_by_itself_from_the_number_up_to_which_one_has_read() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    let standing = async || {
        let conversation = bob.get(&path).await.expect(200);
        (
            conversation["readSeq"].as_u64().expect("a number"),
            conversation["unreadCount"].as_u64().expect("a count"),
        )
    };
    assert_eq!(standing().await, (0, 0));
    let first = alice.say(&group, "one").await;
    let second = alice.say(&group, "two").await;
    let seq = |message: &Value| message["seq"].as_u64().expect("a number");
    assert_eq!(standing().await, (0, 2));
    read(&bob, &second).await;
    assert_eq!(standing().await, (seq(&second), 0));
    // A message that is deleted and restored keeps its read state, which the counts do not show.
    let second_path = format!("/api/messages/{}", id(&second));
    alice.delete(&second_path).await.expect(204);
    assert_eq!(standing().await, (seq(&second), 0));
    ask(&alice, "POST", &format!("{second_path}/restore"), None)
        .await
        .expect(200);
    assert_eq!(standing().await, (seq(&second), 0));
    // A member who rejoins continues from their earlier watermark.
    let member = format!("{path}/participants/bob");
    alice.delete(&member).await.expect(204);
    alice.say(&group, "three").await;
    let back = json!({ "userIds": ["bob"] });
    let back = alice.post(&format!("{path}/participants"), back).await;
    back.expect(201);
    assert_eq!(standing().await, (seq(&second), 1));
    unread(&bob, &first).await;
    assert_eq!(standing().await, (seq(&first) - 1, 3));
}

#[tokio::test]
async fn a_conversation_is_read_up_to_a_message_or_altogether() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let other = service.group(&alice, &[&bob]).await;
    assert_eq!(
        read_all(&bob, &group, json!({})).await,
        0,
        "nothing is there"
    );
    let mut said = Vec::new();
    for n in 0..6 {
        said.push(alice.say(&group, &n.to_string()).await);
        bob.say(&group, "own ones do not count").await;
    }
    let up_to = json!({ "upToMessageId": id(&said[3]) });
    assert_eq!(read_all(&bob, &group, up_to.clone()).await, 4);
    assert_eq!(read_all(&bob, &group, up_to).await, 0);
    assert_eq!(read_all(&bob, &group, json!({})).await, 2);
    assert_eq!(counts(&bob, &group).await, (0, 0));
    // Without a body as with an empty one.
    alice.say(&group, "one more").await;
    let path = format!("/api/conversations/{group}/read");
    assert_eq!(put(&bob, &path).await.expect(200)["count"], 1);
    let foreign = alice.say(&other, "elsewhere").await;
    let body = json!({ "upToMessageId": id(&foreign) });
    let error = ask(&bob, "PUT", &path, Some(body))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "upToMessageId");
}

#[tokio::test]
async fn concurrent_marks_move_the_watermark_forward_only() {
    let service = Service::start().await;
    let node = Service::builder().database(&service).start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let mut said = Vec::new();
    for n in 0..30 {
        said.push(alice.say(&group, &n.to_string()).await);
    }
    // Two devices on two nodes mark every message, in random order.
    let devices = [bob.clone(), bob.at(&node)];
    let marks = said.iter().enumerate().rev().map(|(n, message)| {
        let device = devices[n % 2].clone();
        async move { (n, read(&device, message).await) }
    });
    join_all(marks).await;
    assert_eq!(counts(&bob, &group).await, (0, 0));
    for message in &said {
        assert_eq!(readers(&alice, message).await.len(), 1);
    }
    // The read time in an answer is the one that is stored.
    let settled = readers(&alice, &said[29]).await;
    assert_eq!(read(&devices[1], &said[29]).await, settled[0].1);
}

#[tokio::test]
async fn receipts_name_members_who_saw_the_message_in_pieces_without_its_sender() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let mut readers = Vec::new();
    for n in 0..7 {
        readers.push(service.user(&format!("reader:{n}")).await);
    }
    let (late, gone) = (service.user("late").await, service.user("gone").await);
    let mut members: Vec<_> = readers.iter().collect();
    members.push(&gone);
    let settings = json!({ "historyVisibility": "joined" });
    let group = service.group_with(&alice, &members, settings).await;
    let message = alice.say(&group, "hello").await;
    let members = format!("/api/conversations/{group}/participants");
    alice
        .post(&members, json!({ "userIds": ["late"] }))
        .await
        .expect(201);
    let last = alice.say(&group, "again").await;
    for user in members_and(&readers, [&alice, &late, &gone]) {
        read(user, &last).await;
    }
    let leave = format!("/api/conversations/{group}/leave");
    gone.post(&leave, Value::Null).await.expect(204);
    let names: Vec<String> = readers.iter().map(|reader| reader.id.clone()).collect();
    for limit in [1, 3, 7, 100] {
        let path = format!("/api/messages/{}/read", id(&message));
        let read = super::super::read_all(&alice, &path, "receipts", "after", limit).await;
        // Excludes members who joined later and do not see it, and former members.
        assert_eq!(
            column(&json!(read), "userId"),
            names,
            "in pieces of {limit}"
        );
    }
    let path = format!("/api/messages/{}/read", id(&last));
    let page = alice.get(&path).await.expect(200);
    assert_eq!(column(&page["receipts"], "userId").len(), 8);
}

fn members_and<'a>(
    readers: &'a [crate::support::User],
    others: [&'a crate::support::User; 3],
) -> impl Iterator<Item = &'a crate::support::User> {
    readers.iter().chain(others)
}

#[tokio::test]
async fn delivered_and_read_receipts_are_separate() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let group = service.group(&alice, &[&bob, &carol]).await;
    let first = alice.say(&group, "one").await;
    let second = alice.say(&group, "two").await;
    let path = |message: &Value| format!("/api/messages/{}/delivered", id(message));
    let at = text(&put(&bob, &path(&second)).await.expect(200), "deliveredAt");
    let again = put(&bob, &path(&first)).await.expect(200);
    assert_eq!(text(&again, "deliveredAt"), at, "all before it arrived too");
    assert_eq!(counts(&bob, &group).await, (2, 0), "nothing is read yet");
    assert!(readers(&alice, &first).await.is_empty());
    // A message that is read counts as delivered.
    let read_at = read(&carol, &first).await;
    let page = alice.get(&path(&first)).await.expect(200);
    assert_eq!(
        page["receipts"],
        json!([{ "userId": "bob", "deliveredAt": at }, { "userId": "carol", "deliveredAt": read_at }])
    );
    let page = alice.get(&path(&second)).await.expect(200);
    assert_eq!(column(&page["receipts"], "userId"), ["bob"]);
}

#[tokio::test]
async fn with_receipts_off_counts_continue_and_nobody_is_notified() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let settings = json!({ "features": { "reads": false } });
    let group = service.group_with(&alice, &[&bob], settings).await;
    let message = alice.say(&group, "hello").await;
    assert_eq!(counts(&bob, &group).await, (1, 0));
    read(&bob, &message).await;
    assert_eq!(counts(&bob, &group).await, (0, 0));
    for what in ["read", "delivered"] {
        let path = format!("/api/messages/{}/{what}", id(&message));
        alice.get(&path).await.expect_error(403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn a_former_member_cannot_mark_messages() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let message = alice.say(&group, "hello").await;
    bob.post(&format!("/api/conversations/{group}/leave"), Value::Null)
        .await
        .expect(204);
    let path = format!("/api/messages/{}/read", id(&message));
    put(&bob, &path).await.expect_error(404, "NOT_FOUND");
    bob.delete(&path).await.expect_error(404, "NOT_FOUND");
    let path = format!("/api/conversations/{group}/unread-count");
    bob.get(&path).await.expect_error(404, "NOT_FOUND");
    let total = bob.get("/api/unread-count").await.expect(200);
    assert_eq!(total, json!({ "unreadCount": 0, "mentionCount": 0 }));
}

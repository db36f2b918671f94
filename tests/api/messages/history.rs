//! `GET /api/conversations/{id}/messages`: every message once, in order, whatever happens during paging.

use serde_json::{Value, json};

use super::super::{column, id, next_cursor, read_all, read_from, take};
use super::Group;

const COUNT: usize = 250;

/// 250 messages between which others are changed, deleted, and members come and go.
async fn filled() -> (Group, Vec<String>) {
    let group = Group::of_two().await;
    let participants = format!("/api/conversations/{}/participants", group.id);
    group.service.user("carol").await;
    let mut ids: Vec<String> = Vec::new();
    for index in 0..COUNT {
        let sender = if index % 3 == 0 {
            &group.bob
        } else {
            &group.alice
        };
        ids.push(id(&sender
            .say(&group.id, &format!("message {index}"))
            .await));
        if index % 10 == 9 {
            let earlier = &ids[index - 5];
            let owner = if (index - 5) % 3 == 0 {
                &group.bob
            } else {
                &group.alice
            };
            let path = format!("/api/messages/{earlier}");
            match index % 20 {
                9 => drop(
                    owner
                        .patch(&path, json!({ "content": "changed" }))
                        .await
                        .expect(200),
                ),
                _ => drop(owner.delete(&path).await.expect(204)),
            }
        }
        match index % 50 {
            20 => drop(
                group
                    .alice
                    .post(&participants, json!({ "userIds": ["carol"] }))
                    .await
                    .expect(201),
            ),
            40 => drop(
                group
                    .alice
                    .delete(&format!("{participants}/carol"))
                    .await
                    .expect(204),
            ),
            _ => {}
        }
    }
    (group, ids)
}

fn ids_of(messages: Vec<Value>) -> Vec<String> {
    column(&json!(messages), "id")
}

#[tokio::test]
async fn all_of_250_are_read_once_in_every_direction() {
    let (group, ids) = filled().await;
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    for limit in [100, 33] {
        let read = read_all(&group.bob, &group.messages, "messages", "before", limit).await;
        assert_eq!(ids_of(read), newest_first, "backwards in pieces of {limit}");
        let read = read_from(&group.bob, &group.messages, "messages", &ids[0], limit).await;
        assert_eq!(ids_of(read), ids[1..], "forwards in pieces of {limit}");
    }
    let page = group.bob.get(&group.messages).await.expect(200);
    assert_eq!(
        column(&page["messages"], "id"),
        newest_first[..50],
        "50 without a limit"
    );
    // Deleted ones keep their place, without their text.
    let all = read_all(&group.bob, &group.messages, "messages", "before", 100).await;
    let deleted = all
        .iter()
        .filter(|message| message["isDeleted"] == true)
        .count();
    let edited = all
        .iter()
        .filter(|message| message["isEdited"] == true)
        .count();
    assert_eq!((deleted, edited), (12, 13));
    assert!(
        all.iter()
            .all(|message| (message["content"] == "") == (message["isDeleted"] == true))
    );

    for (place, limit, count) in [
        (125, 11, 11),
        (125, 10, 10),
        (125, 1, 1),
        (0, 11, 6),
        (2, 11, 8),
        (247, 10, 10),
        (249, 11, 11),
    ] {
        let path = format!("{}?around={}&limit={limit}", group.messages, ids[place]);
        let mut page = group.bob.get(&path).await.expect(200);
        let next = next_cursor(&page);
        let found = ids_of(take(&mut page, "messages"));
        assert!(found.contains(&ids[place]), "around {place}");
        assert_eq!(found.len(), count, "around {place} of {limit}");
        let at = newest_first
            .iter()
            .position(|id| *id == found[0])
            .expect("is one of them");
        assert_eq!(
            found,
            newest_first[at..at + found.len()],
            "around {place} is a piece of the history"
        );
        // The cursor continues backwards in time, without a gap.
        if let Some(next) = next {
            let page = group
                .bob
                .get(&format!("{}?before={next}&limit=1", group.messages))
                .await
                .expect(200);
            assert_eq!(
                column(&page["messages"], "id"),
                newest_first[at + found.len()..at + found.len() + 1]
            );
        }
    }
}

#[tokio::test]
async fn the_end_of_the_history_is_reported_exactly() {
    let group = Group::of_two().await;
    let empty = group.bob.get(&group.messages).await.expect(200);
    assert_eq!(empty, json!({ "messages": [], "hasMore": false }));
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(id(&group.alice.say(&group.id, &format!("{n}")).await));
    }
    for (query, more) in [
        ("limit=4".to_owned(), false),
        ("limit=3".to_owned(), true),
        (format!("limit=2&before={}", ids[2]), false),
        (format!("limit=1&before={}", ids[2]), true),
        (format!("limit=3&after={}", ids[0]), false),
        (format!("limit=2&after={}", ids[0]), true),
        (format!("after={}", ids[3]), false),
        (format!("before={}", ids[0]), false),
    ] {
        let page = group
            .bob
            .get(&format!("{}?{query}", group.messages))
            .await
            .expect(200);
        assert_eq!(page["hasMore"], json!(more), "{query}: {page}");
        assert_eq!(next_cursor(&page).is_some(), more, "{query}");
    }
}

#[tokio::test]
async fn reading_backwards_is_undisturbed_by_what_arrives() {
    let group = Group::of_two().await;
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(id(&group.alice.say(&group.id, &format!("{n}")).await));
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = format!("{}?limit=7", group.messages);
    loop {
        let mut page = group.bob.get(&path).await.expect(200);
        seen.extend(ids_of(take(&mut page, "messages")));
        let Some(next) = next_cursor(&page) else {
            break;
        };
        path = format!("{}?limit=7&before={next}", group.messages);
        group.alice.say(&group.id, "and another").await;
        // Even the message of the cursor may be removed.
        group
            .alice
            .delete(&format!("/api/messages/{}", seen[seen.len() - 1]))
            .await
            .expect(204);
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_follower_gets_every_message_once_while_others_write() {
    let group = Group::of_two().await;
    let first = id(&group.alice.say(&group.id, "first").await);
    let writing = async {
        let mut sent = Vec::new();
        for n in 0..60 {
            let text = format!("{n}");
            let (one, other) = tokio::join!(
                group.alice.say(&group.id, &text),
                group.bob.say(&group.id, &text)
            );
            sent.extend([one, other]);
        }
        sent
    };
    let following = async {
        let mut seen: Vec<String> = Vec::new();
        while seen.len() < 120 {
            let from = seen.last().unwrap_or(&first);
            let mut page = group
                .bob
                .get(&format!("{}?after={from}&limit=10", group.messages))
                .await
                .expect(200);
            seen.extend(ids_of(take(&mut page, "messages")));
        }
        seen
    };
    let both = async { tokio::join!(writing, following) };
    let (mut sent, seen) = tokio::time::timeout(std::time::Duration::from_secs(20), both)
        .await
        .expect("all arrive");
    sent.sort_by_key(|message| message["seq"].as_u64());
    assert_eq!(seen, ids_of(sent));
}

#[tokio::test]
async fn a_sender_reads_their_own_message_at_once_on_any_node() {
    let group = Group::of_two().await;
    let second = crate::support::Service::builder()
        .database(&group.service)
        .start()
        .await;
    let alice_there = group.alice.at(&second);
    for n in 0..20 {
        let (writer, reader) = if n % 2 == 0 {
            (&group.alice, &alice_there)
        } else {
            (&alice_there, &group.alice)
        };
        let sent = writer.say(&group.id, &format!("{n}")).await;
        let page = reader
            .get(&format!("{}?limit=1", group.messages))
            .await
            .expect(200);
        assert_eq!(page["messages"][0], sent);
    }
}

//! Pages that reach their size limit before the requested number of items: they end early, and their cursor continues exactly there.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{ask, column, id, next_cursor, take, text, with_query};
use crate::support::{Client, Service, large_message, send_large};

/// The items of a page have at most 1 MiB; a little surrounds them.
const MAX_BYTES: usize = (1 << 20) + 1024;

/// Everything in a list, read with the largest limit. Every page is bounded in bytes, and there are at least two.
async fn read_full(client: &Client, path: &str, items: &str, cursor: &str) -> Vec<Value> {
    let path = with_query(path, "limit=100");
    let mut all = Vec::new();
    let mut pages = 0;
    let mut next: Option<String> = None;
    loop {
        let path = match &next {
            Some(next) => format!("{path}&{cursor}={next}"),
            None => path.clone(),
        };
        let answer = client.get(&path).await;
        let bytes = answer.text.len();
        assert!(bytes <= MAX_BYTES, "{path}: {bytes} bytes");
        let mut page = answer.expect(200);
        let found = take(&mut page, items);
        assert!(!found.is_empty(), "{path}: a page has at least one item");
        all.extend(found);
        pages += 1;
        next = next_cursor(&page);
        if next.is_none() {
            assert!(pages > 1, "{path}: all of it came in one page");
            return all;
        }
    }
}

fn reversed(mut ids: Vec<String>) -> Vec<String> {
    ids.reverse();
    ids
}

fn ids_of(items: Vec<Value>) -> Vec<String> {
    column(&json!(items), "id")
}

#[tokio::test]
async fn pages_of_large_messages_end_early_and_their_cursor_continues_exactly() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let root = id(&alice.say(&group, "root").await);
    let messages = format!("/api/conversations/{group}/messages");
    let mut sent = vec![root.clone()];
    for n in 0..30 {
        let mut body = large_message(&format!("m{n}"));
        body["threadId"] = json!(root);
        let message = id(&alice.post(&messages, body).await.expect(201));
        let pin = format!("/api/messages/{message}/pin");
        ask(&alice, "PUT", &pin, None).await.expect(200);
        sent.push(message);
    }
    let newest_first = reversed(sent.clone());
    let replies = reversed(sent[1..].to_vec());

    let found = read_full(&alice, &messages, "messages", "before").await;
    assert_eq!(ids_of(found), newest_first);
    let mut after = root.clone();
    let mut forwards = Vec::new();
    loop {
        let answer = alice
            .get(&format!("{messages}?limit=100&after={after}"))
            .await;
        assert!(answer.text.len() <= MAX_BYTES, "{}", answer.text.len());
        let mut page = answer.expect(200);
        forwards.extend(ids_of(take(&mut page, "messages")));
        match next_cursor(&page) {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(forwards, sent[1..]);

    let path = format!("/api/messages/{root}/replies");
    let found = read_full(&alice, &path, "messages", "before").await;
    assert_eq!(ids_of(found), replies);
    let path = format!("/api/conversations/{group}/pins");
    let found = read_full(&alice, &path, "messages", "before").await;
    assert_eq!(ids_of(found), replies);

    for middle in [&sent[0], &sent[1], &sent[15], &sent[30]] {
        let answer = alice
            .get(&format!("{messages}?limit=100&around={middle}"))
            .await;
        assert!(answer.text.len() <= MAX_BYTES, "{}", answer.text.len());
        let mut page = answer.expect(200);
        let found = ids_of(take(&mut page, "messages"));
        assert!(found.contains(middle), "the message itself is there");
        let at = newest_first.iter().position(|id| *id == found[0]);
        let at = at.expect("is one of them");
        assert_eq!(found, newest_first[at..at + found.len()]);
    }
}

#[tokio::test]
async fn a_message_whose_json_is_six_times_its_text_fills_pages_too() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let messages = format!("/api/conversations/{group}/messages");
    let mut sent = Vec::new();
    for n in 0..30 {
        // Each of these characters has one byte in the database, and six in JSON.
        let content = format!("{n}{}", "\u{1}".repeat(16_000));
        let message = alice.post(&messages, json!({ "content": content })).await;
        sent.push(id(&message.expect(201)));
    }
    let found = read_full(&alice, &messages, "messages", "before").await;
    assert_eq!(ids_of(found), reversed(sent.clone()));
    let middle = &sent[15];
    let answer = alice
        .get(&format!("{messages}?limit=100&around={middle}"))
        .await;
    assert!(answer.text.len() <= MAX_BYTES, "{}", answer.text.len());
    let found = ids_of(take(&mut answer.expect(200), "messages"));
    assert!(found.contains(middle), "the message itself is there");
}

#[tokio::test]
async fn the_log_and_the_versions_of_a_message_come_in_pages_that_may_be_full() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let message = id(&alice.say(&group, "version 0").await);
    let path = format!("/api/messages/{message}");
    for n in 1..=100 {
        let content = format!("version {n} {}", "z".repeat(16_000));
        let edited = alice.patch(&path, json!({ "content": content })).await;
        edited.expect(200);
    }
    let number_of = |version: &Value| {
        let content = text(version, "content");
        let number = content.split(' ').nth(1).expect("a number");
        number.parse::<u32>().expect("a number")
    };
    let all: Vec<u32> = (0..=100).collect();
    let history = format!("{path}/history");
    for cursor in ["after", "before"] {
        let found = read_full(&alice, &history, "versions", cursor).await;
        assert_eq!(found.iter().map(number_of).collect::<Vec<_>>(), all);
    }
    let mut page = alice.get(&format!("{history}?limit=2")).await.expect(200);
    let next = next_cursor(&page).expect("there are more");
    let found = take(&mut page, "versions");
    assert_eq!(found.iter().map(number_of).collect::<Vec<_>>(), [0, 1]);
    let more = format!("{history}?limit=3&after={next}");
    let found = take(&mut alice.get(&more).await.expect(200), "versions");
    assert_eq!(found.iter().map(number_of).collect::<Vec<_>>(), [2, 3, 4]);
    for query in ["after=x", "around=1", "limit=0"] {
        let answer = alice.get(&format!("{history}?{query}")).await;
        answer.expect_error(400, "VALIDATION_ERROR");
    }

    let log = format!("/api/conversations/{group}/log?limit=100");
    let (mut after, mut seqs, mut pages) = (0, Vec::new(), 0);
    loop {
        let answer = alice.get(&format!("{log}&after={after}")).await;
        assert!(answer.text.len() <= MAX_BYTES, "{}", answer.text.len());
        let mut page = answer.expect(200);
        let entries = take(&mut page, "entries");
        seqs.extend(entries.iter().filter_map(|entry| entry["seq"].as_u64()));
        pages += 1;
        after = page["nextAfter"].as_u64().expect("where to go on");
        if page["hasMore"] == false {
            break;
        }
    }
    assert!(pages > 1, "{pages}");
    assert_eq!(seqs, (1..=102).collect::<Vec<u64>>());
}

#[tokio::test]
async fn conversations_with_large_last_messages_fill_pages() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let groups: Vec<String> = stream::iter(0..30)
        .map(|_| async { service.group(&alice, &[]).await })
        .buffered(4)
        .collect()
        .await;
    for group in &groups {
        send_large(&alice, group, 1).await;
    }
    let found = read_full(&alice, "/api/conversations", "conversations", "before").await;
    assert!(
        found
            .iter()
            .all(|one| one["lastMessage"]["attachments"].as_array().is_some()),
        "every conversation has its last message"
    );
    assert_eq!(ids_of(found), reversed(groups));
}

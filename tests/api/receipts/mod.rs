//! Receipts, unread counts and drafts.

mod counts;
mod drafts;
mod random;
mod reading;
mod threads;

use serde_json::{Value, json};

use super::{ask, column, id, text};
use crate::support::{Answer, Socket, User};

async fn put(user: &User, path: &str) -> Answer {
    ask(user, "PUT", path, None).await
}

/// Marks a message as read. Returns its read time.
async fn read(user: &User, message: &Value) -> String {
    let path = format!("/api/messages/{}/read", id(message));
    text(&put(user, &path).await.expect(200), "readAt")
}

/// Marks a message as unread.
async fn unread(user: &User, message: &Value) {
    let path = format!("/api/messages/{}/read", id(message));
    user.delete(&path).await.expect(204);
}

/// Marks a conversation as read. Returns the number of messages that became read.
async fn read_all(user: &User, conversation: &str, body: Value) -> u64 {
    let path = format!("/api/conversations/{conversation}/read");
    let answer = ask(user, "PUT", &path, Some(body)).await.expect(200);
    answer["count"].as_u64().expect("a number")
}

/// The users who read a message, with the time of each.
async fn readers(user: &User, message: &Value) -> Vec<(String, String)> {
    let path = format!("/api/messages/{}/read", id(message));
    let page = user.get(&path).await.expect(200);
    let receipts = page["receipts"].as_array().expect("receipts");
    receipts
        .iter()
        .map(|receipt| (text(receipt, "userId"), text(receipt, "readAt")))
        .collect()
}

/// Unread messages of a conversation, and unread mentions among them.
async fn counts(user: &User, conversation: &str) -> (u64, u64) {
    let path = format!("/api/conversations/{conversation}/unread-count");
    pair(&user.get(&path).await.expect(200))
}

fn pair(noun: &Value) -> (u64, u64) {
    let number = |field: &str| match noun[field].as_u64() {
        Some(number) => number,
        None => panic!("{field} is no number in {noun}"),
    };
    (number("unreadCount"), number("mentionCount"))
}

/// Unread counts of a conversation; asserts that every way to query them returns the same numbers.
async fn counts_everywhere(user: &User, conversation: &str) -> (u64, u64) {
    let direct = counts(user, conversation).await;
    let path = format!("/api/conversations/{conversation}");
    assert_eq!(pair(&user.get(&path).await.expect(200)), direct, "one");
    let of = |page: &Value, list: &str, field: &str| {
        let items = page[list].as_array().expect("items");
        items
            .iter()
            .find(|item| item[field] == conversation)
            .map(pair)
    };
    let page = user.get("/api/conversations").await.expect(200);
    let listed = of(&page, "conversations", "id");
    assert_eq!(listed, Some(direct), "listed");
    let page = user.get("/api/unread").await.expect(200);
    let found = of(&page, "conversations", "conversationId");
    assert_eq!(found.unwrap_or_default(), direct, "among the unread");
    direct
}

/// The unread counts that the reader's device receives when `message` was read at `at`.
async fn badge(device: &mut Socket, message: &Value, at: &str) -> (u64, u64) {
    let told = device
        .find("the badge", |frame| {
            frame["event"] == "conversation:read"
                && frame["data"]["upToMessageId"] == message["id"]
                && frame["data"]["readAt"] == *at
        })
        .await;
    pair(&told["data"])
}

/// Sends a message with more than a text.
async fn send(user: &User, conversation: &str, body: Value) -> Value {
    let path = format!("/api/conversations/{conversation}/messages");
    user.post(&path, body).await.expect(201)
}

fn mention(users: &[&str]) -> Value {
    json!({ "content": "you there", "mentions": users })
}

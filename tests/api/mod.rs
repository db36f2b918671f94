//! The REST API. Folders and files mirror the URL tree; the name of every test states the behaviour that it checks.

pub mod contract;
mod conversations;
mod docs;
mod errors;
mod forms;
mod full_pages;
mod generators;
mod guards;
mod headers;
mod health;
mod injection;
mod limits;
mod messages;
mod metrics;
mod paging;
mod presence;
mod receipts;
mod slow;
mod texts;
mod users;
pub mod wire;

pub use contract::{check as check_contract, operation_id};

use serde_json::{Value, json};

use crate::support::{Answer, Client};

/// Any request, the method as text.
async fn ask(client: &Client, method: &str, path: &str, body: Option<Value>) -> Answer {
    client
        .request(method.parse().expect("a method"), path, body)
        .await
}

/// The `id` of a message or conversation.
fn id(noun: &Value) -> String {
    text(noun, "id")
}

/// A field that is a text.
fn text(noun: &Value, field: &str) -> String {
    match noun[field].as_str() {
        Some(text) => text.to_owned(),
        None => panic!("{field} is no text in {noun}"),
    }
}

/// One field of each item of a list.
fn column(items: &Value, field: &str) -> Vec<String> {
    let items = items
        .as_array()
        .unwrap_or_else(|| panic!("no list: {items}"));
    items.iter().map(|item| text(item, field)).collect()
}

/// The field names of an error's details, in their order.
fn faults(answer: &Answer) -> Vec<String> {
    if answer.json["details"].is_array() {
        column(&answer.json["details"], "field")
    } else {
        Vec::new()
    }
}

/// Everything in a list, read in pieces of `limit` in the direction of `cursor` (`before` or `after`).
async fn read_all(
    client: &Client,
    path: &str,
    items: &str,
    cursor: &str,
    limit: u32,
) -> Vec<Value> {
    let mut all = Vec::new();
    let mut page = client
        .get(&with_query(path, &format!("limit={limit}")))
        .await
        .expect(200);
    if cursor == "after" && items == "messages" {
        panic!("messages are read oldest first from a message on: use read_from");
    }
    loop {
        let found = take(&mut page, items);
        assert!(
            found.len() <= limit as usize,
            "a page holds more than its limit"
        );
        all.extend(found);
        let Some(next) = next_cursor(&page) else {
            return all;
        };
        page = client
            .get(&with_query(path, &format!("limit={limit}&{cursor}={next}")))
            .await
            .expect(200);
    }
}

/// Everything in a list after `from`, oldest first.
async fn read_from(client: &Client, path: &str, items: &str, from: &str, limit: u32) -> Vec<Value> {
    let mut all = Vec::new();
    let mut from = from.to_owned();
    loop {
        let query = format!("limit={limit}&after={from}");
        let mut page = client.get(&with_query(path, &query)).await.expect(200);
        all.extend(take(&mut page, items));
        match next_cursor(&page) {
            Some(next) => from = next,
            None => return all,
        }
    }
}

fn with_query(path: &str, query: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{query}")
}

fn take(page: &mut Value, items: &str) -> Vec<Value> {
    match page[items].take() {
        Value::Array(items) => items,
        _ => panic!("the page has no {items}: {page}"),
    }
}

/// The cursor of the next page; asserts that `hasMore` agrees.
fn next_cursor(page: &Value) -> Option<String> {
    let next = page["nextCursor"].as_str().map(str::to_owned);
    assert_eq!(
        page["hasMore"],
        json!(next.is_some()),
        "hasMore and nextCursor disagree: {page}"
    );
    next
}

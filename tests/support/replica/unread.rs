//! Unread counts per conversation and in total.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Overview, Replica, conversations, read_list, read_one};

/// `GET /api/unread` and `GET /api/unread-count`
pub const OVERVIEW: Overview = Overview {
    name: "unread",
    load: |user| {
        async move {
            let mut list = read_list(user, "/api/unread", "conversations", "after").await;
            let items = list.as_array_mut().expect("a list");
            items.sort_by_key(|item| item["conversationId"].to_string());
            json!({ "conversations": list, "all": read_one(user, "/api/unread-count").await })
        }
        .boxed()
    },
    show,
};

fn show(replica: &Replica) -> Value {
    let rooms = replica.rooms().filter(|room| room.is_member);
    let mut items: Vec<Value> = rooms
        .map(|room| (room, (conversations::NOUN.show)(room)))
        // Hidden conversations do not count towards the total.
        .filter(|(_, shown)| shown["preferences"]["hidden"] != true)
        .map(|(room, shown)| {
            json!({
                "conversationId": room.id, "unreadCount": shown["unreadCount"],
                "mentionCount": shown["mentionCount"],
            })
        })
        .filter(|item| item["unreadCount"] != 0)
        .collect();
    items.sort_by_key(|item| item["conversationId"].to_string());
    let sum = |field: &str| -> u64 { items.iter().filter_map(|item| item[field].as_u64()).sum() };
    let all = json!({ "unreadCount": sum("unreadCount"), "mentionCount": sum("mentionCount") });
    json!({ "conversations": items, "all": all })
}

//! The conversation itself, and the list of one's conversations.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Frame, Noun, Overview, Replica, Room, read_list, read_one};
use crate::support::client::User;

/// How many members a conversation names.
const SHOWN_MEMBERS: usize = 20;

/// `GET /api/conversations/{id}`
pub const NOUN: Noun = Noun {
    name: "conversation",
    load: |user, id| {
        async move { read_one(user, &format!("/api/conversations/{id}")).await }.boxed()
    },
    store: |room, conversation| {
        room.seq = conversation["seq"].as_u64().unwrap_or(room.seq);
        room.conversation = conversation;
    },
    show,
    apply,
};

/// `GET /api/conversations`
pub const LIST: Overview = Overview {
    name: "conversations",
    load: |user| read_list(user, "/api/conversations", "conversations", "before").boxed(),
    show: list,
};

/// The conversations of which `user` is a member, each with its newest number.
pub async fn positions(user: &User) -> BTreeMap<String, u64> {
    let list = (LIST.load)(user).await;
    let list = list.as_array().expect("a list").iter();
    list.map(|item| {
        let id = item["id"].as_str().expect("an id").to_owned();
        (id, item["seq"].as_u64().expect("a number"))
    })
    .collect()
}

/// The newest number that REST knows of a conversation; 0 where the answer is 404.
pub async fn position(user: &User, id: &str) -> u64 {
    let conversation = (NOUN.load)(user, id).await;
    conversation["seq"].as_u64().unwrap_or(0)
}

fn show(room: &Room) -> Value {
    if !room.is_member {
        return Value::Null;
    }
    let mut conversation = room.conversation.clone();
    let shown: Vec<&String> = room.members.keys().take(SHOWN_MEMBERS).collect();
    conversation["participantIds"] = json!(shown);
    conversation["seq"] = json!(room.seq);
    conversation
}

fn list(replica: &Replica) -> Value {
    let key = |item: &Value| {
        let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
        std::cmp::Reverse((text("lastActivityAt"), text("id")))
    };
    let mut items: Vec<Value> = replica
        .rooms()
        .filter(|room| room.is_member)
        .map(|room| {
            let mut item = show(room);
            if let Some((_, message)) = room.messages.last_key_value() {
                item["lastMessage"] = message.clone();
            }
            item
        })
        .collect();
    items.sort_by_key(key);
    Value::Array(items)
}

fn apply(room: &mut Room, frame: &Frame<'_>) -> bool {
    match frame.event {
        "conversation:new" => {
            room.is_member = true;
            room.conversation = frame.data.clone();
            // Who makes a group or public conversation owns it; nobody owns a direct one.
            let is_owner = frame.text("createdBy") == room.me && frame.text("type") != "direct";
            room.conversation["myRole"] = json!(if is_owner { "owner" } else { "member" });
        }
        "conversation:joined" => {
            room.is_member = true;
            room.conversation = frame.data.clone();
        }
        "conversation:updated" => {
            let role = room.conversation["myRole"].take();
            room.conversation = frame.data.clone();
            room.conversation["myRole"] = role;
        }
        "conversation:removed" => {
            room.is_member = false;
            // To all when it was deleted, and then with the time.
            room.is_deleted = frame.data["timestamp"].is_string();
        }
        "message:new" => room.conversation["lastActivityAt"] = frame.data["createdAt"].clone(),
        "participant:added" => {
            touched(room, frame);
            let count = frame.texts("userIds").len() as u64;
            room.conversation["participantCount"] = json!(members(room) + count);
        }
        "participant:removed" => {
            touched(room, frame);
            let count = frame.texts("userIds").len() as u64;
            room.conversation["participantCount"] = json!(members(room) - count);
        }
        "participant:updated" => {
            touched(room, frame);
            if frame.text("userId") == room.me {
                room.conversation["myRole"] = frame.data["role"].clone();
            }
        }
        _ => return false,
    }
    true
}

fn members(room: &Room) -> u64 {
    room.conversation["participantCount"]
        .as_u64()
        .expect("a count")
}

/// Its settings or members changed.
fn touched(room: &mut Room, frame: &Frame<'_>) {
    for field in ["updatedAt", "lastActivityAt"] {
        room.conversation[field] = frame.data["timestamp"].clone();
    }
}

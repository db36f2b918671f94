//! The conversation itself, and the user's list of conversations.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{
    Frame, Noun, Overview, Replica, Room,
    messages::{countable, shown},
    read_list, read_one,
};
use crate::support::client::User;

/// The list of those that were put away.
const ARCHIVED: &str = "/api/conversations?archived=true";
/// Maximum number of members that a conversation names.
const SHOWN_MEMBERS: usize = 20;

/// `GET /api/conversations/{id}`
pub const NOUN: Noun = Noun {
    name: "conversation",
    load: |user, id| {
        async move { read_one(user, &format!("/api/conversations/{id}")).await }.boxed()
    },
    store: |room, conversation| {
        if room.conversation.is_null() {
            room.seq = conversation["seq"].as_u64().unwrap_or(room.seq);
            room.read_seq = conversation["readSeq"].as_u64().unwrap_or(0);
            room.conversation = conversation;
        } else if conversation.is_object() {
            // The other fields come by events; the answer of REST may be ahead of them.
            room.read_seq = conversation["readSeq"].as_u64().expect("a number");
            set_draft(room, conversation.get("draft"));
        }
    },
    show,
    apply,
};

/// `GET /api/conversations`
pub const LIST: Overview = Overview {
    name: "conversations",
    load: |user| {
        async move {
            json!({
                "shown": read_list(user, "/api/conversations", "conversations", "before").await,
                "archived": read_list(user, ARCHIVED, "conversations", "before").await,
            })
        }
        .boxed()
    },
    show: list,
};

/// The conversations of which `user` is a member, each with its newest number.
pub async fn positions(user: &User) -> BTreeMap<String, u64> {
    let list = (LIST.load)(user).await;
    let lists = [&list["shown"], &list["archived"]];
    let items = lists.into_iter().filter_map(Value::as_array).flatten();
    items
        .map(|item| {
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

fn set_draft(room: &mut Room, draft: Option<&Value>) {
    match draft {
        Some(draft) => room.conversation["draft"] = draft.clone(),
        None => {
            let conversation = room.conversation.as_object_mut().expect("an object");
            conversation.remove("draft");
        }
    }
}

fn show(room: &Room) -> Value {
    if !room.is_member {
        return Value::Null;
    }
    let mut conversation = room.conversation.clone();
    let first: Vec<&String> = room.members.keys().take(SHOWN_MEMBERS).collect();
    conversation["participantIds"] = json!(first);
    conversation["seq"] = json!(room.seq);
    if let Some((_, message)) = shown(room).next_back() {
        conversation["lastMessage"] = message.clone();
    }
    let unread: Vec<&Value> = countable(room)
        .filter(|(seq, _)| *seq > room.read_seq)
        .map(|(_, message)| message)
        .collect();
    let mentioned = unread.iter().filter(|message| {
        let mentions = message["mentions"].as_array().into_iter().flatten();
        mentions
            .into_iter()
            .any(|user| *user == *room.me || user == "@all")
    });
    conversation["mentionCount"] = json!(mentioned.count());
    conversation["unreadCount"] = json!(unread.len());
    conversation["readSeq"] = json!(room.read_seq);
    conversation
}

/// Preferences of a user who has set none.
fn no_preferences() -> Value {
    json!({
        "muted": false, "archived": false, "pinned": false, "hidden": false, "notificationLevel": "all",
    })
}

fn list(replica: &Replica) -> Value {
    let key = |item: &Value| {
        let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
        std::cmp::Reverse((text("lastActivityAt"), text("id")))
    };
    let mut items: Vec<Value> = replica
        .rooms()
        .filter(|room| room.is_member)
        .map(show)
        .collect();
    items.sort_by_key(key);
    items.retain(|item| item["preferences"]["hidden"] != true);
    let is_archived = |item: &Value| item["preferences"]["archived"] == true;
    let (archived, shown): (Vec<Value>, Vec<Value>) = items.into_iter().partition(is_archived);
    json!({ "shown": shown, "archived": archived })
}

fn apply(room: &mut Room, frame: &Frame<'_>) -> bool {
    match frame.event {
        "conversation:new" => {
            room.is_member = true;
            room.conversation = frame.data.clone();
            // The creator of a group or public conversation owns it; a direct one has no owner.
            let is_owner = frame.text("createdBy") == room.me && frame.text("type") != "direct";
            room.conversation["myRole"] = json!(if is_owner { "owner" } else { "member" });
            room.conversation["preferences"] = no_preferences();
        }
        "conversation:joined" => {
            room.is_member = true;
            room.conversation = frame.data.clone();
            room.conversation["preferences"] = no_preferences();
            // A former draft may still exist, and earlier read state is kept.
            room.stale.insert(NOUN.name);
        }
        "conversation:updated" => {
            let before = std::mem::replace(&mut room.conversation, frame.data.clone());
            // Private fields are in no event that all members receive.
            for field in ["myRole", "preferences", "draft"] {
                if let Some(value) = before.get(field) {
                    room.conversation[field] = value.clone();
                }
            }
        }
        "conversation:read" => {
            room.read_seq = frame.data["readSeq"].as_u64().expect("a number");
        }
        "draft:updated" => set_draft(room, frame.data.get("draft")),
        // Typing appears in no REST answer.
        "user:typing" | "user:recording" => {}
        "conversation:removed" => {
            room.is_member = false;
            // To all when it was deleted, and then with the time.
            room.is_deleted = frame.data["timestamp"].is_string();
        }
        "message:new" => {
            room.conversation["lastActivityAt"] = frame.data["createdAt"].clone();
            // A message shows a hidden conversation again.
            room.conversation["preferences"]["hidden"] = json!(false);
        }
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
        "participant:updated" if frame.data["preferences"].is_object() => {
            room.conversation["preferences"] = frame.data["preferences"].clone();
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

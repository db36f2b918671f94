//! The messages of a conversation, with everything that is shown in them.

use chat_sdk::Timestamp;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Frame, Noun, Room, read_list};

/// `GET /api/conversations/{id}/messages`, oldest first
pub const NOUN: Noun = Noun {
    name: "messages",
    load: |user, id| {
        async move {
            let path = format!("/api/conversations/{id}/messages");
            let mut messages = read_list(user, &path, "messages", "before").await;
            if let Value::Array(messages) = &mut messages {
                messages.reverse();
            }
            messages
        }
        .boxed()
    },
    store: |room, messages| {
        let messages = messages.as_array().into_iter().flatten();
        room.messages = messages
            .map(|message| (message["seq"].as_u64().expect("a number"), message.clone()))
            .collect();
        if !room.is_member {
            return;
        }
        // A snapshot may contain only a part of the events that arrived while it was read: for example, a thread may count a new reply or not.
        match room.messages.keys().next_back() {
            Some(newest) if *newest > room.position => drop(room.stale.insert(NOUN.name)),
            _ => room.messages_at = room.position,
        }
    },
    // A former member keeps the messages of their membership. A user who never was a member has no id to ask with.
    show: |room| {
        if room.id.is_empty() || room.is_deleted {
            Value::Null
        } else {
            Value::Array(shown(room).map(|(_, message)| message.clone()).collect())
        }
    },
    apply,
};

fn apply(room: &mut Room, frame: &Frame<'_>) -> bool {
    match frame.event {
        // The snapshot contains it already, with its later changes.
        event
            if frame.seq.is_some_and(|seq| seq <= room.messages_at)
                && (event.starts_with("message:") || event.starts_with("reaction:")) => {}
        "message:new" => {
            let seq = frame.seq.expect("a message has a number");
            assert_eq!(frame.data["seq"], seq, "{}", frame.data);
            if let Some(root) = frame.data["threadId"].as_str()
                && let Some(root) = find(room, root)
            {
                root["replyCount"] = json!(root["replyCount"].as_u64().expect("a count") + 1);
                root["lastReplyAt"] = frame.data["createdAt"].clone();
            }
            room.messages.insert(seq, frame.data.clone());
        }
        "reaction:added" | "reaction:removed" => {
            let me = room.me.clone();
            if let Some(message) = find(room, frame.text("messageId")) {
                react(message, frame, &me);
            }
        }
        "message:pinned" => {
            if let Some(message) = find(room, frame.text("messageId")) {
                message["pinnedAt"] = frame.data["timestamp"].clone();
                message["pinnedBy"] = frame.data["userId"].clone();
            }
        }
        "message:unpinned" => {
            if let Some(message) = find(room, frame.text("messageId")) {
                forget(message, &["pinnedAt", "pinnedBy"]);
            }
        }
        // It comes back with its reactions and its pin, which its event does not carry.
        "message:restored" => {
            room.stale.insert(NOUN.name);
        }
        "message:updated" => {
            if let Some(message) = find(room, frame.text("messageId")) {
                let fields = ["content", "metadata", "isEdited", "updatedAt"];
                frame.copy(message, &fields);
                if frame.data["isMetadataCleared"] == true {
                    forget(message, &["metadata"]);
                }
            }
        }
        "message:deleted" if frame.data["isExpired"] == true => {
            let id = frame.text("messageId");
            let ended = find(room, id).map(|message| message["threadId"].clone());
            room.messages.retain(|_, message| message["id"] != id);
            if let Some(root) = ended.as_ref().and_then(Value::as_str) {
                count_replies(room, root);
            }
        }
        "message:deleted" => {
            if let Some(message) = find(room, frame.text("messageId")) {
                message["content"] = json!("");
                message["attachments"] = json!([]);
                message["mentions"] = json!([]);
                message["isDeleted"] = json!(true);
                message["updatedAt"] = frame.data["deletedAt"].clone();
                message["reactions"] = json!([]);
                forget(
                    message,
                    &["metadata", "pinnedAt", "pinnedBy", "forwardedFrom"],
                );
            }
        }
        // Earlier messages are read by REST, as far as this member may see them.
        "conversation:joined" => {
            room.stale.insert(NOUN.name);
        }
        // Another part of the history may be visible now.
        "conversation:updated" => {
            let before = room.conversation["historyVisibility"].clone();
            if before != frame.data["historyVisibility"] {
                room.stale.insert(NOUN.name);
            }
        }
        _ => return false,
    }
    true
}

/// A message that is shown. A change of an older message that this user may not see has no effect here.
fn find<'a>(room: &'a mut Room, id: &str) -> Option<&'a mut Value> {
    room.messages
        .values_mut()
        .find(|message| message["id"] == *id)
}

/// Counts the replies to `root` that are left after one of them has ended.
fn count_replies(room: &mut Room, root: &str) {
    let replies = room
        .messages
        .values()
        .filter(|message| message["threadId"] == *root);
    let newest = replies.clone().next_back();
    let (count, newest) = (
        replies.count(),
        newest.map(|reply| reply["createdAt"].clone()),
    );
    if let Some(root) = find(room, root) {
        root["replyCount"] = json!(count);
        match newest {
            Some(at) => root["lastReplyAt"] = at,
            None => forget(root, &["lastReplyAt"]),
        }
    }
}

fn forget(message: &mut Value, fields: &[&str]) {
    if let Some(message) = message.as_object_mut() {
        for field in fields {
            message.remove(*field);
        }
    }
}

/// Number of users of a reaction that are shown.
const SHOWN_USERS: usize = 20;

/// Lays a reaction, given or taken back, over a message.
fn react(message: &mut Value, frame: &Frame<'_>, me: &str) {
    let (emoji, user) = (frame.text("emoji"), frame.text("userId"));
    let mut reactions = match message["reactions"].take() {
        Value::Array(reactions) => reactions,
        _ => Vec::new(),
    };
    if !reactions.iter().any(|reaction| reaction["emoji"] == emoji) {
        reactions.push(json!({ "emoji": emoji, "userIds": [], "reactedByMe": false }));
    }
    let is_given = frame.event == "reaction:added";
    for reaction in reactions
        .iter_mut()
        .filter(|reaction| reaction["emoji"] == emoji)
    {
        reaction["count"] = frame.data["totalCount"].clone();
        let users = reaction["userIds"].as_array_mut().expect("a list");
        if !is_given {
            users.retain(|other| *other != user);
        } else if users.len() < SHOWN_USERS && !users.contains(&json!(user)) {
            // The state that was read by REST may be ahead of the event.
            users.push(json!(user));
        }
        if user == me {
            reaction["reactedByMe"] = json!(is_given);
        }
    }
    reactions.retain(|reaction| reaction["count"] != 0);
    reactions.sort_by_key(|reaction| {
        let emoji = reaction["emoji"].as_str().unwrap_or_default().to_owned();
        (std::cmp::Reverse(reaction["count"].as_u64()), emoji)
    });
    message["reactions"] = Value::Array(reactions);
}

/// Messages that have not expired, by seq. The expiry event comes a moment after the time, and only to members; until then, and for former members, the clock
/// decides.
pub fn shown(room: &Room) -> impl DoubleEndedIterator<Item = (u64, &Value)> {
    let now = Timestamp::now().to_string();
    room.messages
        .iter()
        .map(|(seq, message)| (*seq, message))
        .filter(move |(_, message)| message["expiresAt"].as_str().is_none_or(|at| *at > *now))
}

/// Messages that count as unread, by seq: sent by others, not deleted, neither silent nor system messages.
pub fn countable(room: &Room) -> impl DoubleEndedIterator<Item = (u64, &Value)> {
    shown(room).filter(|(_, message)| {
        message["senderId"] != *room.me
            && message["isDeleted"] == false
            && message["type"] != "system"
            && message["silent"] != true
    })
}

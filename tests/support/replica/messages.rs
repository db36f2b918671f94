//! The messages of a conversation, with everything that is shown in them.

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
    },
    // Who left keeps what they saw. Who never was in has no id to ask with.
    show: |room| match room.id.is_empty() || room.is_deleted {
        true => Value::Null,
        false => Value::Array(room.messages.values().cloned().collect()),
    },
    apply,
};

fn apply(room: &mut Room, frame: &Frame<'_>) -> bool {
    match frame.event {
        "message:new" => {
            let seq = frame.seq.expect("a message has a number");
            assert_eq!(frame.data["seq"], seq, "{}", frame.data);
            room.messages.insert(seq, frame.data.clone());
        }
        "message:updated" => {
            if let Some(message) = find(room, frame.text("messageId")) {
                let fields = ["content", "metadata", "isEdited", "updatedAt"];
                frame.copy(message, &fields);
            }
        }
        "message:deleted" => {
            if let Some(message) = find(room, frame.text("messageId")) {
                message["content"] = json!("");
                message["attachments"] = json!([]);
                message["mentions"] = json!([]);
                message["isDeleted"] = json!(true);
                message["updatedAt"] = frame.data["deletedAt"].clone();
                if let Some(message) = message.as_object_mut() {
                    message.remove("metadata");
                }
            }
        }
        // What was said before comes by REST, as far as this member may see it.
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

/// A message that is shown. What changes an older one, which this user may not see, changes nothing here.
fn find<'a>(room: &'a mut Room, id: &str) -> Option<&'a mut Value> {
    room.messages
        .values_mut()
        .find(|message| message["id"] == *id)
}

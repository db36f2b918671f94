//! The members of a conversation.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Frame, Noun, Room, read_list};

/// `GET /api/conversations/{id}/participants`
pub const NOUN: Noun = Noun {
    name: "participants",
    load: |user, id| {
        async move {
            let path = format!("/api/conversations/{id}/participants");
            read_list(user, &path, "participants", "after").await
        }
        .boxed()
    },
    store: |room, members| {
        let members = members.as_array().into_iter().flatten();
        room.members = members
            .map(|member| {
                let id = member["userId"].as_str().expect("an id").to_owned();
                (id, member.clone())
            })
            .collect();
    },
    show: |room| {
        if room.is_member {
            Value::Array(room.members.values().cloned().collect())
        } else {
            Value::Null
        }
    },
    apply,
};

fn apply(room: &mut Room, frame: &Frame<'_>) -> bool {
    match frame.event {
        "conversation:new" => {
            let owner = match frame.text("type") {
                "direct" => "",
                _ => frame.text("createdBy"),
            };
            room.members.clear();
            for id in frame.texts("participantIds") {
                let role = if id == owner { "owner" } else { "member" };
                insert(room, &id, role, &frame.data["createdAt"]);
            }
        }
        // The event carries the first members only.
        "conversation:joined" => {
            room.stale.insert(NOUN.name);
        }
        "participant:added" => {
            for id in frame.texts("userIds") {
                insert(room, &id, frame.text("role"), &frame.data["timestamp"]);
            }
        }
        "participant:removed" => {
            for id in frame.texts("userIds") {
                room.members.remove(&id);
            }
        }
        "participant:updated" => {
            if let Some(member) = room.members.get_mut(frame.text("userId")) {
                frame.copy(member, &["role"]);
            }
        }
        _ => return false,
    }
    true
}

fn insert(room: &mut Room, id: &str, role: &str, at: &Value) {
    let member = json!({ "userId": id, "role": role, "joinedAt": at });
    room.members.insert(id.to_owned(), member);
}

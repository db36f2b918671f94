//! Read and delivery receipts of a conversation's newest message, with their times.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Frame, Noun, Room, messages::shown, read_list};

/// `GET /api/messages/{id}/read` and `.../delivered` of the newest message
pub const NOUN: Noun = Noun {
    name: "receipts",
    load: |user, id| {
        async move {
            let path = format!("/api/conversations/{id}/messages?limit=1");
            let newest = user.get(&path).await;
            let newest = newest.json["messages"][0]["id"].clone();
            let Some(newest) = newest.as_str() else {
                return Value::Null;
            };
            let of = format!("/api/messages/{newest}");
            if matches!(user.get(&format!("{of}/read")).await.status, 403 | 404) {
                return Value::Null;
            }
            let (read, delivered) = (format!("{of}/read"), format!("{of}/delivered"));
            json!({
                "messageId": newest,
                "read": read_list(user, &read, "receipts", "after").await,
                "delivered": read_list(user, &delivered, "receipts", "after").await,
            })
        }
        .boxed()
    },
    store: |room, receipts| {
        let seq = seq_of(room, receipts["messageId"].as_str().unwrap_or_default());
        let list = |field: &str| receipts[field].as_array().cloned().unwrap_or_default();
        for receipt in list("read") {
            room.reads.push(step(seq, &receipt, "readAt"));
        }
        for receipt in list("delivered") {
            room.deliveries.push(step(seq, &receipt, "deliveredAt"));
        }
    },
    show,
    apply,
};

/// A step of a watermark: its seq, its user, its time.
pub type Step = (u64, String, Value);

fn step(seq: u64, of: &Value, time: &str) -> Step {
    let user = of["userId"].as_str().expect("a user").to_owned();
    (seq, user, of[time].clone())
}

fn seq_of(room: &Room, message: &str) -> u64 {
    let mut messages = room.messages.iter();
    let found = messages.find(|(_, known)| known["id"] == *message);
    found.map_or(0, |(seq, _)| *seq)
}

fn apply(room: &mut Room, frame: &Frame<'_>) -> bool {
    let seq = || seq_of(room, frame.text("messageId"));
    match frame.event {
        "message:read" => {
            let read = step(seq(), frame.data, "readAt");
            // A message that is read counts as delivered.
            room.deliveries.push(read.clone());
            room.reads.push(read);
        }
        "message:delivered" => {
            let delivered = step(seq(), frame.data, "deliveredAt");
            room.deliveries.push(delivered);
        }
        _ => return false,
    }
    true
}

fn show(room: &Room) -> Value {
    let newest = shown(room).next_back().map(|(_, message)| message);
    let is_told = room.conversation["features"]["reads"] == true;
    let (Some(newest), true, true) = (newest, room.is_member, is_told) else {
        return Value::Null;
    };
    json!({
        "messageId": newest["id"],
        "read": first_steps(room, &room.reads, newest, "readAt"),
        "delivered": first_steps(room, &room.deliveries, newest, "deliveredAt"),
    })
}

/// Per member, but for its sender, the first step to `message` or beyond it.
fn first_steps(room: &Room, steps: &[Step], message: &Value, time: &str) -> Value {
    let seq = message["seq"].as_u64().expect("a number");
    let members = room.members.keys().filter(|id| message["senderId"] != **id);
    let receipts = members.filter_map(|id| {
        let mut of_member = steps.iter().filter(|(_, user, _)| user == id);
        let (_, _, at) = of_member.find(|(to, _, _)| *to >= seq)?;
        Some(json!({ "userId": id, time: at }))
    });
    receipts.collect()
}

//! The complete list of fields that the comparison leaves out, with the reason of each.

use serde_json::Value;

use super::{Replica, Room};

/// Fields that no event of a conversation carries: resource, field of its items, reason.
pub const FIELDS: &[(&str, &str, &str)] = &[
    (
        "participants",
        "name",
        "a profile stands in the user's own log, which sockets do not get; a client reads it with GET /api/users/{id}",
    ),
    ("participants", "avatarUrl", "as the name"),
];

/// A case in which a resource of one conversation is not compared: the resource, the condition (from the replica's room and the answer of REST), reason.
pub type Case = (&'static str, fn(&Room, &Value) -> bool, &'static str);

/// The cases.
pub const CASES: &[Case] = &[(
    "messages",
    |room, fresh| !room.is_member && !room.is_deleted && fresh.is_null(),
    "who left before a conversation was deleted is told nothing of it, because nothing outside a membership is pushed; they get 404 when they ask",
)];

/// Removes from both views what cannot be compared.
pub fn strip(replica: &Replica, own: &mut Value, fresh: &mut Value) {
    for room in replica.rooms() {
        for (noun, field, _) in FIELDS {
            for view in [&mut *own, &mut *fresh] {
                let items = view[&room.id][*noun].as_array_mut();
                for item in items.into_iter().flatten() {
                    if let Some(item) = item.as_object_mut() {
                        item.remove(*field);
                    }
                }
            }
        }
        for (noun, is_it, _) in CASES {
            if is_it(room, &fresh[&room.id][*noun]) {
                own[&room.id][*noun] = Value::Null;
            }
        }
    }
}

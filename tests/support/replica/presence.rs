//! Presence of the users who share a conversation with the user.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Overview, Replica, conversations, read_list};
use crate::support::client::User;

/// `GET /api/conversations/{id}/presence` of all conversations
pub const OVERVIEW: Overview = Overview {
    name: "presence",
    load: |user| async move { json!(read(user).await) }.boxed(),
    show,
};

/// Presence of every user whom the user may see, except for the user.
pub async fn read(user: &User) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for id in conversations::positions(user).await.into_keys() {
        let path = format!("/api/conversations/{id}/presence");
        let list = read_list(user, &path, "presence", "after").await;
        for item in list.as_array().into_iter().flatten() {
            let who = item["userId"].as_str().expect("a user").to_owned();
            all.insert(who, item["status"].clone());
        }
    }
    all.remove(&user.id);
    all
}

fn show(replica: &Replica) -> Value {
    let rooms = replica.rooms().filter(|room| room.is_member);
    let members = rooms.flat_map(|room| room.members.keys());
    let others = members.filter(|id| **id != replica.user);
    let known = others.map(|id| {
        let status = replica.presence.get(id).cloned();
        (id.clone(), status.unwrap_or_else(|| json!("offline")))
    });
    json!(known.collect::<BTreeMap<_, _>>())
}

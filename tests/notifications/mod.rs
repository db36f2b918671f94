//! Notifications as hosts, users and devices see them: real sockets, and a real push service that decrypts as browsers do.

mod browser;
mod gateway;
mod host;
mod killed;
mod messages;
mod push;
mod push_faults;
mod settings;

use serde_json::{Value, json};

use crate::support::{Builder, Node, Service, User, eventually};

/// A service with the plugin that may reach push services on loopback, and digests after `digest_seconds`.
pub fn service(digest_seconds: u32, table: &str) -> Builder {
    let toml = format!("[plugins.notifications]\ndigest_seconds = {digest_seconds}\n{table}\n");
    Service::builder()
        .toml(&toml)
        .env("PLUGINS", "webhooks,notifications")
        .env("PUSH_SUBJECT", "mailto:ops@shop.example")
        .env("PUSH_ALLOW_PRIVATE", "true")
}

/// Sends a notification to users and returns the accepted call.
pub async fn notify(node: &Node, users: &[&str], extra: Value) -> Value {
    let mut body = json!({ "userIds": users, "kind": "LIKE", "title": "New like" });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let host = node.internal();
    host.post("/api/notifications", body).await.expect(201)
}

/// Waits until `user` has `count` notifications and returns them, newest first.
pub async fn listed(user: &User, count: usize) -> Vec<Value> {
    eventually(&format!("{count} notifications exist"), || async {
        let page = user.get("/api/notifications").await.expect(200);
        let items = page["notifications"].as_array().expect("a list").clone();
        (items.len() >= count).then_some(items)
    })
    .await
}

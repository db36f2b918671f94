//! Webhooks from a host's view: a real receiver, the admin API, and a broker and workers that fail.

mod admin;
mod bench;
mod command;
mod deliver;
mod faults;
mod lag;
mod ordered;
mod pull;
mod reach;
mod sign;
mod trace;

use serde_json::{Value, json};

use crate::support::{Client, Node, Receiver, User};

/// An endpoint that gets what is sent.
pub async fn hook(node: &Node, receiver: &Receiver, extra: Value) -> Hook {
    let mut body = json!({ "url": receiver.url(), "events": ["message.created"] });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    make(node, body).await
}

/// An endpoint of any kind.
pub async fn make(node: &Node, body: Value) -> Hook {
    let host = node.internal();
    let made = host.post("/api/admin/webhooks", body).await.expect(201);
    Hook {
        id: made["id"].as_str().expect("an id").to_owned(),
        secret: made["secret"].as_str().expect("a secret").to_owned(),
        host,
    }
}

/// An endpoint and the host that made it.
pub struct Hook {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    host: Client,
}

impl Hook {
    /// Path of the endpoint, with a suffix.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/admin/webhooks/{}{rest}", self.id)
    }

    /// The endpoint as the API returns it.
    pub async fn shown(&self) -> Value {
        self.host.get(&self.path("")).await.expect(200)
    }

    /// Its dead letters.
    pub async fn dead_letters(&self) -> Vec<Value> {
        let path = format!("/api/admin/webhooks/dead-letters?endpointId={}", self.id);
        let page = self.host.get(&path).await.expect(200);
        page["deadLetters"].as_array().expect("a list").clone()
    }

    /// The recorded attempts of one event; null while there are none.
    pub async fn attempts(&self, event: &str) -> Value {
        let path = self.path(&format!("/deliveries/{event}/attempts"));
        let answer = self.host.get(&path).await;
        match answer.status {
            200 => answer.json["attempts"].clone(),
            _ => Value::Null,
        }
    }
}

/// Two users in a group.
pub async fn scenario(node: &Node) -> (User, String) {
    let (alice, bob) = (node.user("alice").await, node.user("bob").await);
    let conversation = node.group(&alice, &[&bob]).await;
    (alice, conversation)
}

//! A participant of a session: runs random operations, and fails on an answer that no request may get.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use reqwest::Method;
use serde_json::{Value, json};

use super::USERS;
use crate::support::replica::Watcher;

/// State that the participants share about one another's actions.
#[derive(Default)]
pub struct Pool {
    /// Conversations that a participant created.
    pub conversations: Vec<String>,
    /// Messages that a participant sent.
    pub messages: Vec<String>,
}

/// A participant.
pub struct Actor {
    /// The user, their socket, and their view.
    pub watcher: Watcher,
    /// Chooses the next action.
    pub random: StdRng,
    /// The state shared with the other participants.
    pub pool: Arc<Mutex<Pool>>,
}

impl Actor {
    pub(super) fn one_in(&mut self, of: u32) -> bool {
        self.random.random_ratio(1, of)
    }

    pub(super) fn somebody(&mut self) -> String {
        let name = if self.one_in(25) {
            "unknown"
        } else {
            // The last one stays outside.
            USERS[..USERS.len() - 1]
                .choose(&mut self.random)
                .expect("users")
        };
        name.to_owned()
    }

    pub(super) fn conversation(&mut self) -> String {
        let ghost = || "cnv_00000000000000000000000000".to_owned();
        let pool = self.pool.lock();
        match self.random.random_range(0..40) {
            0 => ghost(),
            1 => "nonsense".to_owned(),
            _ => pool
                .conversations
                .choose(&mut self.random)
                .cloned()
                .unwrap_or_else(ghost),
        }
    }

    pub(super) fn message(&mut self) -> String {
        let pool = self.pool.lock();
        let recent = pool.messages.len().saturating_sub(60);
        let from = if self.random.random_ratio(3, 4) {
            recent
        } else {
            0
        };
        match self.random.random_range(0..40) {
            0 => "msg_00000000000000000000000000".to_owned(),
            1 => "nonsense".to_owned(),
            _ => pool.messages[from..]
                .choose(&mut self.random)
                .cloned()
                .unwrap_or_default(),
        }
    }

    fn role(&mut self) -> &'static str {
        ["member", "admin", "owner", "god"]
            .choose_weighted(&mut self.random, |role| if *role == "god" { 1 } else { 8 })
            .expect("roles")
    }

    pub(super) fn content(&mut self) -> String {
        match self.random.random_range(0..30) {
            0 => String::new(),
            1 => "x".repeat(17_000),
            2 => "\u{0}".to_owned(),
            3 => "z".repeat(9_000),
            4 => "\"quoted\" \\ \u{1f980} \u{202e} <b>".to_owned(),
            _ => format!("text {}", self.random.random::<u32>()),
        }
    }

    fn metadata(&mut self) -> Value {
        match self.random.random_range(0..6) {
            0 => json!({ "n": self.random.random::<u32>(), "list": [1, null, "a"] }),
            1 => json!({}),
            2 => json!("no object"),
            _ => Value::Null,
        }
    }

    fn draft(&mut self) -> Value {
        let mut draft = json!({ "content": self.content() });
        let metadata = self.metadata();
        if !metadata.is_null() {
            draft["metadata"] = metadata;
        }
        if self.one_in(4) {
            // Few enough that some are used twice.
            draft["clientMessageId"] = json!(format!("c{}", self.random.random_range(0..40)));
        }
        if self.one_in(6) {
            draft["replyTo"] = json!(self.message());
        }
        if self.one_in(6) {
            draft["mentions"] = json!([self.somebody()]);
        }
        if self.one_in(8) {
            draft["attachments"] = json!([{ "url": "https://files.example/1", "size": 1 }]);
        }
        if self.one_in(6) {
            draft["threadId"] = json!(self.message());
        }
        if self.one_in(20) {
            draft["silent"] = json!(true);
        }
        if self.one_in(15) {
            draft["ttlSeconds"] = json!(self.random.random_range(0..3));
        }
        if self.one_in(40) {
            draft["colour"] = json!("red");
        }
        draft
    }

    /// A request. Fails for an answer that no request may get.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<Value> {
        let answer = self.watcher.user.request(method, path, body).await;
        assert!(
            answer.status < 500 && answer.status != 429 && answer.status != 401,
            "{answer}"
        );
        (answer.status < 300).then_some(answer.json)
    }

    /// A command. Fails for an answer that no command may get.
    pub(super) async fn command(&mut self, event: &str, data: Value) -> Option<Value> {
        // Some moves are wrong on purpose.
        let ack = self.watcher.socket.send_unchecked(event, data).await;
        let code = ack["error"]["code"].as_str().unwrap_or_default();
        assert!(
            !matches!(
                code,
                "INTERNAL_ERROR" | "UNAVAILABLE" | "RATE_LIMITED" | "UNAUTHORIZED"
            ),
            "{event}: {ack}"
        );
        (ack["success"] == true).then_some(ack)
    }

    pub(super) fn remember_message(&self, message: &Value) {
        if let Some(id) = message["id"].as_str() {
            self.pool.lock().messages.push(id.to_owned());
        }
        self.remember_conversation(&message["conversationId"]);
    }

    fn remember_conversation(&self, id: &Value) {
        let mut pool = self.pool.lock();
        if let Some(id) = id.as_str()
            && !pool.conversations.iter().any(|known| known == id)
        {
            pool.conversations.push(id.to_owned());
        }
    }

    /// Does one thing at random.
    pub async fn play(&mut self) {
        match self.random.random_range(0..100) {
            0..15 => self.send_by_rest().await,
            15 => self.schedule().await,
            16..32 => self.send_by_socket().await,
            32..40 => self.change_message().await,
            40..45 => self.delete_message().await,
            45..49 => self.make_conversation().await,
            49..54 => self.change_conversation().await,
            54..66 => self.change_members().await,
            66..69 => self.read().await,
            69..71 => self.do_nonsense().await,
            71..96 => self.do_more().await,
            96..99 => {
                let share = self.random.random_range(0.0..=1.0);
                self.watcher.resume_after(share).await;
            }
            _ => self.delete_conversation().await,
        }
        if self.one_in(3) {
            self.watcher.follow().await;
        }
    }

    async fn send_by_rest(&mut self) {
        let mut draft = self.draft();
        let sent = if self.one_in(12) {
            draft["receiverId"] = json!(self.somebody());
            self.ask(Method::POST, "/api/messages", Some(draft)).await
        } else {
            let path = format!("/api/conversations/{}/messages", self.conversation());
            self.ask(Method::POST, &path, Some(draft)).await
        };
        if let Some(message) = sent {
            self.remember_message(&message);
        }
    }

    async fn schedule(&mut self) {
        let mut draft = self.draft();
        draft["sendAt"] = self.later();
        if self.one_in(3) {
            draft["receiverId"] = json!(self.somebody())
        } else {
            draft["conversationId"] = json!(self.conversation())
        }
        if self.one_in(2) {
            drop(self.command("message:schedule", draft).await)
        } else {
            drop(self.ask(Method::POST, "/api/scheduled", Some(draft)).await)
        }
    }

    async fn send_by_socket(&mut self) {
        let mut draft = self.draft();
        if self.one_in(12) {
            draft["receiverId"] = json!(self.somebody());
        } else {
            draft["conversationId"] = json!(self.conversation());
        }
        if let Some(ack) = self.command("message:send", draft).await {
            self.remember_message(&ack["message"]);
        }
    }

    async fn change_message(&mut self) {
        let id = self.message();
        let mut body = json!({ "content": self.content() });
        let metadata = self.metadata();
        if !metadata.is_null() {
            body["metadata"] = metadata;
        }
        if self.one_in(2) {
            body["messageId"] = json!(id);
            self.command("message:edit", body).await;
        } else {
            let path = format!("/api/messages/{id}");
            self.ask(Method::PATCH, &path, Some(body)).await;
        }
    }

    async fn delete_message(&mut self) {
        let id = self.message();
        if self.one_in(2) {
            let body = json!({ "messageId": id });
            self.command("message:delete", body).await;
        } else {
            let path = format!("/api/messages/{id}");
            self.ask(Method::DELETE, &path, None).await;
        }
    }

    async fn make_conversation(&mut self) {
        let kind = ["direct", "group", "public", "party"]
            .choose_weighted(
                &mut self.random,
                |kind| if *kind == "party" { 1 } else { 6 },
            )
            .expect("kinds");
        let count = match *kind {
            "direct" => 1,
            _ => self.random.random_range(0..4),
        };
        let others: Vec<String> = (0..count).map(|_| self.somebody()).collect();
        let mut body = json!({ "type": kind, "participantIds": others });
        if *kind != "direct" && self.one_in(2) {
            body["historyVisibility"] = json!("joined");
        }
        // Ever more conversations would each see less.
        if self.pool.lock().conversations.len() > 14 && *kind != "direct" {
            body["participantIds"] = json!([7]);
        }
        let made = self
            .ask(Method::POST, "/api/conversations", Some(body))
            .await;
        if let Some(made) = made {
            self.remember_conversation(&made["id"]);
        }
    }

    async fn change_conversation(&mut self) {
        let path = format!("/api/conversations/{}", self.conversation());
        let mut body = json!({});
        if self.one_in(2) {
            body["name"] = json!(format!("name {}", self.random.random_range(0..4)));
        }
        if self.one_in(2) {
            body["metadata"] = self.metadata();
        }
        if self.one_in(4) {
            body["avatarUrl"] = Value::Null;
        }
        if self.one_in(4) {
            let visible = [json!("full"), json!("joined"), Value::Null];
            body["historyVisibility"] = visible[self.random.random_range(0..3)].clone();
        }
        if self.one_in(8) {
            let switch = ["typing", "reads", "reactions", "threads"];
            let switch = switch[self.random.random_range(0..4)];
            body["features"] = json!({ switch: self.one_in(2) });
        }
        self.ask(Method::PATCH, &path, Some(body)).await;
    }

    async fn change_members(&mut self) {
        let path = format!("/api/conversations/{}", self.conversation());
        let who = self.somebody();
        match self.random.random_range(0..10) {
            0..4 => {
                let path = format!("{path}/participants");
                let body = json!({ "userIds": [who, self.somebody()], "role": self.role() });
                self.ask(Method::POST, &path, Some(body)).await;
            }
            4 => {
                let path = format!("{path}/participants/{who}");
                self.ask(Method::DELETE, &path, None).await;
            }
            5 => {
                let path = format!("{path}/participants/{who}");
                let body = json!({ "role": self.role() });
                self.ask(Method::PATCH, &path, Some(body)).await;
            }
            6 => {
                let path = format!("{path}/leave");
                self.ask(Method::POST, &path, None).await;
            }
            _ => {
                let path = format!("{path}/join");
                self.ask(Method::POST, &path, None).await;
            }
        }
    }

    async fn delete_conversation(&mut self) {
        if self.one_in(2) {
            let path = format!("/api/conversations/{}", self.conversation());
            self.ask(Method::DELETE, &path, None).await;
        }
    }

    async fn read(&mut self) {
        let conversation = self.conversation();
        match self.random.random_range(0..6) {
            0 => {
                let data = json!({ "conversationId": conversation, "limit": 3 });
                self.command("messages:list", data).await;
            }
            1 => {
                let last = self.message();
                let data = json!({ "conversationId": conversation, "lastMessageId": last });
                self.command("messages:sync", data).await;
            }
            2 => {
                let around = self.message();
                let path =
                    format!("/api/conversations/{conversation}/messages?limit=5&around={around}");
                self.ask(Method::GET, &path, None).await;
            }
            3 => {
                let path = format!("/api/conversations/{conversation}/log?limit=7");
                self.ask(Method::GET, &path, None).await;
            }
            4 => {
                let path = format!("/api/messages/{}/history", self.message());
                self.ask(Method::GET, &path, None).await;
            }
            _ => {
                self.ask(Method::GET, "/api/conversations?limit=2", None)
                    .await;
            }
        }
    }

    async fn do_nonsense(&mut self) {
        let conversation = self.conversation();
        match self.random.random_range(0..5) {
            0 => drop(self.command("message:explode", json!({})).await),
            1 => {
                let data =
                    json!({ "conversationId": conversation, "receiverId": "ann", "content": "x" });
                self.command("message:send", data).await;
            }
            2 => {
                let path = format!("/api/conversations/{conversation}/messages");
                self.ask(Method::PUT, &path, Some(json!({}))).await;
            }
            3 => {
                let path = format!("/api/conversations/{conversation}/messages");
                self.ask(Method::POST, &path, Some(json!([1, 2]))).await;
            }
            _ => {
                self.ask(Method::DELETE, "/api/nothing", None).await;
            }
        }
    }
}

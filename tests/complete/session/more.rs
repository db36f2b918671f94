//! Actions of a participant besides sending, changing and joining: on other users' messages, on own settings, and those that are in no log.

use chat_sdk::Timestamp;
use rand::{Rng, seq::IndexedRandom};
use reqwest::Method;
use serde_json::{Value, json};

use super::actor::Actor;

const EMOJI: [&str; 5] = ["👍", "🎉", "\u{2764}", ":party_parrot:", "no emoji"];

impl Actor {
    /// A time soon, or far away.
    pub(super) fn later(&mut self) -> Value {
        let millis = if self.one_in(2) {
            self.random.random_range(100..1_500)
        } else {
            3_600_000
        };
        json!(Timestamp::from_millis(
            Timestamp::now().as_millis() + millis
        ))
    }

    /// Does one thing of this file at random.
    pub(super) async fn do_more(&mut self) {
        match self.random.random_range(0..12) {
            0..3 => self.react().await,
            3 => self.pin().await,
            4 => self.restore_or_forward().await,
            5..7 => self.mark().await,
            7 => self.signal().await,
            8..10 => self.set_own().await,
            10 => self.block_or_say_how_they_are().await,
            _ => self.change_what_waits().await,
        }
    }

    async fn react(&mut self) {
        let (message, is_given) = (self.message(), self.random.random_ratio(2, 3));
        let emoji = *EMOJI.choose(&mut self.random).expect("emoji");
        if self.one_in(2) {
            let command = if is_given {
                "reaction:add"
            } else {
                "reaction:remove"
            };
            let data = json!({ "messageId": message, "emoji": emoji });
            self.command(command, data).await;
            return;
        }
        let path = format!("/api/messages/{message}/reactions");
        if is_given {
            let body = json!({ "emoji": emoji });
            self.ask(Method::POST, &path, Some(body)).await;
        } else {
            let encoded: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let path = format!("{path}/{encoded}");
            self.ask(Method::DELETE, &path, None).await;
        }
    }

    async fn pin(&mut self) {
        let path = format!("/api/messages/{}/pin", self.message());
        let method = if self.one_in(3) {
            Method::DELETE
        } else {
            Method::PUT
        };
        self.ask(method, &path, None).await;
    }

    async fn restore_or_forward(&mut self) {
        let message = self.message();
        if self.one_in(2) {
            let path = format!("/api/messages/{message}/restore");
            self.ask(Method::POST, &path, None).await;
            return;
        }
        let path = format!("/api/messages/{message}/forward");
        let body = json!({ "conversationIds": [self.conversation()] });
        let sent = self.ask(Method::POST, &path, Some(body)).await;
        for message in sent
            .iter()
            .flat_map(|sent| sent["messages"].as_array())
            .flatten()
        {
            self.remember_message(message);
        }
    }

    async fn mark(&mut self) {
        let (message, conversation) = (self.message(), self.conversation());
        let about = json!({ "messageId": message });
        match self.random.random_range(0..8) {
            0 => drop(self.command("message:read", about).await),
            1 => drop(self.command("message:delivered", about).await),
            2 => {
                let data = json!({ "conversationId": conversation });
                self.command("conversation:read", data).await;
            }
            3 => {
                let path = format!("/api/conversations/{conversation}/read");
                let body = json!({ "upToMessageId": message });
                self.ask(Method::PUT, &path, Some(body)).await;
            }
            4 => {
                let path = format!("/api/messages/{message}/delivered");
                self.ask(Method::PUT, &path, None).await;
            }
            5 => {
                let path = format!("/api/messages/{message}/replies/read");
                self.ask(Method::PUT, &path, None).await;
            }
            of => {
                let method = if of == 6 { Method::PUT } else { Method::DELETE };
                let path = format!("/api/messages/{message}/read");
                self.ask(method, &path, None).await;
            }
        }
    }

    async fn signal(&mut self) {
        let signals = [
            "typing:start",
            "typing:stop",
            "recording:start",
            "recording:stop",
        ];
        let signal = *signals.choose(&mut self.random).expect("signals");
        let data = json!({ "conversationId": self.conversation() });
        self.command(signal, data).await;
    }

    async fn set_own(&mut self) {
        let path = format!("/api/conversations/{}/me", self.conversation());
        let mut body = json!({});
        for field in ["muted", "pinned", "archived", "hidden"] {
            if self.one_in(5) {
                body[field] = json!(self.one_in(2));
            }
        }
        if self.one_in(4) {
            let levels = ["all", "mentions", "none", "loud"];
            body["notificationLevel"] = json!(levels.choose(&mut self.random));
        }
        if self.one_in(2) {
            body["draft"] = if self.one_in(4) {
                Value::Null
            } else {
                json!(self.content())
            };
        }
        self.ask(Method::PATCH, &path, Some(body)).await;
    }

    async fn block_or_say_how_they_are(&mut self) {
        if self.one_in(2) {
            let statuses = ["online", "away", "busy", "invisible", "furious"];
            let body = json!({ "status": statuses.choose(&mut self.random) });
            let path = "/api/users/me/status";
            self.ask(Method::PUT, path, Some(body)).await;
            return;
        }
        let path = format!("/api/users/me/blocks/{}", self.somebody());
        let method = if self.one_in(3) {
            Method::PUT
        } else {
            Method::DELETE
        };
        self.ask(method, &path, None).await;
    }

    async fn change_what_waits(&mut self) {
        let waiting = self.ask(Method::GET, "/api/scheduled", None).await;
        let waiting = waiting.map(|page| page["scheduled"][0]["id"].clone());
        let id = waiting.and_then(|id| id.as_str().map(str::to_owned));
        let path = format!(
            "/api/scheduled/{}",
            id.unwrap_or_else(|| "nonsense".to_owned())
        );
        match self.random.random_range(0..3) {
            0 => drop(self.ask(Method::DELETE, &path, None).await),
            1 => {
                let body = json!({ "content": self.content() });
                self.ask(Method::PATCH, &path, Some(body)).await;
            }
            _ => {
                let body = json!({ "sendAt": self.later() });
                self.ask(Method::PATCH, &path, Some(body)).await;
            }
        }
    }
}

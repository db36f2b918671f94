//! `/api/scheduled` and the command `message:schedule`.

mod changing;
mod placing;
mod sending;

use chat_sdk::Timestamp;
use serde_json::{Value, json};

use super::super::id;
use super::Group;
use crate::support::{Answer, Client, User, eventually};

/// The moment `millis` from now, as the contract writes it.
fn in_millis(millis: i64) -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + millis).to_string()
}

const HOUR: i64 = 3_600_000;

impl Group {
    /// Schedules a text. Returns the scheduled message.
    async fn later(&self, user: &User, content: &str, millis: i64) -> Value {
        let body = json!({ "content": content, "sendAt": in_millis(millis) });
        self.schedule(user, body).await.expect(201)
    }

    /// Asks to schedule `body` for the conversation.
    async fn schedule(&self, user: &Client, mut body: Value) -> Answer {
        body["conversationId"] = json!(self.id);
        user.post("/api/scheduled", body).await
    }

    async fn wait_for(&self, content: &str) -> Value {
        eventually("the message is sent", || async {
            let history = self.bob.history(&self.id).await;
            history
                .into_iter()
                .find(|message| message["content"] == content)
        })
        .await
    }
}

fn path_of(scheduled: &Value) -> String {
    format!("/api/scheduled/{}", id(scheduled))
}

fn millis(at: &str) -> i64 {
    at.parse::<Timestamp>().expect("a time").as_millis()
}

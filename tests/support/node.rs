//! A running service, in this process or another, from the view of its users.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    check::eventually_within,
    client::{Client, User},
    isolation::{INTERNAL_SECRET, Sandbox},
    token::Token,
};

/// The addresses and the data of a service.
pub struct Node {
    place: Arc<Sandbox>,
    client: Client,
    api_url: String,
    ws_url: String,
}

impl Node {
    pub(super) fn new(place: Arc<Sandbox>, api_port: Option<u16>, ws_port: Option<u16>) -> Self {
        let api_url = api_port
            .map(|port| format!("http://127.0.0.1:{port}"))
            .unwrap_or_default();
        let ws_url = ws_port
            .map(|port| format!("ws://127.0.0.1:{port}/ws"))
            .unwrap_or_default();
        Self {
            place,
            client: Client::new(&api_url),
            api_url,
            ws_url,
        }
    }

    /// Base URL of its REST API; empty without the role.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// URL for sockets; empty without the role.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// The address of the sockets' port, without a path; empty without the role.
    pub fn ws_base(&self) -> String {
        self.ws_url.replace("ws://", "http://").replace("/ws", "")
    }

    /// The storage of its data.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.place
    }

    /// The addresses of its roles, without a path.
    fn ports(&self) -> impl Iterator<Item = String> {
        [self.api_url.clone(), self.ws_base()]
            .into_iter()
            .filter(|url| !url.is_empty())
    }

    /// Waits until every port says that it is ready, or `ended` says why it will not be.
    pub(super) async fn wait_ready(&self, mut ended: impl FnMut() -> Option<String>) {
        for url in self.ports() {
            let health = Client::new(&url);
            eventually_within(Duration::from_secs(40), "the service is ready", || {
                if let Some(why) = ended() {
                    panic!("the service ended at its start: {why}");
                }
                let health = health.clone();
                async move { health.is_ready().await.then_some(()) }
            })
            .await;
        }
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        self.client.clone()
    }

    /// The host's backend.
    pub fn internal(&self) -> Client {
        self.client.with("X-Internal-Secret", INTERNAL_SECRET)
    }

    /// A token of `subject` for an hour; change it before it is signed.
    pub fn token(&self, subject: &str) -> Token {
        Token::of(subject)
    }

    /// A user that the host has synced.
    pub async fn user(&self, id: &str) -> User {
        let answer = self
            .internal()
            .post_repeating(
                "/api/users/sync",
                json!({ "externalUserId": id, "name": id }),
            )
            .await;
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        self.known_user(id)
    }

    /// A user that may be unknown to the service.
    pub fn known_user(&self, id: &str) -> User {
        User::new(id, &self.client, &self.ws_url)
    }

    /// A group of `owner` and `others`. Returns its id.
    pub async fn group(&self, owner: &User, others: &[&User]) -> String {
        self.group_with(owner, others, json!({})).await
    }

    /// A group with further settings.
    pub async fn group_with(
        &self,
        owner: &User,
        others: &[&User],
        settings: serde_json::Value,
    ) -> String {
        let ids: Vec<&str> = others.iter().map(|user| user.id.as_str()).collect();
        let mut body = json!({ "type": "group", "participantIds": ids, "name": "A group" });
        for (name, value) in settings.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let made = owner
            .post_repeating("/api/conversations", body)
            .await
            .expect(201);
        made["id"].as_str().expect("an id").to_owned()
    }

    /// The direct conversation of two users. Returns its id.
    pub async fn direct(&self, one: &User, other: &User) -> String {
        let body = json!({ "type": "direct", "participantIds": [other.id] });
        let answer = one.post_repeating("/api/conversations", body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        answer.json["id"].as_str().expect("an id").to_owned()
    }
}

impl Client {
    /// True if the port reports that it is ready.
    pub async fn is_ready(&self) -> bool {
        let request = self.try_get("/health/ready").await;
        request.is_ok_and(|status| status == 200)
    }
}

//! The accounts plugin: registration, login, sessions, e-mails, and what hostile clients get.

mod bounds;
mod enumeration;
mod front;
mod hostile;
mod identity;
mod mail;
mod manage;
mod refresh;
mod sessions;
mod settings;
#[cfg(feature = "smtp")]
mod smtp;

use serde_json::{Value, json};

use crate::support::{
    Answer, Builder, Client, Connect, Node, Received, Receiver, Service, Socket, eventually,
};

/// Password of the accounts in the tests.
pub const PASSWORD: &str = "correct horse battery";
/// Beginning of the links in e-mails.
pub const PUBLIC_URL: &str = "https://shop.example/chat";
/// Key of the requests by which e-mails reach the receiver.
pub const MAIL_SECRET: &str = "9b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778";

/// A service with the plugin, which sends no e-mail.
pub fn with_accounts() -> Builder {
    Service::builder()
        .env("PLUGINS", "webhooks,accounts")
        .env("ACCOUNTS_PUBLIC_URL", PUBLIC_URL)
        .env("ACCOUNTS_RATE_LIMIT", "100000")
}

/// A service with the plugin, whose e-mails come to the receiver.
pub async fn with_mail() -> (Builder, Receiver) {
    let receiver = Receiver::start().await;
    let builder = with_accounts()
        .env("ACCOUNTS_MAIL_URL", &receiver.url())
        .env("ACCOUNTS_MAIL_SECRET", MAIL_SECRET);
    (builder, receiver)
}

/// Tokens of a session.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub user: String,
    pub session: String,
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    pub fn of(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        Self {
            user: text("userId"),
            session: text("sessionId"),
            access: text("accessToken"),
            refresh: text("refreshToken"),
        }
    }

    /// A client with the access token.
    pub fn at(&self, node: &Node) -> Client {
        let bearer = format!("Bearer {}", self.access);
        node.anonymous().with("Authorization", &bearer)
    }

    /// A socket with the access token, connected.
    pub async fn socket(&self, node: &Node) -> Socket {
        let how = Connect {
            token: Some(self.access.clone()),
            ..Connect::default()
        };
        let socket = Socket::connect(node.ws_url(), how).await;
        socket.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// True if the service accepts the access token.
    pub async fn is_accepted(&self, node: &Node) -> bool {
        self.at(node).get("/api/users/me").await.status == 200
    }
}

pub fn registration(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "name": "Ann" })
}

pub async fn register(node: &Node, email: &str) {
    let anonymous = node.anonymous();
    let answer = anonymous.post("/auth/register", registration(email)).await;
    answer.expect(202);
}

pub async fn log_in(node: &Node, email: &str) -> Tokens {
    log_in_with(node, email, PASSWORD).await
}

pub async fn log_in_with(node: &Node, login: &str, password: &str) -> Tokens {
    let body = json!({ "login": login, "password": password });
    let answer = node.anonymous().post_repeating("/auth/login", body).await;
    Tokens::of(&answer.expect(200))
}

/// Uses a refresh token.
pub async fn refresh(node: &Node, token: &str) -> Answer {
    let body = json!({ "refreshToken": token });
    node.anonymous().post_repeating("/auth/refresh", body).await
}

/// The kinds of security events of a user, newest first.
pub async fn audit(node: &Node, user: &str) -> Vec<String> {
    let path = format!("/api/admin/accounts/{user}/audit?limit=100");
    let page = node.internal().get(&path).await.expect(200);
    let entries = page["entries"].as_array().expect("a list").iter();
    entries
        .map(|entry| entry["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

/// The e-mails of the type `kind` to `email` that came.
pub fn mails(receiver: &Receiver, kind: &str, email: &str) -> Vec<Received> {
    let mut all = receiver.received();
    all.retain(|mail| mail.event["type"] == kind && mail.event["email"] == email);
    all
}

/// The token in the newest e-mail of the type `kind` to `email`, when there are `count`.
pub async fn token_of(receiver: &Receiver, kind: &str, email: &str, count: usize) -> String {
    let mail = eventually("the e-mail arrives", || async {
        let mut found = mails(receiver, kind, email);
        (found.len() >= count).then(|| found.pop()).flatten()
    })
    .await;
    let link = mail.event["link"].as_str().expect("a link");
    let (page, token) = link.split_once("#token=").expect("a token");
    assert!(page.starts_with(PUBLIC_URL), "{page}");
    token.to_owned()
}

/// Registers an account and verifies its address.
pub async fn register_verified(node: &Node, receiver: &Receiver, email: &str) {
    register(node, email).await;
    let token = token_of(receiver, "account.verification", email, 1).await;
    let body = json!({ "token": token, "password": PASSWORD });
    let answer = node.anonymous().post_repeating("/auth/verify", body).await;
    answer.expect(204);
}

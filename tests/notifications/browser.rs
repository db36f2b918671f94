//! A real push service with browsers: a program in Node that decrypts every push.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{User, eventually_within, http_client, mortal};

/// The push service. It ends with its handle.
pub struct PushService {
    child: Child,
    origin: String,
    http: reqwest::Client,
}

impl Drop for PushService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PushService {
    /// Starts the push service.
    pub async fn start() -> Self {
        let modules = std::env::var("TEST_PUSH_NODE")
            .expect("./dev test sets TEST_PUSH_NODE, which needs npm");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notifications/browser.mjs");
        let mut child = mortal("node")
            .arg(program)
            .arg(modules)
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let output = child.stdout.take().expect("its output");
        let origin = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).expect("a line");
            line.trim().to_owned()
        });
        Self {
            child,
            origin: origin.await.expect("it runs"),
            http: http_client(),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.origin)).json(body);
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Makes a browser and returns its subscription.
    pub async fn browser(&self, name: &str) -> Value {
        self.post("/browsers", &json!({ "name": name })).await
    }

    /// Makes a browser and registers it for `user`; returns the id of the subscription.
    pub async fn subscribe(&self, user: &User, name: &str) -> String {
        let subscription = self.browser(name).await;
        let path = "/api/notifications/push/subscriptions";
        let made = user.request(Method::PUT, path, Some(subscription)).await;
        made.expect(200)["id"].as_str().expect("an id").to_owned()
    }

    /// Sets the answers for a browser.
    pub async fn answer(&self, name: &str, status: u16, more: Value) {
        let mut body = json!({ "name": name, "status": status });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.post("/answers", &body).await;
    }

    /// Everything that arrived for a browser.
    pub async fn received(&self, name: &str) -> Vec<Value> {
        let url = format!("{}/received?name={name}", self.origin);
        let answer = self.http.get(url).send().await.expect("an answer");
        answer.json().await.expect("a list")
    }

    /// Waits until `count` pushes arrived for a browser, and returns all; none may break a rule.
    pub async fn wait_for(&self, name: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} pushes arrive for {name}");
        let received = eventually_within(Duration::from_secs(40), &what, || async {
            let received = self.received(name).await;
            (received.len() >= count).then_some(received)
        })
        .await;
        for push in &received {
            assert_eq!(push["problems"], json!([]), "{push}");
        }
        received
    }
}

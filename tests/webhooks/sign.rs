//! The headers of a delivery, verified by code that is independent of the service.

use std::{
    collections::HashSet,
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use chat_sdk::Timestamp;
use ring::hmac;
use serde_json::json;

use super::{hook, scenario};
use crate::support::{Received, Receiver, Service};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sha256=` of the body, computed by a receiver that knows only the secret's text.
pub fn verify_body(received: &Received, secret: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &received.body);
    received.header("x-webhook-signature") == format!("sha256={}", hex(tag.as_ref()))
}

/// True if one of the signatures is right according to the rules of the Standard Webhooks libraries.
pub fn verify_standard(received: &Received, secret: &str) -> bool {
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).expect("base64"),
        None => secret.as_bytes().to_vec(),
    };
    let (id, timestamp) = (
        received.header("webhook-id"),
        received.header("webhook-timestamp"),
    );
    let text = [format!("{id}.{timestamp}.").as_bytes(), &received.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    received
        .header("webhook-signature")
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64_STANDARD.decode(signature).ok())
        .any(|signature| hmac::verify(&key, &text, &signature).is_ok())
}

/// Reads a body, headers and secrets, and fails unless every secret verifies the body and none verifies a changed one.
const IN_PYTHON: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook
case = json.load(sys.stdin)
for secret in case["secrets"]:
    Webhook(secret).verify(case["body"].encode(), case["headers"])
    try:
        Webhook(secret).verify(case["body"].encode() + b" ", case["headers"])
    except Exception:
        continue
    sys.exit("a changed body was verified")
"#;

/// The same.
const IN_NODE: &str = r#"
const { Webhook } = require("standardwebhooks");
const given = JSON.parse(require("fs").readFileSync(0));
for (const secret of given.secrets) {
  new Webhook(secret).verify(given.body, given.headers);
  let changed = true;
  try { new Webhook(secret).verify(given.body + " ", given.headers); } catch { changed = false; }
  if (changed) throw new Error("a changed body was verified");
}
"#;

/// `./dev test` brings the libraries; the one for Node only where there is npm.
fn verify_with_official_libraries(received: &Received, secrets: &[&str]) {
    let headers: serde_json::Map<String, serde_json::Value> =
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .iter()
            .map(|name| ((*name).to_owned(), received.header(name).into()))
            .collect();
    let body = String::from_utf8(received.body.to_vec()).expect("text");
    let case = json!({ "secrets": secrets, "headers": headers, "body": body }).to_string();
    let python = std::env::var("TEST_STANDARD_WEBHOOKS_PYTHON").expect("./dev test brings it");
    let mut python_run = Command::new("python3");
    python_run.args(["-c", IN_PYTHON]).env("PYTHONPATH", python);
    run_with(python_run, &case);
    if let Ok(folder) = std::env::var("TEST_STANDARD_WEBHOOKS_NODE") {
        let mut node_run = Command::new("node");
        node_run.args(["-e", IN_NODE]).current_dir(folder);
        run_with(node_run, &case);
    }
}

fn run_with(mut command: Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The first block of docs/WEBHOOKS.md in `language` that has `mark` in it, as a reader copies it.
fn recipe(language: &str, mark: &str) -> String {
    let path = format!("{}/docs/WEBHOOKS.md", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(path).expect("docs/WEBHOOKS.md");
    let begin = format!("```{language}\n");
    let mut blocks = document.split(begin.as_str()).skip(1);
    blocks
        .find_map(|rest| {
            let block = rest.split("\n```").next()?;
            block.contains(mark).then(|| format!("{block}\n"))
        })
        .unwrap_or_else(|| panic!("docs/WEBHOOKS.md has no {language} recipe with {mark}"))
}

/// A program that follows the recipe: it must accept the delivery as it arrived, and nothing else.
const ASK_IN_PYTHON: &str = r#"
import json, sys
case = json.load(sys.stdin)
body, signature = case["body"].encode(), case["signature"]
assert is_ours(case["secret"], body, signature) is True, "the delivery is refused"
assert not is_ours(case["secret"], body + b" ", signature), "a changed body"
assert not is_ours(case["secret"] + "x", body, signature), "another secret"
assert not is_ours(case["secret"], body, signature[:-1]), "a cut signature"
assert not is_ours(case["secret"], body, ""), "no signature"
"#;

/// The same.
const ASK_IN_NODE: &str = r#"
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(0));
const body = Buffer.from(given.body);
const must = (is, what) => { if (!is) throw new Error(what); };
must(isOurs(given.secret, body, given.signature) === true, "the delivery is refused");
must(isOurs(given.secret, given.body, given.signature) === true, "as text too");
must(!isOurs(given.secret, Buffer.concat([body, Buffer.from(" ")]), given.signature), "a changed body");
must(!isOurs(given.secret + "x", body, given.signature), "another secret");
must(!isOurs(given.secret, body, given.signature.slice(0, -1)), "a cut signature");
must(!isOurs(given.secret, body, undefined), "no signature");
"#;

#[tokio::test]
async fn the_recipes_of_the_document_verify_a_delivery_as_they_are_copied() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice
        .say(&conversation, "Grüße, 名前, \u{1f469}\u{200d}\u{1f680}")
        .await;
    let received = receiver.wait_for("message.created", 1).await.remove(0);
    let case = json!({
        "secret": hook.secret,
        "body": String::from_utf8(received.body.to_vec()).expect("text"),
        "signature": received.header("x-webhook-signature"),
    })
    .to_string();
    let mut python = Command::new("python3");
    python.args(["-c", &(recipe("python", "def is_ours") + ASK_IN_PYTHON)]);
    run_with(python, &case);
    // The same condition as for the library: `./dev test` finds npm, and with it Node.
    if std::env::var("TEST_STANDARD_WEBHOOKS_NODE").is_ok() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("recipe.mjs");
        std::fs::write(&script, recipe("js", "function isOurs") + ASK_IN_NODE).expect("a file");
        let mut node = Command::new("node");
        node.arg(script);
        run_with(node, &case);
    }
}

#[tokio::test]
async fn a_delivery_is_the_envelope_with_both_families_of_headers() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let decoded = BASE64_STANDARD
        .decode(hook.secret.strip_prefix("whsec_").expect("whsec_"))
        .expect("base64");
    assert_eq!(decoded.len(), 32);
    let (alice, conversation) = scenario(&service).await;
    let message = alice.say(&conversation, "Grüße, 名前").await;
    let received = receiver.wait_for("message.created", 1).await.remove(0);
    assert_eq!(received.event["data"]["id"], message["id"]);
    assert_eq!(received.event["conversationId"], conversation.as_str());
    assert_eq!(received.event["seq"], message["seq"]);
    assert_eq!(received.event["version"], 1);
    assert_eq!(received.content(), "Grüße, 名前");
    assert_eq!(received.header("content-type"), "application/json");
    for name in ["x-webhook-id", "webhook-id"] {
        assert_eq!(received.header(name), received.id(), "{name}");
    }
    assert_eq!(received.header("x-webhook-event"), "message.created");
    let at: Timestamp = received
        .header("x-webhook-timestamp")
        .parse()
        .expect("a time");
    let seconds: i64 = received
        .header("webhook-timestamp")
        .parse()
        .expect("seconds");
    assert_eq!(at.as_millis().div_euclid(1000), seconds);
    assert!(Timestamp::now().as_millis() - at.as_millis() < 30_000);
    assert!(verify_body(&received, &hook.secret));
    assert!(verify_standard(&received, &hook.secret));
    assert!(!verify_standard(
        &received,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ));
    let changed = Received {
        body: [&received.body[..], b" "].concat().into(),
        ..received.clone()
    };
    assert!(!verify_body(&changed, &hook.secret) && !verify_standard(&changed, &hook.secret));
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_secrets_verify() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "before").await;
    receiver.wait_taken("before").await;
    let rotated = service
        .internal()
        .request(reqwest::Method::POST, &hook.path("/rotate-secret"), None)
        .await
        .expect(200);
    let newest = rotated["secret"].as_str().expect("a secret");
    assert_ne!(newest, hook.secret);
    assert!(rotated["webhook"]["rotatingUntil"].is_string());
    // The worker learns of it within a second or two.
    let received = crate::support::eventually("a delivery has two signatures", || async {
        alice.say(&conversation, "after").await;
        let all = receiver.of("message.created");
        all.into_iter()
            .find(|one| one.header("webhook-signature").contains(' '))
    })
    .await;
    assert!(verify_standard(&received, newest));
    assert!(verify_standard(&received, &hook.secret));
    assert!(verify_body(&received, newest), "by the newest secret");
    verify_with_official_libraries(&received, &[newest, &hook.secret]);
    let signatures: HashSet<&str> = received.header("webhook-signature").split(' ').collect();
    assert_eq!(signatures.len(), 2);
}

#[tokio::test]
async fn the_environments_endpoint_is_served_and_signed_with_its_own_secret() {
    let receiver = Receiver::start().await;
    let secret = "a secret of the host's own, of no special form 0123456789";
    let service = Service::builder()
        .env("WEBHOOK_URL", &receiver.url())
        .env("WEBHOOK_SECRET", secret)
        .env("WEBHOOK_ENABLED", "true")
        .env("WEBHOOK_EVENTS", "message.*,conversation.created")
        .start()
        .await;
    let host = service.internal();
    crate::support::eventually("the endpoint has its durable", || async {
        let shown = host
            .get("/api/admin/webhooks/environment")
            .await
            .expect(200);
        shown["lag"].is_object().then_some(())
    })
    .await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "hello").await;
    let received = receiver.wait_taken("hello").await;
    assert!(verify_body(&received, secret) && verify_standard(&received, secret));
    receiver.wait_for("conversation.created", 1).await;
    assert!(receiver.of("user.synced").is_empty(), "not asked for");
    for (method, path) in [
        (reqwest::Method::DELETE, "/api/admin/webhooks/environment"),
        (
            reqwest::Method::POST,
            "/api/admin/webhooks/environment/rotate-secret",
        ),
    ] {
        host.request(method, path, None)
            .await
            .expect_error(409, "CONFLICT");
    }
}

//! Moderation as hosts, reviewers and users see it: rules, restrictions, reports and their review, over REST, sockets and NATS alike.

mod dry_run;
mod reports;
mod restrictions;
mod rules;
mod slow_mode;
mod stored;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Builder, Node, Service, User, eventually_within};

/// A service with the plugin.
pub fn builder() -> Builder {
    Service::builder().env("PLUGINS", "webhooks,moderation")
}

/// The path of an operation of the plugin.
pub fn path(rest: &str) -> String {
    format!("/api/moderation/{rest}")
}

/// Sets a rule.
pub async fn set_rule(node: &Node, name: &str, body: Value) -> Answer {
    let path = path(&format!("rules/{name}"));
    node.internal()
        .request(Method::PUT, &path, Some(body))
        .await
}

/// Sets a rule of words that refuses.
pub async fn refuse_words(node: &Node, words: &[&str]) {
    let body = json!({ "kind": "words", "entries": words, "action": "refuse" });
    let answer = set_rule(node, "words", body).await;
    assert!(matches!(answer.status, 200 | 201), "{answer}");
}

/// Stores a restriction and returns it.
pub async fn restrict(node: &Node, body: Value) -> Value {
    let answer = node.internal().post(&path("restrictions"), body).await;
    assert!(matches!(answer.status, 200 | 201), "{answer}");
    answer.json
}

/// Sends a text over REST, without expecting an outcome.
pub async fn try_say(user: &User, conversation: &str, text: &str) -> Answer {
    let path = format!("/api/conversations/{conversation}/messages");
    user.post(&path, json!({ "content": text })).await
}

/// The code of a refusal by a hook; of a REST response or of an ack.
pub fn code(error: &Value) -> String {
    assert_eq!(error["code"], "FORBIDDEN", "{error}");
    assert_eq!(error["details"][0]["field"], "hook", "{error}");
    let code = error["details"][0]["message"].as_str();
    code.expect("a code").to_owned()
}

/// Expects that a text is refused with this code over REST.
pub async fn expect_refused(user: &User, conversation: &str, text: &str, reason: &str) -> Value {
    let answer = try_say(user, conversation, text).await;
    let error = answer.expect_error(403, "FORBIDDEN");
    assert_eq!(code(&error), reason, "{error}");
    error
}

/// Waits until a text is refused: a change of rules has reached the process. Thousands of patterns compile slowly in a build without optimisation.
pub async fn eventually_refused(user: &User, conversation: &str, text: &str) {
    eventually_within(Duration::from_secs(40), "the rule is active", || async {
        (try_say(user, conversation, text).await.status == 403).then_some(())
    })
    .await;
}

/// The id of a resource.
pub fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

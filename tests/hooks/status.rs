//! State of hooks for operators: `GET /api/status`, and what a registration says about a plugin that does not answer.

use serde_json::{Value, json};

use super::{
    remote::{instance, register, service_on},
    sample::service,
};
use crate::support::{Nats, Node, eventually, eventually_within};

const PASS: &str = r#"{"action":"pass"}"#;

async fn hook(node: &Node, name: &str) -> Value {
    let status = node.internal().get("/api/status").await.expect(200);
    let hooks = status["hooks"].as_array().expect("hooks").clone();
    let found = hooks.into_iter().find(|hook| hook["name"] == name);
    found.unwrap_or_default()
}

#[tokio::test]
async fn the_status_names_a_hook_that_fails_until_it_answers_again() {
    let service = service(r#"{ name = "words", timeout_ms = 500 }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let unknown = hook(&service, "words").await;
    assert_eq!(
        (&unknown["plugin"], &unknown["state"], &unknown["failures"]),
        (&json!("hooked"), &json!("unknown"), &json!(0))
    );
    alice.say(&conversation, "fine").await;
    assert_eq!(hook(&service, "words").await["state"], "answering");
    alice.say(&conversation, "fail").await;
    let failing = hook(&service, "words").await;
    assert_eq!(failing["state"], "failing");
    assert_eq!(failing["failures"], 1);
    assert_eq!(failing["lastFailure"], "as the text says");
    for _ in 0..4 {
        alice.say(&conversation, "fail").await;
    }
    assert_eq!(hook(&service, "words").await["state"], "leftAlone");
    eventually("it is asked again", || async {
        alice.say(&conversation, "fine").await;
        (hook(&service, "words").await["state"] == "answering").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_status_names_a_plugin_that_is_gone_although_no_operation_reaches_its_hook() {
    let nats = Nats::with_plugins(&["words"]).await;
    let service = service_on(&nats).await;
    let (client, _) = instance(&nats, Some(PASS)).await;
    let body = json!({ "name": "words", "points": ["message.before_send"], "timeoutMs": 1000 });
    let made = register(&service, body).await;
    assert_eq!(made["isAnswering"], true);
    assert_eq!(made["problem"], json!(null));
    let within = std::time::Duration::from_secs(20);
    eventually_within(within, "it answers a probe", || async {
        (hook(&service, "words").await["state"] == "answering").then_some(())
    })
    .await;
    client.drain().await.expect("it ends");
    eventually_within(within, "it is named", || async {
        (hook(&service, "words").await["state"] == "failing").then_some(())
    })
    .await;
    let (_client, _) = instance(&nats, Some(PASS)).await;
    eventually_within(within, "it answers again", || async {
        (hook(&service, "words").await["state"] == "answering").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_registration_says_what_to_check_if_nobody_answers() {
    let nats = Nats::with_plugins(&["words"]).await;
    let service = service_on(&nats).await;
    let body = json!({ "name": "words", "points": ["message.before_send"], "timeoutMs": 300 });
    let alone = register(&service, body).await;
    assert_eq!(alone["isAnswering"], false);
    let problem = alone["problem"].as_str().expect("a reason");
    assert!(
        problem.contains("chat.hook.words") && problem.contains("may not subscribe"),
        "{problem}"
    );
    // An instance that is connected and gives no answer.
    let (_client, _) = instance(&nats, None).await;
    let path = "/api/admin/plugins/words";
    let silent = service.internal().get(path).await.expect(200);
    assert_eq!(silent["isAnswering"], false);
    let problem = silent["problem"].as_str().expect("a reason");
    assert!(
        problem.contains("chat.hook.words") && problem.contains("allow_responses"),
        "{problem}"
    );
}

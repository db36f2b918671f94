//! `/api/docs*`: the documents are served, equal the committed ones, and describe the service correctly.

use serde_json::{Value, json};

use super::{contract, wire};
use crate::support::{INTERNAL_SECRET, Service};

const GHOST_CONVERSATION: &str = "cnv_00000000000000000000000000";
const GHOST_MESSAGE: &str = "msg_00000000000000000000000000";

fn committed(name: &str) -> String {
    let path = format!("{}/openapi/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("openapi/{name}: {error}"))
}

/// A path with ids that do not exist.
fn ghost_path(operation: &contract::Operation) -> String {
    operation.path_with(
        |name| match (name, operation.path.contains("/messages/{")) {
            ("userId", _) => "ghost".to_owned(),
            ("id", true) => GHOST_MESSAGE.to_owned(),
            ("id", false) if operation.path.starts_with("/api/users/") => "ghost".to_owned(),
            _ => GHOST_CONVERSATION.to_owned(),
        },
    )
}

#[tokio::test]
async fn a_person_can_read_the_documents_in_a_browser() {
    let service = Service::builder().all_plugins().start().await;
    let page = wire::send(&service, "GET", "/api/docs", &[], b"").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|of| of.starts_with("text/html"))
    );
    assert!(
        String::from_utf8_lossy(&page.body)
            .to_lowercase()
            .contains("swagger")
    );
}

#[tokio::test]
async fn the_served_documents_are_the_committed_ones() {
    let service = Service::builder().all_plugins().start().await;
    let served = wire::send(&service, "GET", "/api/docs-json", &[], b"").await;
    assert!(
        served
            .header("content-type")
            .is_some_and(|of| of.starts_with("application/json"))
    );
    let expected: Value = serde_json::from_str(&committed("openapi.json")).expect("is JSON");
    assert_eq!(
        served.json(),
        expected,
        "run `chat-service openapi` and commit what it writes"
    );

    let served = wire::send(&service, "GET", "/api/docs-yaml", &[], b"").await;
    assert_eq!(
        String::from_utf8_lossy(&served.body).trim(),
        committed("openapi.yaml").trim()
    );
}

#[tokio::test]
async fn every_documented_operation_exists_and_answers_as_documented() {
    let service = Service::builder().all_plugins().start().await;
    let alice = service.user("alice").await;
    let host = service.internal();
    let anyone = service.anonymous();
    let operations = contract::operations();
    assert!(
        operations.len() >= 25,
        "the document has {} operations only",
        operations.len()
    );
    for operation in &operations {
        let path = ghost_path(operation);
        for client in [&anyone, &*alice, &host] {
            for body in [
                None,
                Some(json!({})),
                Some(json!({ "surprise": 1 })),
                Some(json!([])),
            ] {
                // The client checks each answer against the document.
                let answer = super::ask(client, &operation.method, &path, body).await;
                assert!(
                    answer.status < 500,
                    "{} {path}: {}",
                    operation.method,
                    answer.json
                );
                assert_ne!(answer.status, 405, "{} {path}", operation.method);
                let message = answer.json["message"].as_str().unwrap_or_default();
                assert!(
                    !message.contains("nothing at this path"),
                    "{} {path}",
                    operation.method
                );
            }
        }
    }
}

#[tokio::test]
async fn every_guarded_operation_asks_who_is_calling() {
    let service = Service::builder().all_plugins().start().await;
    let open = [
        "/health",
        "/health/live",
        "/health/ready",
        "/api/health",
        "/auth/login",
        "/auth/logout",
        "/auth/refresh",
        "/auth/register",
        "/auth/reset",
        "/auth/reset/request",
        "/auth/verify",
        "/auth/verify/request",
        // Their links are signed.
        "/api/attachments/{id}/content",
        "/api/attachments/{id}/thumbnail",
    ];
    for operation in contract::operations() {
        assert_eq!(
            operation.is_guarded(),
            !open.contains(&operation.path.as_str()),
            "{} {}",
            operation.method,
            operation.path
        );
        if operation.is_guarded() {
            let answer = super::ask(
                &service.anonymous(),
                &operation.method,
                &ghost_path(&operation),
                None,
            )
            .await;
            assert_eq!(
                answer.status, 401,
                "{} {}",
                operation.method, operation.path
            );
            assert_eq!(answer.json["code"], "UNAUTHORIZED");
        }
    }
}

#[tokio::test]
async fn every_operation_is_described_for_people_and_generators() {
    let mut ids = std::collections::HashSet::new();
    for operation in contract::operations() {
        let at = format!("{} {}", operation.method, operation.path);
        let says = &operation.says;
        let id = says["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{at} has no operationId"));
        assert!(ids.insert(id.to_owned()), "{at}: {id} is there twice");
        assert!(
            says["summary"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{at} has no summary"
        );
        assert!(
            says["tags"].as_array().is_some_and(|tags| tags.len() == 1),
            "{at} has no tag"
        );
        let statuses = says["responses"]
            .as_object()
            .unwrap_or_else(|| panic!("{at} has no responses"));
        assert!(
            statuses.keys().any(|status| status.starts_with('2')),
            "{at} documents no success"
        );
        if operation.is_guarded() {
            assert!(statuses.contains_key("401"), "{at} documents no 401");
        }
        if operation.takes_body() {
            for status in ["400", "413", "415"] {
                assert!(statuses.contains_key(status), "{at} documents no {status}");
            }
        }
        if operation.path.contains('{') {
            assert!(statuses.contains_key("404"), "{at} documents no 404");
        }
    }
}

#[tokio::test]
async fn without_plugins_the_documents_have_none_of_their_operations() {
    let service = Service::builder().env("PLUGINS", "none").start().await;
    let served = wire::send(&service, "GET", "/api/docs-json", &[], b"").await;
    let text = String::from_utf8_lossy(&served.body).into_owned();
    assert!(
        !text.contains("/webhooks"),
        "no operation of webhooks is there"
    );
    let served = served.json();
    assert!(served["paths"]["/api/conversations"].is_object());
    for path in ["/api/docs-yaml", "/api/docs"] {
        let page = wire::send(&service, "GET", path, &[], b"").await;
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(!text.contains("/api/admin/webhooks"), "{path}");
    }
    // Without the tests' client, which checks answers against the whole document.
    let missing = reqwest::Client::new()
        .get(format!("{}/api/admin/webhooks", service.api_url()))
        .header("X-Internal-Secret", INTERNAL_SECRET)
        .send()
        .await
        .expect("an answer");
    assert_eq!(missing.status(), 404);
}

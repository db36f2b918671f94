//! Rules that are tried on past messages before they go live.

use serde_json::{Value, json};

use super::{builder, id, path};
use crate::support::{Service, eventually};

async fn dry_run(service: &Service, body: Value) -> Value {
    service
        .internal()
        .post(&path("dry-run"), body)
        .await
        .expect(200)
}

#[tokio::test]
async fn a_dry_run_counts_past_messages_in_pages_and_changes_nothing() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    let (one, other) = (
        service.group(&alice, &[]).await,
        service.group(&alice, &[]).await,
    );
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(id(&alice.say(&one, &format!("offer {n}")).await));
        alice.say(&other, "nothing").await;
    }
    alice.say(&other, "another offer, and a deal").await;
    let rule = json!({ "kind": "words", "entries": ["deal", "offer"], "action": "refuse" });
    // The log is safe to read up to a moment ago.
    let all = eventually("all messages are searched", || async {
        let found = dry_run(&service, json!({ "rule": rule })).await;
        (found["scanned"] == 13).then_some(found)
    })
    .await;
    assert_eq!(all["matched"], 7, "{all}");
    assert_eq!(all["nextCursor"], json!(null));
    let total: u64 = all["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["count"].as_u64())
        .sum();
    assert_eq!(total, 7);
    let found = dry_run(&service, json!({ "rule": rule, "conversationIds": [one] })).await;
    assert_eq!(
        (&found["scanned"], &found["matched"]),
        (&json!(6), &json!(6))
    );
    let samples = found["samples"].as_array().expect("a list");
    let samples: Vec<&str> = samples
        .iter()
        .filter_map(|one| one["messageId"].as_str())
        .collect();
    assert_eq!(samples, ids);

    let (mut scanned, mut matched, mut cursor) = (0, 0, Value::Null);
    loop {
        let mut body = json!({ "rule": rule, "limit": 3 });
        if cursor.is_string() {
            body["cursor"] = cursor;
        }
        let page = dry_run(&service, body).await;
        let number = |name: &str| page[name].as_u64().expect("a number");
        assert!(number("scanned") <= 3, "{page}");
        scanned += number("scanned");
        matched += number("matched");
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((scanned, matched), (13, 7));
    let rules = service.internal().get(&path("rules")).await.expect(200);
    assert_eq!(rules["rules"], json!([]));
    alice.say(&one, "offer again").await;
}

#[tokio::test]
async fn the_fields_of_a_dry_run_are_checked_and_named() {
    let service = builder().start().await;
    let rule = json!({ "kind": "patterns", "entries": ["fine"], "action": "refuse" });
    let bad = json!({ "kind": "patterns", "entries": ["fine", "("], "action": "refuse" });
    for (field, body) in [
        ("rule.entries[1]", json!({ "rule": bad })),
        (
            "cursor",
            json!({ "rule": rule, "cursor": "99999999999999999999" }),
        ),
        ("cursor", json!({ "rule": rule, "cursor": "x" })),
        ("limit", json!({ "rule": rule, "limit": 10_001 })),
        (
            "conversationIds[0]",
            json!({ "rule": rule, "conversationIds": ["x"] }),
        ),
        ("rule", json!({})),
    ] {
        let answer = service.internal().post(&path("dry-run"), body).await;
        let error = answer.expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
}

//! Stored data that this version cannot use leaves everything else active.

use mongodb::bson::doc;
use serde_json::json;

use super::{builder, eventually_refused, expect_refused, path, set_rule};

#[tokio::test]
async fn a_stored_entry_that_does_not_compile_is_named_and_the_others_stay_active() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let entries: Vec<String> = (0..1000).map(|n| format!("word{n}x")).collect();
    let body = json!({ "kind": "patterns", "entries": entries, "action": "refuse" });
    set_rule(&service, "list", body).await.expect(201);
    // Another version has stored an entry of a newer syntax, and a rule of a newer kind.
    let rules = service.sandbox().collection("moderation_rules").await;
    let update = doc! { "$set": { "entries.7": "(?<=x)y", "entries.8": "newer" } };
    rules
        .update_one(doc! { "_id": "list" }, update)
        .await
        .expect("an update");
    let foreign = doc! { "_id": "zodiac", "kind": "stars", "entries": [], "action": "refuse", "createdAt": 1_i64, "updatedAt": 1_i64 };
    rules.insert_one(foreign).await.expect("an insertion");
    let versions = service.sandbox().collection("moderation_versions").await;
    let update = doc! { "$inc": { "version": 1 } };
    versions
        .update_one(doc! { "_id": "rules" }, update)
        .await
        .expect("an update");
    eventually_refused(&alice, &conversation, "newer").await;
    for n in [0, 6, 9, 999] {
        expect_refused(&alice, &conversation, &format!("word{n}x"), "RULE").await;
    }
    alice.say(&conversation, "word7x").await;
    let host = service.internal();
    for (rest, rule) in [("rules/list", ""), ("rules", "/rules/0")] {
        let found = host.get(&path(rest)).await.expect(200);
        let invalid = found.pointer(&format!("{rule}/invalidEntries"));
        let invalid = invalid.and_then(|all| all.as_array()).expect("a list");
        assert_eq!(invalid.len(), 1, "{found}");
        assert_eq!(invalid[0]["index"], 7);
    }
}

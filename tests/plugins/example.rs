//! `examples/plugin-trail`, beside a real service.

use std::panic::AssertUnwindSafe;

use chat_plugin_trail::PLUGIN as TRAIL;
use futures_util::{FutureExt, StreamExt};
use mongodb::bson::doc;
use serde_json::{Value, json};

use crate::support::{Service, eventually};

async fn with_trail() -> Service {
    Service::builder()
        .env("PLUGINS", "webhooks,trail")
        .toml("[plugins.trail]\nkeep_days = 3\n")
        .start_with([TRAIL])
        .await
}

#[tokio::test]
async fn the_example_plugin_keeps_and_shows_who_did_what() {
    let service = with_trail().await;
    let host = service.internal();
    service.sandbox().wait_for_durable("trail-all").await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let message = alice.say(&conversation, "a secret of two").await;
    let path = format!("/api/messages/{}", message["id"].as_str().expect("an id"));
    alice.delete(&path).await.expect(204);

    let kinds = |page: &Value| -> Vec<String> {
        let entries = page["entries"].as_array().expect("a list");
        let kind = |entry: &Value| entry["type"].as_str().expect("a type").to_owned();
        entries.iter().map(kind).collect()
    };
    let page = eventually("the trail has everything that alice did", || async {
        let page = host.get("/api/admin/trail?actorId=alice").await.expect(200);
        (kinds(&page).len() >= 3).then_some(page)
    })
    .await;
    assert_eq!(
        kinds(&page),
        ["message.deleted", "message.created", "conversation.created"]
    );
    assert_eq!(page["entries"][0]["owner"], conversation.as_str());
    assert!(!page.to_string().contains("a secret of two"));
    let first = host
        .get("/api/admin/trail?actorId=alice&limit=1")
        .await
        .expect(200);
    assert_eq!(first["hasMore"], true);
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    let rest = host
        .get(&format!("/api/admin/trail?actorId=alice&before={cursor}"))
        .await
        .expect(200);
    assert_eq!(kinds(&rest), ["message.created", "conversation.created"]);

    // Its operations are the host's, and part of the document that this program serves.
    let refused = alice.get("/api/admin/trail").await;
    refused.expect_error(401, "UNAUTHORIZED");
    host.get("/api/admin/trail?limit=0")
        .await
        .expect_error(400, "VALIDATION_ERROR");
    let document = host.get("/api/docs-json").await.expect(200);
    let operation = &document["paths"]["/api/admin/trail"]["get"];
    assert_eq!(operation["operationId"], "listTrail");
    let shown = &operation["responses"]["200"]["content"]["application/json"]["example"];
    assert_eq!(shown["hasMore"], false, "its example is shown");
    assert!(document["paths"]["/api/admin/webhooks"].is_object());

    // The plugin's collections carry its name, and its settings apply.
    let indexes = service.sandbox().collection("trail_entries").await;
    let mut indexes = indexes
        .list_indexes()
        .await
        .expect("its collection is there");
    let mut expiry = None;
    while let Some(Ok(index)) = indexes.next().await {
        let options = index.options.unwrap_or_default();
        expiry = expiry.or(options.expire_after);
    }
    assert_eq!(expiry.map(|expiry| expiry.as_secs()), Some(3 * 86_400));
    let metrics = service.anonymous().get("/metrics").await.text;
    assert!(
        metrics.contains("chat_trail_entries_total{type=\"message.deleted\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_example_plugin_does_nothing_unless_it_is_named() {
    let service = Service::builder().start_with([TRAIL]).await;
    let host = service.internal();
    host.get("/api/admin/trail")
        .await
        .expect_error(404, "NOT_FOUND");
    let document = host.get("/api/docs-json").await.expect(200);
    assert!(document["paths"]["/api/admin/trail"].is_null());
    let entries = service.sandbox().collection("trail_entries").await;
    let count = entries.count_documents(doc! {}).await.expect("answers");
    assert_eq!(json!(count), 0);
}

#[tokio::test]
async fn a_mistake_in_a_plugins_table_stops_the_start_and_is_named() {
    for (table, named) in [
        ("keep_days = 0", "keep_days is 0; it must be from 1 to 3650"),
        ("keep = 3", "unknown field `keep`"),
    ] {
        let toml = format!("[plugins.trail]\n{table}\n");
        let start = Service::builder()
            .env("PLUGINS", "trail")
            .toml(&toml)
            .start_with([TRAIL]);
        let Err(panic) = AssertUnwindSafe(start).catch_unwind().await else {
            panic!("it started with {table}");
        };
        let said = panic.downcast_ref::<String>().expect("a text");
        assert!(
            said.contains("[plugins.trail]") && said.contains(named),
            "{said}"
        );
    }
}

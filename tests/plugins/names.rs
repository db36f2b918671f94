//! Everything that a plugin owns carries the plugin's name: two plugins cannot collide, and an operator sees the owner.

use std::{fs, path::Path};

use futures_util::StreamExt;
use serde_json::json;

use crate::{
    support::{Receiver, Service, eventually},
    webhooks::{hook, scenario},
};

/// The collections of the core, as docs/ARCHITECTURE.md lists them.
fn of_the_core() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("the document");
    let (_, table) = text.split_once("| collection |").expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let names = row.split('|').nth(1).unwrap_or_default();
        names
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    })
    .collect()
}

#[tokio::test]
async fn collections_and_durables_of_webhooks_carry_its_name() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let hook = hook(&service, &receiver, json!({})).await;
    let (alice, conversation) = scenario(&service).await;
    alice.say(&conversation, "hello").await;
    let received = receiver.wait_taken("hello").await;
    eventually("everything is written", || async {
        hook.attempts(received.id()).await.is_array().then_some(())
    })
    .await;
    let known = of_the_core();
    assert!(
        known.iter().any(|name| name == "log") && known.len() > 10,
        "{known:?}"
    );
    let any = service.sandbox().collection("log").await;
    let database = any.client().database(&service.sandbox().database);
    let names = database.list_collection_names().await.expect("answers");
    for name in &names {
        let is_known = known.contains(name)
            || ["webhooks_", "accounts_"]
                .iter()
                .any(|owner| name.starts_with(owner));
        assert!(is_known, "whose is the collection {name}?");
    }
    assert!(
        names.iter().any(|name| name == "webhooks_deliveries"),
        "{names:?}"
    );
    let jetstream = service.sandbox().jetstream().await;
    let stream = jetstream.get_stream(service.sandbox().stream()).await;
    let stream = stream.expect("the stream");
    let consumers = stream.consumers().map(|info| info.expect("an answer"));
    let consumers: Vec<_> = consumers.collect().await;
    let durables: Vec<&str> = consumers
        .iter()
        .filter_map(|info| info.config.durable_name.as_deref())
        .collect();
    assert!(
        durables.contains(&format!("webhooks-{}", hook.id).as_str()),
        "{durables:?}"
    );
    assert!(
        durables.iter().all(|name| name.starts_with("webhooks-")),
        "{durables:?}"
    );
}

/// The Rust files below `folder`.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).expect("a file"));
        }
    }
}

/// The texts right behind each `marker`.
fn behind(text: &str, marker: &str) -> Vec<String> {
    text.split(marker)
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn metrics_and_paths_of_each_plugin_carry_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, name, prefix) in [
        ("plugins/webhooks", "webhooks", "/api/admin/webhooks"),
        ("plugins/attachments", "attachments", "/api/attachments"),
        ("plugins/moderation", "moderation", "/api/moderation"),
        (
            "plugins/notifications",
            "notifications",
            "/api/notifications",
        ),
        ("examples/plugin-rust", "polls", "/api/polls"),
        ("examples/plugin-trail", "trail", "/api/admin/trail"),
        ("examples/plugin-new", "wordgame", "/api/wordgame"),
    ] {
        let mut files = Vec::new();
        sources(&root.join(folder).join("src"), &mut files);
        let found = |marker: &str| -> Vec<String> {
            files.iter().flat_map(|text| behind(text, marker)).collect()
        };
        let metrics = [found("counter!("), found("gauge!("), found("histogram!(")].concat();
        assert!(!metrics.is_empty(), "{name}");
        for metric in metrics {
            assert!(metric.starts_with(&format!("chat_{name}_")), "{metric}");
        }
        let paths = found("path = ");
        assert!(!paths.is_empty(), "{name}");
        for path in paths {
            assert!(path.starts_with(prefix), "{path}");
        }
        let names: Vec<String> = found("PluginFactory::new(");
        assert_eq!(names, [name]);
    }
}

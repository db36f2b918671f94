//! The number of files that an addition touches, as docs/CONTRIBUTING.md states it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use chat_plugin_trail::PLUGIN as TRAIL;
use chat_service::plugins::BUILT_IN;
use serde_json::Value;

use super::sample;
use crate::support::{Service, eventually};

/// Additions, each with the names of an example that is there, and the maximum number of source files that name it.
const ADDITIONS: [(&str, &[&str], usize); 4] = [
    (
        "a field of a conversation, with an index and a worker",
        &["retention_seconds", "retentionSeconds"],
        6,
    ),
    (
        "a field of a conversation, with a rule for readers",
        &["history_visibility", "historyVisibility"],
        6,
    ),
    (
        "a member's own setting",
        &["notification_level", "notificationLevel"],
        5,
    ),
    ("an event", &["MessagePinned", "message.pinned"], 10),
];
/// Path of the rule for unread counts, and the maximum number of files that a change of it touches.
const UNREAD_RULE: (&str, usize) = ("src/store/receipts/unread_rule.rs", 3);
/// Maximum number of source files of a route of a plugin.
const ROUTE: usize = 3;
/// Files outside its folder that name a built-in plugin.
const OUTSIDE: [&str; 2] = ["Cargo.toml", "src/plugins.rs"];

#[tokio::test]
async fn one_line_adds_a_plugin_to_a_program_beside_others() {
    let service = Service::builder()
        .env("PLUGINS", "webhooks,sample,trail")
        .start_with([sample::PLUGIN, TRAIL])
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    eventually("its durable exists, and it counts", || async {
        alice.say(&conversation, "again").await;
        let count = alice.get("/api/sample/count").await.expect(200);
        (count.as_u64()? > 0).then_some(())
    })
    .await;
    let document = service.internal().get("/api/docs-json").await.expect(200);
    for path in [
        "/api/sample/count",
        "/api/admin/trail",
        "/api/admin/webhooks",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

/// Text of each file below `folder` that counts as source, by its path in the repository.
fn read(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder") {
        let name = folder.join(entry.expect("an entry").file_name());
        let path = root().join(&name);
        let is_source = path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "toml");
        if path.is_dir() {
            read(&name, found);
        } else if is_source {
            let text = fs::read_to_string(&path).expect("a file");
            found.insert(name.display().to_string(), text);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["src", "plugins"] {
        read(Path::new(folder), &mut found);
    }
    for file in ["Cargo.toml", "Dockerfile", "deny.toml"] {
        let text = fs::read_to_string(root().join(file)).expect("a file");
        found.insert(file.to_owned(), text);
    }
    found
}

/// Paths of the source files whose code, without tests and comments, has a part that `is_meant`.
fn files_with(sources: &BTreeMap<String, String>, is_meant: impl Fn(&str) -> bool) -> Vec<&str> {
    let files = sources.iter().filter(|(path, text)| {
        let is_test = path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("tests"));
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        !is_test && lines.into_iter().any(&is_meant)
    });
    files.map(|(path, _)| path.as_str()).collect()
}

#[test]
fn an_addition_touches_few_files() {
    let sources = sources();
    for (addition, names, most) in ADDITIONS {
        let files = files_with(&sources, |line| {
            names.iter().any(|name| line.contains(name))
        });
        let count = files.len();
        assert!(
            (1..=most).contains(&count),
            "{addition}: {count} {files:#?}"
        );
    }
}

#[test]
fn the_rule_for_unread_counts_is_in_one_file_with_few_users() {
    let (rule, most) = UNREAD_RULE;
    let sources = sources();
    assert!(sources.contains_key(rule));
    let users = files_with(&sources, |line| line.contains("unread_rule::"));
    assert!((1..most).contains(&users.len()), "{users:#?}");
}

#[test]
fn a_built_in_plugin_is_named_in_two_files_outside_its_folder() {
    let sources = sources();
    for plugin in BUILT_IN {
        let (package, library) = (
            format!("chat-{}", plugin.name),
            format!("chat_{}::", plugin.name),
        );
        let own = format!("plugins/{}/", plugin.name);
        let outside = sources.iter().filter(|(path, _)| !path.starts_with(&own));
        let naming = outside.filter(|(_, text)| text.contains(&package) || text.contains(&library));
        let naming: Vec<&str> = naming.map(|(path, _)| path.as_str()).collect();
        assert_eq!(naming, OUTSIDE, "{}", plugin.name);
        let list = &sources["src/plugins.rs"];
        let entry = format!("chat_{}::PLUGIN", plugin.name);
        let tests = list.find("#[cfg(test)]").unwrap_or(list.len());
        assert_eq!(list[..tests].matches(&entry).count(), 1, "one line");
    }
}

/// The names of the schemas that `value` refers to.
fn schemas<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            found.extend(name.and_then(|name| name.strip_prefix("#/components/schemas/")));
            fields.values().for_each(|field| schemas(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| schemas(item, found)),
        _ => {}
    }
}

#[test]
fn a_route_of_a_plugin_takes_three_files() {
    let sources = sources();
    for plugin in BUILT_IN {
        let document = (plugin.document)().into_json();
        let paths = document["paths"].as_object().expect("routes");
        let items = paths.values().filter_map(Value::as_object);
        let operations: Vec<&Value> = items.flat_map(|item| item.values()).collect();
        let schemas_of = |operation| {
            let mut names = BTreeSet::new();
            schemas(operation, &mut names);
            names
        };
        for operation in &operations {
            let id = operation["operationId"].as_str().expect("an id");
            let others = operations.iter().filter(|other| *other != operation);
            let others: BTreeSet<&str> = others.flat_map(|other| schemas_of(other)).collect();
            // Bodies that other operations have too were there before.
            let names: BTreeSet<&str> = &schemas_of(operation) - &others;
            // Its handler, its bodies, and their examples.
            let is_part = |text: &str| {
                text.contains(&format!("\"{id}\""))
                    || names.iter().any(|name| {
                        text.contains(&format!("pub struct {name} "))
                            || text.contains(&format!("\"{name}\" =>"))
                    })
            };
            let parts = sources.iter().filter(|(_, text)| is_part(text));
            let parts: Vec<&str> = parts.map(|(path, _)| path.as_str()).collect();
            assert!(parts.len() <= ROUTE, "{id}: {parts:?}");
        }
    }
}

//! `/metrics` shows exactly the metrics that docs/OPERATIONS.md lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::json;

use crate::support::Service;

/// A metric as the metrics page describes it.
#[derive(Debug, PartialEq)]
struct Listed {
    kind: String,
    labels: BTreeSet<String>,
}

/// The words in backticks.
fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The table of the page.
fn listed() -> BTreeMap<String, Listed> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let mut listed = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `chat_")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("four columns: {line}");
        };
        assert!(meaning.len() > 5, "it means something: {line}");
        let name = words(name).next().expect("a name").to_owned();
        let row = Listed {
            kind: kind.to_owned(),
            labels: words(labels).map(str::to_owned).collect(),
        };
        assert!(listed.insert(name, row).is_none(), "listed twice: {line}");
    }
    listed
}

/// The names of metrics in the sources under `folder`.
fn named(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            named(&path, names);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            // Names in a file's unit tests are not metrics.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let quoted = text.split('"').skip(1);
            names.extend(
                quoted
                    .filter(|word| word.starts_with("chat_"))
                    .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
                    .map(str::to_owned),
            );
        }
    }
}

#[test]
fn the_page_lists_every_metric_of_the_sources_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    named(&root.join("src"), &mut names);
    for plugin in fs::read_dir(root.join("plugins")).expect("plugins") {
        let sources = plugin.expect("a plugin").path().join("src");
        // The skeleton of new plugins has templates only.
        if sources.is_dir() {
            named(&sources, &mut names);
        }
    }
    // Names of crates.
    for other in ["chat_service", "chat_sdk"] {
        names.remove(other);
    }
    let listed: BTreeSet<String> = listed().into_keys().collect();
    let missing: Vec<_> = names.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&names).collect();
    assert!(missing.is_empty(), "docs/OPERATIONS.md lacks {missing:?}");
    assert!(
        stale.is_empty(),
        "docs/OPERATIONS.md lists {stale:?}, which are nowhere"
    );
}

#[tokio::test]
async fn every_metric_that_a_busy_service_shows_is_listed_with_its_kind_and_labels() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let _socket = bob.connect().await;
    let hook = json!({ "url": "http://127.0.0.1:9/", "events": ["message.created"] });
    service
        .internal()
        .post("/api/admin/webhooks", hook)
        .await
        .expect(201);
    alice.say(&conversation, "hello").await;
    let url = format!("{}/metrics", service.api_url());
    let answer = reqwest::get(url).await.expect("an answer");
    let text = answer.text().await.expect("a text");
    let listed = listed();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').expect("a kind");
            assert!(kinds.insert(name, kind).is_none(), "{name} has one head");
            labels.entry(name).or_default();
        } else if !line.is_empty() && !line.starts_with('#') {
            let end = line.find(['{', ' ']).expect("a value");
            let (name, rest) = line.split_at(end);
            let family = ["", "_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|family| kinds.contains_key(family))
                .unwrap_or_else(|| panic!("it has a head: {line}"));
            let own = rest.trim_start_matches('{').split(['{', ',']);
            let own = own
                .filter_map(|label| label.split_once("=\""))
                .map(|(label, _)| label);
            labels
                .entry(family)
                .or_default()
                .extend(own.filter(|label| *label != "le").map(str::to_owned));
        }
    }
    for name in [
        "chat_http_request_seconds",
        "chat_log_appends_total",
        "chat_ws_sockets",
        "chat_durable_pending",
        "chat_tail_pending",
    ] {
        assert!(kinds.contains_key(name), "{name} is shown in {text}");
    }
    for (name, kind) in kinds {
        let found = Listed {
            kind: kind.to_owned(),
            labels: labels.remove(name).unwrap_or_default(),
        };
        assert_eq!(listed.get(name), Some(&found), "{name}");
    }
}

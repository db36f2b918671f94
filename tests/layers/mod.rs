//! The modules of `src/` and their allowed dependencies. These tests keep the layout true.

mod circles;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A source file, by its path under `src/`.
struct File {
    path: String,
    /// Without comments and texts, so that a name there counts for nothing.
    code: String,
    text: String,
}

impl File {
    /// The module: the first part of the path.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// True if the code names the path `name`, at the start of a path or after `crate::`.
    fn names(&self, name: &str) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(name).any(|(at, _)| {
            let before = &self.code[..at];
            let after = self.code[at + name.len()..].chars().next();
            let starts = before
                .chars()
                .next_back()
                .is_none_or(|c| !is_word(c) && c != ':' && c != '.');
            starts && after.is_none_or(|c| !is_word(c))
        })
    }

    /// True if the code uses the crate `name`.
    fn uses_crate(&self, name: &str) -> bool {
        self.code.contains(&format!("{name}::")) && self.names(name)
            || self.code.contains(&format!("use {name};"))
    }

    /// True if the code uses the module `room` of this crate: `crate::room`, or inside a `use crate::{…}`.
    fn enters(&self, room: &str) -> bool {
        if self.names(&format!("crate::{room}")) {
            return true;
        }
        self.code.split("use ").skip(1).any(|statement| {
            let statement = statement.split(';').next().unwrap_or_default();
            let compact: String = statement.chars().filter(|c| !c.is_whitespace()).collect();
            compact
                .strip_prefix("crate::{")
                .is_some_and(|list| top_level_items(list).iter().any(|item| item == room))
        })
    }
}

/// The first names of the items of a `use` list, not those of nested lists.
fn top_level_items(list: &str) -> Vec<String> {
    let mut items = Vec::new();
    let (mut depth, mut item) = (0_i32, String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    items.push(item);
    items
        .iter()
        .map(|item| {
            item.split("::")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        // Text is between quotes, so it is every second piece.
        let pieces: Vec<&str> = line.split('"').step_by(2).collect();
        code.push_str(&pieces.join("\"\""));
        code.push('\n');
    }
    code
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(paths.len() > 50, "the sources are here");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            File {
                path: path
                    .strip_prefix(&root)
                    .expect("inside")
                    .display()
                    .to_string(),
                code: without_comments_and_texts(&text),
                text,
            }
        })
        .collect()
}

/// Fails with every file for which `is_wrong` is true.
fn no_file(rule: &str, is_wrong: impl Fn(&File) -> bool) {
    let wrong: Vec<String> = files()
        .into_iter()
        .filter(|file| is_wrong(file))
        .map(|file| file.path)
        .collect();
    assert!(wrong.is_empty(), "{rule}: {wrong:?}");
}

#[test]
fn api_ws_and_worker_do_not_depend_on_each_other() {
    for (room, others) in [
        ("api", ["ws", "worker"]),
        ("ws", ["api", "worker"]),
        ("worker", ["api", "ws"]),
    ] {
        no_file(&format!("http may not know {room}"), |file| {
            file.room() == "http" && file.enters(room)
        });
        for other in others {
            no_file(&format!("{room} may not know {other}"), |file| {
                file.room() == room && file.enters(other)
            });
        }
    }
}

/// Returns the modules of the crate, by their files and folders in `src/`.
fn rooms() -> BTreeSet<String> {
    files().iter().map(|file| file.room().to_owned()).collect()
}

#[test]
fn the_model_imports_nothing_and_store_bus_and_contract_import_only_the_model() {
    let allowed = [
        ("model", [].as_slice()),
        ("store", &["model", "group", "failpoint"]),
        ("bus", &["model", "group", "failpoint", "trace"]),
        ("contract", &["model"]),
    ];
    for (room, allowed) in allowed {
        for other in rooms() {
            if other == room || allowed.contains(&other.as_str()) {
                continue;
            }
            no_file(&format!("{room} may not know {other}"), |file| {
                file.room() == room && file.enters(&other)
            });
        }
    }
}

#[test]
fn model_and_domain_do_not_depend_on_http_sockets_or_drivers() {
    for name in [
        "poem",
        "poem_openapi",
        "hyper",
        "tokio_tungstenite",
        "mongodb",
        "bson",
        "async_nats",
    ] {
        no_file(&format!("model and domain may not use {name}"), |file| {
            ["model", "domain"].contains(&file.room()) && file.uses_crate(name)
        });
    }
    for room in ["api", "ws", "bus", "worker", "http"] {
        no_file(&format!("domain may not know {room}"), |file| {
            file.room() == "domain" && file.enters(room)
        });
    }
}

#[test]
fn schemas_are_declared_in_api_and_http_only() {
    no_file("only api and http use poem_openapi", |file| {
        !["api", "http"].contains(&file.room()) && file.uses_crate("poem_openapi")
    });
}

#[test]
fn each_external_library_is_used_in_one_module() {
    for (name, room) in [
        ("mongodb", "store"),
        ("bson", "store"),
        ("async_nats", "bus"),
        ("poem", "api"),
        ("tokio_tungstenite", "ws"),
    ] {
        no_file(&format!("only {room} uses {name}"), |file| {
            file.room() != room && file.uses_crate(name)
        });
    }
}

/// True if the code names one of the driver's types for reads.
fn names_the_driver(code: &str) -> bool {
    let compact: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    compact.match_indices("mongodb::").any(|(at, name)| {
        let rest = &compact[at + name.len()..];
        let items = match rest.strip_prefix('{') {
            Some(list) => top_level_items(list.split(';').next().unwrap_or_default()),
            None => top_level_items(rest.split([';', '<', '(']).next().unwrap_or_default()),
        };
        let reads = ["Collection", "Database"];
        items
            .iter()
            .any(|item| reads.contains(&item.trim_end_matches('}')))
    })
}

#[test]
fn every_read_of_mongodb_has_a_time_limit() {
    const WRAPPER: &str = "src/store/collection.rs";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    collect(&root.join("plugins"), &mut paths);
    collect(&root.join("examples"), &mut paths);
    let mut wrong = Vec::new();
    for path in paths {
        let name = path
            .strip_prefix(root)
            .expect("inside")
            .display()
            .to_string();
        let is_wrapper = [WRAPPER, "src/store/database.rs"].contains(&name.as_str());
        let is_built = name.contains("/target/");
        let code = without_comments_and_texts(&fs::read_to_string(&path).expect("a source file"));
        if !is_wrapper && !is_built && names_the_driver(&code) {
            wrong.push(name);
        }
    }
    assert!(
        wrong.is_empty(),
        "only the wrapper may name them: {wrong:?}"
    );
    let wrapper = fs::read_to_string(root.join(WRAPPER)).expect("a source file");
    let compact: String = wrapper.chars().filter(|c| !c.is_whitespace()).collect();
    for read in [
        "find(",
        "find_one(",
        "find_one_and_update(",
        "aggregate(",
        "count_documents(",
        "estimated_document_count(",
    ] {
        let body = compact.split(&format!("self.0.{read}")).nth(1);
        let body = body.unwrap_or_else(|| panic!("{read} is in the wrapper"));
        let statement = body.split('}').next().unwrap_or_default();
        assert!(
            statement.contains(".max_time(READ_MAX_TIME)"),
            "{read} has no limit"
        );
    }
}

#[test]
fn every_file_has_a_module_header() {
    no_file("a file begins with //!", |file| {
        !file.text.trim_start().starts_with("//!")
    });
}

/// The source files of the service and the sdk that name an event: its type, its data, or its name over NATS or sockets.
fn files_of_an_event(names: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    collect(&root.join("plugins/sdk/src"), &mut paths);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let has_name = |text: &str, name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    };
    let files = paths.into_iter().filter(|path| {
        let text = fs::read_to_string(path).expect("a source file");
        names.iter().any(|name| has_name(&text, name))
    });
    files.map(|path| path.display().to_string()).collect()
}

#[test]
fn an_event_with_a_facet_is_in_at_most_ten_source_files() {
    // A pin changes the state, the facets and the documents of a message, so a simpler event is in fewer files.
    let files = files_of_an_event(&[
        "MessagePinned",
        "MessagePin",
        "message.pinned",
        "message:pinned",
    ]);
    assert!(
        files.iter().any(|file| file.ends_with("events.rs")),
        "{files:?}"
    );
    assert!(files.len() <= 10, "{} files: {files:#?}", files.len());
}

#[test]
fn the_checks_detect_violations() {
    let file = |text: &str| File {
        path: "api/x.rs".to_owned(),
        code: without_comments_and_texts(text),
        text: text.to_owned(),
    };
    assert!(file("use crate::ws::Hub;").enters("ws"));
    assert!(file("use crate::{\n    auth::{self, Claims},\n    ws::{Hub, Node},\n};").enters("ws"));
    assert!(file("let hub = crate::ws::Hub::new();").enters("ws"));
    assert!(!file("use crate::{auth::{ws, Claims}, wsx::Y};").enters("ws"));
    assert!(!file("// crate::ws::Hub").enters("ws"));
    assert!(names_the_driver(
        "use mongodb::{\n    Client, Database,\n    bson::doc,\n};"
    ));
    assert!(names_the_driver(
        "struct Letters(mongodb::Collection<Letter>);"
    ));
    assert!(!names_the_driver(
        "use mongodb::{Client, bson::{Document, doc}};"
    ));
    assert!(file("use mongodb::bson::doc;").uses_crate("mongodb"));
    assert!(file("let x = mongodb::Client::new();").uses_crate("mongodb"));
    assert!(!file("let x = store::mongodb::Client;").uses_crate("mongodb"));
    assert!(!file("name(\"mongodb::x\", MONGODB_URI)").uses_crate("mongodb"));
}

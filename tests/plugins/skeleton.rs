//! `chat-service plugin new`: what it writes is `examples/plugin-new`, which is compiled with the tests and runs beside a real service here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use chat_plugin_word_game::PLUGIN as WORD_GAME;
use serde_json::Value;

use crate::support::{Service, eventually};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Runs `plugin new` with `arguments` in `folder`.
fn create(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat-service"))
        .args(["plugin", "new"])
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .output()
        .expect("it runs")
}

fn errors(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The texts of the files below `folder`, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(open) = folders.pop() {
        for entry in fs::read_dir(open).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("inside");
                let text = fs::read_to_string(&path).expect("a text");
                found.insert(name.display().to_string(), text);
            }
        }
    }
    found
}

#[test]
fn the_committed_example_is_what_the_command_writes() {
    // Two folders deep in a folder with the sources, as the example is.
    let folder = tempfile::tempdir().expect("a folder");
    let sdk = folder.path().join("plugins/sdk");
    fs::create_dir_all(&sdk).expect("a folder");
    fs::write(sdk.join("Cargo.toml"), "").expect("a file");
    let output = create(
        folder.path(),
        &["word-game", "--path", "examples/plugin-new"],
    );
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("add \"examples/plugin-new\" to `members`"),
        "{said}"
    );
    let written = files(&folder.path().join("examples/plugin-new"));
    let committed = files(&root().join("examples/plugin-new"));
    assert!(
        written.keys().eq(committed.keys()),
        "{:?} {:?}",
        written.keys(),
        committed.keys()
    );
    for (name, text) in written {
        assert!(
            text == committed[&name],
            "examples/plugin-new/{name} differs: remove the folder, and run `chat-service plugin new word-game --path examples/plugin-new`"
        );
    }
}

#[test]
fn a_plugin_outside_the_sources_names_them_by_their_full_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let sources = root().display().to_string();
    let output = create(folder.path(), &["greeter", "--service", &sources]);
    assert!(output.status.success(), "{output:?}");
    let manifest = folder.path().join("chat-plugin-greeter/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    let sdk = root().canonicalize().expect("a folder").join("plugins/sdk");
    let named = format!("chat-sdk = {{ path = {:?} }}", sdk.display().to_string());
    assert!(manifest.contains(&named), "{manifest}");
    // Without the sources, it names a place and says so.
    let output = create(folder.path(), &["greeter", "--path", "other"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("the sources of the service were not found"),
        "{said}"
    );
}

#[test]
fn a_folder_with_files_and_a_bad_name_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("a file");
    let said = errors(&create(folder.path(), &["greeter", "--path", "."]));
    assert!(said.contains("is not empty; nothing was written"), "{said}");
    let said = errors(&create(folder.path(), &["greeter", "--path", "notes.txt"]));
    assert!(said.contains("nothing was written"), "{said}");
    for name in ["Greeter", "greeter--two", "webhooks", "message"] {
        let said = errors(&create(folder.path(), &[name]));
        assert!(said.starts_with("the name"), "{said}");
    }
    let left = files(folder.path());
    assert_eq!(left.keys().collect::<Vec<_>>(), ["notes.txt"]);
    assert_eq!(left["notes.txt"], "mine");
}

#[tokio::test]
async fn the_new_plugin_works_beside_a_service() {
    let service = Service::builder()
        .env("PLUGINS", "webhooks,wordgame")
        .toml("[plugins.wordgame]\nmax_characters = 20\n")
        .start_with([WORD_GAME])
        .await;
    service
        .sandbox()
        .wait_for_durable("wordgame-messages")
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut socket = bob.connect().await;
    alice.say(&conversation, "no command").await;
    let message = alice.say(&conversation, "!wordgame apple").await;
    let frame = socket.next("wordgame:added").await;
    assert_eq!(frame["data"]["messageId"], message["id"]);
    assert_eq!(frame["data"]["conversationId"], conversation.as_str());

    let path = format!("/api/wordgame/conversations/{conversation}/entries");
    let page: Value = eventually("the entry is listed", || async {
        let page = bob.get(&path).await.expect(200);
        page["entries"][0].is_object().then_some(page)
    })
    .await;
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["entries"][0]["authorId"], "alice");
    carol.get(&path).await.expect_error(404, "NOT_FOUND");

    let body = serde_json::json!({ "content": "!wordgame a text of more than twenty characters" });
    let path = format!("/api/conversations/{conversation}/messages");
    let refused = alice.post(&path, body).await;
    let error = refused.expect_error(403, "FORBIDDEN");
    assert!(error.to_string().contains("COMMAND_TOO_LONG"), "{error}");
}

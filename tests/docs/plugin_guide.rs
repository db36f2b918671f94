//! The guide of docs/PLUGINS.md works as written, with a service that has the plugin which the guide makes.

use std::fs;

use chat_plugin_word_game::PLUGIN as WORD_GAME;

use super::{
    blocks, read,
    shell::Shell,
    shown::{self, Names},
};
use crate::support::{Front, Service};

/// The heading of the guide.
const GUIDE: &str = "## From nothing to a working plugin in twenty minutes\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_made_by_following_the_guide() {
    let service = Service::builder()
        .env("PLUGINS", "webhooks,wordgame")
        .start_with([WORD_GAME])
        .await;
    service
        .sandbox()
        .wait_for_durable("wordgame-messages")
        .await;
    let front = Front::before(&[&service], &[&service]).await;
    let mut shell = Shell::start(&front);
    // The folder looks like a checkout: the sdk, and the list of the workspace's members.
    let root = shell.folder().to_owned();
    let sdk = root.join("plugins/sdk");
    fs::create_dir_all(&sdk).expect("a folder");
    fs::write(sdk.join("Cargo.toml"), "").expect("a file");
    fs::write(root.join("Cargo.toml"), read("Cargo.toml")).expect("a file");

    let document = read("docs/PLUGINS.md");
    let (_, guide) = document.split_once(GUIDE).expect("the guide");
    let guide = guide.split("\n## ").next().unwrap_or_default();
    let blocks = blocks(guide);
    let mut names = Names::default();
    let mut compared = 0;
    for (n, block) in blocks.iter().enumerate() {
        // A block of `bash` builds the plugin and runs it: the tests have done both.
        if block.language != "sh" {
            continue;
        }
        let printed = shell.run(&block.text);
        assert!(
            !printed.contains("\"statusCode\""),
            "{}\n{printed}",
            block.text
        );
        let next = blocks.get(n + 1).filter(|next| next.follows);
        match next.map(|next| (next.language.as_str(), &next.text)) {
            Some(("text", text)) => assert_eq!(printed.trim(), text.trim(), "{}", block.text),
            Some(("json", text)) => {
                let shown = shown::all(text).expect("what is shown can be read");
                if let Err(fault) = shown::all_against(&shown, &printed, &mut names) {
                    panic!("{fault}\n{printed}");
                }
            }
            _ => continue,
        }
        compared += 1;
    }
    assert_eq!(compared, 3, "every output of the guide is compared");
    assert!(root.join("plugin-word-game/src/lib.rs").is_file());
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    assert!(
        manifest.contains("[\".\", \"plugin-word-game\", "),
        "{manifest}"
    );
}

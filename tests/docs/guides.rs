//! docs/INTEGRATION.md as a new user follows it: its files are written, its commands run in order and print what is shown. And the texts that
//! docs/TROUBLESHOOTING.md explains are those of the code. The operations that the guides name exist.

use std::{fs, path::Path};

use super::{
    blocks, read,
    rest::is_of,
    shell::Shell,
    shown::{self, Names},
    words::prose,
};
use crate::{
    api::contract::operations,
    support::{Front, Service, free_port, mortal},
};

/// The name of the file that a block shows, from the comment in its first line.
fn file_name(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    let name = line
        .strip_prefix("// ")
        .or_else(|| line.strip_prefix("<!-- ")?.strip_suffix(" -->"))?;
    let is_name = name.contains('.') && !name.contains(char::is_whitespace);
    is_name.then_some(name)
}

/// Opens the two addresses of the guide's page in Chromium, and writes a message in each.
fn two_people_chat(printed: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/client/browser");
    let output = mortal("node")
        .current_dir(folder)
        .arg("two-pages.mjs")
        .args(printed.split_whitespace())
        .output()
        .expect("node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_integrated_by_following_the_guide() {
    let service = Service::builder()
        .env("WEBHOOK_ALLOW_PRIVATE", "true")
        .start()
        .await;
    let front = Front::before(&[&service], &[&service]).await;
    let mut shell = Shell::start(&front);
    shell.run(&format!(
        "export SHOP_PORT={} HOOK_PORT={}",
        free_port(),
        free_port()
    ));
    let mut names = Names::default();
    let blocks = blocks(&read("docs/INTEGRATION.md"));
    let mut files = 0;
    for (n, block) in blocks.iter().enumerate() {
        let at = format!("docs/INTEGRATION.md:{}", block.line);
        if let Some(name) = file_name(&block.text) {
            fs::write(shell.folder().join("shop").join(name), &block.text).expect("a file");
            files += 1;
        } else if block.language == "sh" {
            let printed = shell.run(&block.text);
            if printed.contains("?service=") {
                two_people_chat(&printed);
            }
            let next = blocks
                .get(n + 1)
                .filter(|next| next.follows && next.language != "sh");
            assert!(
                next.is_some() || !printed.contains("\"statusCode\""),
                "{at}\n{printed}"
            );
            let Some(next) = next else { continue };
            let shown = shown::all(&next.text).expect("what is shown can be read");
            if let Err(fault) = shown::all_against(&shown, &printed, &mut names) {
                panic!("{at} {fault}\n{printed}");
            }
        } else {
            let before = n.checked_sub(1).map(|n| &blocks[n]);
            assert!(
                block.follows && before.is_some_and(|before| before.language == "sh"),
                "{at} is neither run nor the output of a command"
            );
        }
    }
    assert_eq!(files, 4, "every file of the guide is written");
}

/// The text of every file below `folder`, with the continued lines of Rust texts joined.
fn texts(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let mut lines = text.split("\\\n");
            let first = lines.next().unwrap_or_default().to_owned();
            found.push(lines.fold(first, |text, line| text + line.trim_start()));
        }
    }
}

/// True if `text` has the pieces in this order, with at most a line's length between two of them.
fn has_in_order(text: &str, pieces: &[&str]) -> bool {
    const BETWEEN: usize = 200;
    let Some((first, rest)) = pieces.split_first() else {
        return true;
    };
    text.match_indices(first).any(|(at, _)| {
        let mut after = &text[at + first.len()..];
        rest.iter().all(|piece| {
            let found = after.find(piece).filter(|at| *at <= BETWEEN);
            let Some(at) = found else { return false };
            after = &after[at + piece.len()..];
            true
        })
    })
}

#[test]
fn every_text_that_troubleshooting_explains_is_in_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = Vec::new();
    for folder in [
        "src",
        "plugins",
        "nginx",
        "scripts/dev",
        "examples/client/javascript/src",
        "examples/client/react/src",
    ] {
        texts(&root.join(folder), &mut code);
    }
    let document = read("docs/TROUBLESHOOTING.md");
    let mut explained = 0;
    for line in document.lines() {
        let cell = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once("` |"));
        let Some((text, _)) = cell else { continue };
        let pieces: Vec<&str> = text
            .split('…')
            .map(str::trim)
            .filter(|piece| !piece.is_empty())
            .collect();
        assert!(
            code.iter().any(|code| has_in_order(code, &pieces)),
            "no part of the code says {text:?}"
        );
        explained += 1;
    }
    assert!(explained > 40, "{explained} texts");
}

/// The operations that a code span such as `PUT, DELETE /api/messages/{id}/read?x=1` names: methods and a path.
fn named(span: &str) -> Option<(Vec<&str>, &str)> {
    let (methods, _) = span.split_once(" /")?;
    let path = &span[methods.len() + 1..];
    let path = path.split(['?', ' ']).next().unwrap_or_default();
    let methods: Vec<&str> = methods.split(", ").collect();
    let is_method = |word: &&str| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(word);
    (methods.iter().all(is_method) && !path.contains('…')).then_some((methods, path))
}

#[test]
fn every_operation_that_the_guides_name_exists() {
    let operations = operations();
    let mut found = 0;
    for name in ["INTEGRATION", "QUICKREF", "TROUBLESHOOTING", "MIGRATING"] {
        let document = read(&format!("docs/{name}.md"));
        let text = prose(&document).join("\n");
        for (methods, path) in text.split('`').skip(1).step_by(2).filter_map(named) {
            for method in methods {
                let is_known = operations
                    .iter()
                    .any(|known| known.method == method && is_of(path, &known.path));
                assert!(is_known, "docs/{name}.md: there is no {method} {path}");
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found} operations");
}

//! Checks of documents that need no running service: fences, links, tables.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Component, Path, PathBuf},
};

use super::{blocks, read};
use crate::api::contract::operations;

/// Every document that people read.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for folder in ["docs", "examples"] {
        let mut folders = vec![PathBuf::from(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))
                .expect("a folder")
                .flatten()
            {
                let path = folder.join(entry.file_name());
                if entry.path().is_dir() && entry.file_name() != "node_modules" {
                    folders.push(path);
                } else if path.extension().is_some_and(|of| of == "md") {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    found
}

/// The lines outside of blocks.
pub fn prose(document: &str) -> Vec<&str> {
    let mut is_inside = false;
    let lines = document.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence
    });
    lines.collect()
}

/// The names by which the headings can be linked to.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(document).into_iter().filter_map(|line| {
        let text = line.strip_prefix('#')?.trim_start_matches('#').trim();
        let name: String = text
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        Some(match *times {
            1 => name,
            n => format!("{name}-{}", n - 1),
        })
    });
    headings.collect()
}

/// The targets of links, which stand in round brackets.
fn links(document: &str) -> Vec<String> {
    let prose = prose(document).join("\n");
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// `a/b/../c` as `a/c`.
fn tidy(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
        path
    })
}

#[test]
fn every_block_ends_before_the_next_heading() {
    for name in documents() {
        let document = read(&name);
        let fences = document
            .lines()
            .filter(|line| line.trim_start().starts_with("```"))
            .count();
        assert_eq!(fences % 2, 0, "{name} has a block without an end");
        for block in blocks(&document) {
            let heading = block.text.lines().find(|line| line.starts_with("## "));
            assert_eq!(heading, None, "{name}:{} goes on too long", block.line);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in documents() {
        let document = read(&name);
        for link in links(&document) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => PathBuf::from(&name),
                path => tidy(&Path::new(&name).with_file_name(path)),
            };
            assert!(root.join(&target).exists(), "{name}: {link} is not there");
            if !anchor.is_empty() {
                let text = read(&target.display().to_string());
                assert!(anchors(&text).contains(anchor), "{name}: no heading {link}");
            }
        }
    }
}

#[test]
fn tables_have_no_duplicate_rows() {
    for name in documents() {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let document = read(&name);
        for line in document.lines() {
            if !line.starts_with('|') {
                seen.clear();
                continue;
            }
            let first = line[1..].split(" |").next().unwrap_or_default();
            // A method is in many rows, with its path beside it.
            let is_one_thing = first.trim_start().starts_with('`');
            assert!(!is_one_thing || seen.insert(first), "{name}: {line}");
        }
    }
}

#[test]
fn the_readme_lists_every_operation_once() {
    let readme = read("README.md");
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    let mut wrong = Vec::new();
    for operation in operations() {
        let found = rows.iter().filter(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let (methods, path) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
            methods.split(", ").any(|method| method == operation.method)
                && path.trim_matches('`') == operation.path
        });
        let count = found.count();
        if count != 1 {
            wrong.push(format!(
                "{} {}: {count} times",
                operation.method, operation.path
            ));
        }
    }
    assert!(wrong.is_empty(), "README.md has {wrong:#?}");
}

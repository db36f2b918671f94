//! The documents are correct: links have targets, tables are complete, and every example works as written.

mod guides;
mod plugin_guide;
mod rest;
mod shell;
mod shown;
mod socket;
mod words;

use std::{fs, path::Path};

/// A piece of a document between two fences.
pub struct Block {
    /// `sh`, `json`, …
    pub language: String,
    pub text: String,
    /// The line of its first fence.
    pub line: usize,
    /// True if only empty lines separate it from the block before.
    pub follows: bool,
}

/// The text of a file of the repository.
pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The blocks of a document. The indentation of a block in a list is not part of the block.
fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut open, mut follows) = (None, false);
    for (n, line) in document.lines().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match (&mut open, bare.strip_prefix("```")) {
            (None, Some(language)) => {
                let language = language.to_owned();
                let block = Block {
                    language,
                    text: String::new(),
                    line: n + 1,
                    follows,
                };
                open = Some((block, indent));
            }
            (Some(_), Some(_)) => {
                found.extend(open.take().map(|(block, _)| block));
                follows = true;
            }
            (Some((block, indent)), None) => {
                let spaces = (*indent).min(line.len() - bare.len());
                block.text.push_str(&line[spaces..]);
                block.text.push('\n');
            }
            (None, None) => follows &= bare.is_empty(),
        }
    }
    found
}

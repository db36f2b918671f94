//! Generated files of the repository: the documents, the schemas of events, and the tables between markers in docs/.
//!
//! `./dev generate` writes them, and a test compares them with the code.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{documents, schema_files, tables};
use crate::{
    api::Documents,
    plugins::{BUILT_IN, declare_events},
};

/// Returns the text of a table.
type Table = fn() -> String;

/// Generated tables: file, name of the marker, and text.
const TABLES: [(&str, &str, Table); 5] = [
    ("docs/NATS.md", "events", tables::events),
    ("docs/NATS.md", "host commands", tables::host_commands),
    ("docs/WEBHOOKS.md", "events", tables::events_of_webhooks),
    ("docs/WEBSOCKET.md", "commands", tables::socket_commands),
    ("docs/WEBSOCKET.md", "rate limits", tables::rate_limits),
];

/// Folder of the schemas of events.
const SCHEMAS: &str = "openapi/schemas";

/// Returns every generated file below `root` with its text.
///
/// # Errors
/// Fails if a file of docs/ cannot be read or lacks a marker.
pub fn files(root: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    declare_events(BUILT_IN);
    let mut files = Vec::new();
    for (name, Documents { json, yaml }) in [
        ("openapi", crate::api::documents(BUILT_IN)),
        ("asyncapi", documents()),
    ] {
        files.push((root.join(format!("openapi/{name}.json")), json));
        files.push((root.join(format!("openapi/{name}.yaml")), yaml));
    }
    for (name, text) in schema_files() {
        files.push((root.join(SCHEMAS).join(name), text));
    }
    let documents: BTreeSet<&str> = TABLES.iter().map(|(file, ..)| *file).collect();
    for document in documents {
        let path = root.join(document);
        let mut text = fs::read_to_string(&path)?;
        for (_, name, table) in TABLES.iter().filter(|(file, ..)| *file == document) {
            text = with_table(&text, name, &table()).ok_or_else(|| {
                io::Error::other(format!("{document} has no marker of the table {name}"))
            })?;
        }
        files.push((path, text));
    }
    Ok(files)
}

/// Writes the generated files below `root` that differ, and returns their paths.
///
/// # Errors
/// Fails if a file cannot be read or written.
pub fn write(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (path, text) in files(root)? {
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        fs::write(&path, text)?;
        written.push(path);
    }
    Ok(written)
}

/// Replaces the table `name` of a Markdown document; `None` if the document does not have its markers.
fn with_table(document: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- begin {name}, written by ./dev generate -->\n"),
        format!("<!-- end {name} -->"),
    );
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_those_of_the_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = files(root).expect("the documents can be read");
        for (path, text) in &files {
            let committed = fs::read_to_string(path).unwrap_or_default();
            assert!(
                committed == *text,
                "{} differs from the code: run ./dev generate",
                path.display()
            );
        }
        for entry in fs::read_dir(root.join(SCHEMAS)).expect("a folder") {
            let path = entry.expect("an entry").path();
            assert!(
                files.iter().any(|(file, _)| *file == path),
                "{} is the schema of no event",
                path.display()
            );
        }
    }

    #[test]
    fn a_table_replaces_the_text_between_its_markers() {
        let document = "a\n<!-- begin x, written by ./dev generate -->\nold\n<!-- end x -->\nb\n";
        let replaced = with_table(document, "x", "new\n").expect("it has the markers");
        assert_eq!(replaced, document.replace("old", "new"));
        assert_eq!(with_table(document, "y", ""), None);
    }
}

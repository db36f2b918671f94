//! `plugin new`: writes the crate of a new plugin from the templates of `plugins/skeleton`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use chat_sdk::{EventType, plugin::PluginFactory};
use clap::{Args, Subcommand};
use serde_json::json;

/// Files of a new plugin: the path in its folder, and the template.
const FILES: [(&str, &str); 8] = [
    (
        "Cargo.toml",
        include_str!("../../plugins/skeleton/Cargo.toml.template"),
    ),
    (
        "README.md",
        include_str!("../../plugins/skeleton/README.md.template"),
    ),
    (
        "src/api.rs",
        include_str!("../../plugins/skeleton/api.rs.template"),
    ),
    (
        "src/entries.rs",
        include_str!("../../plugins/skeleton/entries.rs.template"),
    ),
    (
        "src/hook.rs",
        include_str!("../../plugins/skeleton/hook.rs.template"),
    ),
    (
        "src/lib.rs",
        include_str!("../../plugins/skeleton/lib.rs.template"),
    ),
    (
        "src/listener.rs",
        include_str!("../../plugins/skeleton/listener.rs.template"),
    ),
    (
        "src/main.rs",
        include_str!("../../plugins/skeleton/main.rs.template"),
    ),
];
/// Maximum length of the name of a plugin in characters.
const MAX_NAME: usize = 32;
/// Path of the sdk in the sources of the service.
const SDK: &str = "plugins/sdk";
/// Path of the sources of the service that is written if none are found.
const UNKNOWN_SOURCES: &str = "../chat-service";

/// Subcommands of `plugin`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Write the crate of a new plugin, which compiles and has one of each part.
    New(NewArgs),
}

/// Arguments of `plugin new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the plugin: lower-case letters and digits, with - or _ between words.
    name: String,
    /// Folder of the new crate, which must be empty or absent; default: chat-plugin-NAME.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Folder with the sources of the service; default: the one that contains the new crate or the current folder.
    #[arg(long, value_name = "DIR")]
    service: Option<PathBuf>,
}

/// Runs a subcommand. The exit code is 1 if nothing was written, or not everything.
pub fn run(command: &PluginCommand, plugins: &[PluginFactory]) -> ExitCode {
    let PluginCommand::New(args) = command;
    match create(args, plugins) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Forms of the name of a plugin.
#[derive(Debug, PartialEq)]
struct Names {
    /// Words of the name with `-` between them.
    words: String,
    /// Name of the plugin, which its factory has: the words without separators.
    plain: String,
    /// Name for Rust types: every word with a capital.
    type_name: String,
}

impl Names {
    /// Reads the name of a new plugin.
    ///
    /// # Errors
    /// The problem of the name, as a sentence.
    fn parse(name: &str, plugins: &[PluginFactory]) -> Result<Self, String> {
        let words: Vec<&str> = name.split(['-', '_']).collect();
        let is_word = |word: &&str| {
            let mut bytes = word.bytes();
            !word.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let is_good = words.iter().all(is_word)
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= MAX_NAME;
        if !is_good {
            return Err(format!(
                "the name {name:?} is not valid: use at most {MAX_NAME} lower-case letters and digits, with one - or _ between words, and begin with a letter"
            ));
        }
        let plain = words.concat();
        if plugins.iter().any(|plugin| plugin.name == plain) {
            return Err(format!(
                "the name {plain:?} is not free: this program has a plugin of this name; choose another one"
            ));
        }
        // The events of a plugin begin with its name.
        let mut nouns = EventType::ALL.iter().filter_map(|kind| {
            let (noun, _) = kind.as_str().split_once('.')?;
            Some(noun)
        });
        if nouns.any(|noun| noun == plain) {
            return Err(format!(
                "the name {plain:?} is not free: events of the core begin with it; choose another one"
            ));
        }
        let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
        Ok(Self {
            words: words.join("-"),
            type_name: words.iter().map(capital).collect(),
            plain,
        })
    }

    fn package(&self) -> String {
        format!("chat-plugin-{}", self.words)
    }
}

/// Place of the sources of the service, as the new crate names them.
#[derive(Debug, PartialEq)]
struct Sources {
    /// Path of the folder.
    path: PathBuf,
    /// Path of the new crate in that folder, if it is there.
    member: Option<PathBuf>,
    /// True if the folder was found.
    is_found: bool,
}

impl Sources {
    /// Finds the sources for a crate at `target`, an absolute path: at `given`, or around one of `places`.
    ///
    /// # Errors
    /// Fails if `given` does not contain the sources.
    fn find(target: &Path, given: Option<&Path>, places: &[&Path]) -> Result<Self, String> {
        let has_sdk = |folder: &&Path| folder.join(SDK).join("Cargo.toml").is_file();
        let root = match given {
            Some(given) => {
                let folder = real(given)?;
                if !has_sdk(&folder.as_path()) {
                    return Err(format!(
                        "{} has no {SDK}/Cargo.toml: --service must name the folder with the sources of the service",
                        given.display()
                    ));
                }
                Some(folder)
            }
            None => places
                .iter()
                .find_map(|place| place.ancestors().find(has_sdk))
                .map(Path::to_owned),
        };
        let Some(root) = root else {
            return Ok(Self {
                path: UNKNOWN_SOURCES.into(),
                member: None,
                is_found: false,
            });
        };
        let member = target.strip_prefix(&root).ok().map(Path::to_owned);
        let path = match &member {
            // A member has a relative path, so that the repository can be moved.
            Some(member) => member.components().map(|_| "..").collect(),
            None => root,
        };
        Ok(Self {
            path,
            member,
            is_found: true,
        })
    }
}

/// Returns the absolute path of a folder that may not exist yet, without links and `..`.
fn real(folder: &Path) -> Result<PathBuf, String> {
    let problem = |error: io::Error| format!("{} cannot be used: {error}", folder.display());
    let path = std::path::absolute(folder).map_err(problem)?;
    let existing = path.ancestors().find(|place| place.exists());
    let existing = existing.unwrap_or_else(|| Path::new("/"));
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    let real = existing.canonicalize().map_err(problem)?;
    if rest.as_os_str().is_empty() {
        return Ok(real);
    }
    if rest.components().any(|part| part.as_os_str() == "..") {
        return Err(format!(
            "{} goes through a folder that does not exist; give the path without ..",
            folder.display()
        ));
    }
    Ok(real.join(rest))
}

/// Fails if `folder` is something else than an empty or an absent folder.
fn check_empty(folder: &Path) -> Result<(), String> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!(
            "{} is not empty; nothing was written. Choose another folder with --path",
            folder.display()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!(
            "{} cannot be used: {error}; nothing was written. Choose another folder with --path",
            folder.display()
        )),
    }
}

/// Writes the crate. Returns the text for the terminal.
fn create(args: &NewArgs, plugins: &[PluginFactory]) -> Result<String, String> {
    let names = Names::parse(&args.name, plugins)?;
    let default = || PathBuf::from(names.package());
    let folder = args.path.clone().unwrap_or_else(default);
    check_empty(&folder)?;
    let target = real(&folder)?;
    let here = real(Path::new("."))?;
    let sources = Sources::find(&target, args.service.as_deref(), &[&target, &here])?;
    for (name, template) in FILES {
        let file = folder.join(name);
        let written = fs::create_dir_all(file.parent().unwrap_or(&folder))
            .and_then(|()| fs::write(&file, fill(template, &names, &sources.path)));
        written.map_err(|error| format!("{} could not be written: {error}", file.display()))?;
    }
    Ok(next_steps(&folder, &names, &sources))
}

/// Returns a template with the names in their places.
fn fill(template: &str, names: &Names, sources: &Path) -> String {
    // A JSON text without control characters is a TOML text too.
    let quoted = |path: PathBuf| json!(path.to_string_lossy()).to_string();
    let package = names.package();
    let places = [
        ("{{name}}", names.plain.clone()),
        ("{{words}}", names.words.clone()),
        ("{{type}}", names.type_name.clone()),
        ("{{library}}", package.replace('-', "_")),
        ("{{crate}}", package),
        ("{{rust}}", env!("CARGO_PKG_RUST_VERSION").to_owned()),
        ("{{service}}", quoted(sources.to_owned())),
        ("{{sdk}}", quoted(sources.join(SDK))),
    ];
    let filled = template.to_owned();
    places
        .iter()
        .fold(filled, |text, (place, value)| text.replace(place, value))
}

fn next_steps(folder: &Path, names: &Names, sources: &Sources) -> String {
    let manifest = folder.join("Cargo.toml");
    let (folder, manifest) = (folder.display(), manifest.display());
    let mut lines = vec![
        format!("created the plugin {} in {folder}", names.plain),
        String::new(),
        "Next:".to_owned(),
    ];
    match (&sources.member, sources.is_found) {
        (Some(member), _) => lines.push(format!(
            "  add {} to `members` in the Cargo.toml of the workspace",
            json!(member.to_string_lossy())
        )),
        (None, true) => {}
        (None, false) => lines.push(format!(
            "  set the paths of chat-service and chat-sdk in {manifest}: the sources of the service were not found"
        )),
    }
    lines.push(format!("  cargo test --manifest-path {manifest}"));
    lines.push(format!(
        "  PLUGINS=webhooks,{} cargo run --manifest-path {manifest} -- serve",
        names.plain
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::BUILT_IN;

    fn parse(name: &str) -> Result<Names, String> {
        Names::parse(name, BUILT_IN)
    }

    #[test]
    fn a_name_has_the_forms_of_crate_plugin_and_type() {
        for name in ["word-game", "word_game"] {
            let names = parse(name).expect("a good name");
            assert_eq!(names.package(), "chat-plugin-word-game");
            assert_eq!((&*names.plain, &*names.type_name), ("wordgame", "WordGame"));
        }
        let names = parse("x2").expect("a good name");
        assert_eq!((&*names.plain, &*names.type_name), ("x2", "X2"));
    }

    #[test]
    fn bad_and_taken_names_are_refused() {
        let long = "a".repeat(MAX_NAME + 1);
        for name in [
            "",
            "Word",
            "word game",
            "word--game",
            "-word",
            "word-",
            "2words",
            "wörter",
            "a/b",
            "../x",
            &long,
        ] {
            let problem = parse(name).expect_err("a bad name");
            assert!(problem.contains("is not valid"), "{name}: {problem}");
        }
        for name in ["webhooks", "web-hooks"] {
            let problem = parse(name).expect_err("a taken name");
            assert!(problem.contains("has a plugin of this name"), "{problem}");
        }
        let problem = parse("message").expect_err("a taken name");
        assert!(problem.contains("events of the core"), "{problem}");
    }

    #[test]
    fn sources_are_found_around_the_new_crate_and_named_relatively() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = root.canonicalize().expect("the repository");
        let inside = root.join("examples/plugin-x");
        let found = Sources::find(&inside, None, &[&inside]).expect("found");
        assert_eq!(found.path, Path::new("../.."));
        assert_eq!(
            found.member.as_deref(),
            Some(Path::new("examples/plugin-x"))
        );
        let outside = Path::new("/nowhere/plugin-x");
        let found = Sources::find(outside, None, &[outside, &inside]).expect("found");
        assert_eq!((found.path, found.member), (root, None));
        let found = Sources::find(outside, None, &[outside]).expect("a default");
        assert!(!found.is_found);
        let problem = Sources::find(outside, Some(&inside), &[]).expect_err("no sources");
        assert!(problem.contains("--service"), "{problem}");
    }

    #[test]
    fn no_place_of_a_template_stays_unfilled() {
        let names = parse("word-game").expect("a good name");
        for (name, template) in FILES {
            let text = fill(template, &names, Path::new("../.."));
            assert!(!text.contains("{{"), "{name}");
        }
    }
}

//! Layers of the settings: each file and the environment as a figment provider of plain text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::variable::{Kind, Variable};
use super::{Fault, GROUPS, dotenv, parse};

/// File that is read from the working directory if no other is named.
const FILE: &str = "chat.toml";
/// Environment file, always in the working directory.
const DOTENV: &str = ".env";

/// Sources of settings. Nothing else is read.
#[derive(Debug, Clone)]
pub struct Sources {
    /// File named by `--config`; `None` reads `chat.toml` in `dir` if it exists.
    pub toml_path: Option<PathBuf>,
    /// Working directory: it holds `chat.toml` and `.env`, and relative paths start here.
    pub dir: PathBuf,
    /// Variables of the environment.
    pub env: Vec<(String, String)>,
}

impl Sources {
    /// Returns the sources of this process: its working directory and its environment.
    ///
    /// Bytes that are not UTF-8 are replaced, so that the variable's own rule refuses them by name.
    pub fn of_process(toml_path: Option<PathBuf>) -> Self {
        Self {
            toml_path,
            dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            env: std::env::vars_os()
                .map(|(name, value)| {
                    (
                        name.to_string_lossy().into_owned(),
                        value.to_string_lossy().into_owned(),
                    )
                })
                .collect(),
        }
    }
}

/// Layer that a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default, because no layer sets it.
    Default,
    /// `chat.toml`, or the file named by `--config`.
    File,
    /// `.env`.
    DotEnv,
    /// The environment.
    Environment,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Default, Self::File, Self::DotEnv, Self::Environment];

    fn name(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => FILE,
            Self::DotEnv => DOTENV,
            Self::Environment => "environment",
        }
    }

    pub(super) fn of(metadata: &Metadata) -> Self {
        Self::ALL
            .into_iter()
            .find(|origin| origin.name() == metadata.name)
            .unwrap_or(Self::Default)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Texts of one layer by variable name.
///
/// This is an own provider instead of figment's `Env`, which guesses types and would turn a secret like `12345` into a number.
pub(super) struct Layer {
    origin: Origin,
    texts: BTreeMap<String, String>,
}

impl Layer {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            texts: BTreeMap::new(),
        }
    }

    fn insert(&mut self, name: &str, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.texts.insert(name.to_owned(), text.to_owned());
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.name())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = self
            .texts
            .iter()
            .map(|(name, text)| (name.clone(), Value::from(text.as_str())))
            .collect();
        Ok(Profile::Default.collect(dict))
    }
}

/// Returns all declared variables.
pub(super) fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|(_, variables)| variables.iter())
}

/// Returns the layer of declared defaults.
pub(super) fn defaults() -> Layer {
    let mut layer = Layer::new(Origin::Default);
    for variable in variables() {
        layer.insert(variable.name, variable.default.unwrap_or_default());
    }
    layer
}

/// Content of `chat.toml`: the flat keys, and the plugins' tables.
pub(super) struct File {
    /// Layer of the variables.
    pub(super) layer: Layer,
    /// `[plugins.<name>]`, as JSON.
    pub(super) plugins: BTreeMap<String, serde_json::Value>,
}

/// Reads the file named by `--config`, otherwise `chat.toml` if it exists.
pub(super) fn file(sources: &Sources, faults: &mut Vec<Fault>) -> File {
    let mut file = File {
        layer: Layer::new(Origin::File),
        plugins: BTreeMap::new(),
    };
    let path = match &sources.toml_path {
        Some(path) => sources.dir.join(path),
        None => sources.dir.join(FILE),
    };
    let Some(text) = read(&path, sources.toml_path.is_some(), faults) else {
        return file;
    };
    let subject = file_name(&path);
    let dict = match Toml::string(&text).data() {
        Ok(mut profiles) => profiles.remove(&Profile::Default).unwrap_or_default(),
        Err(error) => {
            faults.push(Fault {
                subject,
                problem: toml_problem(&error.to_string()),
            });
            return file;
        }
    };
    for (key, value) in dict {
        if key == "plugins" {
            read_plugin_tables(&subject, value, &mut file.plugins, faults);
        } else if let Some(variable) = variables().find(|variable| variable.toml_key() == key) {
            match toml_text(variable.kind, &value) {
                Ok(text) => file.layer.insert(variable.name, &text),
                Err(expected) => faults.push(Fault {
                    subject: variable.name.to_owned(),
                    problem: format!("in {subject} must be {expected}"),
                }),
            }
        } else {
            let hint = parse::did_you_mean(&key, variables().map(Variable::toml_key));
            faults.push(Fault {
                subject: subject.clone(),
                problem: format!("unknown key \"{key}\"{hint}"),
            });
        }
    }
    file
}

/// Returns the text of a TOML value of the declared type, or a description of a correct value.
fn toml_text(kind: Kind, value: &Value) -> Result<String, &'static str> {
    match (kind, value) {
        (_, Value::String(_, text)) => Ok(text.clone()),
        (Kind::Number, Value::Num(_, number)) => number
            .to_i128()
            .map(|number| number.to_string())
            .or_else(|| number.to_u128().map(|number| number.to_string()))
            .ok_or("a whole number"),
        (Kind::Switch, Value::Bool(_, switch)) => Ok(switch.to_string()),
        (Kind::List, Value::Array(_, items)) if items.is_empty() => Ok("none".to_owned()),
        (Kind::List, Value::Array(_, items)) => items
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(","))
            .ok_or("an array of texts in quotes"),
        (Kind::Text, _) => Err("text in quotes"),
        (Kind::Number, _) => Err("a whole number"),
        (Kind::Switch, _) => Err("true or false"),
        (Kind::List, _) => Err("an array of texts in quotes"),
    }
}

fn read_plugin_tables(
    subject: &str,
    value: Value,
    tables: &mut BTreeMap<String, serde_json::Value>,
    faults: &mut Vec<Fault>,
) {
    let mut fault = |problem: String| {
        faults.push(Fault {
            subject: subject.to_owned(),
            problem,
        })
    };
    let Value::Dict(_, dict) = value else {
        fault(
            "\"plugins\" holds the plugins' tables; the list of plugins is called plugins_enabled"
                .to_owned(),
        );
        return;
    };
    for (name, value) in dict {
        match serde_json::to_value(&value) {
            Ok(table @ serde_json::Value::Object(_)) => {
                tables.insert(name, table);
            }
            _ => fault(format!(
                "plugins.{name} must be a table: write [plugins.{name}] and its keys below"
            )),
        }
    }
}

/// Reads `.env` of the working directory.
pub(super) fn dotenv(
    sources: &Sources,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
) -> Layer {
    let mut layer = Layer::new(Origin::DotEnv);
    let Some(text) = read(&sources.dir.join(DOTENV), false, faults) else {
        return layer;
    };
    match dotenv::parse(&text) {
        Ok(pairs) => insert_known(
            &mut layer,
            pairs
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
            warnings,
        ),
        Err((line, problem)) => {
            faults.push(Fault {
                subject: DOTENV.to_owned(),
                problem: format!("line {line} {problem}"),
            });
        }
    }
    layer
}

/// Takes the known variables from the environment.
pub(super) fn environment(sources: &Sources, warnings: &mut Vec<String>) -> Layer {
    let mut layer = Layer::new(Origin::Environment);
    let pairs = sources
        .env
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    insert_known(&mut layer, pairs, warnings);
    layer
}

/// Prefixes that only this service's variables should have.
///
/// An unknown name with one is probably a typing error.
const PREFIXES: [&str; 15] = [
    "AUTH_",
    "AWAY_",
    "ALLOWED_",
    "EVENT_",
    "INTERNAL_",
    "LOG_",
    "MAX_",
    "MONGODB_",
    "NATS_",
    "RATE_LIMIT_",
    "RECORDING_",
    "SECRETS_",
    "TRUSTED_",
    "TYPING_",
    "WEBHOOK_",
];

fn insert_known<'a>(
    layer: &mut Layer,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    warnings: &mut Vec<String>,
) {
    for (name, text) in pairs {
        if variables().any(|variable| variable.name == name) {
            layer.insert(name, text);
        } else if PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !made_by_orchestrator(name)
        {
            let hint =
                parse::did_you_mean(name, variables().map(|variable| variable.name.to_owned()));
            warnings.push(format!(
                "{name}: unknown variable in {}, ignored{hint}",
                layer.origin
            ));
        }
    }
}

/// True if Kubernetes or Docker links create such a name.
///
/// They put these names into every container beside a service called `nats` or `mongodb`.
fn made_by_orchestrator(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"))
}

/// Reads a file without its byte order mark.
///
/// It returns `None` if the file does not exist or, with a fault, is not readable.
fn read(path: &Path, required: bool, faults: &mut Vec<Fault>) -> Option<String> {
    let problem = match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()),
            Err(_) => "is not UTF-8 text".to_owned(),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "does not exist; check the path given by --config".to_owned()
        }
        Err(error) => format!("cannot be read: {}", error.kind()),
    };
    let subject = if required {
        path.display().to_string()
    } else {
        file_name(path)
    };
    faults.push(Fault { subject, problem });
    None
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns position and reason of a syntax error, without the line itself: it may contain a secret.
fn toml_problem(error: &str) -> String {
    let place = error
        .lines()
        .find_map(|line| line.split_once(" at line "))
        .map(|(_, place)| place.trim());
    match place {
        Some(place) => format!(
            "is not valid TOML at line {place}; texts need quotes, tables stand in [brackets]"
        ),
        None => "is not valid TOML".to_owned(),
    }
}

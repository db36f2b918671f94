//! Layers of the settings: the texts of each file and of the environment.
//!
//! figment reads the file. Its own layers are not used: they stop at the first fault, and guess the types of variables of the environment, which would turn
//! a secret like `12345` into a number.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::{
    Profile, Provider,
    providers::{Format, Toml},
    value::Value,
};

use super::{Fault, dotenv, parse};
use super::{Kind, Variable};

/// File that is read from the working directory if no other is named.
const FILE: &str = "chat.toml";
/// Environment file, always in the working directory.
const DOTENV: &str = ".env";

/// Variables of one concern, with their heading.
pub type Group = (&'static str, &'static [Variable]);

/// Sources of settings. Nothing else is read.
#[derive(Debug, Clone)]
pub struct Sources {
    /// File named by `--config`; `None` reads `chat.toml` in `dir` if it exists.
    pub toml_path: Option<PathBuf>,
    /// Working directory: it holds `chat.toml` and `.env`, and relative paths start here.
    pub dir: PathBuf,
    /// Variables of the environment.
    pub env: Vec<(String, String)>,
    /// Name and declared variables of each plugin of the program.
    pub plugins: Vec<Group>,
}

impl Sources {
    /// Returns the sources of this process: its working directory and its environment. `plugins` are the variables of its plugins.
    ///
    /// Bytes that are not UTF-8 are replaced, so that the variable's own rule refuses them by name.
    pub fn of_process(toml_path: Option<PathBuf>, plugins: Vec<Group>) -> Self {
        Self {
            toml_path,
            plugins,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => FILE,
            Self::DotEnv => DOTENV,
            Self::Environment => "environment",
        })
    }
}

/// One variable as `config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Heading of the group.
    pub group: &'static str,
    /// Name of the variable.
    pub name: String,
    /// Value that is safe to print: secrets are masked. `None` if it is not set.
    pub value: Option<String>,
    /// Layer that the value came from; [`Origin::Default`] if it is not set.
    pub origin: Origin,
}

/// All layers, read one after the other, with the findings.
#[derive(Default)]
pub(super) struct Layers {
    /// Text of each variable, and the last layer that sets it.
    pub(super) texts: BTreeMap<&'static str, (String, Origin)>,
    /// All declared variables.
    variables: Vec<&'static Variable>,
    /// Prefixes that only this service's variables should have. An unknown name with one is probably a typing error.
    prefixes: Vec<&'static str>,
    /// `[plugins.<name>]` of the file, as JSON.
    pub(super) plugins: BTreeMap<String, serde_json::Value>,
    /// `[hooks.<name>]` of the file, as JSON.
    pub(super) hooks: BTreeMap<String, serde_json::Value>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    /// Reads the defaults, the file, `.env` and the environment.
    pub(super) fn read(sources: &Sources, core: &'static [Group]) -> Self {
        let plugins = sources.plugins.iter().flat_map(|(_, own)| own.iter());
        let core = core.iter().flat_map(|(_, variables)| variables.iter());
        let prefixes = plugins.clone().filter_map(|variable| {
            let length = variable.name.find('_')? + 1;
            Some(&variable.name[..length])
        });
        let mut layers = Self {
            prefixes: PREFIXES.into_iter().chain(prefixes).collect(),
            variables: core.chain(plugins).collect(),
            ..Self::default()
        };
        for variable in layers.variables.clone() {
            layers.set(
                variable,
                variable.default.unwrap_or_default(),
                Origin::Default,
            );
        }
        layers.read_file(sources);
        layers.read_dotenv(sources);
        layers.set_known(&sources.env, Origin::Environment);
        layers
    }

    fn declared(&self, is_wanted: impl Fn(&Variable) -> bool) -> Option<&'static Variable> {
        let mut all = self.variables.iter().copied();
        all.find(|variable| is_wanted(variable))
    }

    fn set(&mut self, variable: &'static Variable, text: &str, origin: Origin) {
        let text = text.trim();
        if !text.is_empty() {
            self.texts.insert(variable.name, (text.to_owned(), origin));
        }
    }

    /// Sets the known variables of `pairs`, and warns of names that are probably misspelt.
    fn set_known(&mut self, pairs: &[(String, String)], origin: Origin) {
        for (name, text) in pairs {
            if let Some(variable) = self.declared(|variable| variable.name == name) {
                self.set(variable, text, origin);
            } else if self.prefixes.iter().any(|prefix| name.starts_with(prefix))
                && !made_by_orchestrator(name)
            {
                let names = self
                    .variables
                    .iter()
                    .map(|variable| variable.name.to_owned());
                let hint = parse::did_you_mean(name, names);
                let warning = format!("{name}: unknown variable in {origin}, ignored{hint}");
                self.warnings.push(warning);
            }
        }
    }

    fn fault(&mut self, subject: impl Into<String>, problem: impl Into<String>) {
        self.faults.push(Fault {
            subject: subject.into(),
            problem: problem.into(),
        });
    }

    /// Reads the file named by `--config`, otherwise `chat.toml` if it exists.
    fn read_file(&mut self, sources: &Sources) {
        let path = match &sources.toml_path {
            Some(path) => sources.dir.join(path),
            None => sources.dir.join(FILE),
        };
        let Some(text) = self.read_text(&path, sources.toml_path.is_some()) else {
            return;
        };
        let subject = file_name(&path);
        let table = match Toml::string(&text).data() {
            Ok(mut profiles) => profiles.remove(&Profile::Default).unwrap_or_default(),
            Err(error) => return self.fault(subject, toml_problem(&error.to_string())),
        };
        for (key, value) in table {
            if key == "plugins" || key == "hooks" {
                self.read_tables(&subject, &key, value);
            } else if let Some(variable) = self.declared(|variable| variable.toml_key() == key) {
                match toml_text(variable.kind, &value) {
                    Ok(text) => self.set(variable, &text, Origin::File),
                    Err(expected) => {
                        self.fault(variable.name, format!("in {subject} must be {expected}"));
                    }
                }
            } else {
                let keys = self.variables.iter().map(|variable| variable.toml_key());
                let hint = parse::did_you_mean(&key, keys);
                self.fault(&subject, format!("unknown key \"{key}\"{hint}"));
            }
        }
    }

    /// Reads the tables below `[plugins]` or `[hooks]`.
    fn read_tables(&mut self, subject: &str, key: &str, value: Value) {
        let Value::Dict(_, tables) = value else {
            let problem = if key == "plugins" {
                "\"plugins\" holds the plugins' tables; the list of plugins is called plugins_enabled"
            } else {
                "\"hooks\" holds the tables of hooks"
            };
            return self.fault(subject, problem);
        };
        for (name, value) in tables {
            let Ok(table @ serde_json::Value::Object(_)) = serde_json::to_value(&value) else {
                let problem = format!(
                    "{key}.{name} must be a table: write [{key}.{name}] and its keys below"
                );
                self.fault(subject, problem);
                continue;
            };
            let tables = if key == "plugins" {
                &mut self.plugins
            } else {
                &mut self.hooks
            };
            tables.insert(name, table);
        }
    }

    /// Reads `.env` of the working directory.
    fn read_dotenv(&mut self, sources: &Sources) {
        let Some(text) = self.read_text(&sources.dir.join(DOTENV), false) else {
            return;
        };
        match dotenv::parse(&text) {
            Ok(pairs) => self.set_known(&pairs, Origin::DotEnv),
            Err((line, problem)) => self.fault(DOTENV, format!("line {line} {problem}")),
        }
    }

    /// Reads a file without its byte order mark.
    ///
    /// It returns `None` if the file does not exist or, with a fault, is not readable.
    fn read_text(&mut self, path: &Path, required: bool) -> Option<String> {
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
        self.fault(subject, problem);
        None
    }
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

/// Prefixes of the core's variables.
const PREFIXES: [&str; 14] = [
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
];

/// True if Kubernetes or Docker links create such a name.
///
/// They put these names into every container beside a service called `nats` or `mongodb`.
fn made_by_orchestrator(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns the position of a syntax error, without the line itself: it may contain a secret.
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

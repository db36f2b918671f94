//! The settings: their sources, their rules, and a report of all faults.
//!
//! Four layers are overlaid, the later one wins: the defaults, `chat.toml`, `.env`, the environment. Each variable is declared once, in the file of
//! its concern, as a [`Variable`]; a struct beside it holds the checked values. Every value is text until its own rule reads it, so that a secret of
//! digits stays a secret, and all faults are reported at once, one line each.
//!
//! Rules of this module:
//! - nothing is read from the process: the caller passes [`Sources`], so tests need no environment;
//! - an empty value counts as not set (compose files write `${VAR:-}`); if a list may be empty, `none` says so;
//! - surrounding white space is dropped;
//! - no fault, warning or `Debug` output contains the text of a secret or the password of a URI.
//!
//! This module knows no other module and no driver: it only reports the configured values.

mod auth;
mod caller;
mod cors;
mod dotenv;
mod limits;
mod plugins;
mod presence;
mod reader;
mod server;
mod source;
mod stores;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_auth;
#[cfg(test)]
mod tests_rules;

use std::{collections::BTreeMap, fmt};

use chat_sdk::settings::parse;
pub use chat_sdk::settings::{Fault, Kind, Secret, Show, Uri, Variable};

pub use auth::{Auth, TokenKey};
pub use caller::Caller;
pub use cors::{Cors, Origins};
pub use limits::{AddRule, Limits, RateLimit};
pub use plugins::Plugins;
pub use presence::Presence;
pub use server::{AppEnv, LogFormat, Server};
pub use source::{Group, Origin, Setting, Sources};
pub use stores::Stores;

use reader::Reader;

/// Exit code of a process whose configuration is not valid (`EX_CONFIG` of sysexits).
pub const EXIT_CODE: u8 = 78;

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// MongoDB and NATS.
    pub stores: Stores,
    /// Ports, environment, logs, shutdown.
    pub server: Server,
    /// Authentication of callers.
    pub auth: Auth,
    /// Web pages that may call.
    pub cors: Cors,
    /// Time until a user is away and until typing ends.
    pub presence: Presence,
    /// Rates and sizes.
    pub limits: Limits,
    /// Enabled plugins and their tables.
    pub plugins: Plugins,
    /// `[hooks.<name>]` of `chat.toml` by name, as JSON objects: hooks of plugins in other processes.
    pub hooks: BTreeMap<String, serde_json::Value>,
}

/// Configuration that passed every rule, with warnings.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Checked settings.
    pub config: Config,
    /// Warnings for the log, one line each.
    pub warnings: Vec<String>,
}

/// All faults of a configuration; its `Display` has one line per fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Faults, in the order of the groups. Never empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// All variables with their values, whether the configuration is valid or not.
#[derive(Debug)]
pub struct Inspection {
    /// Variables by group.
    pub settings: Vec<Setting>,
    /// Result that [`Config::load`] would return.
    pub outcome: Result<Loaded, ConfigErrors>,
}

/// All groups of the core's variables with their headings, in the order of the documentation. Those of plugins are in [`Sources`].
pub const GROUPS: [Group; 7] = [
    ("Stores", stores::VARIABLES),
    ("Server", server::VARIABLES),
    ("Authentication", auth::VARIABLES),
    ("CORS", cors::VARIABLES),
    ("Presence", presence::VARIABLES),
    ("Limits", limits::VARIABLES),
    ("Plugins", plugins::VARIABLES),
];

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Fails with all faults at once; the caller prints them and exits with [`EXIT_CODE`].
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        let mut reader = Reader::new(sources, &GROUPS);
        let config = Self::read(&mut reader);
        load(reader, config)
    }

    /// Every group is read before the first `?`, so that no fault hides another.
    fn read(reader: &mut Reader) -> Option<Self> {
        let stores = Stores::read(reader);
        let server = Server::read(reader);
        let env = server.as_ref().map(|server| server.app_env);
        let auth = Auth::read(reader, env);
        let cors = Cors::read(reader, env);
        let presence = Presence::read(reader);
        let limits = Limits::read(reader);
        let plugins = Plugins::read(reader);
        let hooks = reader.hook_tables().clone();
        Some(Self {
            stores: stores?,
            server: server?,
            auth: auth?,
            cors: cors?,
            presence: presence?,
            limits: limits?,
            plugins: plugins?,
            hooks,
        })
    }
}

/// Reads everything as [`Config::load`] does, and keeps each value's origin for `config show`.
pub fn inspect(sources: &Sources) -> Inspection {
    let mut reader = Reader::new(sources, &GROUPS);
    let mut settings = Vec::new();
    for (group, variables) in GROUPS.iter().chain(&sources.plugins) {
        for variable in *variables {
            let (value, origin) = reader.shown(variable);
            settings.push(Setting {
                group,
                name: variable.name.to_owned(),
                value,
                origin,
            });
        }
    }
    settings.extend(reader.shown_plugin_tables());
    let config = Config::read(&mut reader);
    Inspection {
        settings,
        outcome: load(reader, config),
    }
}

fn load(reader: Reader, config: Option<Config>) -> Result<Loaded, ConfigErrors> {
    let (config, warnings) = finish(reader, config)?;
    Ok(Loaded { config, warnings })
}

/// Returns `value` and the warnings, or all faults.
fn finish<T>(reader: Reader, value: Option<T>) -> Result<(T, Vec<String>), ConfigErrors> {
    let (mut faults, warnings) = reader.into_findings();
    match value {
        Some(value) if faults.is_empty() => Ok((value, warnings)),
        _ => {
            // A value can only be missing with a fault; this branch keeps `faults` non-empty even if that is violated.
            if faults.is_empty() {
                faults.push(Fault {
                    subject: "configuration".to_owned(),
                    problem: "could not be read".to_owned(),
                });
            }
            Err(ConfigErrors { faults })
        }
    }
}

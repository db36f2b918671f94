//! The plugins of a program: the built-in ones, and those that the program adds.
//!
//! `PLUGINS` selects which of them run; the core is complete without any. `chat_sdk::plugin` defines what a plugin is and may do; here each is
//! created from its settings, gets its host, and is kept running.

mod audience;
mod chat;
mod hooks;
mod host;
mod publisher;
pub mod remote;
mod running;
mod supervisor;
mod timers;

use chat_sdk::{
    EventType,
    events::PluginKind,
    plugin::{CreatePlugin, PluginEvent, PluginFactory, PluginSettings},
};

pub use chat::Operations;
pub use host::{Core, durables, host_durables};
pub use running::{PluginPhase, PluginReport, Plugins};

use crate::config::{AppEnv, Config, Fault, TokenKey, Variable};

/// The built-in plugins.
pub const BUILT_IN: &[PluginFactory] = &[
    chat_accounts::PLUGIN,
    chat_attachments::PLUGIN,
    chat_moderation::PLUGIN,
    chat_notifications::PLUGIN,
    chat_webhooks::PLUGIN,
];

/// Returns the plugins of a program that adds `added` to the built-in ones.
pub fn of_program(added: impl IntoIterator<Item = PluginFactory>) -> Vec<PluginFactory> {
    let plugins: Vec<PluginFactory> = BUILT_IN.iter().copied().chain(added).collect();
    declare_events(&plugins);
    plugins
}

/// Makes the events of `plugins` part of the catalogue of this process.
pub fn declare_events(plugins: &[PluginFactory]) {
    let events = plugins.iter().flat_map(|plugin| plugin.events);
    events.copied().for_each(PluginKind::declare);
}

/// Returns a fault for each event of `plugin` that is not its own: the first part of its type is neither its name nor a prefix that it declares.
fn foreign_events(plugin: &PluginFactory) -> Vec<Fault> {
    let of_core = |noun: &str| {
        let mut nouns = EventType::ALL
            .iter()
            .map(|kind| kind.as_str().split('.').next().unwrap_or_default());
        nouns.any(|known| known == noun)
    };
    let is_own = |event: &&PluginEvent| {
        let noun = event.kind.split('.').next().unwrap_or_default();
        let is_named = noun == plugin.name || plugin.event_prefixes.contains(&noun);
        is_named && !of_core(noun) && PluginKind::of(event.kind).is_some()
    };
    let events = plugin.events.iter();
    let foreign = events.filter(|event| !is_own(event));
    foreign
        .map(|event| {
            let problem = format!(
                "the plugin {} declares the event \"{}\", which is not its own",
                plugin.name, event.kind
            );
            fault("PLUGINS", problem)
        })
        .collect()
}

/// Returns the declared variables of `plugins`.
pub fn variables(plugins: &[PluginFactory]) -> Vec<(&'static str, &'static [Variable])> {
    let own = plugins.iter().map(|plugin| (plugin.name, plugin.variables));
    own.filter(|(_, variables)| !variables.is_empty()).collect()
}

/// Plugins that run, with checked settings.
pub struct Configured {
    plugins: Vec<(PluginFactory, CreatePlugin)>,
    /// Warnings about settings, one line each.
    pub warnings: Vec<String>,
}

/// Checks the settings of those of `plugins` that `config` names.
///
/// # Errors
/// Fails with all faults of the settings.
pub fn configure(config: &Config, plugins: &[PluginFactory]) -> Result<Configured, Vec<Fault>> {
    let mut faults = unknown(config, plugins);
    let mut configured = Configured {
        plugins: Vec::new(),
        warnings: Vec::new(),
    };
    for plugin in plugins {
        if !config
            .plugins
            .enabled
            .iter()
            .any(|name| name == plugin.name)
        {
            continue;
        }
        faults.extend(foreign_events(plugin));
        let table = config.plugins.tables.get(plugin.name);
        let is_production = config.server.app_env == AppEnv::Production;
        let mut settings =
            PluginSettings::new(*plugin, table, &config.plugins.texts, is_production)
                .with_token_secret(matches!(config.auth.key, TokenKey::Secret(_)));
        let create = (plugin.configure)(&mut settings);
        let (found, warnings) = settings.into_findings();
        if found.is_empty() && create.is_none() {
            faults.push(fault(
                "PLUGINS",
                format!("the plugin {} rejects its settings", plugin.name),
            ));
        }
        faults.extend(found);
        configured.warnings.extend(warnings);
        configured
            .plugins
            .extend(create.map(|create| (*plugin, create)));
    }
    if faults.is_empty() {
        Ok(configured)
    } else {
        Err(faults)
    }
}

/// Returns a fault for each name that no plugin or more than one has.
fn unknown(config: &Config, plugins: &[PluginFactory]) -> Vec<Fault> {
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name).collect();
    let problem = |name: &String| match names.iter().filter(|known| *known == name).count() {
        0 => Some(format!(
            "names \"{name}\", which is no plugin of this version; there are {}",
            names.join(", ")
        )),
        1 => None,
        count => Some(format!(
            "names \"{name}\", but the program has {count} plugins of this name"
        )),
    };
    let problems = config.plugins.enabled.iter().filter_map(problem);
    problems.map(|problem| fault("PLUGINS", problem)).collect()
}

fn fault(subject: &str, problem: String) -> Fault {
    Fault {
        subject: subject.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    const SAMPLE: PluginFactory = PluginFactory::new("sample", |settings| {
        settings.table_fault("is never right");
        None
    });

    fn configure(enabled: &str, added: &[PluginFactory]) -> Vec<String> {
        let plugins = of_program(added.iter().copied());
        let env = [
            ("MONGODB_URI", "mongodb://localhost/shop"),
            ("NATS_URL", "nats://localhost:4222"),
            ("AUTH_JWT_SECRET", "3f1c9a7e5b2d4860f1e2d3c4b5a69788"),
            ("INTERNAL_API_SECRET", "a1b2c3d4e5f60718293a4b5c6d7e8f90"),
            ("PLUGINS", enabled),
        ];
        let config = Config::load(&Sources {
            toml_path: None,
            dir: "/nonexistent".into(),
            env: env
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
            plugins: variables(&plugins),
        });
        let config = config.expect("valid").config;
        match super::configure(&config, &plugins) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn only_named_plugins_are_configured() {
        assert!(configure("webhooks", &[SAMPLE]).is_empty());
        assert!(configure("none", &[SAMPLE]).is_empty());
        assert_eq!(
            configure("sample", &[SAMPLE]),
            ["[plugins.sample]: is never right"]
        );
    }

    #[test]
    fn unknown_and_ambiguous_names_are_faults() {
        assert_eq!(
            configure("search", &[SAMPLE]),
            [
                "PLUGINS: names \"search\", which is no plugin of this version; there are accounts, attachments, moderation, notifications, webhooks, sample"
            ]
        );
        let faults = configure("webhooks", &[chat_webhooks::PLUGIN]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("the program has 2 plugins"),
            "{faults:?}"
        );
    }
}

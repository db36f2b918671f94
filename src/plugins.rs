//! The plugins that are built in: the only file that names their crates.
//!
//! `PLUGINS` chooses which of them run; with none the whole core runs. What a plugin is and may do stands in `chat_sdk::plugin`; here each is made from its
//! settings, given its host, and kept alive.

mod host;
mod supervisor;

use std::sync::Arc;

use chat_sdk::{
    http::Mounted,
    plugin::{Host, HostError, NoRoutes, Plugin, PluginContext},
};
use chat_webhooks::Webhooks;
use serde_json::Value;

pub use host::Core;

use crate::{
    config::{AppEnv, Config, Fault},
    tasks::Task,
};

/// The operations of all plugins, for the API.
pub type Operations = Mounted<<Webhooks as Plugin>::Api>;

/// The names of the plugins that are built in.
pub const NAMES: [&str; 1] = [Webhooks::NAME];

/// Operations of plugins that the state of the thing can forbid.
pub const CONFLICTING: &[&str] = Webhooks::CONFLICTING;

/// The example of a body of a plugin's operation.
pub fn example(schema: &str) -> Option<Value> {
    Webhooks::example(schema)
}

/// How a plugin from outside is made, one that a program of somebody's own brings beside those that are built in: of its table in `chat.toml`, and its
/// host. The error is a sentence that can follow the table's name.
pub type PluginFactory<P> = fn(Option<&Value>, Arc<dyn Host>) -> Result<P, String>;

/// No plugin from outside.
pub enum NoPlugin {}

impl Plugin for NoPlugin {
    const NAME: &'static str = "nothing";
    type Api = NoRoutes;

    fn api(self: Arc<Self>) -> NoRoutes {
        NoRoutes
    }

    async fn run(self: Arc<Self>, _life: PluginContext) -> Result<(), HostError> {
        match *self {}
    }
}

/// Makes the plugin from outside, if there is one and `config` names it.
///
/// # Errors
/// What is wrong with its settings.
pub fn register_guest<P: Plugin>(
    config: &Config,
    core: &Core,
    make: Option<PluginFactory<P>>,
) -> Result<Option<Arc<P>>, Vec<Fault>> {
    let Some(make) = make.filter(|_| is_enabled(config, P::NAME)) else {
        return Ok(None);
    };
    match make(config.plugins.tables.get(P::NAME), core.host(P::NAME)) {
        Ok(guest) => Ok(Some(Arc::new(guest))),
        Err(problem) => Err(vec![Fault {
            subject: format!("[plugins.{}]", P::NAME),
            problem,
        }]),
    }
}

/// The plugin from outside as a task.
pub fn guest_task<P: Plugin>(guest: Arc<P>) -> impl Task {
    supervisor::PluginTask(guest)
}

/// The plugins of this process.
#[derive(Clone, Default)]
pub struct Plugins {
    webhooks: Option<Arc<Webhooks>>,
}

/// Everything that is wrong with the settings of plugins. `guest` is the name of the one from outside.
pub fn faults(config: &Config, guest: Option<&str>) -> Vec<Fault> {
    let known: Vec<&str> = NAMES.iter().copied().chain(guest).collect();
    let mut faults: Vec<Fault> = config
        .plugins
        .enabled
        .iter()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| Fault {
            subject: "PLUGINS".to_owned(),
            problem: format!(
                "names \"{name}\", which is no plugin of this version; there are {}",
                known.join(", ")
            ),
        })
        .collect();
    if is_enabled(config, Webhooks::NAME)
        && let Err(found) = webhooks_settings(config)
    {
        faults.extend(
            found
                .into_iter()
                .map(|(subject, problem)| Fault { subject, problem }),
        );
    }
    faults
}

fn is_enabled(config: &Config, name: &str) -> bool {
    config.plugins.enabled.iter().any(|other| other == name)
}

fn webhooks_settings(config: &Config) -> Result<chat_webhooks::Settings, Vec<(String, String)>> {
    let settings = &config.webhooks;
    let environment = match (&settings.url, &settings.secret) {
        (Some(url), Some(secret)) if settings.enabled => Some(chat_webhooks::EnvironmentEndpoint {
            url: url.expose().to_owned(),
            secret: secret.expose_text().to_owned(),
            events: settings.events.clone(),
            retries: settings.retry_attempts,
        }),
        _ => None,
    };
    chat_webhooks::Settings::new(
        chat_webhooks::Environment {
            endpoint: environment,
            timeout: settings.timeout,
            schedule: settings.retry_schedule.clone(),
            allow_private: settings.allow_private,
            allow_loopback: config.server.app_env != AppEnv::Production,
        },
        config.plugins.tables.get(Webhooks::NAME),
    )
}

impl Plugins {
    /// Makes the plugins that `config` names.
    ///
    /// # Errors
    /// What [`faults`] would say.
    pub fn register(config: &Config, core: &Core, guest: Option<&str>) -> Result<Self, Vec<Fault>> {
        let found = faults(config, guest);
        if !found.is_empty() {
            return Err(found);
        }
        let webhooks = is_enabled(config, Webhooks::NAME)
            .then(|| webhooks_settings(config).ok())
            .flatten()
            .map(|settings| Arc::new(Webhooks::new(settings, core.host(Webhooks::NAME))));
        Ok(Self { webhooks })
    }

    /// Makes what the plugins need in the database.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn prepare(&self) -> Result<(), HostError> {
        match &self.webhooks {
            Some(webhooks) => webhooks.prepare().await,
            None => Ok(()),
        }
    }

    /// Whether any of them has operations.
    pub fn has_operations(&self) -> bool {
        self.webhooks.is_some()
    }

    /// The operations of the plugins; of one that does not run, none.
    pub fn operations(&self) -> Operations {
        Mounted(self.webhooks.clone().map(Plugin::api))
    }

    /// The plugins of the role `webhooks` as tasks.
    pub fn webhooks_task(&self) -> Option<impl Task> {
        let webhooks = self.webhooks.clone();
        webhooks.map(supervisor::PluginTask)
    }
}

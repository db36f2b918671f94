//! Built-in plugins: the only file that names their crates.
//!
//! `PLUGINS` selects which of them run; the core is complete without any. `chat_sdk::plugin` defines what a plugin is and may do; here each is
//! created from its settings, gets its host, and is kept running.

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

/// Operations of all plugins, for the API.
pub type Operations = Mounted<<Webhooks as Plugin>::Api>;

/// Names of the built-in plugins.
pub const NAMES: [&str; 1] = [Webhooks::NAME];

/// Operations of plugins that may answer with a conflict.
pub const CONFLICTING: &[&str] = Webhooks::CONFLICTING;

/// Returns the example of a body of a plugin's operation.
pub fn example(schema: &str) -> Option<Value> {
    Webhooks::example(schema)
}

/// Constructor of an external plugin, which another program adds to the built-in ones.
///
/// It takes the plugin's table in `chat.toml` and its host. The error is a sentence that can follow the table's name.
pub type PluginFactory<P> = fn(Option<&Value>, Arc<dyn Host>) -> Result<P, String>;

/// Placeholder type for no external plugin.
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

/// Creates the external plugin, if there is one and `config` names it.
///
/// # Errors
/// Fails with the faults of its settings.
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

/// Returns the external plugin as a task.
pub fn guest_task<P: Plugin>(guest: Arc<P>) -> impl Task {
    supervisor::PluginTask(guest)
}

/// Plugins of this process.
#[derive(Clone, Default)]
pub struct Plugins {
    webhooks: Option<Arc<Webhooks>>,
}

/// Returns all faults in the settings of plugins. `guest` is the name of the external one.
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
    /// Creates the plugins that `config` names.
    ///
    /// # Errors
    /// Fails with the result of [`faults`] if there is any.
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

    /// Creates what the plugins need in the database.
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn prepare(&self) -> Result<(), HostError> {
        match &self.webhooks {
            Some(webhooks) => webhooks.prepare().await,
            None => Ok(()),
        }
    }

    /// True if any of them has operations.
    pub fn has_operations(&self) -> bool {
        self.webhooks.is_some()
    }

    /// Returns the operations of the running plugins.
    pub fn operations(&self) -> Operations {
        Mounted(self.webhooks.clone().map(Plugin::api))
    }

    /// Returns the plugins of the role `webhooks` as tasks.
    pub fn webhooks_task(&self) -> Option<impl Task> {
        let webhooks = self.webhooks.clone();
        webhooks.map(supervisor::PluginTask)
    }
}

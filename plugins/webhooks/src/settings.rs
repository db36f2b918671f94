//! Settings of the plugin, from its variables and `chat.toml`.

use std::time::Duration;

use chat_sdk::{
    EventType,
    outbound::{address::AddressPolicy, sign::Key},
    patterns,
    plugin::PluginSettings,
};
use serde::Deserialize;

use crate::environment::Environment;

/// The table `[plugins.webhooks]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Maximum number of deliveries that a worker makes to one endpoint at once, 1 to 1,000; default 32.
    pub concurrency: usize,
    /// Number of days for which records of deliveries are kept, 1 to 365; default 7.
    pub keep_days: u32,
    /// Number of failures in a row after which an endpoint is paused, 1 to 10,000; default 10.
    pub circuit_failures: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            concurrency: 32,
            keep_days: 7,
            circuit_failures: 10,
        }
    }
}

/// Validated endpoint of the environment.
#[derive(Debug)]
pub struct Own {
    /// URL of the endpoint.
    pub url: String,
    /// Key that signs its deliveries.
    pub key: Key,
    /// Patterns of event types as they were written; `None` for all.
    pub patterns: Option<Vec<String>>,
    /// Number of retries after the first attempt.
    pub retries: u32,
}

/// All settings of the plugin, validated.
#[derive(Debug)]
pub struct Settings {
    /// Endpoint of the environment, if any.
    pub own: Option<Own>,
    /// Maximum duration of one attempt.
    pub timeout: Duration,
    /// Pauses between attempts.
    pub schedule: Vec<Duration>,
    /// Addresses that deliveries may reach.
    pub reach: AddressPolicy,
    /// Settings of the table in `chat.toml`.
    pub table: Table,
}

impl Settings {
    /// Reads and validates all settings; `None` comes with a fault.
    pub fn read(settings: &mut PluginSettings<'_>) -> Option<Self> {
        let table = read_table(settings);
        let environment = Environment::read(settings)?;
        let reach = AddressPolicy {
            setting: "WEBHOOK_ALLOW_PRIVATE",
            is_private_allowed: environment.allow_private,
            is_loopback_allowed: !settings.is_production() || environment.allow_private,
        };
        let own = match (environment.url, environment.secret) {
            (Some(url), Some(secret)) if environment.enabled => Some(Own {
                url: url.expose().to_owned(),
                key: Key::new(secret.expose_text()),
                patterns: environment.events,
                retries: environment.retry_attempts,
            }),
            _ => None,
        };
        let is_valid = own.as_ref().is_none_or(|own| own.check(reach, settings));
        let table = table.filter(|_| is_valid)?;
        Some(Self {
            own,
            timeout: environment.timeout,
            schedule: environment.retry_schedule,
            reach,
            table,
        })
    }
}

impl Own {
    /// Returns true if the endpoint can be used, or reports its faults.
    fn check(&self, reach: AddressPolicy, settings: &mut PluginSettings<'_>) -> bool {
        let url = reach.check_url(&self.url);
        let patterns = self.patterns.as_ref().map(|all| patterns::expand(all));
        if let Err(problem) = &url {
            settings.fault("WEBHOOK_URL", problem.clone());
        }
        if let Some(Err((index, problem))) = &patterns {
            let hint = EventType::ALL.first().map(|kind| kind.as_str());
            let hint = hint.unwrap_or_default();
            let problem = format!("item {}: {problem}, such as {hint}", index + 1);
            settings.fault("WEBHOOK_EVENTS", problem);
        }
        url.is_ok() && !matches!(patterns, Some(Err(_)))
    }
}

fn read_table(settings: &mut PluginSettings<'_>) -> Option<Table> {
    let table: Table = settings.table()?;
    let mut is_valid = true;
    for (name, value, range) in [
        ("concurrency", table.concurrency as u64, 1..=1000),
        ("keep_days", u64::from(table.keep_days), 1..=365),
        (
            "circuit_failures",
            u64::from(table.circuit_failures),
            1..=10_000,
        ),
    ] {
        if !range.contains(&value) {
            is_valid = false;
            let (least, most) = range.into_inner();
            settings.table_fault(format!(
                "{name} is {value}; it must be from {least} to {most}"
            ));
        }
    }
    is_valid.then_some(table)
}

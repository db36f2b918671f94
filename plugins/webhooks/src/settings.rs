//! Settings of the plugin, from the environment and `chat.toml`.

use std::time::Duration;

use chat_sdk::{EventType, patterns, plugin::read_table};
use serde::Deserialize;
use serde_json::Value;

use crate::{address::AddressPolicy, sign::Key};

/// Settings from the environment variables of the service.
#[derive(Debug)]
pub struct Environment {
    /// Endpoint that the environment sets, if any.
    pub endpoint: Option<EnvironmentEndpoint>,
    /// Maximum duration of one attempt.
    pub timeout: Duration,
    /// Pauses between attempts; never empty.
    pub schedule: Vec<Duration>,
    /// True if all addresses may be called.
    pub allow_private: bool,
    /// True if loopback addresses of this machine may be called.
    pub allow_loopback: bool,
}

/// Endpoint that the environment sets.
pub struct EnvironmentEndpoint {
    /// URL of the endpoint.
    pub url: String,
    /// Secret that signs its deliveries.
    pub secret: String,
    /// Event types or groups such as `message.*`; `None` for all.
    pub events: Option<Vec<String>>,
    /// Number of retries after the first attempt.
    pub retries: u32,
}

impl std::fmt::Debug for EnvironmentEndpoint {
    /// Shows neither the secret nor the URL, whose path may contain a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnvironmentEndpoint")
    }
}

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
    /// Validates all settings.
    ///
    /// # Errors
    /// All faults, each with the name of its setting.
    pub fn new(
        environment: Environment,
        table: Option<&Value>,
    ) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut fault = |subject: &str, problem: String| {
            faults.push((subject.to_owned(), problem));
        };
        const TABLE: &str = "[plugins.webhooks]";
        let table: Table = read_table(table).unwrap_or_else(|problem| {
            fault(TABLE, problem);
            Table::default()
        });
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
                fault(
                    TABLE,
                    format!(
                        "{name} is {value}; it must be from {} to {}",
                        range.start(),
                        range.end()
                    ),
                );
            }
        }
        let reach = AddressPolicy {
            is_private_allowed: environment.allow_private,
            is_loopback_allowed: environment.allow_loopback || environment.allow_private,
        };
        let own = environment.endpoint.map(|endpoint| {
            if let Err(problem) = reach.check_url(&endpoint.url) {
                fault("WEBHOOK_URL", problem);
            }
            if let Some(patterns) = &endpoint.events
                && let Err((index, problem)) = patterns::expand(patterns)
            {
                let hint = EventType::ALL
                    .first()
                    .map(|kind| kind.as_str())
                    .unwrap_or_default();
                fault(
                    "WEBHOOK_EVENTS",
                    format!("item {}: {problem}, such as {hint}", index + 1),
                );
            }
            Own {
                url: endpoint.url,
                key: Key::new(&endpoint.secret),
                patterns: endpoint.events,
                retries: endpoint.retries,
            }
        });
        if faults.is_empty() {
            Ok(Self {
                own,
                timeout: environment.timeout,
                schedule: environment.schedule,
                reach,
                table,
            })
        } else {
            Err(faults)
        }
    }
}

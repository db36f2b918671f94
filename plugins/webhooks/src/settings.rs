//! What the operator set.

use std::time::Duration;

use chat_sdk::{EventType, patterns, plugin::read_table};
use serde::Deserialize;
use serde_json::Value;

use crate::{address::AddressPolicy, sign::Key};

/// What comes from the variables of the service.
#[derive(Debug)]
pub struct Environment {
    /// The endpoint of the environment, where it is to be served.
    pub endpoint: Option<EnvironmentEndpoint>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The pauses between attempts, never empty.
    pub schedule: Vec<Duration>,
    /// Whether every address may be called.
    pub allow_private: bool,
    /// Whether this machine may be called.
    pub allow_loopback: bool,
}

/// The endpoint that the environment names.
pub struct EnvironmentEndpoint {
    /// Where it is.
    pub url: String,
    /// What signs its deliveries.
    pub secret: String,
    /// Names of events or `noun.*`; `None` for all.
    pub events: Option<Vec<String>>,
    /// How many retries follow the first attempt.
    pub retries: u32,
}

impl std::fmt::Debug for EnvironmentEndpoint {
    /// Neither the secret nor the URL, whose path may be one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnvironmentEndpoint")
    }
}

/// `[plugins.webhooks]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// How many deliveries to one endpoint a worker has under way at once.
    pub concurrency: usize,
    /// How many days the records of deliveries are kept.
    pub keep_days: u32,
    /// After how many failures in a row an endpoint is left alone for a while.
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

/// The environment's endpoint, checked.
#[derive(Debug)]
pub struct Own {
    /// Where it is.
    pub url: String,
    /// What signs its deliveries.
    pub key: Key,
    /// As they were written.
    pub patterns: Option<Vec<String>>,
    /// How many retries follow the first attempt.
    pub retries: u32,
}

/// Everything, checked.
#[derive(Debug)]
pub struct Settings {
    /// The environment's endpoint.
    pub own: Option<Own>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The pauses between attempts.
    pub schedule: Vec<Duration>,
    /// Whom deliveries may reach.
    pub reach: AddressPolicy,
    /// The table.
    pub table: Table,
}

impl Settings {
    /// Checks everything.
    ///
    /// # Errors
    /// Each fault with what it is about.
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

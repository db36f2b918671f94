//! Start of a process: waits for its database, bus, plugins and metrics before it serves clients.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chat_sdk::plugin::PluginFactory;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;

use crate::{
    auth::SetupError,
    bus::{Bus, BusError, BusOptions, StreamError},
    config::Config,
    model::hashed::PairKey,
    plugins::{self, Core, Plugins},
    store::{PrepareError, Store},
};

/// Maximum time to wait for MongoDB and NATS at the start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two attempts to reach them.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Reason why a process could not start or continue.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is in use, or this process may not open it.
    #[error("{variable}: the port {address} cannot be opened: {error}")]
    Port {
        /// Variable that configures the port.
        variable: &'static str,
        /// Address of the port.
        address: SocketAddr,
        /// Error of the operating system.
        error: std::io::Error,
    },
    /// The keys for tokens cannot be used.
    #[error("{0}")]
    Auth(#[from] SetupError),
    /// A limit of MongoDB or NATS is smaller than what this program sends.
    #[error("{variable}: {problem}")]
    Limit {
        /// Variable that names the server.
        variable: &'static str,
        /// Limit, with its current and its required value.
        problem: String,
    },
    /// MongoDB was not reachable in time.
    #[error("MONGODB_URI: MongoDB could not be used within 30 s: {0}")]
    Mongo(String),
    /// A task failed that cannot be restarted. It was logged at the time of the failure.
    #[error("the task {0} failed, and the process cannot go on without it")]
    TaskLost(&'static str),
    /// The settings of a plugin cannot be used.
    #[error("{0}")]
    Plugin(String),
    /// NATS was not reachable in time.
    #[error("NATS_URL: NATS could not be used within 30 s: {0}")]
    Nats(String),
}

impl StartError {
    /// True if waiting or retrying does not help: the configuration must change.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Plugin(_) | Self::Limit { .. })
    }
}

/// Returns the recorder of this process's metrics: one, however many services a test runs in it.
pub(super) fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let seconds = [
                0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
            ];
            let entries = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
                .and_then(|builder| {
                    builder.set_buckets_for_metric(Matcher::Suffix("_entries".to_owned()), &entries)
                })
                .and_then(PrometheusBuilder::install_recorder)
                .unwrap_or_else(|_| {
                    // Another recorder is already installed; this one stays empty.
                    PrometheusBuilder::new().build_recorder().handle()
                })
        })
        .clone()
}

/// Creates those of `plugins` that are configured.
pub(super) fn create_plugins(
    config: &Config,
    core: &Core,
    plugins: &[PluginFactory],
) -> Result<Plugins, StartError> {
    let configured = plugins::configure(config, plugins).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        StartError::Plugin(lines.join("; "))
    })?;
    for warning in &configured.warnings {
        tracing::warn!("{warning}");
    }
    Ok(Plugins::create(configured, core))
}

/// Prepares the database for the core and for the configured ones of `plugins`, without a broker.
///
/// # Errors
/// [`StartError::Mongo`] if the database is not reachable, or [`StartError::Plugin`] if the settings of a plugin cannot be used.
pub async fn prepare(config: &Config, plugins: &[PluginFactory]) -> Result<(), StartError> {
    let (store, _) = open_store(config).await?;
    let core = Core::new(Arc::clone(&store), None, &config.auth, "migrate".to_owned());
    let plugins = create_plugins(config, &core, plugins)?;
    let prepared = patiently("MongoDB", || plugins.prepare_all()).await;
    store.close().await;
    prepared.map_err(|error| StartError::Mongo(brief(&error)))
}

/// Repeats `attempt` until it succeeds or the time is over. Every failure is logged as one line.
async fn patiently<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    what: &'static str,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() + START_PAUSE >= deadline => return Err(error),
            Err(error) => {
                tracing::warn!(error = %brief(&error), "{what} is not reachable yet; trying again");
                tokio::time::sleep(START_PAUSE).await;
            }
        }
    }
}

/// Opens the database and prepares it.
///
/// # Errors
/// [`StartError::Mongo`] if it is not reachable in time.
pub async fn open_store(config: &Config) -> Result<(Arc<Store>, String), StartError> {
    let stores = &config.stores;
    let store = Store::connect(stores.mongodb_uri.expose(), &stores.mongodb_database)
        .await
        .map_err(|error| StartError::Mongo(brief(&error.kind)))?;
    let epoch = patiently("MongoDB", || async {
        match store.prepare().await {
            // Waiting does not make an older program newer, nor a limit larger.
            Err(error @ (PrepareError::TooNew { .. } | PrepareError::Limit { .. })) => {
                Ok(Err(error))
            }
            Ok(epoch) => Ok(Ok(epoch)),
            Err(error) => Err(error),
        }
    })
    .await
    .and_then(|prepared| prepared)
    .map_err(|error| match error {
        error @ PrepareError::Limit { .. } => StartError::Limit {
            variable: "MONGODB_URI",
            problem: error.to_string(),
        },
        error => StartError::Mongo(brief(&error)),
    })?;
    Ok((Arc::new(store), epoch))
}

/// Returns the key of the ids of direct conversations, the same for every process of the deployment.
///
/// # Errors
/// [`StartError::Mongo`] if the database is not reachable.
pub(super) async fn pair_key(store: &Store) -> Result<PairKey, StartError> {
    let key = store.pair_key().await;
    let key = key.map_err(|error| StartError::Mongo(brief(&error)))?;
    Ok(PairKey::new(&key))
}

/// Begins a new epoch of the log after the database was restored to an earlier point.
///
/// Cursors of the previous epoch lead to `sync:reset`. The stream is deleted, because it has events under seqs that the log allocates again; the
/// relay fills a new one.
///
/// # Errors
/// [`StartError::Mongo`] or [`StartError::Nats`] if one of them is not reachable.
pub async fn begin_epoch(config: &Config) -> Result<(), StartError> {
    let (store, _) = open_store(config).await?;
    let bus = open_bus(config).await?;
    bus.remove_stream()
        .await
        .map_err(|error| StartError::Nats(error.to_string()))?;
    let begun = store.begin_epoch().await;
    store.close().await;
    begun.map_err(|error| StartError::Mongo(error.to_string()))
}

/// Returns the driver's text without its description of the whole topology, as one readable line.
fn brief(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" Topology:").next().unwrap_or_default();
    text.trim_start_matches("Kind: ").to_owned()
}

pub(super) async fn open_bus(config: &Config) -> Result<Bus, StartError> {
    let stores = &config.stores;
    let urls: Vec<&str> = stores.nats_urls.iter().map(|url| url.expose()).collect();
    let options = BusOptions {
        url: urls.join(","),
        credentials: stores.nats_creds.clone(),
        prefix: stores.nats_subject_prefix.clone(),
        replicas: stores.nats_replicas,
        retention: Duration::from_secs(u64::from(stores.event_retention_days) * 86_400),
        max_bytes: i64::from(stores.event_stream_max_mb) << 20,
    };
    let is_limit = |error: &BusError| {
        matches!(
            error,
            BusError::Limit { .. } | BusError::Stream(StreamError::MessageSize { .. })
        )
    };
    patiently("NATS", || async {
        match Bus::connect(options.clone()).await {
            // Waiting does not make a limit larger.
            Err(error) if is_limit(&error) => Ok(Err(error)),
            Ok(bus) => Ok(Ok(bus)),
            Err(error) => Err(error),
        }
    })
    .await
    .and_then(|connected| connected)
    .map_err(|error| {
        if is_limit(&error) {
            StartError::Limit {
                variable: "NATS_URL",
                problem: error.to_string(),
            }
        } else {
            StartError::Nats(error.to_string())
        }
    })
}

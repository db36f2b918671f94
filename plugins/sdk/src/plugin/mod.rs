//! The contract between the core and a plugin, and the life cycle of a plugin.
//!
//! A plugin is created from its settings, gets a [`Host`], adds its own routes, and runs until it is stopped. Everything that it owns carries its name:
//! collections `<name>_…`, durables `<name>-…`, metrics `chat_<name>_…`, routes in its own part of the document. It accesses the database and the broker only
//! through its host, and cannot see other plugins.

mod collection;
mod consumer;
mod host;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
pub use tokio_util::sync::CancellationToken;

pub use collection::{Collection, READ_MAX_TIME, within_time};
pub use consumer::{
    Consumer, ConsumerSpec, Delivery, DurableError, Durables, Lag, Pulled, ReplayedEvent, Verdict,
};
pub use host::{Host, HostError, LogEvent, LogPage, LogPosition};

/// Boxed future that methods of trait objects return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Default of [`Plugin::HEARTBEAT_TIMEOUT`].
pub const DEFAULT_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);

/// A plugin of the service.
///
/// Life cycle: the core creates it from its settings (by a function of the plugin, which validates them), prepares it (indexes), asks it for its operations
/// in processes that serve the API, and runs it in processes that have its role. [`Plugin::run`] is restarted, with growing pauses, if it fails, panics or
/// hangs.
pub trait Plugin: Send + Sync + 'static {
    /// Name of the plugin: lower-case letters and digits. It is the prefix of everything that the plugin owns, and the name of its role.
    const NAME: &'static str;

    /// Maximum time without [`Heartbeat::beat`]; after it the plugin is considered hung and is restarted.
    const HEARTBEAT_TIMEOUT: Duration = DEFAULT_HEARTBEAT_TIMEOUT;

    /// Ids of the operations that can fail because of the state of the resource (409).
    const CONFLICTING: &'static [&'static str] = &[];

    /// Type that implements its routes; [`NoRoutes`] if it has none.
    type Api: poem_openapi::OpenApi + Send + 'static;

    /// Creates the indexes that it needs in the database. Every process calls it first at every start, so it must be safe to repeat.
    fn prepare(&self) -> impl Future<Output = Result<(), HostError>> + Send {
        async { Ok(()) }
    }

    /// Returns its operations. Each must have an id, a summary and a tag.
    fn api(self: Arc<Self>) -> Self::Api;

    /// Returns an example of a body of its operations, by the name of the schema.
    fn example(_schema: &str) -> Option<Value> {
        None
    }

    /// Does its work until `life.stop` is cancelled, then finishes the work in flight and returns. An earlier return counts as a failure.
    fn run(
        self: Arc<Self>,
        life: PluginContext,
    ) -> impl Future<Output = Result<(), HostError>> + Send;
}

/// Stop signal and heartbeat that the core passes to a running plugin.
#[derive(Debug, Clone)]
pub struct PluginContext {
    /// Cancelled when the plugin must finish the work in flight and return.
    pub stop: CancellationToken,
    /// Heartbeat by which the plugin reports that it is alive.
    pub pulse: Heartbeat,
}

/// Heartbeat of a running plugin.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    born: Instant,
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last: Arc::default(),
        }
    }
}

impl Heartbeat {
    /// Reports that the plugin is alive.
    pub fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Returns the time since the last heartbeat.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }
}

/// Empty set of operations, for a plugin that has none.
#[derive(Debug, Clone, Copy)]
pub struct NoRoutes;

impl poem_openapi::OpenApi for NoRoutes {
    fn meta() -> Vec<poem_openapi::registry::MetaApi> {
        Vec::new()
    }

    fn register(_registry: &mut poem_openapi::registry::Registry) {}

    fn add_routes(
        self,
        _table: &mut std::collections::HashMap<
            String,
            std::collections::HashMap<poem::http::Method, poem::endpoint::BoxEndpoint<'static>>,
        >,
    ) {
    }
}

/// Deserializes a plugin's table of `chat.toml` as `T`, which should reject unknown fields.
///
/// # Errors
/// The fault of the table, as a sentence that can follow its name.
pub fn read_table<T: serde::de::DeserializeOwned + Default>(
    table: Option<&Value>,
) -> Result<T, String> {
    match table {
        None => Ok(T::default()),
        // The error names the field and not the value, except for a word that is not one of a fixed set.
        Some(table) => serde_json::from_value(table.clone())
            .map_err(|error| format!("cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_measures_silence() {
        let pulse = Heartbeat::default();
        std::thread::sleep(Duration::from_millis(15));
        assert!(pulse.silence() >= Duration::from_millis(10));
        pulse.clone().beat();
        assert!(pulse.silence() < Duration::from_millis(10));
    }

    #[test]
    fn read_table_rejects_unknown_fields() {
        #[derive(Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Settings {
            depth: u32,
        }
        assert_eq!(read_table::<Settings>(None), Ok(Settings { depth: 0 }));
        let table = serde_json::json!({ "depth": 3 });
        assert_eq!(
            read_table::<Settings>(Some(&table)),
            Ok(Settings { depth: 3 })
        );
        let table = serde_json::json!({ "deph": 3 });
        assert!(read_table::<Settings>(Some(&table)).is_err_and(|fault| fault.contains("deph")));
    }
}

//! The contract between the core and a plugin: what a plugin is, and how it lives.
//!
//! A plugin is made from its settings, registered with a [`Host`], brings routes of its own, and runs until it is stopped. Everything that it owns carries
//! its name: collections `<name>_…`, durables `<name>-…`, metrics `chat_<name>_…`, routes in its own part of the document. It reaches the database and the
//! broker through its host alone, and finds out nothing about other plugins.

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

/// A future that a trait object answers with.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long a plugin may say nothing before it is taken for hung, unless it says otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// A plugin.
///
/// Its life: it is made from its settings (by a function of its own, which checks them), prepared (indexes), asked for its operations in processes that serve
/// the API, and run in processes that have its role. [`Plugin::run`] is started again, with growing pauses, when it fails, panics or hangs.
pub trait Plugin: Send + Sync + 'static {
    /// Its name: lower-case letters and digits. What it owns begins with it, and it is the name of its role.
    const NAME: &'static str;

    /// How long it may go without [`Heartbeat::beat`] before it is taken for hung and started again.
    const HEARTBEAT_TIMEOUT: Duration = DEFAULT_PATIENCE;

    /// Operations that the state of the thing can forbid (409), by their id in the document.
    const CONFLICTING: &'static [&'static str] = &[];

    /// What answers its routes. [`NoRoutes`] for none.
    type Api: poem_openapi::OpenApi + Send + 'static;

    /// Makes what it needs in the database. Called before everything else, by every process, at every start; must be safe to repeat.
    fn prepare(&self) -> impl Future<Output = Result<(), HostError>> + Send {
        async { Ok(()) }
    }

    /// Its operations. Every one must have an id, a summary and a tag.
    fn api(self: Arc<Self>) -> Self::Api;

    /// An example of a body of its operations, by the name of the schema.
    fn example(_schema: &str) -> Option<Value> {
        None
    }

    /// Its work, until `life.stop` is cancelled; then it finishes what is in flight and returns. A return before that counts as a failure.
    fn run(
        self: Arc<Self>,
        life: PluginContext,
    ) -> impl Future<Output = Result<(), HostError>> + Send;
}

/// What a running plugin is given by whoever keeps it alive.
#[derive(Debug, Clone)]
pub struct PluginContext {
    /// Cancelled when it should finish what is in flight and return.
    pub stop: CancellationToken,
    /// Where it says that it is alive.
    pub pulse: Heartbeat,
}

/// The sign of life of a running plugin.
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
    /// Says that the plugin is alive.
    pub fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How long it has said nothing.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }
}

/// The operations of a plugin that has none.
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

/// Reads a plugin's table of `chat.toml` as `T`, which should refuse unknown fields.
///
/// # Errors
/// A sentence that can follow the table's name.
pub fn read_table<T: serde::de::DeserializeOwned + Default>(
    table: Option<&Value>,
) -> Result<T, String> {
    match table {
        None => Ok(T::default()),
        // The error names the field, not the value, except for words that are none of a choice.
        Some(table) => serde_json::from_value(table.clone())
            .map_err(|error| format!("cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_measures_silence() {
        let pulse = Heartbeat::default();
        std::thread::sleep(Duration::from_millis(15));
        assert!(pulse.silence() >= Duration::from_millis(10));
        pulse.clone().beat();
        assert!(pulse.silence() < Duration::from_millis(10));
    }

    #[test]
    fn tables_are_read_strictly() {
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

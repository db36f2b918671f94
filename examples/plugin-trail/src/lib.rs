//! Audit trail: records the actor, type and time of every event for some days, and returns the records to the host.
//!
//! This plugin is a template to copy. It has one of each part: settings (here), a collection (`entries`), a durable that gets every event (here), operations
//! (`api`) and a metric. It depends on no other part of the service than `chat_sdk`.

mod api;
mod entries;

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{
    BoxFuture, Consumer, ConsumerSpec, Delivery, Host, HostError, Plugin, PluginContext, Verdict,
    read_table,
};
use serde::Deserialize;
use serde_json::Value;

pub use api::TrailApi;
use entries::{Entries, Entry};

/// Pause before the redelivery of an event that could not be stored.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// Time between two heartbeats; the core restarts a plugin after 30 seconds without one.
const BEAT: Duration = Duration::from_secs(5);

/// The table `[plugins.trail]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Number of days for which entries are kept, 1 to 3,650; default 90.
    keep_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_days: 90 }
    }
}

/// The audit trail plugin.
pub struct Trail {
    settings: Settings,
    host: Arc<dyn Host>,
    entries: Entries,
}

impl Trail {
    /// Creates the plugin from its table of `chat.toml` and its host.
    ///
    /// # Errors
    /// The fault of the table, as a sentence that can follow its name.
    pub fn make(table: Option<&Value>, host: Arc<dyn Host>) -> Result<Self, String> {
        let settings: Settings = read_table(table)?;
        if !(1..=3650).contains(&settings.keep_days) {
            return Err(format!(
                "keep_days is {}; it must be from 1 to 3650",
                settings.keep_days
            ));
        }
        Ok(Self {
            entries: Entries::new(host.collection("entries")),
            settings,
            host,
        })
    }

    /// Returns the configuration of the durable: all events, many at once, because entries do not depend on one another.
    fn spec() -> ConsumerSpec {
        ConsumerSpec {
            name: "all".to_owned(),
            events: None,
            concurrency: 32,
            max_pending: 1000,
            ack_wait: Duration::from_secs(30),
        }
    }
}

impl Plugin for Trail {
    const NAME: &'static str = "trail";

    type Api = TrailApi;

    async fn prepare(&self) -> Result<(), HostError> {
        self.entries.prepare(self.settings.keep_days).await
    }

    fn api(self: Arc<Self>) -> TrailApi {
        TrailApi(self)
    }

    fn example(schema: &str) -> Option<Value> {
        api::example(schema)
    }

    async fn run(self: Arc<Self>, life: PluginContext) -> Result<(), HostError> {
        let durables = self.host.durables();
        // A new durable starts at the end of the stream, so earlier events are not part of the trail.
        durables.declare(Self::spec()).await?;
        let keeper: Arc<dyn Consumer> = Arc::new(Keeper(Arc::clone(&self)));
        let mut work = durables.run(Self::spec(), keeper, life.stop.clone());
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                // The work ends after `stop`, when all events in flight are handled.
                () = &mut work => return Ok(()),
                _ = beat.tick() => life.pulse.beat(),
            }
        }
    }
}

/// Consumer that stores an entry for each event.
struct Keeper(Arc<Trail>);

impl Consumer for Keeper {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            let Some(entry) = Entry::of(&delivery) else {
                return Verdict::Drop("its envelope cannot be parsed".to_owned());
            };
            match self.0.entries.keep(&entry).await {
                Ok(()) => {
                    metrics::counter!("chat_trail_entries_total", "type" => entry.kind)
                        .increment(1);
                    Verdict::Done
                }
                Err(_) => Verdict::RetryAfter(AFTER_FAULT),
            }
        })
    }
}

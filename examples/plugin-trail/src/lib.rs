//! An audit trail: who did what, and when, kept for some days and shown to the host.
//!
//! A plugin to copy. It has one of each part: settings (here), a collection (`entries`), a durable that gets every event (here), operations (`api`) and a
//! metric. It knows the service by `chat_sdk` alone.

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

/// When an event is given out again that could not be kept.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// How often it says that it is alive; the core's patience is 30 seconds.
const BEAT: Duration = Duration::from_secs(5);

/// `[plugins.trail]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// How many days entries are kept.
    keep_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_days: 90 }
    }
}

/// The plugin.
pub struct Trail {
    settings: Settings,
    host: Arc<dyn Host>,
    entries: Entries,
}

impl Trail {
    /// The plugin with its table of `chat.toml` and its host.
    ///
    /// # Errors
    /// What is wrong with the table, as a sentence that can follow its name.
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

    /// All events; many at once, because each is kept by itself.
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
        // The first time, it begins here: what happened before is not part of the trail.
        durables.declare(Self::spec()).await?;
        let keeper: Arc<dyn Consumer> = Arc::new(Keeper(Arc::clone(&self)));
        let mut work = durables.run(Self::spec(), keeper, life.stop.clone());
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                // It ends when it was told to, with everything in flight finished.
                () = &mut work => return Ok(()),
                _ = beat.tick() => life.pulse.beat(),
            }
        }
    }
}

/// Who keeps each event.
struct Keeper(Arc<Trail>);

impl Consumer for Keeper {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            let Some(entry) = Entry::of(&delivery) else {
                return Verdict::Drop("its envelope cannot be read".to_owned());
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

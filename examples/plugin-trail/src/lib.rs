//! Audit trail: records the actor, type and time of every event for some days, and returns the records to the host.
//!
//! This plugin is a template to copy. It has one of each part: settings (here), a collection (`entries`), a durable that gets every event (here), operations
//! (`api`) and a metric. It depends on no other part of the service than `chat_sdk`.

mod api;
mod entries;

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::{
    BoxFuture, Consumer, ConsumerSpec, CreatePlugin, Delivery, Host, HostError, Plugin,
    PluginContext, PluginFactory, PluginSettings, Routes, Verdict,
};
use serde::Deserialize;

use api::TrailApi;
use entries::{Entries, Entry};

/// Pause before the redelivery of an event that could not be stored.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    document: api::document,
    ..PluginFactory::new("trail", configure)
};

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

/// Checks the settings. The returned function creates the plugin.
fn configure(settings: &mut PluginSettings<'_>) -> Option<CreatePlugin> {
    let table: Settings = settings.table()?;
    if !(1..=3650).contains(&table.keep_days) {
        settings.table_fault(format!(
            "keep_days is {}; it must be from 1 to 3650",
            table.keep_days
        ));
        return None;
    }
    Some(Box::new(move |host| {
        Arc::new(Trail {
            entries: Entries::new(host.collection("entries")),
            settings: table,
            host,
        })
    }))
}

/// The audit trail plugin.
struct Trail {
    settings: Settings,
    host: Host,
    entries: Entries,
}

impl Trail {
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
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(self.entries.prepare(self.settings.keep_days))
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(TrailApi(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(async move {
            let durables = &self.host.events;
            // A new durable starts at the end of the stream, so earlier events are not part of the trail.
            durables.declare(Self::spec()).await?;
            let keeper: Arc<dyn Consumer> = Arc::new(Keeper(Arc::clone(&self)));
            // The work ends after `stop`, when all events in flight are handled.
            let work = durables.run(Self::spec(), keeper, context.stop.clone());
            context.beat_while(work).await;
            Ok(())
        })
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

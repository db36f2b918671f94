//! Webhooks plugin: delivers every event at least once, signed, to every endpoint that selected it. A dead endpoint does not delay others.
//!
//! Each endpoint has its own durable. A worker passes its events to `deliver`, or to `ordered` if the events of a conversation must be delivered one after
//! the other. Both use `send` for one attempt, `circuit` to pause a failing
//! endpoint, `records` to record the attempts and `letters` for events that could not be delivered; `pages` bounds the lists of both. `endpoints` stores the
//! endpoints, `work` starts and stops their workers, and `api` has the operations by which the host manages them.
//!
//! This crate depends on no other part of the service than `chat_sdk`.

mod api;
mod circuit;
mod deliver;
mod endpoints;
mod environment;
mod letters;
mod ordered;
mod pages;
mod records;
mod send;
mod settings;
mod work;

use std::sync::Arc;

use chat_sdk::plugin::{BoxFuture, Host, HostError, Plugin, PluginContext, PluginFactory, Routes};

use endpoints::Endpoints;
use letters::DeadLetters;
use records::Records;
use settings::Settings;

/// Entry of the plugin in the list of a program.
pub const PLUGIN: PluginFactory = PluginFactory {
    variables: environment::VARIABLES,
    document: api::document,
    ..PluginFactory::new("webhooks", |settings| {
        let settings = Settings::read(settings)?;
        Some(Box::new(move |host| {
            Arc::new(Webhooks::new(settings, host))
        }))
    })
};

/// The webhooks plugin.
struct Webhooks {
    settings: Settings,
    host: Host,
    endpoints: Endpoints,
    letters: DeadLetters,
    records: Records,
}

impl Webhooks {
    fn new(settings: Settings, host: Host) -> Self {
        Self {
            endpoints: Endpoints::new(host.clone()),
            letters: DeadLetters::new(host.collection("dead_letters")),
            records: Records::new(host.collection("deliveries")),
            settings,
            host,
        }
    }
}

impl Plugin for Webhooks {
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async {
            self.endpoints.prepare(&self.settings).await?;
            self.letters.prepare().await?;
            self.records.prepare(self.settings.table.keep_days).await?;
            ordered::prepare(&self.host).await
        })
    }

    fn routes(self: Arc<Self>) -> Routes {
        Routes::new(api::operations(self))
    }

    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        Box::pin(work::run(self, context))
    }
}

//! Webhooks plugin: delivers every event at least once, signed, to every endpoint that selected it. A dead endpoint does not delay others.
//!
//! Each endpoint has its own durable. A worker passes its events to `deliver`, or to `ordered` if the events of a conversation must be delivered one after
//! the other. Both use `send` for one attempt, `address` for the addresses that it may reach, `sign` for its signatures, `circuit` to pause a failing
//! endpoint, `records` to record the attempts and `letters` for events that could not be delivered; `pages` bounds the lists of both. `endpoints` stores the
//! endpoints, `work` starts and stops their workers, and `api` has the operations by which the host manages them.
//!
//! This crate depends on no other part of the service than `chat_sdk`.

mod address;
mod api;
mod circuit;
mod deliver;
mod endpoints;
mod letters;
mod ordered;
mod pages;
mod records;
mod send;
mod settings;
mod sign;
mod work;

use std::sync::Arc;

use chat_sdk::plugin::{Host, HostError, Plugin, PluginContext};
use serde_json::Value;

pub use api::WebhooksApi;
pub use settings::{Environment, EnvironmentEndpoint, Settings};

use endpoints::Endpoints;
use letters::DeadLetters;
use records::Records;

/// The webhooks plugin.
pub struct Webhooks {
    settings: Settings,
    host: Arc<dyn Host>,
    endpoints: Endpoints,
    letters: DeadLetters,
    records: Records,
}

impl Webhooks {
    /// Creates the plugin with its settings and its host.
    pub fn new(settings: Settings, host: Arc<dyn Host>) -> Self {
        Self {
            endpoints: Endpoints::new(Arc::clone(&host)),
            letters: DeadLetters::new(host.collection("dead_letters")),
            records: Records::new(host.collection("deliveries")),
            settings,
            host,
        }
    }
}

impl Plugin for Webhooks {
    const NAME: &'static str = "webhooks";
    const CONFLICTING: &'static [&'static str] = api::CONFLICTING;

    type Api = WebhooksApi;

    async fn prepare(&self) -> Result<(), HostError> {
        self.endpoints.prepare(&self.settings).await?;
        self.letters.prepare().await?;
        self.records.prepare(self.settings.table.keep_days).await?;
        ordered::prepare(&*self.host).await
    }

    fn api(self: Arc<Self>) -> WebhooksApi {
        api::operations(self)
    }

    fn example(schema: &str) -> Option<Value> {
        api::example(schema)
    }

    async fn run(self: Arc<Self>, life: PluginContext) -> Result<(), HostError> {
        work::run(self, life).await
    }
}

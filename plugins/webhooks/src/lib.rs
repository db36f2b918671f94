//! Webhooks: every event to every endpoint that asked for it, signed, at least once, and a dead endpoint delays nobody else.
//!
//! Each endpoint has a durable of its own. A worker gives its events to `deliver`, or to `ordered` where a conversation's events must come one after the
//! other; both use `send` for one attempt, `address` for whom it may reach, `sign` for its proof, `circuit` for leaving a failing endpoint alone,
//! `records` for telling what happened and `letters` for what could not be delivered; `pages` bounds the lists of both. `endpoints` keeps the endpoints, `work` follows them, and `api`
//! is how the host manages them.
//!
//! This crate knows the service by `chat_sdk` alone.

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

/// The plugin.
pub struct Webhooks {
    settings: Settings,
    host: Arc<dyn Host>,
    endpoints: Endpoints,
    letters: DeadLetters,
    records: Records,
}

impl Webhooks {
    /// The plugin with its settings and its host.
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

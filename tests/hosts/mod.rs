//! Hosts on NATS: each in its own account, which may only take its events and send its commands.

mod admin;
mod cluster;
mod commands;
mod durable;
mod examples;
mod rights;
mod tls;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event,
    jetstream::{self, consumer::pull},
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{Nats, Node, Service};

/// The stream under the prefix of the configuration in `nats/`.
const STREAM: &str = "CHAT_EVENTS";

/// A service on a broker with hosts.
async fn service_on(nats: &Nats) -> Service {
    Service::builder()
        .nats(nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_COMMAND_HOSTS", "shop,game")
        .start()
        .await
}

/// Makes the durable of `host`.
async fn durable(service: &Node, host: &str, extra: Value) -> Value {
    let mut body = json!({ "name": host });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let made = service.internal().post("/api/admin/consumers", body).await;
    made.expect(201)
}

/// A host's own connection, and the errors that the server sent to it.
#[derive(Clone)]
struct Host {
    name: String,
    client: Client,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Host {
    async fn connect(nats: &Nats, name: &str) -> Self {
        Self::connect_as(nats, name, name).await
    }

    /// As another user of the account than the one named like it.
    async fn connect_as(nats: &Nats, name: &str, user: &str) -> Self {
        let refused = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&refused);
        let options = ConnectOptions::with_user_and_password(
            user.to_owned(),
            nats.host_password().to_owned(),
        )
        .reconnect_delay_callback(|_| Duration::from_millis(100))
        .event_callback(move |event| {
            let seen = Arc::clone(&seen);
            async move {
                if let Event::ServerError(error) = event {
                    seen.lock().push(error.to_string());
                }
            }
        });
        let client = options.connect(nats.address()).await.expect("a login");
        Self {
            name: name.to_owned(),
            client,
            refused,
        }
    }

    /// Takes up to `limit` events and acknowledges them; returns their envelopes. An event that fails in between is left to another attempt.
    async fn take(&self, limit: usize) -> Vec<Value> {
        self.try_take(limit).await.unwrap_or_default()
    }

    async fn try_take(&self, limit: usize) -> Option<Vec<Value>> {
        let mut context = jetstream::with_domain(self.client.clone(), "chat");
        context.set_timeout(Duration::from_secs(2));
        let stream = context.get_stream_no_info(STREAM).await.ok()?;
        let consumer = stream.get_consumer::<pull::Config>(&self.name).await.ok()?;
        let mut messages = consumer
            .batch()
            .max_messages(limit)
            .expires(Duration::from_millis(500))
            .messages()
            .await
            .ok()?;
        let mut events = Vec::new();
        while let Some(Ok(message)) = messages.next().await {
            let event = serde_json::from_slice(&message.payload).unwrap_or_default();
            // Handled first and acknowledged then: an event without an acknowledgement is delivered again.
            events.push(event);
            let _ = message.double_ack().await;
        }
        Some(events)
    }
}

/// The ids of events.
fn ids(events: &[Value]) -> HashSet<String> {
    events
        .iter()
        .filter_map(|event| Some(event["id"].as_str()?.to_owned()))
        .collect()
}

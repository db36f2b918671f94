//! The only user of NATS: subjects, the stream, publishing, the tail, and the routing to other processes' writers.
//!
//! The broker is never the source of truth: everything in the stream is in the log first, and the relay puts back what the stream lost. So a failed publish of an
//! entry is only logged here, and consumers of the stream order and deduplicate by (owner, seq).
//! This module knows the domain's types, and no HTTP, no socket and no database.

mod acks;
pub mod announcer;
pub mod commands;
pub mod durables;
pub mod ephemeral;
pub mod hooks;
pub mod hosts;
pub mod lag;
mod latest;
pub mod publish;
mod read_stream;
mod reader;
mod streams;
pub mod subjects;
pub mod tail;

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, connection::State, jetstream};
use metrics::counter;
use tokio::sync::watch;

pub use streams::StreamError;
pub use subjects::Subjects;

use crate::model::bounds;

/// Maximum pause between two attempts to reconnect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(4);
/// Time limit of a call to JetStream's API.
const API_TIMEOUT: Duration = Duration::from_secs(2);

/// Connection to NATS, and settings of the stream.
#[derive(Debug, Clone)]
pub struct BusOptions {
    /// One or more server addresses, comma-separated.
    pub url: String,
    /// Path of a credentials file.
    pub credentials: Option<std::path::PathBuf>,
    /// Prefix of every subject.
    pub prefix: String,
    /// Number of replicas of the stream.
    pub replicas: usize,
    /// Time that the stream keeps an event.
    pub retention: Duration,
    /// Maximum size of the stream in bytes, whatever its age. The server reserves them.
    pub max_bytes: i64,
}

/// Error of a NATS operation.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The server could not be reached, or refused the connection.
    #[error("NATS cannot be reached: {0}")]
    Connect(String),
    /// The credentials file could not be read.
    #[error("NATS_CREDS: {0}")]
    Credentials(std::io::Error),
    /// The stream could not be created, or its configuration is unusable.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The broker never accepts the message, so a retry would not help.
    #[error("NATS refuses a message: {0}")]
    Rejected(String),
    /// A limit of the server is smaller than what this program sends.
    #[error(
        "the server's {name} is {found} bytes, and at least {needed} are needed; raise it in the server's configuration"
    )]
    Limit {
        /// Name of the limit in the server's configuration.
        name: &'static str,
        /// Current value of the limit, in bytes.
        found: usize,
        /// Required value of the limit, in bytes.
        needed: usize,
    },
    /// The server did not take or acknowledge a message.
    #[error("NATS did not acknowledge: {0}")]
    Publish(String),
}

/// The connections of this process.
///
/// There are two, so that a slow reader of the stream cannot delay commands and publishes.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    jetstream: jetstream::Context,
    tail: Client,
    subjects: Subjects,
    options: Arc<BusOptions>,
    /// Counter of the connections of `tail`; at every new one the tail checks its position.
    tail_connections: watch::Receiver<u64>,
}

impl Bus {
    /// Connects and declares the stream.
    ///
    /// # Errors
    /// If the server does not answer, refuses the login, has too small limits ([`BusError::Limit`]), or has another stream under our name.
    pub async fn connect(options: BusOptions) -> Result<Self, BusError> {
        let client = connect(&options, "commands", None).await?;
        let found = client.server_info().max_payload;
        if found < bounds::NATS_PAYLOAD {
            return Err(BusError::Limit {
                name: "max_payload",
                found,
                needed: bounds::NATS_PAYLOAD,
            });
        }
        let (count, tail_connections) = watch::channel(0);
        let tail = connect(&options, "tail", Some(count)).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(API_TIMEOUT);
        let bus = Self {
            subjects: Subjects::new(&options.prefix),
            options: Arc::new(options),
            client,
            jetstream,
            tail,
            tail_connections,
        };
        bus.declare_stream().await?;
        Ok(bus)
    }

    /// Returns true if the server is reachable at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Pings the server and returns the round-trip time.
    ///
    /// # Errors
    /// If there is no answer within two seconds.
    pub async fn ping(&self) -> Result<Duration, BusError> {
        let started = std::time::Instant::now();
        match tokio::time::timeout(API_TIMEOUT, self.client.flush()).await {
            Ok(Ok(())) if self.is_connected() => Ok(started.elapsed()),
            _ => Err(BusError::Connect("no answer".to_owned())),
        }
    }

    /// Returns the subjects of this deployment.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }
}

async fn connect(
    options: &BusOptions,
    name: &str,
    connections: Option<watch::Sender<u64>>,
) -> Result<Client, BusError> {
    let mut connect = ConnectOptions::new();
    if let Some(path) = &options.credentials {
        connect = connect
            .credentials_file(path)
            .await
            .map_err(BusError::Credentials)?;
    }
    let servers = split_urls(&options.url);
    // The crate only detects that an address contains a login, and does not use it.
    if let Some((user, password)) = servers.iter().find_map(login_of) {
        connect = match password {
            Some(password) => connect.user_and_password(user, password),
            None => connect.token(user),
        };
    }
    let connections = Arc::new(connections);
    let label = name.to_owned();
    connect = connect
        .name(format!("chat-service {name}"))
        .ping_interval(Duration::from_secs(10))
        // The crate's own delays have no jitter: all processes would reconnect at the same moment.
        .reconnect_delay_callback(|attempt| {
            let ceiling = Duration::from_millis(50 << attempt.min(7)).min(MAX_RECONNECT_DELAY);
            ceiling.mul_f64(0.5 + rand::random::<f64>() / 2.0)
        })
        .event_callback(move |event| {
            let connections = Arc::clone(&connections);
            let label = label.clone();
            async move {
                match event {
                    Event::Connected => {
                        tracing::info!(connection = %label, "connected to NATS");
                        if let Some(connections) = &*connections {
                            connections.send_modify(|count| *count += 1);
                        }
                    }
                    Event::Disconnected => {
                        tracing::warn!(connection = %label, "lost NATS; trying again")
                    }
                    // For example a subject that the service's account has no permission for: its caller sees at most a time-out.
                    Event::ServerError(error) => {
                        tracing::error!(connection = %label, %error, "NATS refused an operation of the service")
                    }
                    Event::SlowConsumer(subscription) => {
                        counter!("chat_nats_slow_consumers_total", "connection" => label.clone())
                            .increment(1);
                        tracing::warn!(connection = %label, subscription, "messages of a NATS subscription were dropped, because they arrived faster than they were read");
                    }
                    other => tracing::debug!(connection = %label, event = %other, "NATS"),
                }
            }
        });
    connect
        .connect(servers)
        .await
        .map_err(|error| BusError::Connect(error.to_string()))
}

/// Returns user and password of an address; a user without password is a token.
fn login_of(server: &async_nats::ServerAddr) -> Option<(String, Option<String>)> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = server.username()?;
    Some((decode(user), server.password().map(decode)))
}

fn split_urls(urls: &str) -> Vec<async_nats::ServerAddr> {
    urls.split(',')
        .filter_map(|url| url.trim().parse().ok())
        .collect()
}

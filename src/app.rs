//! The wiring: from a configuration to a running process. It decides nothing else.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::{Request, body::Incoming};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::TrustedProxies,
    api::{self, ApiState},
    auth::{SetupError, Verifier},
    bus::{Bus, BusOptions, commands, nodes, publish::Announcer, tail},
    config::{AppEnv, Config},
    domain::{Context, KnownUsers, Limits, command::Writers, presence::Roster},
    health::Probe,
    limits::{EVICTION_PERIOD, RateLimits},
    listener,
    plugins::{Core, Plugins},
    store::{
        PrepareError, Store,
        log::{Writer, mongo::MongoBackend},
    },
    worker::{self, Seen, erasure, presence, relay::Relay, timers::Timers},
    ws::{self, Hub, Node, close::CloseReason, cursor::Seal},
};

/// How long MongoDB and NATS are waited for at the start.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two tries to reach them.
const START_PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of a request's body.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How many connections the kernel keeps that were not accepted yet: a node's clients all come back at once.
const BACKLOG: u32 = 4096;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// REST, writing for shards, the relay.
    pub api: bool,
    /// Sockets.
    pub ws: bool,
    /// Delivering webhooks.
    pub webhooks: bool,
}

impl Roles {
    /// The roles by name.
    pub const NAMES: [&'static str; 3] = ["api", "ws", "webhooks"];

    /// Everything in one process.
    pub fn all() -> Self {
        Self {
            api: true,
            ws: true,
            webhooks: true,
        }
    }

    /// The roles of a comma-separated list.
    ///
    /// # Errors
    /// A sentence for a name that is none, or an empty list.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut roles = Self {
            api: false,
            ws: false,
            webhooks: false,
        };
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name {
                "api" => roles.api = true,
                "ws" => roles.ws = true,
                "webhooks" => roles.webhooks = true,
                "all" => roles = Self::all(),
                other => {
                    return Err(format!(
                        "{other} is no role of this version; there are {}",
                        Self::NAMES.join(", ")
                    ));
                }
            }
        }
        if roles.api || roles.ws || roles.webhooks {
            Ok(roles)
        } else {
            Err("name at least one role".to_owned())
        }
    }

    fn names(self) -> Vec<&'static str> {
        let mut names = Vec::new();
        names.extend(self.api.then_some("api"));
        names.extend(self.ws.then_some("ws"));
        names.extend(self.webhooks.then_some("webhooks"));
        names
    }
}

/// The ports of a process, open.
pub struct Listeners {
    /// For REST; a process that only works shows its health there.
    pub api: Option<TcpListener>,
    /// For sockets.
    pub ws: Option<TcpListener>,
}

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken or not ours.
    #[error("{variable}: the port {address} cannot be opened: {error}")]
    Port {
        /// The variable that names it.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The keys for tokens cannot be used.
    #[error("{0}")]
    Auth(#[from] SetupError),
    /// MongoDB was not there in time.
    #[error("MONGODB_URI: MongoDB could not be used within 30 s: {0}")]
    Mongo(String),
    /// The settings of a plugin cannot be used.
    #[error("{0}")]
    Plugin(String),
    /// NATS was not there in time.
    #[error("NATS_URL: NATS could not be used within 30 s: {0}")]
    Nats(String),
}

impl Listeners {
    /// Opens the ports that `roles` need.
    ///
    /// # Errors
    /// [`StartError::Port`].
    pub fn open(config: &Config, roles: Roles) -> Result<Self, StartError> {
        let host = config.server.host;
        Ok(Self {
            api: (roles.api || !roles.ws)
                .then(|| bind("PORT", SocketAddr::new(host, config.server.port)))
                .transpose()?,
            ws: roles
                .ws
                .then(|| bind("WS_PORT", SocketAddr::new(host, config.server.ws_port)))
                .transpose()?,
        })
    }
}

fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| StartError::Port {
        variable,
        address,
        error,
    })
}

/// The recorder of this process's metrics; one, however many services a test runs in it.
fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let seconds = [
                0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
            ];
            let entries = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
                .and_then(|builder| {
                    builder.set_buckets_for_metric(Matcher::Suffix("_entries".to_owned()), &entries)
                })
                .and_then(PrometheusBuilder::install_recorder)
                .unwrap_or_else(|_| {
                    // Another recorder is there already; this one stays empty.
                    PrometheusBuilder::new().build_recorder().handle()
                })
        })
        .clone()
}

/// Runs a process until `stop`, then lets what is in flight finish within the configured grace.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub async fn run(
    config: Config,
    roles: Roles,
    listeners: Listeners,
    stop: CancellationToken,
) -> Result<(), StartError> {
    // Ignored when a test has done it already: there is one provider for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = metrics();
    let verifier = Verifier::from_config(&config.auth)?;
    let (store, epoch) = open_store(&config).await?;
    let bus = open_bus(&config).await?;

    let known_users = Arc::new(KnownUsers::default());
    let backend = Arc::new(MongoBackend::new(Arc::clone(&store)));
    let announcer = Announcer::start(bus.clone());
    let local: Arc<dyn Writers> = Arc::new(Writer::start(
        Arc::clone(&backend),
        Arc::clone(&announcer) as _,
    ));
    // What serves clients ends first; what it works with ends after it.
    let end = CancellationToken::new();
    let nodes = nodes::start(&bus, roles.api, end.clone());
    let tasks = TaskTracker::new();
    if roles.api {
        tasks.spawn(commands::serve(
            bus.clone(),
            Arc::clone(&local),
            nodes.clone(),
            end.clone(),
        ));
    }
    let holder = nodes.me.to_string();
    let timer = holder.clone();
    let core = Core::new(
        Arc::clone(&store),
        bus.clone(),
        config.auth.secrets_key.as_ref(),
        holder.clone(),
    );
    let plugins = start_plugins(&config, &core).await?;
    let ctx = Context {
        store: Arc::clone(&store),
        writers: Arc::new(commands::Router::new(bus.clone(), local, nodes)),
        latest: announcer,
        presence: Roster::new(config.presence.away_threshold),
        limits: Limits {
            max_message_bytes: config.limits.max_message_bytes,
            max_group_members: u32::try_from(config.limits.max_group_members).unwrap_or(u32::MAX),
        },
        known_users: Arc::clone(&known_users),
    };

    // What only works: it ends with what serves clients, and may take as long.
    let workers = TaskTracker::new();
    let seen = Arc::new(Seen::new(known_users));
    let hub = Hub::new(
        Arc::clone(&store),
        Seal::new(config.auth.internal_secret.expose(), &epoch),
    );
    let status = Arc::new(tail::TailStatus::default());
    let told = presence::Told(Arc::clone(&ctx.presence));
    let mut sinks: Vec<Arc<dyn tail::TailSink>> = vec![Arc::clone(&seen) as _, Arc::new(told)];
    let typing = ws::Typing::new(&bus, Arc::clone(&hub), &config.presence);
    let (watchers, changes) = ws::Watchers::new(Arc::clone(&hub), ctx.clone());
    if roles.ws {
        // Who wrote is told to type no more before the message comes; what is news is known before it is noted.
        sinks.insert(0, Arc::clone(&typing) as _);
        sinks.insert(0, Arc::clone(&watchers) as _);
        sinks.push(Arc::clone(&hub) as _);
        tasks.spawn(ws::typing::run(
            bus.clone(),
            Arc::clone(&typing),
            end.clone(),
        ));
        tasks.spawn(ws::presence::run(
            Arc::clone(&watchers),
            changes,
            end.clone(),
        ));
    }
    tasks.spawn(tail::run(
        bus.clone(),
        sinks,
        Arc::clone(&status),
        end.clone(),
    ));
    tasks.spawn(presence::run(bus.clone(), ctx.clone(), end.clone()));
    if roles.api {
        let eraser = holder.clone();
        let relay = Relay {
            store: Arc::clone(&store),
            bus: bus.clone(),
            backend,
            seen,
            tail: Arc::clone(&status),
            holder,
            retention: Duration::from_secs(u64::from(config.stores.event_retention_days) * 86_400),
        };
        tasks.spawn(relay.run(end.clone()));
        tasks.spawn(erasure::run(ctx.clone(), eraser, end.clone()));
        let ctx = ctx.clone();
        tasks.spawn(Timers { ctx, holder: timer }.run(end.clone()));
    }
    if roles.webhooks {
        plugins.run_webhooks(&workers, &stop);
    }
    let rates = Arc::new(RateLimits::new(&config.limits));
    tasks.spawn(evict_idle(Arc::clone(&rates), end.clone()));
    let proxies = Arc::new(TrustedProxies::new(config.server.trusted_proxies.clone()));
    let probe = Arc::new(Probe::new(store, bus, status, metrics, roles.names()));

    let servers = TaskTracker::new();
    let grace = config.server.shutdown_grace;
    let node = roles.ws.then(|| {
        Arc::new(Node {
            ctx: ctx.clone(),
            verifier: verifier.clone(),
            internal_secret: config.auth.internal_secret.clone(),
            limits: Arc::clone(&rates),
            origins: config.cors.allowed_origins.clone(),
            max_sockets_per_user: config.limits.max_sockets_per_user,
            leeway: config.auth.leeway,
            hub: Arc::clone(&hub),
            watchers,
            typing,
            probe: Arc::clone(&probe),
        })
    });
    if let Some(listener) = listeners.api {
        if !roles.api {
            log_address("health", &listener);
            let (probe, proxies) = (Arc::clone(&probe), Arc::clone(&proxies));
            let answer = move |request, _client| worker::answer(Arc::clone(&probe), request);
            servers.spawn(listener::serve(
                listener,
                proxies,
                answer,
                stop.clone(),
                grace,
            ));
        } else {
            let endpoint = Arc::new(api::endpoint(ApiState {
                ctx: ctx.clone(),
                verifier: verifier.clone(),
                internal_secret: config.auth.internal_secret.clone(),
                limits: Arc::clone(&rates),
                origins: config.cors.allowed_origins.clone(),
                health: Arc::clone(&probe),
                max_body_bytes: MAX_BODY_BYTES,
                plugins,
            }));
            log_address("REST", &listener);
            let node = node.clone();
            let answer = move |request: Request<Incoming>, client| {
                let endpoint = Arc::clone(&endpoint);
                // Event streams hang on the hub, which only a process with sockets has.
                let node = node
                    .clone()
                    .filter(|_| request.uri().path() == ws::event_stream::PATH);
                async move {
                    match node {
                        Some(node) => ws::event_stream::answer(node, request, client).await,
                        None => api::answer(endpoint, request, client).await,
                    }
                }
            };
            let proxies = Arc::clone(&proxies);
            servers.spawn(listener::serve(
                listener,
                proxies,
                answer,
                stop.clone(),
                grace,
            ));
        }
    }
    if let (Some(listener), Some(node)) = (listeners.ws, node) {
        log_address("WebSocket", &listener);
        let answer = move |request, client| ws::answer(Arc::clone(&node), request, client);
        servers.spawn(listener::serve(
            listener,
            proxies,
            answer,
            stop.clone(),
            grace,
        ));
    }
    tracing::info!(roles = ?probe.roles, version = env!("CARGO_PKG_VERSION"), "chat service is running");

    stop.cancelled().await;
    tracing::info!("stopping: finishing what is in flight");
    probe.drain();
    servers.close();
    workers.close();
    hub.end_all(CloseReason::Restarting);
    let deadline = Instant::now() + grace;
    let sockets_gone = async {
        while !hub.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout_at(deadline, async {
        tokio::join!(servers.wait(), workers.wait(), sockets_gone);
    })
    .await;
    end.cancel();
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), tasks.wait()).await;
    tracing::info!("stopped");
    Ok(())
}

/// Makes the plugins that the configuration names, and what they need in the database.
async fn start_plugins(config: &Config, core: &Core) -> Result<Plugins, StartError> {
    let plugins = Plugins::register(config, core).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        StartError::Plugin(lines.join("; "))
    })?;
    patiently("MongoDB", || plugins.prepare())
        .await
        .map_err(|error| StartError::Mongo(brief(&error)))?;
    Ok(plugins)
}

/// Lets the limits forget who was quiet, until `end`.
async fn evict_idle(rates: Arc<RateLimits>, end: CancellationToken) {
    while end
        .run_until_cancelled(tokio::time::sleep(EVICTION_PERIOD))
        .await
        .is_some()
    {
        rates.evict_idle();
    }
}

fn log_address(what: &'static str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} is listening");
    }
}

/// Repeats `attempt` until it succeeds or the patience ends. Every failure is a line.
async fn patiently<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    what: &'static str,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() + START_PAUSE >= deadline => return Err(error),
            Err(error) => {
                tracing::warn!(error = %brief(&error), "{what} is not there yet; trying again");
                tokio::time::sleep(START_PAUSE).await;
            }
        }
    }
}

/// Opens the database and prepares it.
///
/// # Errors
/// [`StartError::Mongo`].
pub async fn open_store(config: &Config) -> Result<(Arc<Store>, String), StartError> {
    let stores = &config.stores;
    let store = Store::connect(stores.mongodb_uri.expose(), &stores.mongodb_database)
        .await
        .map_err(|error| StartError::Mongo(brief(&error.kind)))?;
    let epoch = patiently("MongoDB", || async {
        match store.prepare().await {
            // Waiting does not make an older program newer.
            Err(error @ PrepareError::TooNew { .. }) => Ok(Err(error)),
            Ok(epoch) => Ok(Ok(epoch)),
            Err(error) => Err(error),
        }
    })
    .await
    .and_then(|prepared| prepared)
    .map_err(|error| StartError::Mongo(brief(&error)))?;
    Ok((Arc::new(store), epoch))
}

/// The driver's text without its picture of the whole topology: one line for a person.
fn brief(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" Topology:").next().unwrap_or_default();
    text.trim_start_matches("Kind: ").to_owned()
}

async fn open_bus(config: &Config) -> Result<Bus, StartError> {
    let stores = &config.stores;
    let urls: Vec<&str> = stores.nats_urls.iter().map(|url| url.expose()).collect();
    let options = BusOptions {
        url: urls.join(","),
        credentials: stores.nats_creds.clone(),
        prefix: stores.nats_subject_prefix.clone(),
        replicas: stores.nats_replicas,
        retention: Duration::from_secs(u64::from(stores.event_retention_days) * 86_400),
        // Many services share a server in tests, and the server sets the bytes aside.
        max_bytes: match config.server.app_env {
            AppEnv::Test => 64 << 20,
            AppEnv::Development | AppEnv::Production => 4 << 30,
        },
    };
    patiently("NATS", || Bus::connect(options.clone()))
        .await
        .map_err(|error| StartError::Nats(error.to_string()))
}

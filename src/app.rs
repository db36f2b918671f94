//! The wiring: from a configuration to a running process. It decides nothing else.

mod listeners;
mod roles;
mod start;

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::Plugin;
use hyper::{Request, body::Incoming};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::TrustedProxies,
    api::{self, ApiState, HostCommands},
    auth::Verifier,
    bus::{
        self, commands, nodes,
        publish::Announcer,
        tail::{self, Reads},
    },
    config::{AppEnv, Config},
    domain::{
        Context, KnownUsers, Limits, command::Writers, consumers::Consumers, presence::Roster,
    },
    health::Probe,
    limits::{EVICTION_PERIOD, RateLimits},
    listener,
    plugins::{self, Core, Make, Nothing},
    store::log::{Writer, mongo::MongoBackend},
    worker::{
        self, Revoked, Seen, bells, erasure, hosts, presence,
        relay::{Relay, SecondSweep},
        timers::Timers,
    },
    ws::{self, Hub, Node, close::CloseReason, cursor::Seal},
};
pub use listeners::Listeners;
use listeners::log_address;
pub use roles::Roles;
pub use start::{StartError, begin_epoch, open_store, prepare_with};
use start::{metrics, open_bus, start_plugins};

/// The most bytes of a request's body.
const MAX_BODY_BYTES: usize = 1 << 20;

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
    run_with::<Nothing>(config, roles, listeners, stop, None).await
}

/// The same with a plugin from outside, which works in processes with the role `webhooks`, as all plugins do.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub async fn run_with<P: Plugin>(
    config: Config,
    roles: Roles,
    listeners: Listeners,
    stop: CancellationToken,
    guest: Option<Make<P>>,
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
    let writer = Writer::start(Arc::clone(&backend), Arc::clone(&announcer) as _);
    let local: Arc<dyn Writers> = Arc::new(writer.clone());
    // What serves clients ends first; what it works with ends after it.
    let end = CancellationToken::new();
    let nodes = nodes::start(&bus, roles.api, end.clone());
    let tasks = TaskTracker::new();
    if roles.api {
        tasks.spawn(commands::serve(
            bus.clone(),
            Arc::clone(&local),
            Arc::clone(&nodes.me),
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
    let (plugins, guest) = start_plugins(&config, &core, guest).await?;
    let consumers = Consumers {
        store: Arc::clone(&store),
        durables: core
            .host_durables()
            .expect("a core that was made with a broker has them"),
    };
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
        bells: Arc::default(),
    };

    store.settled.by(&ctx.writers);

    // What only works: it ends with what serves clients, and may take as long.
    let workers = TaskTracker::new();
    let seen = Arc::new(Seen::default());
    let revoked = Arc::new(Revoked(known_users));
    let hub = Hub::new(
        Arc::clone(&store),
        Seal::new(config.auth.internal_secret.expose(), &epoch),
    );
    let status = Arc::new(tail::TailStatus::default());
    let told = presence::Told(Arc::clone(&ctx.presence));
    let mut sinks: Vec<Arc<dyn tail::TailSink>> = vec![revoked, Arc::new(told)];
    let typing = ws::Typing::new(&bus, Arc::clone(&hub), &config.presence);
    let (watchers, changes) = ws::Watchers::new(Arc::clone(&hub), ctx.clone());
    if roles.ws {
        // Who wrote is told to type no more before the message comes; what is news is known before it is noted.
        sinks.insert(0, Arc::clone(&typing) as _);
        sinks.insert(0, Arc::clone(&watchers) as _);
        if roles.api {
            // Only a relay asks what was seen.
            sinks.push(Arc::clone(&seen) as _);
        }
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
    // A process that only delivers has nobody to tell: it follows its durables, and is spared the rest of the stream.
    if roles.api || roles.ws {
        let reads = match roles.ws {
            true => Reads::All,
            false => Reads::Users,
        };
        let tail = tail::run(bus.clone(), reads, sinks, Arc::clone(&status), end.clone());
        tasks.spawn(tail);
        tasks.spawn(bells::run(bus.clone(), Arc::clone(&ctx.bells), end.clone()));
        tasks.spawn(presence::run(bus.clone(), ctx.clone(), end.clone()));
    }
    if roles.api {
        let eraser = holder.clone();
        let relay = Relay {
            store: Arc::clone(&store),
            bus: bus.clone(),
            backend,
            seen,
            tail: match roles.ws {
                true => Arc::clone(&status),
                false => Arc::default(),
            },
            is_followed: roles.ws,
            holder,
            retention: Duration::from_secs(u64::from(config.stores.event_retention_days) * 86_400),
            second: match config.server.app_env {
                // Nobody waits twelve minutes for a test.
                AppEnv::Test => SecondSweep {
                    behind: Duration::from_secs(5),
                    period: Duration::from_secs(2),
                    warm_up: Duration::from_secs(8),
                },
                AppEnv::Development | AppEnv::Production => SecondSweep::default(),
            },
        };
        tasks.spawn(relay.run(end.clone()));
        tasks.spawn(erasure::run(ctx.clone(), eraser, end.clone()));
        tasks.spawn(hosts::run(consumers.clone(), timer.clone(), end.clone()));
        let timers = Timers {
            ctx: ctx.clone(),
            holder: timer,
            bus: bus.clone(),
        };
        tasks.spawn(timers.run(end.clone()));
    }
    if roles.webhooks {
        plugins.run_webhooks(&workers, &stop);
        plugins::run_guest(guest.clone(), &workers, &stop);
    }
    let rates = Arc::new(RateLimits::new(&config.limits));
    tasks.spawn(evict_idle(Arc::clone(&rates), end.clone()));
    let proxies = Arc::new(TrustedProxies::new(config.server.trusted_proxies.clone()));
    let host_bus = bus.clone();
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
            flushers: ws::Flushers::start(&hub.seal),
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
            let state = ApiState {
                ctx: ctx.clone(),
                verifier: verifier.clone(),
                internal_secret: config.auth.internal_secret.clone(),
                limits: Arc::clone(&rates),
                origins: config.cors.allowed_origins.clone(),
                health: Arc::clone(&probe),
                max_body_bytes: MAX_BODY_BYTES,
                plugins,
                consumers,
            };
            let endpoint = Arc::new(api::endpoint(state, guest));
            let host_commands = HostCommands::new(
                Arc::clone(&endpoint),
                config.auth.internal_secret.clone(),
                MAX_BODY_BYTES,
            );
            workers.spawn(bus::hosts::serve(
                host_bus,
                config.stores.nats_command_hosts.clone(),
                Arc::new(host_commands),
                stop.clone(),
            ));
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
    let _ = tokio::time::timeout(Duration::from_secs(2), async {
        tasks.wait().await;
        writer.flush().await;
    })
    .await;
    tracing::info!("stopped");
    Ok(())
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

//! Wiring: builds a running process from a configuration. It makes no other decisions.

mod listeners;
mod roles;
mod start;

use std::{future::Future, sync::Arc, time::Duration};

use chat_sdk::plugin::Plugin;
use futures_util::{FutureExt, future::BoxFuture};
use hyper::Request;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::TrustedProxies,
    api::{self, ApiState, HostCommands},
    auth::Verifier,
    bus::{
        self, commands, nodes,
        publish::Announcer,
        tail::{self, TailMode},
    },
    config::{AppEnv, Config},
    domain::{
        Context, KnownUsers, Limits, command::Writers, consumers::Consumers,
        presence::LocalPresence,
    },
    health::{Observed, Probe},
    limits::{EVICTION_PERIOD, RateLimits},
    listener::{self, Terms, TimedBody},
    plugins::{self, Core, NoPlugin, PluginFactory},
    store::log::{Writer, mongo::MongoBackend},
    tasks::{Tasks, restarted, vital},
    worker::{
        self, Revoked, Seen, bells, erasure, hosts, presence,
        refills::Refills,
        relay::{Relay, SecondSweep},
        timers::Timers,
    },
    ws::{self, Hub, Node, close::CloseReason, cursor::Seal},
};
pub use listeners::Listeners;
use listeners::log_address;
pub use roles::Roles;
pub use start::{StartError, begin_epoch, open_store, prepare_with};
use start::{metrics, open_bus, pair_key, start_plugins};

/// Maximum size of a request body in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Runs a process until `stop`, then finishes requests in flight within the configured grace period.
///
/// # Errors
/// [`StartError`] if the process cannot start.
pub async fn run(
    config: Config,
    roles: Roles,
    listeners: Listeners,
    stop: CancellationToken,
) -> Result<(), StartError> {
    run_with::<NoPlugin>(config, roles, listeners, stop, None).await
}

/// Runs a process with an external plugin.
///
/// Like all plugins, it works in processes with the role `webhooks`.
///
/// # Errors
/// [`StartError`] if the process cannot start.
pub async fn run_with<P: Plugin>(
    config: Config,
    roles: Roles,
    listeners: Listeners,
    stop: CancellationToken,
    guest: Option<PluginFactory<P>>,
) -> Result<(), StartError> {
    // Ignored if a test has already installed it: a process has one provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = metrics();
    let verifier = Verifier::from_config(&config.auth)?;
    let (store, epoch) = open_store(&config).await?;
    let pair_key = pair_key(&store).await?;
    let bus = open_bus(&config).await?;

    let known_users = Arc::new(KnownUsers::default());
    let backend = Arc::new(MongoBackend::new(Arc::clone(&store)));
    let (announcer, publisher) = Announcer::new(bus.clone());
    let (writer, actor) = Writer::new(Arc::clone(&backend), Arc::clone(&announcer) as _);
    let local: Arc<dyn Writers> = Arc::new(writer.clone());
    // Tasks that serve clients end first; the tasks that they depend on end after them.
    let tasks = Supervisor::default();
    let _ends = tasks.end.clone().drop_guard();
    // These two end with their last handle, after all others.
    tokio::spawn(
        tasks
            .all
            .supervise(vital("writer", actor), tasks.end.clone()),
    );
    let announcing = restarted("announcer", move |_| publisher.clone().run());
    tokio::spawn(tasks.all.supervise(announcing, tasks.end.clone()));
    let (nodes, heart) = nodes::new(&bus, roles.api);
    tasks.keep("heartbeat", move |end| heart.clone().run(end));
    if roles.api {
        let (bus, local, me) = (bus.clone(), Arc::clone(&local), Arc::clone(&nodes.me));
        tasks.keep("commands", move |end| {
            commands::serve(bus.clone(), Arc::clone(&local), Arc::clone(&me), end)
        });
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
        presence: LocalPresence::new(config.presence.away_threshold),
        limits: Limits {
            max_message_bytes: config.limits.max_message_bytes,
            max_group_members: u32::try_from(config.limits.max_group_members).unwrap_or(u32::MAX),
            max_conversations: u32::try_from(config.limits.max_conversations_per_user)
                .unwrap_or(u32::MAX),
            add_rule: config.limits.participant_add_rule,
        },
        known_users: Arc::clone(&known_users),
        pair_key,
        bells: Arc::default(),
    };

    store.settled.by(&ctx.writers, &backend);

    // Tasks without clients: they end together with those that serve clients, and may take as long.
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
        // Order matters: typing stops before its message is delivered; presence watchers compare with the table before it is updated.
        sinks.insert(0, Arc::clone(&typing) as _);
        sinks.insert(0, Arc::clone(&watchers) as _);
        if roles.api {
            // Only the relay reads what was seen.
            sinks.push(Arc::clone(&seen) as _);
        }
        sinks.push(Arc::clone(&hub) as _);
        let (bus, shown) = (bus.clone(), Arc::clone(&typing));
        tasks.keep("typing", move |end| {
            ws::typing::run(bus.clone(), Arc::clone(&shown), end)
        });
        let (told, changes) = (Arc::clone(&watchers), Arc::new(AsyncMutex::new(changes)));
        tasks.keep("watchers", move |end| {
            ws::presence::run(Arc::clone(&told), Arc::clone(&changes), end)
        });
    }
    // A process that only delivers webhooks has no clients to notify: it follows its durables and skips the rest of the stream.
    if roles.api || roles.ws {
        let reads = match roles.ws {
            true => TailMode::Full,
            false => TailMode::UserEvents,
        };
        let (tail_bus, tail_status) = (bus.clone(), Arc::clone(&status));
        let follow = move |end| {
            let (bus, status) = (tail_bus.clone(), Arc::clone(&tail_status));
            tail::run(bus, reads, sinks.clone(), status, end)
        };
        match roles.ws {
            // A panic in the middle of an event leaves the hub in an unknown state. Clients lose nothing: they resume at another node.
            true => tasks.vital("tail", follow(tasks.end.clone())),
            // Without sockets its listeners keep facts that may be repeated, and it starts some minutes back.
            false => tasks.keep("tail", follow),
        }
        let (bells_bus, bells) = (bus.clone(), Arc::clone(&ctx.bells));
        tasks.keep("bells", move |end| {
            bells::run(bells_bus.clone(), Arc::clone(&bells), end)
        });
        let (bus, ctx) = (bus.clone(), ctx.clone());
        tasks.keep("presence", move |end| {
            presence::run(bus.clone(), ctx.clone(), end)
        });
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
                // Tests must not wait twelve minutes.
                AppEnv::Test => SecondSweep {
                    behind: Duration::from_secs(5),
                    period: Duration::from_secs(2),
                    warm_up: Duration::from_secs(8),
                },
                AppEnv::Development | AppEnv::Production => SecondSweep::default(),
            },
        };
        // All of these keep their state in MongoDB, protected by leases.
        tasks.keep("relay", move |end| relay.clone().run(end));
        if let Some(durables) = core.durables() {
            let refills = Refills {
                store: Arc::clone(&store),
                durables,
                holder: timer.clone(),
            };
            tasks.keep("refills", move |end| refills.clone().run(end));
        }
        let erasing = ctx.clone();
        tasks.keep("erasure", move |end| {
            erasure::run(erasing.clone(), eraser.clone(), end)
        });
        let (durables, keeper) = (consumers.clone(), timer.clone());
        tasks.keep("hosts", move |end| {
            hosts::run(durables.clone(), keeper.clone(), end)
        });
        let timers = Timers {
            ctx: ctx.clone(),
            holder: timer,
            bus: bus.clone(),
        };
        tasks.keep("timers", move |end| timers.clone().run(end));
    }
    if roles.webhooks {
        if let Some(task) = plugins.webhooks_task() {
            workers.spawn(tasks.all.supervise(task, stop.clone()));
        }
        if let Some(guest) = guest.clone() {
            workers.spawn(
                tasks
                    .all
                    .supervise(plugins::guest_task(guest), stop.clone()),
            );
        }
    }
    let rates = Arc::new(RateLimits::new(&config.limits));
    let evicted = Arc::clone(&rates);
    tasks.keep("limits", move |end| evict_idle(Arc::clone(&evicted), end));
    let host_bus = bus.clone();
    let probe = Arc::new(Probe::new(Observed {
        store,
        bus,
        writer: roles.api.then(|| writer.clone()),
        tail: status,
        is_followed: roles.ws,
        tasks: Arc::clone(&tasks.all),
        metrics,
        roles: roles.names(),
    }));

    let servers = TaskTracker::new();
    let grace = config.server.shutdown_grace;
    let terms = Terms {
        proxies: Arc::new(TrustedProxies::new(config.server.trusted_proxies.clone())),
        origins: Arc::new(config.cors.allowed_origins.clone()),
        stop: stop.clone(),
        grace,
    };
    // Without a server on an open port, clients would wait forever.
    let serve = |name, port: BoxFuture<'static, ()>| {
        servers.spawn(tasks.all.supervise(vital(name, port), stop.clone()));
    };
    let connections = TaskTracker::new();
    let node = roles.ws.then(|| {
        Arc::new(Node {
            connections: connections.clone(),
            stop: stop.clone(),
            ctx: ctx.clone(),
            verifier: verifier.clone(),
            internal_secret: config.auth.internal_secret.clone(),
            limits: Arc::clone(&rates),
            origins: config.cors.allowed_origins.clone(),
            max_sockets_per_user: config.limits.max_sockets_per_user,
            leeway: config.auth.leeway,
            flushers: start_flushers(&tasks, &hub, &stop),
            hub: Arc::clone(&hub),
            watchers,
            typing,
            probe: Arc::clone(&probe),
        })
    });
    if let Some(listener) = listeners.api {
        if !roles.api {
            log_address("health", &listener);
            let health = worker::Health {
                probe: Arc::clone(&probe),
                limits: Arc::clone(&rates),
                origins: config.cors.allowed_origins.clone(),
            };
            let answer = move |request, client| worker::answer(health.clone(), request, client);
            serve(
                "health-port",
                listener::serve(listener, terms.clone(), answer).boxed(),
            );
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
            let hosts = config.stores.nats_command_hosts.clone();
            if !hosts.is_empty() {
                let host_commands = Arc::new(host_commands);
                let task = restarted("host-commands", move |stop| {
                    let commands = Arc::clone(&host_commands) as _;
                    bus::hosts::serve(host_bus.clone(), hosts.clone(), commands, stop)
                });
                workers.spawn(tasks.all.supervise(task, stop.clone()));
            }
            log_address("REST", &listener);
            let node = node.clone();
            let answer = move |request: Request<TimedBody>, client| {
                let endpoint = Arc::clone(&endpoint);
                // Event streams need the hub, which only a process with sockets has.
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
            serve(
                "rest-port",
                listener::serve(listener, terms.clone(), answer).boxed(),
            );
        }
    }
    if let (Some(listener), Some(node)) = (listeners.ws, node) {
        log_address("WebSocket", &listener);
        let answer = move |request, client| ws::answer(Arc::clone(&node), request, client);
        serve(
            "socket-port",
            listener::serve(listener, terms, answer).boxed(),
        );
    }
    tracing::info!(roles = ?probe.roles(), version = env!("CARGO_PKG_VERSION"), "chat service is running");

    let lost = tokio::select! {
        () = stop.cancelled() => None,
        task = tasks.all.lost() => Some(task),
    };
    stop.cancel();
    tracing::info!("stopping: finishing what is in flight");
    probe.drain();
    servers.close();
    workers.close();
    hub.end_all(CloseReason::Restarting);
    connections.close();
    let _ = tokio::time::timeout(grace, async {
        tokio::join!(servers.wait(), workers.wait(), connections.wait());
    })
    .await;
    tasks.end.cancel();
    tasks.running.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), async {
        tasks.running.wait().await;
        writer.flush().await;
    })
    .await;
    tracing::info!("stopped");
    match lost {
        None => Ok(()),
        Some(task) => Err(StartError::TaskLost(task)),
    }
}

/// Tasks that others depend on to serve clients: they end after those.
#[derive(Default)]
struct Supervisor {
    all: Arc<Tasks>,
    running: TaskTracker,
    end: CancellationToken,
}

impl Supervisor {
    /// Runs a task that is restarted if it fails.
    fn keep<F, Fut>(&self, name: &'static str, run: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let task = restarted(name, run);
        self.running
            .spawn(self.all.supervise(task, self.end.clone()));
    }

    /// Runs a task whose failure ends the process.
    fn vital(&self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        let task = vital(name, run);
        self.running
            .spawn(self.all.supervise(task, self.end.clone()));
    }
}

/// Starts the flushers of a node.
///
/// After the stop they end with their last lane. If one failed, its sockets would get no pushes.
fn start_flushers(tasks: &Supervisor, hub: &Hub, stop: &CancellationToken) -> ws::Flushers {
    let (flushers, runs) = ws::Flushers::new(&hub.seal);
    for run in runs {
        tokio::spawn(tasks.all.supervise(vital("flusher", run), stop.clone()));
    }
    flushers
}

/// Removes idle callers from the rate limits, until `end`.
async fn evict_idle(rates: Arc<RateLimits>, end: CancellationToken) {
    while end
        .run_until_cancelled(tokio::time::sleep(EVICTION_PERIOD))
        .await
        .is_some()
    {
        rates.evict_idle();
    }
}

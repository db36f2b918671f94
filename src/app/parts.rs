//! Parts of a process, built in the order in which they depend on one another. Nothing runs yet.

use std::sync::Arc;

use chat_sdk::outbound::address::AddressPolicy;
use chat_sdk::plugin::PluginFactory;
use futures_util::{FutureExt, future::BoxFuture};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Roles, StartError,
    start::{create_plugins, metrics, open_bus, open_store, pair_key},
};
use crate::{
    auth::Verifier,
    bus::{
        Bus,
        announcer::{Announcer, Publisher},
        commands::{Forwarder, Router, ShardWriters},
        durables::Durables,
        tail::TailStatus,
    },
    config::{AppEnv, Config},
    domain::{
        Context, KnownUsers, Limits,
        consumers::Consumers,
        presence::LocalPresence,
        registrations::{Reach, Registrations},
    },
    http::{
        caller::Callers,
        health::{HealthChecks, Observed, Probe},
        limits::RateLimits,
    },
    model::hashed::PairKey,
    plugins::{
        self, Core, Operations, Plugins,
        remote::{self, RemoteHooks},
    },
    store::{
        Store,
        log::{Writer, mongo::MongoBackend, repair::Repairs},
    },
    tasks::Tasks,
    worker::StreamedEntries,
    ws::{self, Hub, Node, resume::cursor::Seal},
};

/// Parts that the tasks and the ports share.
pub(super) struct Parts {
    pub config: Config,
    pub roles: Roles,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
    pub callers: Arc<Callers>,
    pub store: Arc<Store>,
    pub backend: Arc<MongoBackend>,
    pub bus: Bus,
    pub writer: Writer,
    /// Name of this process, also as the holder of leases.
    pub me: Arc<str>,
    pub shard_writers: Arc<ShardWriters>,
    pub durables: Arc<Durables<Store>>,
    pub plugins: Plugins,
    /// Place for the operations of the API, which plugins use.
    pub operations: Operations,
    pub consumers: Consumers,
    pub registrations: Registrations,
    pub ctx: Context,
    pub tail: Arc<TailStatus>,
    /// Entries that the tail has shown, for the relay.
    pub streamed: Arc<StreamedEntries>,
    pub health: HealthChecks,
    pub hub: Arc<Hub>,
    pub typing: Arc<ws::Typing>,
    pub watchers: Arc<ws::Watchers>,
    /// Parts that connections need; `None` without the role `ws`.
    pub node: Option<Arc<Node>>,
    /// Open connections of clients.
    pub connections: TaskTracker,
}

/// Loops that belong to one part each, for the list of tasks.
pub(super) struct Loops {
    pub writer: BoxFuture<'static, ()>,
    pub publisher: Publisher,
    pub forwarder: Forwarder,
    /// Presence changes to push.
    pub changes: Arc<AsyncMutex<mpsc::Receiver<ws::presence::Change>>>,
    pub flushers: Vec<BoxFuture<'static, ()>>,
}

/// Connections, and what the start reads once.
struct Opened {
    verifier: Verifier,
    store: Arc<Store>,
    epoch: String,
    pair_key: PairKey,
    bus: Bus,
    metrics: PrometheusHandle,
}

async fn open(config: &Config) -> Result<Opened, StartError> {
    let metrics = metrics();
    let verifier = Verifier::from_config(&config.auth)?;
    let (store, epoch) = open_store(config).await?;
    let pair_key = pair_key(&store).await?;
    let bus = open_bus(config).await?;
    Ok(Opened {
        verifier,
        store,
        epoch,
        pair_key,
        bus,
        metrics,
    })
}

/// Builds all parts of a process, with those of `plugins` that are enabled, and the loops of these parts.
///
/// # Errors
/// [`StartError`] if a store is not reachable or a setting cannot be used.
pub(super) async fn build(
    config: Config,
    roles: Roles,
    plugins: &[PluginFactory],
    tasks: Arc<Tasks>,
    stop: CancellationToken,
) -> Result<(Arc<Parts>, Loops), StartError> {
    let opened = open(&config).await?;
    let (store, bus) = (opened.store, opened.bus);
    let backend = Arc::new(MongoBackend::new(Arc::clone(&store)));
    let (announcer, publisher) = Announcer::new(bus.clone());
    let (writer, actor) = Writer::new(Arc::clone(&backend), Arc::clone(&announcer) as _);
    // Names begin with the time of the start: the oldest processes write.
    let me: Arc<str> = ulid::Ulid::generate().to_string().to_lowercase().into();
    let shard_writers = Arc::new(ShardWriters::new(Arc::clone(&me), roles.api));
    let durables = plugins::durables(&bus, &store);
    let core = core_of(&config, &store, &bus, &durables, &me);
    let plugins = create_plugins(&config, &core, plugins)?;
    plugins.prepare().await;
    let local = Arc::new(writer.clone());
    let (router, forwarder) = Router::new(bus.clone(), local, Arc::clone(&shard_writers));
    let presence = LocalPresence::new(Arc::clone(&me), roles.api, config.presence.away_threshold);
    let ctx = context(
        &config,
        &store,
        router,
        announcer,
        presence,
        opened.pair_key,
    );
    core.set_context(&ctx);
    plugins.add_hooks(&ctx.hooks);
    let registrations = registrations(&config, &ctx, &bus, &core).await?;
    let repairs = Repairs::new(&backend);
    store.read_barrier.set(&ctx.writers, Box::new(repairs));
    let tail = Arc::new(TailStatus::default());
    let probe = Probe::new(Observed {
        store: Arc::clone(&store),
        bus: bus.clone(),
        writer: roles.api.then(|| writer.clone()),
        tail: Arc::clone(&tail),
        is_followed: roles.ws,
        tasks,
        metrics: opened.metrics,
        roles: roles.names(),
    });
    let hub = hub(&config, &store, &opened.epoch);
    let (watchers, changes) = ws::Watchers::new(Arc::clone(&hub), ctx.clone());
    let limits = Arc::new(RateLimits::new(&config.limits));
    let mut parts = Parts {
        consumers: consumers(&store, &durables),
        typing: ws::Typing::new(&bus, Arc::clone(&hub), &config.presence),
        streamed: Arc::default(),
        callers: callers(&config, &ctx, opened.verifier, &limits),
        health: HealthChecks {
            probe: Arc::new(probe),
            limits,
        },
        registrations,
        node: None,
        connections: TaskTracker::new(),
        config,
        roles,
        stop,
        store,
        backend,
        bus,
        writer,
        me,
        shard_writers,
        durables,
        operations: core.operations(),
        plugins,
        ctx,
        tail,
        hub,
        watchers,
    };
    let loops = Loops {
        writer: actor.boxed(),
        publisher,
        forwarder,
        changes: Arc::new(AsyncMutex::new(changes)),
        flushers: parts.add_node(),
    };
    Ok((Arc::new(parts), loops))
}

/// Returns what the core offers to plugins.
fn core_of(
    config: &Config,
    store: &Arc<Store>,
    bus: &Bus,
    durables: &Arc<Durables<Store>>,
    me: &Arc<str>,
) -> Core {
    Core::new(
        Arc::clone(store),
        Some((bus, durables)),
        &config.auth,
        me.to_string(),
    )
}

/// Returns the operations on the durables of hosts.
fn consumers(store: &Arc<Store>, durables: &Arc<Durables<Store>>) -> Consumers {
    Consumers {
        store: Arc::clone(store),
        durables: plugins::host_durables(durables),
    }
}

/// Returns the hub, whose cursors are sealed with the internal secret.
fn hub(config: &Config, store: &Arc<Store>, epoch: &str) -> Arc<Hub> {
    let seal = Seal::new(config.auth.internal_secret.expose(), epoch);
    Hub::new(Arc::clone(store), seal)
}

fn context(
    config: &Config,
    store: &Arc<Store>,
    router: Router,
    latest: Arc<Announcer>,
    presence: Arc<LocalPresence>,
    pair_key: PairKey,
) -> Context {
    let limits = &config.limits;
    Context {
        store: Arc::clone(store),
        writers: Arc::new(router),
        latest,
        presence,
        limits: Limits {
            max_message_bytes: limits.max_message_bytes,
            max_group_members: u32::try_from(limits.max_group_members).unwrap_or(u32::MAX),
            max_conversations: u32::try_from(limits.max_conversations_per_user).unwrap_or(u32::MAX),
            add_rule: limits.participant_add_rule,
        },
        known_users: Arc::new(KnownUsers::default()),
        pair_key,
        hooks: Arc::default(),
        send_order: Default::default(),
        erasure_requested: Arc::default(),
    }
}

/// Returns the plugins in other processes, with their hooks: one that fails closed must not be missing at the first request.
async fn registrations(
    config: &Config,
    ctx: &Context,
    bus: &Bus,
    core: &Core,
) -> Result<Registrations, StartError> {
    let is_private_allowed = config.plugins.is_set("WEBHOOK_ALLOW_PRIVATE");
    let addresses = AddressPolicy {
        setting: "WEBHOOK_ALLOW_PRIVATE",
        is_private_allowed,
        is_loopback_allowed: is_private_allowed || config.server.app_env != AppEnv::Production,
    };
    let secrets = core.secrets("hooks");
    let reach = RemoteHooks::new(bus.clone(), addresses, secrets)
        .map_err(|error| StartError::Plugin(error.to_string()))?;
    let reach: Arc<dyn Reach> = Arc::new(reach);
    let mut configured = Vec::new();
    for (name, table) in &config.hooks {
        let plugin = remote::configured(name, table, &*reach);
        let plugin =
            plugin.map_err(|fault| StartError::Plugin(format!("[hooks.{name}]: {fault}")))?;
        configured.push(plugin);
    }
    let registrations = Registrations {
        store: Arc::clone(&ctx.store),
        reach,
        configured: Arc::new(configured),
        hooks: Arc::clone(&ctx.hooks),
        current: Arc::default(),
    };
    let known = registrations.refresh().await;
    known.map_err(|error| StartError::Mongo(error.to_string()))?;
    Ok(registrations)
}

fn callers(
    config: &Config,
    ctx: &Context,
    verifier: Verifier,
    limits: &Arc<RateLimits>,
) -> Arc<Callers> {
    Arc::new(Callers {
        ctx: ctx.clone(),
        verifier,
        secret: config.auth.internal_secret.clone(),
        limits: Arc::clone(limits),
        leeway: config.auth.leeway,
    })
}

impl Parts {
    /// Adds the parts that connections need if the process has the role, and returns the loops that write to them.
    fn add_node(&mut self) -> Vec<BoxFuture<'static, ()>> {
        if !self.roles.ws {
            return Vec::new();
        }
        let config = &self.config;
        let (flushers, runs) = ws::Flushers::new(&self.hub.seal);
        self.node = Some(Arc::new(Node {
            connections: self.connections.clone(),
            stop: self.stop.clone(),
            ctx: self.ctx.clone(),
            callers: Arc::clone(&self.callers),
            origins: config.cors.allowed_origins.clone(),
            max_sockets_per_user: config.limits.max_sockets_per_user,
            pacing: ws::Pacing::default(),
            flushers,
            hub: Arc::clone(&self.hub),
            watchers: Arc::clone(&self.watchers),
            typing: Arc::clone(&self.typing),
            health: self.health.clone(),
        }));
        runs.into_iter().map(FutureExt::boxed).collect()
    }
}

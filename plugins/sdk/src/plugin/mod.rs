//! The contract between the core and a plugin, and the life cycle of a plugin.
//!
//! A program has a list of plugins. Each entry is a [`PluginFactory`]: it declares the plugin and creates it from its settings and its [`Host`]. The plugin adds
//! its own routes, and runs until it is stopped. Everything that it owns carries its name: collections `<name>_…`, durables `<name>-…`, metrics
//! `chat_<name>_…`, routes in its own part of the document. It accesses the database and the broker only through its host, and cannot see other plugins.

mod audience;
mod chat;
mod consumer;
mod events;
mod hooks;
mod host;
mod routes;
mod settings;
mod storage;
mod timers;
mod tokens;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use tokio_util::sync::CancellationToken;

pub use crate::events::{EventOwner, PluginEvent};
pub use audience::{
    Audience, MAX_NEWS_MEMBERS, MAX_NEWS_MESSAGES, News, NewsMembers, NewsMessage, NewsQuery,
    Recipient,
};
pub use chat::{Bot, Caller, Chat, ChatError, ChatFault, ChatRequest};
pub use consumer::{
    Consumer, ConsumerSpec, Delivery, DurableError, Events, Lag, Pulled, ReplayedEvent, Verdict,
};
pub use events::{MAX_EVENTS, NewEvent, Published, Publisher, Target};
pub use hooks::{
    FailurePolicy, Hook, HookChange, HookConnection, HookConversation, HookData, HookEdit,
    HookFault, HookFilter, HookMessage, HookParticipants, HookPoint, HookReaction, HookRequest,
    HookSpec, HookVerdict, MAX_ANSWER, MAX_CODE, MAX_REASON,
};
pub use host::{Host, HostError, Leases, LogEvent, LogPage, LogPosition, Secrets};
pub use routes::{Described, Routes, RoutesDocument, each_operation, illustrate};
pub use settings::PluginSettings;
pub use storage::{
    Collection, Condition, DATE_KEY, Documents, Filter, Found, Index, Order, Query, Storage,
    StoredDate, Update,
};
pub use timers::{
    DueTimer, MAX_TIMER_KEY, MAX_TIMER_PAYLOAD, MAX_TIMERS, Timer, TimerError, TimerFault,
    TimerHandler, Timers,
};
pub use tokens::{MAX_TOKEN_LIFETIME, TokenClaims, TokenError, Tokens};

use crate::settings::Variable;

/// Time between two heartbeats of [`PluginContext::beat_while`].
const BEAT: Duration = Duration::from_millis(100);

/// Boxed future that methods of trait objects return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Creates a plugin whose settings were checked.
pub type CreatePlugin = Box<dyn FnOnce(Host) -> Arc<dyn Plugin> + Send>;

/// Entry of a plugin in the list of a program: all that is known about it before it is created.
#[derive(Clone, Copy)]
pub struct PluginFactory {
    /// Name of the plugin: lower-case letters and digits. It is the prefix of everything that the plugin owns.
    pub name: &'static str,
    /// Variables of the environment that the plugin reads.
    pub variables: &'static [Variable],
    /// Events that the plugin publishes.
    pub events: &'static [PluginEvent],
    /// First parts of the types of its events beside its name.
    pub event_prefixes: &'static [&'static str],
    /// Returns the OpenAPI part of its routes. It needs no running plugin.
    pub document: fn() -> RoutesDocument,
    /// Reads and checks the settings, and returns the constructor; `None` comes with a fault in the settings.
    pub configure: fn(&mut PluginSettings<'_>) -> Option<CreatePlugin>,
}

impl PluginFactory {
    /// Returns the entry of a plugin without variables and routes.
    pub const fn new(
        name: &'static str,
        configure: fn(&mut PluginSettings<'_>) -> Option<CreatePlugin>,
    ) -> Self {
        Self {
            name,
            variables: &[],
            events: &[],
            event_prefixes: &[],
            document: RoutesDocument::none,
            configure,
        }
    }
}

impl std::fmt::Debug for PluginFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PluginFactory").field(&self.name).finish()
    }
}

/// A plugin of the service.
///
/// Life cycle: its factory creates it, every process prepares it (indexes), processes that serve the API mount its routes, and processes with one of its roles
/// run it. [`Plugin::run`] is restarted, with growing pauses, if it fails, panics or hangs.
pub trait Plugin: Send + Sync + 'static {
    /// Creates the indexes that it needs in the database. Every process calls it first at every start, so it must be safe to repeat.
    fn prepare(&self) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns its routes.
    fn routes(self: Arc<Self>) -> Routes {
        Routes::default()
    }

    /// Returns its hooks, which processes with the role `api` or `ws` ask.
    fn hooks(self: Arc<Self>) -> Vec<Arc<dyn Hook>> {
        Vec::new()
    }

    /// Returns the roles in which it runs.
    fn roles(&self) -> &'static [Role] {
        &[Role::Webhooks]
    }

    /// Returns the maximum time without [`Heartbeat::beat`]; after it the plugin is considered hung and is restarted.
    fn heartbeat_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Does its background work until `context.stop` is cancelled, then finishes the work in flight and returns. An earlier return counts as a failure.
    fn run(self: Arc<Self>, context: PluginContext) -> BoxFuture<'static, Result<(), HostError>> {
        // A plugin without background work.
        Box::pin(async move {
            context.beat_while(context.stop.cancelled()).await;
            Ok(())
        })
    }
}

/// Role of a process of the service. A process has one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// REST, writing to the logs, and the timers.
    Api,
    /// WebSocket connections and event streams.
    Ws,
    /// Delivery of webhooks, and other background work of plugins.
    Webhooks,
}

impl Role {
    /// All roles.
    pub const ALL: &'static [Self] = &[Self::Api, Self::Ws, Self::Webhooks];

    /// Returns the name of the role in `--roles`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Ws => "ws",
            Self::Webhooks => "webhooks",
        }
    }
}

/// Stop signal and heartbeat that the core passes to a running plugin.
#[derive(Debug, Clone)]
pub struct PluginContext {
    /// Cancelled when the plugin must finish the work in flight and return.
    pub stop: CancellationToken,
    /// Heartbeat by which the plugin reports that it is alive.
    pub pulse: Heartbeat,
}

impl PluginContext {
    /// Waits for `work`, and beats meanwhile. For work that cannot hang, such as that of [`Events::run`].
    pub async fn beat_while<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = beat.tick() => self.pulse.beat(),
            }
        }
    }
}

/// Heartbeat of a running plugin.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    born: Instant,
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last: Arc::default(),
        }
    }
}

impl Heartbeat {
    /// Reports that the plugin is alive.
    pub fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Returns the time since the last heartbeat.
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_measures_silence() {
        let pulse = Heartbeat::default();
        std::thread::sleep(Duration::from_millis(15));
        assert!(pulse.silence() >= Duration::from_millis(10));
        pulse.clone().beat();
        assert!(pulse.silence() < Duration::from_millis(10));
    }
}

//! The plugins of a process and their states. A plugin that fails at any point affects no other part of the process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_sdk::plugin::{CreatePlugin, HostError, Plugin, PluginFactory, Role, Routes};
use parking_lot::Mutex;

use super::{Configured, Core, hooks, supervisor::PluginTask};
use crate::{domain::hooks::Hooks, tasks::Task};

/// Maximum time that the start of the process waits for a plugin to be prepared. Its task continues afterwards.
const PREPARE_AT_START: Duration = Duration::from_secs(10);
/// Maximum time of one attempt to prepare a plugin.
pub(super) const PREPARE: Duration = Duration::from_secs(60);

/// State of a plugin in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginPhase {
    /// It is being prepared.
    Preparing,
    /// Its background work runs.
    Running,
    /// It is prepared; its background work runs in processes with other roles.
    Ready,
    /// It failed. Its task starts it again after a pause, unless it could not be created.
    Failed,
}

/// Report of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginReport {
    /// Name of the plugin.
    pub name: &'static str,
    /// State of the plugin.
    pub phase: PluginPhase,
    /// Number of failures since the start of the process.
    pub failures: u64,
    /// Reason of the last failure.
    pub last_failure: Option<String>,
}

/// Shared state of a plugin.
#[derive(Debug)]
pub(super) struct PluginState {
    report: Mutex<PluginReport>,
    is_prepared: AtomicBool,
}

impl PluginState {
    /// Returns the state of a plugin that is not prepared yet.
    pub(super) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            report: Mutex::new(PluginReport {
                name,
                phase: PluginPhase::Preparing,
                failures: 0,
                last_failure: None,
            }),
            is_prepared: AtomicBool::new(false),
        })
    }

    /// Records that the plugin is in `phase`.
    pub(super) fn enter(&self, phase: PluginPhase) {
        self.report.lock().phase = phase;
    }

    /// Records a failure.
    pub(super) fn fail(&self, reason: &str) {
        let mut report = self.report.lock();
        report.phase = PluginPhase::Failed;
        report.failures += 1;
        report.last_failure = Some(reason.to_owned());
        tracing::warn!(plugin = report.name, reason, "a plugin failed");
    }

    /// True if the plugin has been prepared.
    pub(super) fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Acquire)
    }

    /// Records that the plugin has been prepared.
    pub(super) fn set_prepared(&self) {
        self.is_prepared.store(true, Ordering::Release);
    }

    fn report(&self) -> PluginReport {
        self.report.lock().clone()
    }
}

/// A plugin of this process.
#[derive(Clone)]
struct Slot {
    factory: PluginFactory,
    /// `None` if it could not be created.
    plugin: Option<Arc<dyn Plugin>>,
    state: Arc<PluginState>,
}

/// Plugins of this process.
#[derive(Clone, Default)]
pub struct Plugins(Vec<Slot>);

impl Plugins {
    /// Creates the configured plugins, each with its host.
    pub fn create(configured: Configured, core: &Core) -> Self {
        let create = |(factory, create): (PluginFactory, CreatePlugin)| {
            let state = PluginState::new(factory.name);
            let host = core.host(&factory);
            let plugin = catch_unwind(AssertUnwindSafe(|| create(host)));
            if plugin.is_err() {
                state.fail("it panicked when it was created");
            }
            Slot {
                factory,
                plugin: plugin.ok(),
                state,
            }
        };
        Self(configured.plugins.into_iter().map(create).collect())
    }

    /// Creates what the plugins need in the database. One that fails or takes too long is prepared again by its task.
    pub async fn prepare(&self) {
        let prepare = self.0.iter().filter_map(|slot| {
            let plugin = Arc::clone(slot.plugin.as_ref()?);
            Some(async move {
                match prepare(plugin, PREPARE_AT_START).await {
                    Ok(()) => {
                        slot.state.set_prepared();
                        slot.state.enter(PluginPhase::Ready);
                    }
                    Err(reason) => slot.state.fail(&reason),
                }
            })
        });
        futures_util::future::join_all(prepare).await;
    }

    /// Creates what the plugins need in the database.
    ///
    /// # Errors
    /// Fails with the name of the first plugin that fails, and the reason.
    pub async fn prepare_all(&self) -> Result<(), HostError> {
        for slot in &self.0 {
            let failed = |reason: &str| {
                let text = format!("the plugin {}: {reason}", slot.factory.name);
                HostError::Unavailable(text)
            };
            let plugin = slot.plugin.clone();
            let plugin = plugin.ok_or_else(|| failed("it panicked when it was created"))?;
            let prepared = prepare(plugin, PREPARE).await;
            prepared.map_err(|reason| failed(&reason))?;
        }
        Ok(())
    }

    /// Returns the entries of the running plugins.
    pub fn factories(&self) -> Vec<PluginFactory> {
        self.0.iter().map(|slot| slot.factory).collect()
    }

    /// Adds the hooks of all plugins to those of this process.
    pub fn add_hooks(&self, hooks: &Hooks) {
        let plugins = self.0.iter().filter_map(|slot| {
            let plugin = slot.plugin.clone()?;
            Some((slot.factory, plugin))
        });
        let plugins: Vec<_> = plugins.collect();
        hooks::add(&plugins, hooks);
    }

    /// Returns the routes of all plugins.
    pub fn routes(&self) -> Routes {
        let mut routes = Routes::default();
        for slot in &self.0 {
            let Some(plugin) = slot.plugin.clone() else {
                continue;
            };
            match catch_unwind(AssertUnwindSafe(|| plugin.routes())) {
                Ok(own) => routes.extend(own),
                Err(_) => slot.state.fail("it panicked when its routes were made"),
            }
        }
        routes
    }

    /// Returns the state of each plugin.
    pub fn reports(&self) -> Vec<PluginReport> {
        self.0.iter().map(|slot| slot.state.report()).collect()
    }

    /// Returns the plugins as tasks of a process for which `has` tells its roles.
    pub fn tasks(&self, has: impl Fn(Role) -> bool) -> Vec<Box<dyn Task>> {
        let task = |slot: &Slot| {
            let plugin = Arc::clone(slot.plugin.as_ref()?);
            let runs_here = plugin.roles().iter().any(|role| has(*role));
            let state = Arc::clone(&slot.state);
            let task = PluginTask::new(slot.factory.name, plugin, state, runs_here);
            Some(Box::new(task) as Box<dyn Task>)
        };
        self.0.iter().filter_map(task).collect()
    }
}

/// Prepares a plugin within `limit`, in a task of its own because it may panic.
///
/// # Errors
/// The reason of the failure.
pub(super) async fn prepare(plugin: Arc<dyn Plugin>, limit: Duration) -> Result<(), String> {
    let mut work = tokio::spawn(async move { plugin.prepare().await });
    match tokio::time::timeout(limit, &mut work).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(error)) if error.is_panic() => Err("it panicked when it was prepared".to_owned()),
        Ok(Err(_)) => Err("it was ended while it was prepared".to_owned()),
        Err(_) => {
            work.abort();
            let seconds = limit.as_secs();
            Err(format!("it was not prepared within {seconds} s"))
        }
    }
}

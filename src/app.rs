//! Wiring: builds a running process from a configuration. It makes no other decisions.
//!
//! `parts` builds the parts, `listeners` what the ports answer, `tasks` lists everything that runs, and `supervisor` runs and ends it.

mod listeners;
mod parts;
mod roles;
mod start;
mod supervisor;
mod tasks;

use std::sync::Arc;

use chat_sdk::plugin::PluginFactory;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, ws::close::CloseReason};
pub use listeners::Listeners;
use listeners::Ports;
use parts::Parts;
pub use roles::Roles;
pub use start::{StartError, begin_epoch, open_store, prepare};
use supervisor::Supervisor;

/// Runs a process with `plugins`, of which it enables the configured ones, until `stop`. Then it finishes requests in flight within the configured
/// grace period.
///
/// # Errors
/// [`StartError`] if the process cannot start, or if a task fails without which it cannot continue.
pub async fn run(
    config: Config,
    roles: Roles,
    listeners: Listeners,
    stop: CancellationToken,
    plugins: &[PluginFactory],
) -> Result<(), StartError> {
    // Ignored if a test has already installed it: a process has one provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let supervisor = Supervisor::new(stop.clone());
    let tasks = Arc::clone(&supervisor.tasks);
    let (parts, loops) = parts::build(config, roles, plugins, tasks, stop).await?;
    let operations = listeners::operations(&parts);
    let ports = Ports::new(&parts, &operations, listeners);
    for task in tasks::list(&parts, loops, ports) {
        supervisor.start(task, roles);
    }
    tracing::info!(roles = ?parts.health.probe.roles(), version = env!("CARGO_PKG_VERSION"), "chat service is running");
    let lost = supervisor.stopped().await;
    end(&parts, &supervisor).await;
    lost.map_or(Ok(()), |task| Err(StartError::TaskLost(task)))
}

/// Ends a process: first what clients see, then what serves it, then the writer's last updates.
async fn end(parts: &Parts, supervisor: &Supervisor) {
    tracing::info!("stopping: finishing what is in flight");
    parts.health.probe.drain();
    parts.hub.end_all(CloseReason::Restarting);
    let grace = parts.config.server.shutdown_grace;
    let gone = supervisor.wait_for_clients(&parts.connections);
    let _ = tokio::time::timeout(grace, gone).await;
    supervisor.end(parts.writer.flush()).await;
    tracing::info!("stopped");
}

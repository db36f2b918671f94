//! Starts the tasks of a process and ends them in the order of their phases.

use std::{sync::Arc, time::Duration};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::Roles;
use crate::tasks::{StopPhase, Task, Tasks};

/// Maximum time for the tasks that end after the clients.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// Running tasks of a process. If it is dropped, all of them are told to end.
pub(super) struct Supervisor {
    /// State of the tasks, for readiness and status.
    pub tasks: Arc<Tasks>,
    stop: CancellationToken,
    /// Tasks that end at the stop signal.
    first: TaskTracker,
    end: CancellationToken,
    /// Tasks that end after the clients.
    last: TaskTracker,
    _ends: DropGuard,
}

impl Supervisor {
    /// Creates the supervisor of a process that stops with `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        let end = CancellationToken::new();
        Self {
            tasks: Arc::default(),
            stop,
            first: TaskTracker::new(),
            last: TaskTracker::new(),
            _ends: end.clone().drop_guard(),
            end,
        }
    }

    /// Starts `task` if a process with `roles` runs it.
    pub fn start(&self, task: Box<dyn Task>, roles: Roles) {
        if !roles.has_any(task.roles()) {
            return;
        }
        let (stop, end) = (self.stop.clone(), self.end.clone());
        match task.stop_phase() {
            StopPhase::Signal => {
                self.first.spawn(self.tasks.supervise(task, stop));
            }
            StopPhase::AfterClients => {
                self.last.spawn(self.tasks.supervise(task, end));
            }
            StopPhase::LastHandle => {
                tokio::spawn(self.tasks.supervise(task, end));
            }
        }
    }

    /// Waits for the stop signal, or for a failure without which the process cannot continue, whose task it returns.
    pub async fn stopped(&self) -> Option<&'static str> {
        let lost = tokio::select! {
            () = self.stop.cancelled() => None,
            task = self.tasks.lost() => Some(task),
        };
        self.stop.cancel();
        lost
    }

    /// Waits until the tasks that serve clients, and `connections`, have ended.
    pub async fn wait_for_clients(&self, connections: &TaskTracker) {
        self.first.close();
        connections.close();
        tokio::join!(self.first.wait(), connections.wait());
    }

    /// Ends the other tasks, then waits for `rest`.
    pub async fn end(&self, rest: impl Future<Output = ()>) {
        self.end.cancel();
        self.last.close();
        let ended = async {
            self.last.wait().await;
            rest.await;
        };
        let _ = tokio::time::timeout(LAST_GRACE, ended).await;
    }
}

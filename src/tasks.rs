//! Long-lived tasks, supervised from their start to the end of the process.
//!
//! A task that ends without a stop has failed, by a return or by a panic. [`OnEnd`] of the task decides the consequence: the task restarts after a
//! growing pause if its state in memory can be rebuilt; otherwise the process ends, and its supervisor (systemd, Kubernetes) starts another one. A
//! process must not continue without a task that its clients need: it would count as ready and do only part of its work.
//!
//! [`Tasks`] has the state of each task, for readiness, `GET /api/status` and the metrics. `app::tasks` lists all of them. This module depends on no
//! other part of the service.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_sdk::plugin::Role;
use futures_util::{FutureExt, future::BoxFuture};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failpoint;

/// Pause before a task restarts; it doubles with every failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Time without a failure after which the pause is short again.
const STABLE_AFTER: Duration = Duration::from_secs(300);

/// Consequence if a task ends without a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEnd {
    /// The task restarts. For a task that reads its state from the stores, or whose memory is refilled by others.
    Restart,
    /// The process ends. For a task whose memory other tasks rely on, and that cannot be rebuilt while they run.
    EndProcess,
}

/// Time at which a task ends while the process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopPhase {
    /// At the stop signal. The process waits for the task within its grace period. For tasks that serve clients or do work of their own.
    Signal,
    /// After the clients are gone. For tasks that others need to serve clients.
    AfterClients,
    /// With the last handle of the task: it is not told to stop, and the process does not wait for it.
    LastHandle,
}

/// A long-lived task.
pub trait Task: Send + Sync + 'static {
    /// Returns the name for logs, status and metrics.
    fn name(&self) -> &'static str;

    /// Returns the roles that run the task: it runs in a process that has one of them.
    fn roles(&self) -> &'static [Role];

    /// Returns the consequence if the task ends without a stop.
    fn on_end(&self) -> OnEnd;

    /// Returns true if the process is not ready while the task does not work.
    ///
    /// Only if requests or sockets of this process would fail, or would miss what they were promised: a process that is not ready gets no requests.
    fn is_required(&self) -> bool {
        false
    }

    /// Returns the time at which the task ends while the process stops.
    fn stop_phase(&self) -> StopPhase {
        StopPhase::AfterClients
    }

    /// Runs until `stop`. An earlier return is a failure, also without an error. A task with [`OnEnd::Restart`] is called again after a failure.
    fn run(&self, stop: CancellationToken) -> BoxFuture<'static, Result<(), String>>;
}

/// Task that a function runs.
pub struct Routine {
    name: &'static str,
    roles: &'static [Role],
    on_end: OnEnd,
    is_required: bool,
    stop_phase: StopPhase,
    run: Box<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Routine {
    /// Returns a task that restarts if it fails.
    pub fn restarted<F, Fut>(name: &'static str, roles: &'static [Role], run: F) -> Self
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self {
            name,
            roles,
            on_end: OnEnd::Restart,
            is_required: false,
            stop_phase: StopPhase::AfterClients,
            run: Box::new(move |stop| run(stop).map(Ok).boxed()),
        }
    }

    /// Returns a task that runs once and whose failure ends the process.
    pub fn vital<F, Fut>(name: &'static str, roles: &'static [Role], run: F) -> Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let run = Mutex::new(Some(run));
        Self {
            name,
            roles,
            on_end: OnEnd::EndProcess,
            is_required: true,
            stop_phase: StopPhase::AfterClients,
            run: Box::new(move |stop| match run.lock().take() {
                Some(run) => run(stop).map(Ok).boxed(),
                None => std::future::ready(Err("it runs only once".to_owned())).boxed(),
            }),
        }
    }

    /// Makes the process not ready while the task does not work.
    pub fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// Sets the time at which the task ends while the process stops.
    pub fn stops(self, stop_phase: StopPhase) -> Self {
        Self { stop_phase, ..self }
    }
}

impl Task for Routine {
    fn name(&self) -> &'static str {
        self.name
    }

    fn roles(&self) -> &'static [Role] {
        self.roles
    }

    fn on_end(&self) -> OnEnd {
        self.on_end
    }

    fn is_required(&self) -> bool {
        self.is_required
    }

    fn stop_phase(&self) -> StopPhase {
        self.stop_phase
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'static, Result<(), String>> {
        (self.run)(stop)
    }
}

/// Internal state of a task.
#[derive(Debug)]
struct State {
    name: &'static str,
    is_required: bool,
    is_running: AtomicBool,
    restarts: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl State {
    fn say_running(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::Release);
        gauge!("chat_task_running", "task" => self.name).set(f64::from(u8::from(is_running)));
    }
}

/// State of a task, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// Name of the task.
    pub name: &'static str,
    /// True if the task works at this moment.
    pub is_running: bool,
    /// Number of restarts.
    pub restarts: u64,
    /// Reason of the last failure, if the task ever failed.
    pub last_failure: Option<String>,
}

/// Long-lived tasks of a process.
#[derive(Debug, Default)]
pub struct Tasks {
    states: Mutex<Vec<Arc<State>>>,
    lost: CancellationToken,
    lost_task: Mutex<Option<&'static str>>,
}

impl Tasks {
    /// Supervises `task` until `stop`. The task counts as running from this call on.
    pub fn supervise(
        self: &Arc<Self>,
        task: Box<dyn Task>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let state = Arc::new(State {
            name: task.name(),
            is_required: task.is_required(),
            is_running: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            last_failure: Mutex::default(),
        });
        state.say_running(true);
        self.states.lock().push(Arc::clone(&state));
        supervise(Arc::clone(self), task, state, stop)
    }

    /// Returns the required tasks that do not work at this moment.
    pub fn failing(&self) -> Vec<&'static str> {
        let states = self.states.lock();
        let failing = states
            .iter()
            .filter(|state| state.is_required && !state.is_running.load(Ordering::Acquire));
        failing.map(|state| state.name).collect()
    }

    /// Returns the state of each task, in the order of their starts.
    pub fn report(&self) -> Vec<TaskReport> {
        let states = self.states.lock();
        let report = |state: &Arc<State>| TaskReport {
            name: state.name,
            is_running: state.is_running.load(Ordering::Acquire),
            restarts: state.restarts.load(Ordering::Relaxed),
            last_failure: state.last_failure.lock().clone(),
        };
        states.iter().map(report).collect()
    }

    /// Waits until a task fails without which the process cannot continue, and returns its name.
    pub async fn lost(&self) -> &'static str {
        self.lost.cancelled().await;
        self.lost_task.lock().unwrap_or("unknown")
    }
}

async fn supervise(
    tasks: Arc<Tasks>,
    task: Box<dyn Task>,
    state: Arc<State>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let started = Instant::now();
        state.say_running(true);
        let failure = run_once(&*task, &stop).await;
        if stop.is_cancelled() {
            break;
        }
        state.say_running(false);
        *state.last_failure.lock() = Some(failure.clone());
        let name = state.name;
        match task.on_end() {
            OnEnd::EndProcess => {
                tracing::error!(task = name, %failure, "task failed that cannot restart; the process ends");
                *tasks.lost_task.lock() = Some(name);
                tasks.lost.cancel();
                return;
            }
            OnEnd::Restart => {
                state.restarts.fetch_add(1, Ordering::Relaxed);
                counter!("chat_task_restarts_total", "task" => name).increment(1);
                if started.elapsed() >= STABLE_AFTER {
                    pause = FIRST_PAUSE;
                }
                let pause_seconds = pause.as_secs();
                tracing::error!(task = name, %failure, pause_seconds, "task failed; restarting after a pause");
                let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Runs a task once and returns why it ended.
async fn run_once(task: &dyn Task, stop: &CancellationToken) -> String {
    // A panic in `run` itself counts too.
    let running = async { task.run(stop.clone()).await };
    let ended = AssertUnwindSafe(failpoint::within(task.name(), running))
        .catch_unwind()
        .await;
    match ended {
        Ok(Ok(())) => "it returned".to_owned(),
        Ok(Err(failure)) => failure,
        // The text of a panic may quote content.
        Err(_) => "it panicked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_task_restarts_with_growing_pauses() {
        let tasks = Arc::new(Tasks::default());
        let stop = CancellationToken::new();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let begun = Arc::clone(&starts);
        let task = Routine::restarted("unlucky", Role::ALL, move |stop| {
            let begun = Arc::clone(&begun);
            async move {
                let count = {
                    let mut begun = begun.lock();
                    begun.push(Instant::now());
                    begun.len()
                };
                match count {
                    1 => panic!("as the test wants it"),
                    2 => {}
                    _ => stop.cancelled().await,
                }
            }
        });
        let task = Box::new(task.required());
        let running = tokio::spawn(tasks.supervise(task, stop.clone()));
        assert_eq!(tasks.failing(), [""; 0]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(tasks.failing(), ["unlucky"], "while it pauses");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let report = tasks.report();
        assert!(report[0].is_running);
        assert_eq!(report[0].restarts, 2);
        assert_eq!(report[0].last_failure.as_deref(), Some("it returned"));
        let pauses: Vec<Duration> = {
            let starts = starts.lock();
            starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        assert_eq!(pauses, [FIRST_PAUSE, FIRST_PAUSE * 2]);
        stop.cancel();
        running.await.expect("the supervisor does not panic");
        assert!(tasks.lost().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_failed_vital_task_is_reported_and_not_restarted() {
        let tasks = Arc::new(Tasks::default());
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let task = Routine::vital("heart", Role::ALL, |_| async move {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("as the test wants it");
        });
        tasks
            .supervise(Box::new(task), CancellationToken::new())
            .await;
        assert_eq!(tasks.lost().await, "heart");
        assert_eq!(tasks.failing(), ["heart"]);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_end_after_the_stop_is_not_a_failure() {
        let tasks = Arc::new(Tasks::default());
        let stop = CancellationToken::new();
        stop.cancel();
        let task = Routine::vital("heart", Role::ALL, |_| async {});
        tasks.supervise(Box::new(task), stop).await;
        assert_eq!(tasks.failing(), [""; 0]);
        assert!(tasks.lost().now_or_never().is_none());
    }
}

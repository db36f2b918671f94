//! State of this process and its dependencies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chat_sdk::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;

use super::lag;
use crate::{
    bus::{
        Bus,
        lag::{self as durable_lag, DurableLag, Lags},
        tail::TailStatus,
    },
    store::{Backlog, Store, log::Writer},
    tasks::{TaskReport, Tasks},
};

/// Maximum time for which the tail may be stopped while NATS is available, before the process counts as not ready.
const TAIL_TIMEOUT: Duration = Duration::from_secs(15);

/// State of a dependency.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// Name: `mongodb` or `nats`.
    pub name: &'static str,
    /// True if the dependency answered.
    pub is_up: bool,
    /// Response time.
    pub latency: Duration,
    /// True if the service cannot work without it. Without NATS sends succeed; delivery catches up.
    pub is_required: bool,
}

/// Reason why this process cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obstacle {
    /// Name of a dependency, or of a task of this process.
    pub what: &'static str,
    /// Problem as a text that can be read after the name.
    pub problem: &'static str,
}

/// Components that a probe observes.
pub struct Observed {
    /// Store of the process.
    pub store: Arc<Store>,
    /// Connection to NATS.
    pub bus: Bus,
    /// Writer of the log; `None` if this process accepts no commands.
    pub writer: Option<Writer>,
    /// Status of the tail of the event stream.
    pub tail: Arc<TailStatus>,
    /// True if this process has sockets that depend on the tail.
    pub is_followed: bool,
    /// Long-lived tasks of the process.
    pub tasks: Arc<Tasks>,
    /// Recorder that renders the metrics.
    pub metrics: PrometheusHandle,
    /// Roles that this process runs.
    pub roles: Vec<&'static str>,
}

/// Health probe of this process.
pub struct Probe {
    observed: Observed,
    lags: Lags,
    /// Backlog of the relay and the time of the query; the inner `None` if MongoDB did not answer.
    backlog: tokio::sync::Mutex<Option<(Instant, Option<Backlog>)>>,
    started: Instant,
    is_draining: AtomicBool,
    /// Time since which the tail is stopped although NATS is available; initially set, as the tail has not run yet.
    tail_missing: Mutex<Option<Instant>>,
    has_followed: AtomicBool,
}

impl Probe {
    /// Creates the probe of a process that starts now.
    pub fn new(observed: Observed) -> Self {
        Self {
            lags: Lags::new(observed.bus.clone()),
            observed,
            backlog: tokio::sync::Mutex::default(),
            started: Instant::now(),
            is_draining: AtomicBool::new(false),
            tail_missing: Mutex::default(),
            has_followed: AtomicBool::new(false),
        }
    }

    /// Returns the roles that this process runs.
    pub fn roles(&self) -> &[&'static str] {
        &self.observed.roles
    }

    /// Checks every dependency.
    pub async fn dependencies(&self) -> Vec<Dependency> {
        let started = Instant::now();
        let (mongodb, nats) = tokio::join!(
            async { (self.observed.store.ping().await.is_ok(), started.elapsed()) },
            async { (self.observed.bus.ping().await.is_ok(), started.elapsed()) },
        );
        let dependency = |name, (is_up, latency), is_required| Dependency {
            name,
            is_up,
            latency,
            is_required,
        };
        vec![
            dependency("mongodb", mongodb, true),
            dependency("nats", nats, false),
        ]
    }

    /// Returns the reasons why this process cannot work. It should receive no work unless the list is empty.
    ///
    /// NATS is not a reason: sends succeed without it, and delivery catches up.
    pub async fn obstacles(&self) -> Vec<Obstacle> {
        let Observed {
            store,
            writer,
            tasks,
            ..
        } = &self.observed;
        let is_taking = async {
            match writer {
                Some(writer) => writer.is_taking().await,
                None => true,
            }
        };
        let (mongodb, is_taking) = tokio::join!(store.ping(), is_taking);
        let failing = tasks.failing().into_iter();
        let failing = failing.map(|task| (true, task, "failed, and is started again"));
        [
            (
                self.is_draining.load(Ordering::Relaxed),
                "process",
                "is ending",
            ),
            (mongodb.is_err(), "mongodb", "does not answer"),
            (!is_taking, "writer", "takes no commands"),
            (self.is_tail_missing(), "tail", "does not follow the events"),
        ]
        .into_iter()
        .chain(failing)
        .filter(|(is_there, ..)| *is_there)
        .map(|(_, what, problem)| Obstacle { what, problem })
        .collect()
    }

    /// Returns true if sockets receive no events for a reason of this process.
    fn is_tail_missing(&self) -> bool {
        let Observed {
            bus,
            tail,
            is_followed,
            ..
        } = &self.observed;
        let mut missing = self.tail_missing.lock();
        if !is_followed || tail.is_running() || !bus.is_connected() {
            self.has_followed
                .fetch_or(tail.is_running(), Ordering::Relaxed);
            *missing = None;
            return false;
        }
        let since = *missing.get_or_insert_with(Instant::now);
        // The tail stops briefly at every new connection. The tolerance does not
        // apply to a process that has just started, because it has no clients yet.
        !self.has_followed.load(Ordering::Relaxed) || since.elapsed() > TAIL_TIMEOUT
    }

    /// Returns the state of each long-lived task.
    pub fn tasks(&self) -> Vec<TaskReport> {
        self.observed.tasks.report()
    }

    /// Marks the process as ending, so that a load balancer sends it no more requests.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Returns the time since the start of this process.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the status of the tail of the event stream.
    pub fn tail(&self) -> &TailStatus {
        &self.observed.tail
    }

    /// Returns the backlog of the relay, at most a few seconds old; `None` while MongoDB does not answer.
    pub async fn backlog(&self) -> Option<Backlog> {
        // Holding the lock makes concurrent callers wait for one query and share its result.
        let mut known = self.backlog.lock().await;
        if let Some((at, found)) = &*known
            && at.elapsed() < durable_lag::PERIOD
        {
            return found.clone();
        }
        let found = self.observed.store.backlog().await.ok();
        *known = Some((Instant::now(), found.clone()));
        found
    }

    /// Returns the lag of every durable consumer of the deployment, the largest
    /// first and at most `lag::MAX_NAMED`; `None` while NATS does not answer.
    pub async fn consumers(&self) -> Option<Vec<DurableLag>> {
        let mut durables = self.durables().await?;
        durables.truncate(lag::MAX_NAMED);
        Some(durables)
    }

    /// Returns every durable consumer with its lag, including the events that the stream lacks.
    async fn durables(&self) -> Option<Vec<DurableLag>> {
        let (durables, backlog) = tokio::join!(self.lags.all(), self.backlog());
        let mut durables = durables?.to_vec();
        if let Some(backlog) =
            backlog.filter(|found| found.missing > 0 || !found.lacking.is_empty())
        {
            add_missing(&mut durables, &backlog);
        }
        Some(durables)
    }

    /// Returns the metrics of this process, and the lag of all durable consumers, in the text format of Prometheus.
    pub async fn render_metrics(&self) -> String {
        let (durables, backlog) = tokio::join!(self.durables(), self.backlog());
        self.observed.metrics.run_upkeep();
        let own = self.observed.metrics.render();
        let (durables, backlog) = (durables.as_deref(), backlog.as_ref());
        own + &lag::render(&self.observed.tail, durables, backlog)
    }
}

/// Counts the events that the stream lacks as pending. The consumer itself may
/// be missing in the broker after a loss of data, until it is created again.
fn add_missing(durables: &mut Vec<DurableLag>, backlog: &Backlog) {
    for lacking in &backlog.lacking {
        if !durables.iter().any(|known| known.name == lacking.durable) {
            durables.push(DurableLag {
                name: lacking.durable.clone(),
                pending: 0,
                to_put_back: 0,
                in_flight: 0,
                retrying: 0,
                oldest: None,
                paused_for: None,
            });
        }
    }
    for durable in durables.iter_mut() {
        let mut add = |count: u64, since: Option<Timestamp>| {
            durable.to_put_back += count;
            durable.pending += count;
            durable.oldest = [durable.oldest, since].into_iter().flatten().min();
        };
        add(backlog.missing, backlog.since);
        let own = backlog
            .lacking
            .iter()
            .filter(|lacking| lacking.durable == durable.name);
        for lacking in own {
            add(lacking.entries, Some(lacking.since));
        }
    }
    durable_lag::sort(durables);
}

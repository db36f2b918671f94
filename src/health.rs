//! Whether this process can do its work, and what it is doing. Every role serves it on its own port.

mod lag;

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

use crate::{
    bus::{
        Bus,
        lag::{self as durable_lag, DurableLag, Lags},
        tail::TailStatus,
    },
    store::{Backlog, Store, log::Writer},
    tasks::{TaskReport, Tasks},
};

/// How long the tail may stand still, while NATS is there, before the process takes no more work.
const TAIL_PATIENCE: Duration = Duration::from_secs(15);

/// A dependency as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// Its name: `mongodb` or `nats`.
    pub name: &'static str,
    /// Whether it answered.
    pub is_up: bool,
    /// How long it took.
    pub latency: Duration,
    /// Whether nothing works without it. Sends succeed without NATS; delivery catches up.
    pub is_required: bool,
}

/// Something that keeps this process from its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obstacle {
    /// A dependency, or a task of this process.
    pub what: &'static str,
    /// What is wrong with it; can be read after its name.
    pub problem: &'static str,
}

/// What a probe looks at.
pub struct Observed {
    /// The database.
    pub store: Arc<Store>,
    /// The broker.
    pub bus: Bus,
    /// The writer, if this process takes commands.
    pub writer: Option<Writer>,
    /// The tail.
    pub tail: Arc<TailStatus>,
    /// Whether sockets of this process live by the tail.
    pub is_followed: bool,
    /// The long-lived tasks.
    pub tasks: Arc<Tasks>,
    /// What renders the metrics.
    pub metrics: PrometheusHandle,
    /// The roles that this process runs.
    pub roles: Vec<&'static str>,
}

/// What this process knows of itself.
pub struct Probe {
    observed: Observed,
    lags: Lags,
    /// What the relay had to do when somebody last asked; `None` where MongoDB did not answer.
    backlog: tokio::sync::Mutex<Option<(Instant, Option<Backlog>)>>,
    started: Instant,
    is_draining: AtomicBool,
    /// Since when the tail does not run although NATS is there; at first since before it ever ran.
    tail_missing: Mutex<Option<Instant>>,
    has_followed: AtomicBool,
}

impl Probe {
    /// A probe of a process that starts now.
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

    /// The roles that this process runs.
    pub fn roles(&self) -> &[&'static str] {
        &self.observed.roles
    }

    /// Asks every dependency.
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

    /// What keeps this process from its work. It should get none while there is anything.
    ///
    /// NATS is not among it: sends succeed without it, and delivery catches up.
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

    /// Whether this process should get work.
    pub async fn is_ready(&self) -> bool {
        self.obstacles().await.is_empty()
    }

    /// Whether sockets get no events for a reason of this process.
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
        // It stops for a moment at every new connection. A process that has just started has nobody to whom that matters.
        !self.has_followed.load(Ordering::Relaxed) || since.elapsed() > TAIL_PATIENCE
    }

    /// How each long-lived task is.
    pub fn tasks(&self) -> Vec<TaskReport> {
        self.observed.tasks.report()
    }

    /// Says that the process is ending, so that a load balancer sends it nothing more.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// How long this process has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the tail of the event stream stands.
    pub fn tail(&self) -> &TailStatus {
        &self.observed.tail
    }

    /// What the relay has still to do, as it was a few seconds ago at most; `None` while MongoDB does not answer.
    pub async fn backlog(&self) -> Option<Backlog> {
        // Who comes while somebody looks waits for what they find.
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

    /// How far every durable of the deployment is, those furthest behind first and at most `lag::MAX_NAMED` of them; `None` while NATS does not answer.
    pub async fn consumers(&self) -> Option<Vec<DurableLag>> {
        let mut durables = self.durables().await?;
        durables.truncate(lag::MAX_NAMED);
        Some(durables)
    }

    /// Every durable with what it has before it: in the stream, and what the stream lacks.
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

    /// The metrics of this process, and the lag of all durables, in the text format of Prometheus.
    pub async fn render_metrics(&self) -> String {
        let (durables, backlog) = tokio::join!(self.durables(), self.backlog());
        self.observed.metrics.run_upkeep();
        let mut text = self.observed.metrics.render();
        lag::render(&mut text, &self.observed.tail, durables.as_ref());
        if let Some(backlog) = backlog {
            lag::render_backlog(&mut text, &backlog);
        }
        text
    }
}

/// Counts what the stream lacks as pending. A durable may be missing in the broker itself, after a loss and until it is made again.
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

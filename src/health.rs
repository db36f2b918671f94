//! Whether this process can do its work, and what it is doing. Every role serves it on its own port.

mod lag;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusHandle;

use crate::{
    bus::{
        Bus,
        lag::{DurableLag, Lags},
        tail::TailStatus,
    },
    store::Store,
};

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

/// What this process knows of itself.
pub struct Probe {
    store: Arc<Store>,
    bus: Bus,
    lags: Lags,
    tail: Arc<TailStatus>,
    metrics: PrometheusHandle,
    /// The roles that this process runs.
    pub roles: Vec<&'static str>,
    started: Instant,
    is_draining: AtomicBool,
}

impl Probe {
    /// A probe of a process that starts now.
    pub fn new(
        store: Arc<Store>,
        bus: Bus,
        tail: Arc<TailStatus>,
        metrics: PrometheusHandle,
        roles: Vec<&'static str>,
    ) -> Self {
        Self {
            store,
            lags: Lags::new(bus.clone()),
            bus,
            tail,
            metrics,
            roles,
            started: Instant::now(),
            is_draining: AtomicBool::new(false),
        }
    }

    /// Asks every dependency.
    pub async fn dependencies(&self) -> Vec<Dependency> {
        let started = Instant::now();
        let (mongodb, nats) = tokio::join!(
            async { (self.store.ping().await.is_ok(), started.elapsed()) },
            async { (self.bus.ping().await.is_ok(), started.elapsed()) },
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

    /// Whether this process should get work: it is not ending, and what it needs is there.
    pub async fn is_ready(&self) -> bool {
        !self.is_draining.load(Ordering::Relaxed) && self.store.ping().await.is_ok()
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
        &self.tail
    }

    /// How far every durable of the deployment is, those furthest behind first and at most `lag::MAX_NAMED` of them; `None` while NATS does not answer.
    pub async fn consumers(&self) -> Option<Vec<DurableLag>> {
        let all = self.lags.all().await?;
        Some(all.iter().take(lag::MAX_NAMED).cloned().collect())
    }

    /// The metrics of this process, and the lag of all durables, in the text format of Prometheus.
    pub async fn render_metrics(&self) -> String {
        let durables = self.lags.all().await;
        self.metrics.run_upkeep();
        let mut text = self.metrics.render();
        lag::render(&mut text, &self.tail, durables.as_deref());
        text
    }
}

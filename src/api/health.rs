//! Whether the service works, and what it is doing.

use std::{sync::Arc, time::Duration};

use chat_sdk::Timestamp;
use poem::{Endpoint, Request, Response, endpoint::make, error::ResponseError};
use poem_openapi::{Enum, Object, OpenApi, payload::PlainText};
use serde::Serialize;

use super::{
    Tag,
    auth::AsHost,
    error::{ApiError, Code},
    limits,
    reply::Json,
};
use crate::{
    bus::lag::DurableLag,
    domain::FieldError,
    health::{Dependency, Obstacle, Probe},
    store::Backlog,
    tasks::TaskReport,
};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It works.
    Up,
    /// It does not answer.
    Down,
}

/// That the process works.
#[derive(Debug, Serialize, Object)]
pub struct Health {
    /// Always `up`; a process that does not work answers 503.
    pub status: HealthStatus,
}

/// A thing that the service depends on.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DependencyHealth {
    /// Its name.
    pub name: String,
    /// Whether it answered.
    pub status: HealthStatus,
    /// How long it took, in milliseconds.
    pub latency_ms: f64,
    /// Whether nothing works without it. Sends succeed without NATS; delivery catches up.
    pub is_required: bool,
}

impl From<Dependency> for DependencyHealth {
    fn from(dependency: Dependency) -> Self {
        Self {
            name: dependency.name.to_owned(),
            status: match dependency.is_up {
                true => HealthStatus::Up,
                false => HealthStatus::Down,
            },
            latency_ms: dependency.latency.as_micros() as f64 / 1000.0,
            is_required: dependency.is_required,
        }
    }
}

/// The process and each thing that it depends on.
#[derive(Debug, Serialize, Object)]
pub struct HealthReport {
    /// Always `up`; a process that does not work answers 503.
    pub status: HealthStatus,
    /// What it depends on.
    pub dependencies: Vec<DependencyHealth>,
    /// Whether every event reaches the event stream.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
}

/// What the relay, which puts into the event stream whatever it lacks, has still to do; some seconds old. Absent while MongoDB does not answer.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct RelayStatus {
    /// `down` when an event has been missing in the stream for more than a minute: webhooks, plugins and hosts get it late.
    pub status: HealthStatus,
    /// Events that may be missing in the stream, at most 100000; 0 while the relay keeps up.
    pub missing: u64,
    /// How long the oldest of them has been missing, in milliseconds.
    pub behind_ms: u64,
    /// What could not be handled in the normal way and was set aside, so that it stops nothing else.
    pub set_aside: SetAsideCount,
}

/// What was set aside.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SetAsideCount {
    /// Events of the last days that the broker does not take, because they are too large for example. Readers get them from the log.
    pub events: u64,
    /// Conversations and users whose stored state is behind their log and cannot be brought up to date. They are tried again all the time.
    pub owners: u64,
}

/// For how long an event may be missing before the relay counts as down.
const MISSING_LIMIT: Duration = Duration::from_secs(60);

impl From<Backlog> for RelayStatus {
    fn from(backlog: Backlog) -> Self {
        let age = backlog.age();
        Self {
            status: match age > MISSING_LIMIT {
                true => HealthStatus::Down,
                false => HealthStatus::Up,
            },
            missing: backlog.missing,
            behind_ms: millis(age),
            set_aside: SetAsideCount {
                events: backlog.set_aside.entries,
                owners: backlog.set_aside.owners,
            },
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How far a process is behind the event stream.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Whether events arrive.
    pub is_running: bool,
    /// The number in the stream of the last one.
    pub position: u64,
    /// How many were still to come at the last one: the lag.
    pub pending: u64,
}

/// Whether a long-lived task works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum TaskState {
    /// It works.
    Running,
    /// It failed, and is started again after a pause.
    Failed,
}

/// A long-lived task of a process.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Its name, for example `writer`, `tail`, `relay`.
    pub name: String,
    /// Whether it works.
    pub state: TaskState,
    /// How often it was started again since the start of the process.
    pub restarts: u64,
    /// Why it failed last; absent if it never did.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl From<TaskReport> for TaskStatus {
    fn from(report: TaskReport) -> Self {
        Self {
            name: report.name.to_owned(),
            state: match report.is_running {
                true => TaskState::Running,
                false => TaskState::Failed,
            },
            restarts: report.restarts,
            last_failure: report.last_failure,
        }
    }
}

/// What a process is doing.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// The version of the service.
    pub version: String,
    /// The roles that this process runs.
    pub roles: Vec<String>,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// How far it is behind the event stream.
    pub events: StreamStatus,
    /// Its long-lived tasks.
    pub tasks: Vec<TaskStatus>,
    /// Whether every event reaches the event stream.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
    /// How far each durable of the deployment is, those furthest behind first, at most 200; some seconds old. Absent while NATS does not answer.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<Vec<ConsumerStatus>>,
}

/// How far a durable consumer of the event stream is: a webhook endpoint's, a plugin's, a host's.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ConsumerStatus {
    /// Its name; of a webhook endpoint `webhooks-` and the endpoint's id.
    pub name: String,
    /// Events that it has not been given yet, with those that the stream lacks.
    pub pending: u64,
    /// How many of these may be missing in the stream and are still to be put back; events of types that it does not read are among them.
    pub to_put_back: u64,
    /// Events that were given out and are not settled.
    pub in_flight: u64,
    /// How many of these were given out more than once.
    pub retrying: u64,
    /// How long its oldest event that is not settled has been in the stream, in milliseconds; 0 when all are.
    pub oldest_age_ms: u64,
    /// How much longer nothing is given out, in milliseconds, because the last attempts failed.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for_ms: Option<u64>,
}

impl From<DurableLag> for ConsumerStatus {
    fn from(lag: DurableLag) -> Self {
        Self {
            oldest_age_ms: millis(lag.oldest_age(Timestamp::now())),
            name: lag.name,
            pending: lag.pending,
            to_put_back: lag.to_put_back,
            in_flight: lag.in_flight,
            retrying: lag.retrying,
            paused_for_ms: lag.paused_for.map(millis),
        }
    }
}

/// The operations that show how the service is.
pub struct HealthApi(pub Arc<Probe>);

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Whether the process can do its work
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, request: &Request) -> Result<Json<Health>, ApiError> {
        self.ready(request).await
    }

    /// Whether the process runs at all
    #[oai(path = "/health/live", method = "get", operation_id = "getLiveness")]
    async fn live(&self, request: &Request) -> Result<Json<Health>, ApiError> {
        limits::count_health(request)?;
        Ok(Json(Health {
            status: HealthStatus::Up,
        }))
    }

    /// Whether the process should get work
    ///
    /// It should not while it is ending, while MongoDB does not answer, or while a part of it does not work; `details` names what is missing.
    #[oai(path = "/health/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self, request: &Request) -> Result<Json<Health>, ApiError> {
        limits::count_health(request)?;
        match self.0.obstacles().await {
            obstacles if obstacles.is_empty() => Ok(Json(Health {
                status: HealthStatus::Up,
            })),
            obstacles => {
                let refusal = ApiError::new(Code::Unavailable, "This process takes no work now.");
                Err(refusal.with_details(faults(obstacles)))
            }
        }
    }

    /// Each thing that the service depends on, and how fast it answers
    #[oai(path = "/api/health", method = "get", operation_id = "getHealthReport")]
    async fn report(&self, request: &Request) -> Result<Json<HealthReport>, ApiError> {
        limits::count_health(request)?;
        let (obstacles, dependencies) = tokio::join!(self.0.obstacles(), self.0.dependencies());
        if !obstacles.is_empty() {
            let refusal =
                ApiError::new(Code::Unavailable, "The service cannot do all of its work.");
            return Err(refusal.with_details(faults(obstacles)));
        }
        Ok(Json(HealthReport {
            status: HealthStatus::Up,
            dependencies: dependencies.into_iter().map(Into::into).collect(),
            relay: self.0.backlog().await.map(Into::into),
        }))
    }

    /// Version, roles, uptime and lag of the process that answers, and the lag of every durable
    #[oai(path = "/api/status", method = "get", operation_id = "getStatus")]
    async fn status(&self, _host: AsHost) -> Result<Json<ServiceStatus>, ApiError> {
        let (consumers, backlog) = tokio::join!(self.0.consumers(), self.0.backlog());
        let tail = self.0.tail();
        Ok(Json(ServiceStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles: self
                .0
                .roles()
                .iter()
                .map(|role| (*role).to_owned())
                .collect(),
            uptime_seconds: self.0.uptime().as_secs(),
            events: StreamStatus {
                is_running: tail.is_running(),
                position: tail.watermark(),
                pending: tail.pending(),
            },
            tasks: self.0.tasks().into_iter().map(Into::into).collect(),
            relay: backlog.map(Into::into),
            consumers: consumers.map(|all| all.into_iter().map(Into::into).collect()),
        }))
    }

    /// The metrics of the process that answers, and the lag of all durables, for Prometheus
    #[oai(path = "/api/metrics", method = "get", operation_id = "getMetrics")]
    async fn metrics(&self, _host: AsHost) -> Result<PlainText<String>, ApiError> {
        Ok(PlainText(self.0.render_metrics().await))
    }
}

fn faults(obstacles: Vec<Obstacle>) -> Vec<FieldError> {
    let fault = |obstacle: Obstacle| FieldError::new(obstacle.what, obstacle.problem);
    obstacles.into_iter().map(fault).collect()
}

/// `GET /metrics` on the role's own port, which nginx does not pass on.
pub fn metrics(probe: Arc<Probe>) -> impl Endpoint {
    make(move |request: Request| {
        let probe = Arc::clone(&probe);
        async move {
            if let Err(refused) = limits::count_health(&request) {
                return refused.as_response();
            }
            Response::builder()
                .content_type("text/plain; version=0.0.4; charset=utf-8")
                .body(probe.render_metrics().await)
        }
    })
}

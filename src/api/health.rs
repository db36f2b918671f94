//! HTTP operations on health, status and metrics.

use std::{sync::Arc, time::Duration};

use chat_sdk::{Timestamp, plugin::FailurePolicy};
use poem::{Endpoint, Request, Response, endpoint::make};
use poem_openapi::{Enum, Object, OpenApi, payload::PlainText};
use serde::Serialize;

use super::{
    auth::{AsHost, client},
    error::ApiError,
    parts::reply::Json,
    state::Tag,
};
use crate::{
    bus::lag::DurableLag,
    domain::hooks::{HookPhase, HookReport, Hooks},
    http::health::{Dependency, Health, HealthChecks, HealthStatus, require_none},
    plugins::{PluginPhase, PluginReport, Plugins},
    store::Backlog,
    tasks::TaskReport,
};

/// Health of a dependency of the service.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DependencyHealth {
    /// Name: `mongodb` or `nats`.
    pub name: String,
    /// `up` if the dependency answered.
    pub status: HealthStatus,
    /// Response time in milliseconds.
    pub latency_ms: f64,
    /// True if the service cannot work without it. Without NATS sends succeed; delivery catches up.
    pub is_required: bool,
}

impl From<Dependency> for DependencyHealth {
    fn from(dependency: Dependency) -> Self {
        Self {
            name: dependency.name.to_owned(),
            status: if dependency.is_up {
                HealthStatus::Up
            } else {
                HealthStatus::Down
            },
            latency_ms: dependency.latency.as_micros() as f64 / 1000.0,
            is_required: dependency.is_required,
        }
    }
}

/// Health of the process and of each of its dependencies.
#[derive(Debug, Serialize, Object)]
pub struct HealthReport {
    /// Always `up`; a process that does not work returns 503.
    pub status: HealthStatus,
    /// Dependencies of the service, with their state and response time.
    pub dependencies: Vec<DependencyHealth>,
    /// State of the relay, which publishes events that the event stream lacks. Absent while MongoDB does not answer.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
}

/// Backlog of the relay, which publishes events that the event stream lacks. At most a few seconds old. Absent while MongoDB does not answer.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct RelayStatus {
    /// `down` if an event has been missing in the stream for more than 60 s: webhooks, plugins and hosts receive it late.
    pub status: HealthStatus,
    /// Number of events that may be missing in the stream, 0 to 100,000; 0 while the relay keeps up.
    pub missing: u64,
    /// Time in milliseconds for which the oldest of them has been missing.
    pub behind_ms: u64,
    /// Entries that failed and were set aside so that they do not block others.
    pub set_aside: SetAsideCount,
}

/// Numbers of entries that were set aside.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SetAsideCount {
    /// Number of events of the last days that the broker does not accept, for example because they are too large. Readers receive them from the log.
    pub events: u64,
    /// Number of conversations and users whose stored state is behind their log and cannot be updated. The service keeps retrying.
    pub owners: u64,
}

/// Time for which an event may be missing before the relay counts as down.
const MISSING_LIMIT: Duration = Duration::from_secs(60);

impl From<Backlog> for RelayStatus {
    fn from(backlog: Backlog) -> Self {
        let age = backlog.age();
        Self {
            status: if age > MISSING_LIMIT {
                HealthStatus::Down
            } else {
                HealthStatus::Up
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

/// Position of a process in the event stream.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct StreamStatus {
    /// True if the process receives events.
    pub is_running: bool,
    /// Sequence number in the stream of the last event that the process received.
    pub position: u64,
    /// Lag: number of events that were pending at the last one.
    pub pending: u64,
}

/// State of a long-lived task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum TaskState {
    /// It works.
    Running,
    /// It failed and restarts after a pause.
    Failed,
}

/// Status of a long-lived task of a process.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Name of the task, for example `writer`, `tail`, `relay`.
    pub name: String,
    /// State of the task.
    pub state: TaskState,
    /// Number of restarts since the start of the process.
    pub restarts: u64,
    /// Reason of the last failure; absent if the task never failed.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl From<TaskReport> for TaskStatus {
    fn from(report: TaskReport) -> Self {
        Self {
            name: report.name.to_owned(),
            state: if report.is_running {
                TaskState::Running
            } else {
                TaskState::Failed
            },
            restarts: report.restarts,
            last_failure: report.last_failure,
        }
    }
}

/// State of a plugin in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum PluginRunState {
    /// It is being prepared.
    Preparing,
    /// It works.
    Running,
    /// It is prepared, and its background work runs in processes with other roles.
    Ready,
    /// It failed. It starts again after a pause; if it could not be created, at the next start of the process.
    Failed,
}

/// Status of a plugin in a process.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Name of the plugin.
    pub name: String,
    /// State of the plugin.
    pub state: PluginRunState,
    /// Number of failures since the start of the process.
    pub failures: u64,
    /// Reason of the last failure; absent if it never failed.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl From<PluginReport> for PluginStatus {
    fn from(report: PluginReport) -> Self {
        Self {
            name: report.name.to_owned(),
            state: match report.phase {
                PluginPhase::Preparing => PluginRunState::Preparing,
                PluginPhase::Running => PluginRunState::Running,
                PluginPhase::Ready => PluginRunState::Ready,
                PluginPhase::Failed => PluginRunState::Failed,
            },
            failures: report.failures,
            last_failure: report.last_failure,
        }
    }
}

/// State of a hook in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub enum HookRunState {
    /// It was not called yet.
    Unknown,
    /// It answered the last call or probe.
    Answering,
    /// It failed at the last call or probe.
    Failing,
    /// It failed several times in a row, and no operation waits for it now; its policy applies at once.
    LeftAlone,
}

/// Status of a hook in a process.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct HookStatus {
    /// Name of the plugin that has the hook.
    pub plugin: String,
    /// Name of the hook.
    pub name: String,
    /// State of the hook.
    pub state: HookRunState,
    /// Consequence of a failure for the operation.
    pub failure: FailurePolicy,
    /// True if verdicts are only counted and logged.
    pub shadow: bool,
    /// Number of failed calls and probes since the start of the process.
    pub failures: u64,
    /// Reason of the last failure; absent if it never failed.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl From<HookReport> for HookStatus {
    fn from(report: HookReport) -> Self {
        Self {
            plugin: report.plugin,
            name: report.hook,
            state: match report.phase {
                HookPhase::Unknown => HookRunState::Unknown,
                HookPhase::Answering => HookRunState::Answering,
                HookPhase::Failing => HookRunState::Failing,
                HookPhase::LeftAlone => HookRunState::LeftAlone,
            },
            failure: report.policy,
            shadow: report.is_shadow,
            failures: report.failures,
            last_failure: report.last_failure,
        }
    }
}

/// Status of the process that answers.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Version of the service.
    pub version: String,
    /// Roles that this process runs.
    pub roles: Vec<String>,
    /// Time in seconds since the start of the process.
    pub uptime_seconds: u64,
    /// Position of the process in the event stream.
    pub events: StreamStatus,
    /// Long-lived tasks of the process.
    pub tasks: Vec<TaskStatus>,
    /// Plugins of the process.
    pub plugins: Vec<PluginStatus>,
    /// Hooks of the process, of its plugins and of plugins in other processes, in the order in which they are asked.
    pub hooks: Vec<HookStatus>,
    /// State of the relay, which publishes events that the event stream lacks. Absent while MongoDB does not answer.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
    /// Lag of the durable consumers of the deployment, the largest first, at most 200; at most a few seconds old. Absent while NATS does not answer.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<Vec<ConsumerStatus>>,
}

/// Lag of a durable consumer of the event stream, which belongs to a webhook endpoint, a plugin or a host.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ConsumerStatus {
    /// Name of the durable consumer; for a webhook endpoint `webhooks-` and the id of the endpoint.
    pub name: String,
    /// Number of events that were not delivered yet, including those that the stream lacks.
    pub pending: u64,
    /// Number of pending events that the stream may lack and the relay still has
    /// to publish, including events of types that the consumer does not read.
    pub to_put_back: u64,
    /// Number of events that were delivered and are not acknowledged.
    pub in_flight: u64,
    /// Number of unacknowledged events that were delivered more than once.
    pub retrying: u64,
    /// Age in milliseconds of the oldest event in the stream that is not acknowledged; 0 if all are.
    pub oldest_age_ms: u64,
    /// Time in milliseconds until the next delivery, after failed attempts; absent if deliveries are not paused.
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

/// Operations on health, status and metrics.
pub struct HealthApi(pub HealthChecks, pub Plugins, pub Arc<Hooks>);

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Check whether the process can work
    ///
    /// The same as `/health/ready`.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, request: &Request) -> Result<Json<Health>, ApiError> {
        self.ready(request).await
    }

    /// Check whether the process runs
    ///
    /// Returns 200 as long as the process handles requests; it checks no dependency.
    #[oai(path = "/health/live", method = "get", operation_id = "getLiveness")]
    async fn live(&self, request: &Request) -> Result<Json<Health>, ApiError> {
        self.0.live(client(request)?).map(Json)
    }

    /// Check whether the process accepts work
    ///
    /// Fails with 503 while the process is ending, while MongoDB does not answer,
    /// or while a required task does not work; `details` names each of these.
    #[oai(path = "/health/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self, request: &Request) -> Result<Json<Health>, ApiError> {
        self.0.ready(client(request)?).await.map(Json)
    }

    /// Get the state of each dependency
    ///
    /// Returns the state and the response time of each dependency, and the backlog of the relay.
    ///
    /// Fails with 503 if the process cannot do all of its work; `details` names the reasons.
    #[oai(path = "/api/health", method = "get", operation_id = "getHealthReport")]
    async fn report(&self, request: &Request) -> Result<Json<HealthReport>, ApiError> {
        self.0.count(client(request)?)?;
        let probe = &self.0.probe;
        let (obstacles, dependencies) = tokio::join!(probe.obstacles(), probe.dependencies());
        require_none("The service cannot do all of its work.", obstacles)?;
        Ok(Json(HealthReport {
            status: HealthStatus::Up,
            dependencies: dependencies.into_iter().map(Into::into).collect(),
            relay: probe.backlog().await.map(Into::into),
        }))
    }

    /// Get the status of the process
    ///
    /// Returns version, roles, uptime, tasks, plugins, hooks and lag of the process that answers, and the lag of every durable consumer.
    #[oai(path = "/api/status", method = "get", operation_id = "getStatus")]
    async fn status(&self, _host: AsHost) -> Result<Json<ServiceStatus>, ApiError> {
        let probe = &self.0.probe;
        let (consumers, backlog) = tokio::join!(probe.consumers(), probe.backlog());
        let tail = probe.tail();
        Ok(Json(ServiceStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles: probe
                .roles()
                .iter()
                .map(|role| (*role).to_owned())
                .collect(),
            uptime_seconds: probe.uptime().as_secs(),
            events: StreamStatus {
                is_running: tail.is_running(),
                position: tail.watermark(),
                pending: tail.pending(),
            },
            tasks: probe.tasks().into_iter().map(Into::into).collect(),
            plugins: self.1.reports().into_iter().map(Into::into).collect(),
            hooks: self.2.report().into_iter().map(Into::into).collect(),
            relay: backlog.map(Into::into),
            consumers: consumers.map(|all| all.into_iter().map(Into::into).collect()),
        }))
    }

    /// Get the metrics of the process
    ///
    /// Returns the metrics of the process that answers, and the lag of all durable consumers, in the text format of Prometheus.
    #[oai(path = "/api/metrics", method = "get", operation_id = "getMetrics")]
    async fn metrics(&self, _host: AsHost) -> Result<PlainText<String>, ApiError> {
        Ok(PlainText(self.0.probe.render_metrics().await))
    }
}

/// `GET /metrics` on the role's own port, which nginx does not expose.
pub fn metrics(checks: HealthChecks) -> impl Endpoint {
    make(move |request: Request| {
        let checks = checks.clone();
        async move {
            let metrics = async { checks.metrics(client(&request)?).await };
            let metrics = metrics.await.unwrap_or_else(|error| error.response());
            Response::from(metrics)
        }
    })
}

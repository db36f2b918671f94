//! Whether the service works, and what it is doing.

use std::{sync::Arc, time::Duration};

use chat_sdk::Timestamp;
use poem::{Endpoint, Response, endpoint::make};
use poem_openapi::{Enum, Object, OpenApi, payload::PlainText};
use serde::Serialize;

use super::{
    Tag,
    auth::AsHost,
    error::{ApiError, Code},
    reply::Json,
};
use crate::{
    bus::lag::DurableLag,
    domain::FieldError,
    health::{Dependency, Probe},
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

/// What a process is doing.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct Status {
    /// The version of the service.
    pub version: String,
    /// The roles that this process runs.
    pub roles: Vec<String>,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// How far it is behind the event stream.
    pub events: StreamStatus,
    /// How far each durable of the deployment is, those furthest behind first, at most 200; some seconds old. Absent while NATS does not answer.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<Vec<ConsumerLag>>,
}

/// How far a durable consumer of the event stream is: a webhook endpoint's, a plugin's, a host's.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ConsumerLag {
    /// Its name; of a webhook endpoint `webhooks-` and the endpoint's id.
    pub name: String,
    /// Events that it has not been given yet.
    pub pending: u64,
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

impl From<DurableLag> for ConsumerLag {
    fn from(lag: DurableLag) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            oldest_age_ms: millis(lag.oldest_age(Timestamp::now())),
            name: lag.name,
            pending: lag.pending,
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
    async fn health(&self) -> Result<Json<Health>, ApiError> {
        self.ready().await
    }

    /// Whether the process runs at all
    #[oai(path = "/health/live", method = "get", operation_id = "getLiveness")]
    async fn live(&self) -> Result<Json<Health>, ApiError> {
        Ok(Json(Health {
            status: HealthStatus::Up,
        }))
    }

    /// Whether the process should get work
    ///
    /// It should not while it is ending, or while what it needs is away.
    #[oai(path = "/health/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self) -> Result<Json<Health>, ApiError> {
        match self.0.is_ready().await {
            true => self.live().await,
            false => Err(ApiError::new(
                Code::Unavailable,
                "This process takes no work now: it is ending, or MongoDB does not answer.",
            )),
        }
    }

    /// Each thing that the service depends on, and how fast it answers
    #[oai(path = "/api/health", method = "get", operation_id = "getHealthReport")]
    async fn report(&self) -> Result<Json<HealthReport>, ApiError> {
        let dependencies = self.0.dependencies().await;
        let missing: Vec<FieldError> = dependencies
            .iter()
            .filter(|dependency| dependency.is_required && !dependency.is_up)
            .map(|dependency| FieldError::new(dependency.name, "does not answer"))
            .collect();
        if !missing.is_empty() {
            let refusal = ApiError::new(Code::Unavailable, "What the service needs is away.");
            return Err(refusal.with_details(missing));
        }
        Ok(Json(HealthReport {
            status: HealthStatus::Up,
            dependencies: dependencies.into_iter().map(Into::into).collect(),
        }))
    }

    /// Version, roles, uptime and lag of the process that answers, and the lag of every durable
    #[oai(path = "/api/status", method = "get", operation_id = "getStatus")]
    async fn status(&self, _host: AsHost) -> Result<Json<Status>, ApiError> {
        let consumers = self.0.consumers().await;
        let tail = self.0.tail();
        Ok(Json(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles: self.0.roles.iter().map(|role| (*role).to_owned()).collect(),
            uptime_seconds: self.0.uptime().as_secs(),
            events: StreamStatus {
                is_running: tail.is_running(),
                position: tail.watermark(),
                pending: tail.pending(),
            },
            consumers: consumers.map(|all| all.into_iter().map(Into::into).collect()),
        }))
    }

    /// The metrics of the process that answers, and the lag of all durables, for Prometheus
    #[oai(path = "/api/metrics", method = "get", operation_id = "getMetrics")]
    async fn metrics(&self, _host: AsHost) -> Result<PlainText<String>, ApiError> {
        Ok(PlainText(self.0.render_metrics().await))
    }
}

/// `GET /metrics` on the role's own port, which nginx does not pass on.
pub fn metrics(probe: Arc<Probe>) -> impl Endpoint {
    make(move |_| {
        let probe = Arc::clone(&probe);
        async move {
            Response::builder()
                .content_type("text/plain; version=0.0.4; charset=utf-8")
                .body(probe.render_metrics().await)
        }
    })
}

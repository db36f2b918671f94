//! Health, status and metrics of this process, which every role serves on its own port.

mod lag;
mod probe;

use std::sync::Arc;

use hyper::{Method, StatusCode};
use poem_openapi::{Enum, Object};
use serde::Serialize;

pub use probe::{Dependency, Observed, Obstacle, Probe};

use super::{
    Client, Request, Response,
    error::{ApiError, Code},
    limits::RateLimits,
    respond,
};
use crate::model::FieldError;

/// Path of the metrics, which is in no document; nginx does not expose it.
pub const METRICS_PATH: &str = "/metrics";

/// State of a process, dependency or relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It works.
    Up,
    /// It does not work or does not answer.
    Down,
}

/// Health of a process.
#[derive(Debug, Serialize, Object)]
pub struct Health {
    /// Always `up`; a process that does not work returns 503.
    pub status: HealthStatus,
}

const UP: Health = Health {
    status: HealthStatus::Up,
};

/// Paths that every port serves.
const PATHS: [&str; 4] = ["/health", "/health/live", "/health/ready", METRICS_PATH];

/// Operations on health of one port.
#[derive(Clone)]
pub struct HealthChecks {
    /// Health probe of the process.
    pub probe: Arc<Probe>,
    /// Rate limits of the callers.
    pub limits: Arc<RateLimits>,
}

impl HealthChecks {
    /// Answers a request to a port without documented operations. `otherwise` says what the port serves.
    ///
    /// # Errors
    /// Fails with 404 if the path is not one of health or metrics, with 405 or 429, or with 503 if the process cannot work.
    pub async fn answer(
        &self,
        request: &Request,
        otherwise: &'static str,
    ) -> Result<Response, ApiError> {
        let asked = request.uri().path();
        let Some(path) = PATHS.into_iter().find(|path| *path == asked) else {
            return Err(ApiError::new(Code::NotFound, otherwise));
        };
        let client = Client::of(request.extensions())?;
        client.matched(path);
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(ApiError::method_not_allowed("GET, HEAD"));
        }
        let health = match path {
            METRICS_PATH => return self.metrics(client).await,
            "/health/live" => self.live(client)?,
            _ => self.ready(client).await?,
        };
        let text = serde_json::to_vec(&health).map_err(ApiError::internal)?;
        Ok(respond(StatusCode::OK, "application/json", text))
    }

    /// Counts a health request: it needs no authentication and costs a request to MongoDB.
    ///
    /// # Errors
    /// [`Code::RateLimited`] if the limit is exceeded.
    pub fn count(&self, client: &Client) -> Result<(), ApiError> {
        client.count(self.limits.health(client.address))
    }

    /// Tells that the process runs.
    ///
    /// # Errors
    /// [`Code::RateLimited`] if the limit is exceeded.
    pub fn live(&self, client: &Client) -> Result<Health, ApiError> {
        self.count(client).map(|()| UP)
    }

    /// Tells whether the process accepts work.
    ///
    /// # Errors
    /// [`Code::Unavailable`] with the reasons if it does not, or [`Code::RateLimited`].
    pub async fn ready(&self, client: &Client) -> Result<Health, ApiError> {
        self.count(client)?;
        let obstacles = self.probe.obstacles().await;
        require_none("This process takes no work now.", obstacles).map(|()| UP)
    }

    /// Returns the metrics of this process in the text format of Prometheus.
    ///
    /// # Errors
    /// [`Code::RateLimited`] if the limit is exceeded.
    pub async fn metrics(&self, client: &Client) -> Result<Response, ApiError> {
        self.count(client)?;
        let text = self.probe.render_metrics().await;
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Ok(respond(StatusCode::OK, content_type, text))
    }
}

/// Fails if there are reasons why the process cannot work.
///
/// # Errors
/// [`Code::Unavailable`] with `message`, and each reason in `details`.
pub fn require_none(message: &'static str, obstacles: Vec<Obstacle>) -> Result<(), ApiError> {
    if obstacles.is_empty() {
        return Ok(());
    }
    let fault = |obstacle: Obstacle| FieldError::new(obstacle.what, obstacle.problem);
    let faults = obstacles.into_iter().map(fault).collect();
    Err(ApiError::new(Code::Unavailable, message).with_details(faults))
}

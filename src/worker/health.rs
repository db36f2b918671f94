//! Health and metrics on the port of a process without clients.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::json;

use crate::{
    config::Origins,
    edge::{self, cors, request_id},
    health::Probe,
    limits::{RateLimited, RateLimits},
    listener::TimedBody,
};

/// Parts that the port of a process without clients needs.
#[derive(Clone)]
pub struct Health {
    /// Health of the process.
    pub probe: Arc<Probe>,
    /// Rate limits of requests.
    pub limits: Arc<RateLimits>,
    /// Pages that may read the answers.
    pub origins: Origins,
}

/// Answers any request of the client at that address.
pub async fn answer(
    health: Health,
    request: Request<TimedBody>,
    client: IpAddr,
) -> Response<Full<Bytes>> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let id = request_id::of(request.headers());
    let preflight = cors::preflight(&health.origins, request.method(), request.headers());
    let mut answer = match preflight {
        Some(headers) => {
            let mut answer = Response::default();
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer.headers_mut().extend(headers);
            answer
        }
        None => match health.limits.health(client) {
            Ok(_) => of_path(&health.probe, request.uri().path()).await,
            Err(refused) => too_many(refused),
        },
    };
    edge::finish(answer.headers_mut(), &health.origins, origin.as_ref(), id);
    answer
}

async fn of_path(probe: &Probe, path: &str) -> Response<Full<Bytes>> {
    match path {
        "/health" | "/health/ready" => health(probe.is_ready().await),
        "/health/live" => health(true),
        "/metrics" => text(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            probe.render_metrics().await,
        ),
        _ => refusal(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "This process only works; it answers /health and /metrics.",
        ),
    }
}

fn too_many(refused: RateLimited) -> Response<Full<Bytes>> {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut answer = refusal(status, "RATE_LIMITED", &refused.to_string());
    let seconds = HeaderValue::from(refused.retry_after_seconds());
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "statusCode": status.as_u16(),
        "error": status.canonical_reason().unwrap_or_default(),
        "code": code,
        "message": message,
    });
    text(status, JSON, body.to_string())
}

const JSON: &str = "application/json";

fn health(is_ready: bool) -> Response<Full<Bytes>> {
    let (status, word) = match is_ready {
        true => (StatusCode::OK, "up"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "down"),
    };
    text(status, JSON, json!({ "status": word }).to_string())
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

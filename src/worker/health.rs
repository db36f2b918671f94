//! What a process without clients answers on its port: its health, and its metrics.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::json;

use crate::health::Probe;

/// The answer to any request.
pub fn answer(
    probe: Arc<Probe>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Full<Bytes>>> + Send {
    let path = request.uri().path().to_owned();
    async move {
        match path.as_str() {
            "/health" | "/health/ready" => health(probe.is_ready().await),
            "/health/live" => health(true),
            "/metrics" => text(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                probe.render_metrics().await,
            ),
            _ => text(
                StatusCode::NOT_FOUND,
                JSON,
                json!({
                    "statusCode": 404, "error": "Not Found", "code": "NOT_FOUND",
                    "message": "This process only works; it answers /health and /metrics.",
                })
                .to_string(),
            ),
        }
    }
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
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

//! One log line and one measurement per request. Paths are logged as patterns: a raw path may hold ids or a token.

use std::time::Instant;

use hyper::{Method, StatusCode};
use metrics::histogram;

/// Route label of a request to an unknown path.
const UNMATCHED: &str = "unmatched";

/// Log line of a request in progress.
pub struct Line {
    started: Instant,
    method: &'static str,
}

impl Line {
    /// Starts the measurement of a request.
    pub fn begin(method: &Method) -> Self {
        Self {
            started: Instant::now(),
            method: method_name(method),
        }
    }

    /// Records the route, the status and the duration.
    pub fn end(&self, route: Option<&'static str>, status: StatusCode) {
        let elapsed = self.started.elapsed();
        let (method, route) = (self.method, route.unwrap_or(UNMATCHED));
        let is_frequent = is_frequent(route) || status == StatusCode::SWITCHING_PROTOCOLS;
        let status = status.as_u16();
        let milliseconds = elapsed.as_micros() as f64 / 1000.0;
        histogram!(
            "chat_http_request_seconds",
            "method" => method, "route" => route, "status" => status_class(status),
        )
        .record(elapsed.as_secs_f64());
        if is_frequent {
            tracing::debug!(method, route, status, milliseconds, "answered");
        } else {
            tracing::info!(method, route, status, milliseconds, "answered");
        }
    }
}

/// Returns true for routes that monitoring requests every few seconds.
fn is_frequent(route: &str) -> bool {
    route.starts_with("/health") || route == "/api/health" || route.ends_with("/metrics")
}

/// Returns the method as a label. Callers can send any word as a method, so unknown ones share a label to bound the number of series.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

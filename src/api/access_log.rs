//! One log line and one measurement per request. Paths are logged as patterns: a raw path may hold ids or a token.

use std::time::Instant;

use metrics::histogram;
use poem::PathPattern;
use poem::{
    Request,
    http::{Method, StatusCode},
};

use super::document;

/// Route label of a request to an unknown path.
const UNMATCHED: &str = "unmatched";

/// Log line of a request in progress.
pub struct Line {
    started: Instant,
    method: &'static str,
    route: &'static str,
}

impl Line {
    /// Starts the measurement of a request.
    pub fn begin(request: &Request) -> Self {
        Self {
            started: Instant::now(),
            method: method_name(request.method()),
            route: UNMATCHED,
        }
    }

    /// Sets the route from the pattern that matched.
    pub fn matched(&mut self, pattern: Option<&PathPattern>) {
        self.route = document::route(pattern).unwrap_or(UNMATCHED);
    }

    /// Records the status and the duration.
    pub fn end(&self, status: StatusCode) {
        let elapsed = self.started.elapsed();
        let (method, route, status) = (self.method, self.route, status.as_u16());
        let milliseconds = elapsed.as_micros() as f64 / 1000.0;
        histogram!(
            "chat_http_request_seconds",
            "method" => method, "route" => route, "status" => status_class(status),
        )
        .record(elapsed.as_secs_f64());
        if is_frequent(route) {
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
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

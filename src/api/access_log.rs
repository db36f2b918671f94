//! One log line and one measurement per request. Paths are told by their pattern: a raw one may hold ids, or a token.

use std::time::Instant;

use metrics::histogram;
use poem::PathPattern;
use poem::{
    Request,
    http::{Method, StatusCode},
};

use super::document;

/// What is told of a request to no known path.
const UNMATCHED: &str = "unmatched";

/// A request on its way.
pub struct Line {
    started: Instant,
    method: &'static str,
    route: &'static str,
}

impl Line {
    /// The request came in.
    pub fn begin(request: &Request) -> Self {
        Self {
            started: Instant::now(),
            method: method_name(request.method()),
            route: UNMATCHED,
        }
    }

    /// The router knows its path.
    pub fn matched(&mut self, pattern: Option<&PathPattern>) {
        self.route = document::route(pattern).unwrap_or(UNMATCHED);
    }

    /// It was answered.
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

/// Whether a machine asks for it every few seconds.
fn is_frequent(route: &str) -> bool {
    route.starts_with("/health") || route == "/api/health" || route.ends_with("/metrics")
}

/// A method as a label, of which there must be few: callers can send any word as a method.
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

//! HTTP of every port of a process: connections, headers of all responses, rate limits, health and metrics.
//!
//! The roles add their paths. This module does not depend on them (`api`, `ws`, `worker`) or on their frameworks.

mod access_log;
mod address;
pub mod caller;
mod client;
mod cors;
pub mod edge;
pub mod error;
pub mod health;
pub mod limits;
pub mod listener;
pub mod request_id;

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderValue},
};

pub use address::TrustedProxies;
pub use client::Client;
pub use error::{ApiError, Code};

use crate::config::Origins;

/// Body of a request or response.
pub type Body = BoxBody<Bytes, io::Error>;
/// Request of a client. Its [`Client`] is an extension.
pub type Request = hyper::Request<Body>;
/// Response to a client.
pub type Response = hyper::Response<Body>;

/// Source of event streams (`GET /api/events`): the sockets of this process.
pub trait EventStreams: Send + Sync {
    /// Authenticates the client of `request`, whose body is empty, and returns the stream of its user's events.
    fn open(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Response, ApiError>>;
}

/// Returns a body in memory.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// Returns a response with a body in memory.
pub fn respond(
    status: StatusCode,
    content_type: &'static str,
    bytes: impl Into<Bytes>,
) -> Response {
    let mut response = Response::new(body(bytes));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Adds the headers of every response but an upgrade. `origin` is the origin of the page that asks, `id` the id of the request.
fn finish(headers: &mut HeaderMap, origins: &Origins, origin: Option<&HeaderValue>, id: String) {
    cors::permit(origins, origin, headers);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    // Responses belong to one user and may change at any time.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(request_id::HEADER, id);
    }
}

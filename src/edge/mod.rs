//! Headers of every HTTP response of any role: request id, CORS and caching.
//!
//! This module depends on no framework, only on the headers of requests and responses.

pub mod cors;
pub mod request_id;

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};

use crate::config::Origins;

/// Adds the headers of every response. `origin` is the origin of the page that asks, `id` the id of the request.
pub fn finish(
    headers: &mut HeaderMap,
    origins: &Origins,
    origin: Option<&HeaderValue>,
    id: String,
) {
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

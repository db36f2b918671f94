//! What surrounds every HTTP answer, whichever role gives it: the request's id, what a browser's page may know, and how long it is good.
//!
//! This room knows no framework: only requests' and answers' headers.

pub mod cors;
pub mod request_id;

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};

use crate::config::Origins;

/// Adds to an answer the headers that every one has. `origin` is the page that asked, `id` the request's.
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
    // Answers belong to one user, and are old the next moment.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(request_id::HEADER, id);
    }
}

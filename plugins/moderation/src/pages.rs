//! Pages of stored documents, bounded in items and in bytes.

use chat_sdk::{
    http::ApiError,
    plugin::{Found, Query},
};

use crate::ids;

/// Maximum stored size of the items of a page, in bytes: 1 MiB, as everywhere in the API.
const MAX_BYTES: usize = 1 << 20;
/// Default number of items of a page.
const DEFAULT: usize = 50;

/// Returns the number of items that a caller asks for.
pub fn size(limit: Option<i64>) -> usize {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(DEFAULT).clamp(1, 100)
}

/// Limits a query to a page.
pub fn bound(query: Query, limit: usize) -> Query {
    query.limit(limit).max_bytes(MAX_BYTES)
}

/// Checks that the cursor `after` is an id with this prefix.
///
/// # Errors
/// [`ApiError::Invalid`].
pub fn check(after: Option<&str>, prefix: &str) -> Result<(), ApiError> {
    if after.is_some_and(|cursor| !ids::is_id(cursor, prefix)) {
        return Err(ApiError::invalid("after", "is no cursor of this list"));
    }
    Ok(())
}

/// Returns the cursor of the next page, if there is one.
pub fn next<T>(found: &Found<T>, id: impl Fn(&T) -> String) -> Option<String> {
    found.items.last().filter(|_| found.has_more).map(id)
}

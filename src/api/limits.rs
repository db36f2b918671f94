//! Rate limits over HTTP: the client of a request, the limit that it counts against, and the headers of the response.
//!
//! Guards count before any other work for the request; the edge then adds the headers with the result.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
};

use chat_sdk::UserId;
use poem::{
    Request,
    http::{HeaderMap, HeaderName, HeaderValue},
};

use super::{
    ApiState, auth,
    error::{ApiError, Code},
};
use crate::{
    auth::AuthError,
    limits::{RateLimited, Standing, Verdict, whole_seconds},
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Limit of a user that an operation counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Limit `RATE_LIMIT_API`.
    Request,
    /// Limit `RATE_LIMIT_MESSAGES`.
    Message,
}

/// Rate limit state of one request, shared by its guard and the edge.
pub struct Meter {
    client: IpAddr,
    standing: OnceLock<Standing>,
}

impl Meter {
    /// Attaches a meter to the request.
    pub fn attach(request: &mut Request) -> Arc<Self> {
        let client = request.remote_addr().as_socket_addr();
        let meter = Arc::new(Self {
            // Requests of the listener have an address; those of tests without a connection share this one.
            client: client.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip()),
            standing: OnceLock::new(),
        });
        request.extensions_mut().insert(Arc::clone(&meter));
        meter
    }

    /// Returns the meter of the request.
    ///
    /// # Errors
    /// [`Code::InternalError`] if the request did not come through [`super::endpoint`].
    fn of(request: &Request) -> Result<&Self, ApiError> {
        request
            .data::<Arc<Self>>()
            .map(Arc::as_ref)
            .ok_or_else(|| ApiError::internal("no meter is attached to the request"))
    }

    fn note(&self, verdict: Verdict) -> Result<(), ApiError> {
        let standing = match verdict {
            Ok(standing) => standing,
            Err(refused) => Some(refused.standing),
        };
        if let Some(standing) = standing {
            // Only the first count of a request sets the headers.
            let _ = self.standing.set(standing);
        }
        verdict.map(drop).map_err(ApiError::from)
    }

    /// Adds the headers with the remaining limit, if the request was counted.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some(standing) = self.standing.get() {
            headers.insert(LIMIT, standing.limit.into());
            headers.insert(REMAINING, standing.remaining.into());
            headers.insert(RESET, HeaderValue::from(whole_seconds(standing.reset)));
        }
    }
}

/// Counts a request of `user`.
///
/// # Errors
/// [`Code::RateLimited`] if the limit is exceeded.
pub fn count(
    state: &ApiState,
    request: &Request,
    user: &UserId,
    what: Counted,
) -> Result<(), ApiError> {
    Meter::of(request)?.note(match what {
        Counted::Request => state.limits.api(user),
        Counted::Message => state.limits.messages(user),
    })
}

/// Returns the error for a request with a rejected token.
///
/// Only a token that may be forged counts as a failed authentication. A token that is missing, expired, revoked or has a wrong claim counts as a
/// request from the address. So a client always learns why its token is rejected, whatever other clients behind the same address do.
pub fn refuse_token(state: &ApiState, request: &Request, error: AuthError) -> ApiError {
    let counted = match error {
        AuthError::KeysUnavailable => Ok(()),
        error if error.is_forgery() => failed_proof(state, request),
        _ => count_stranger(state, request),
    };
    counted.err().unwrap_or_else(|| error.into())
}

/// Counts a failed authentication.
///
/// # Errors
/// [`Code::RateLimited`] if the limit is exceeded; it replaces the original error.
pub fn failed_proof(state: &ApiState, request: &Request) -> Result<(), ApiError> {
    let meter = Meter::of(request)?;
    meter.note(state.limits.failed_proof(meter.client))
}

/// Counts a health request.
///
/// # Errors
/// [`Code::RateLimited`] if the limit is exceeded.
pub fn count_health(request: &Request) -> Result<(), ApiError> {
    let meter = Meter::of(request)?;
    meter.note(auth::state(request)?.limits.health(meter.client))
}

/// Counts an unauthenticated request.
///
/// # Errors
/// [`Code::RateLimited`] if the limit is exceeded; it replaces the original error.
pub fn count_stranger(state: &ApiState, request: &Request) -> Result<(), ApiError> {
    let meter = Meter::of(request)?;
    meter.note(state.limits.api_from(meter.client))
}

impl From<RateLimited> for ApiError {
    fn from(refused: RateLimited) -> Self {
        Self::new(Code::RateLimited, refused.to_string())
            .with_retry_after(refused.retry_after_seconds())
    }
}

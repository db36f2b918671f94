//! The rate limits over HTTP: from whom a request comes, what it counts against, and the headers that say so.
//!
//! Guards count before anything else is done for the request; the edge then writes into the answer what they were told.

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

/// Which limit of a user an operation counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// `RATE_LIMIT_API`.
    Request,
    /// `RATE_LIMIT_MESSAGES`.
    Message,
}

/// What is counted for one request, shared by its guard and the edge.
pub struct Meter {
    client: IpAddr,
    standing: OnceLock<Standing>,
}

impl Meter {
    /// Attaches one to the request.
    pub fn attach(request: &mut Request) -> Arc<Self> {
        let client = request.remote_addr().as_socket_addr();
        let meter = Arc::new(Self {
            // Every request of ours has an address; those of tests without a connection share one.
            client: client.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip()),
            standing: OnceLock::new(),
        });
        request.extensions_mut().insert(Arc::clone(&meter));
        meter
    }

    /// The one of the request.
    ///
    /// # Errors
    /// [`Code::InternalError`] for a request that did not come through [`super::endpoint`].
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
            // A request is counted once; the first count is the one that is told.
            let _ = self.standing.set(standing);
        }
        verdict.map(drop).map_err(ApiError::from)
    }

    /// Tells in an answer where the caller stands, if the request was counted.
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
/// [`Code::RateLimited`].
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

/// What a request is answered whose token is not believed.
///
/// Only a token that may be forged counts as a failed proof. One that is missing, expired, revoked or has a wrong claim counts as a request from that
/// address. So a client always learns what is wrong with its token, whatever others behind its address do.
pub fn refuse_token(state: &ApiState, request: &Request, error: AuthError) -> ApiError {
    let counted = match error {
        AuthError::KeysUnavailable => Ok(()),
        error if error.is_forgery() => failed_proof(state, request),
        _ => count_stranger(state, request),
    };
    counted.err().unwrap_or_else(|| error.into())
}

/// Counts a failed proof of identity.
///
/// # Errors
/// [`Code::RateLimited`], to answer instead of what was wrong.
pub fn failed_proof(state: &ApiState, request: &Request) -> Result<(), ApiError> {
    let meter = Meter::of(request)?;
    meter.note(state.limits.failed_proof(meter.client))
}

/// Counts a question how the service is.
///
/// # Errors
/// [`Code::RateLimited`].
pub fn count_health(request: &Request) -> Result<(), ApiError> {
    let meter = Meter::of(request)?;
    meter.note(auth::state(request)?.limits.health(meter.client))
}

/// Counts a request of nobody.
///
/// # Errors
/// [`Code::RateLimited`], to answer instead of what was wrong.
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

//! Client of a request: its address, its connection, and facts about the request that handlers leave for the edge.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use chat_sdk::UserId;
use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue},
    http::Extensions,
};
use tokio_util::sync::CancellationToken;

use super::{
    error::ApiError,
    limits::{RateLimits, Standing, Verdict, whole_seconds},
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Extension of every request.
pub struct Client {
    /// Address of the client, behind all trusted proxies.
    pub address: IpAddr,
    /// Closes the connection of the client immediately, also if the client has stopped reading. Otherwise a response that the client does not read
    /// would stay in memory as long as the client likes.
    pub hang_up: CancellationToken,
    /// Method of the request. Frameworks answer HEAD with the handler of GET.
    pub method: Method,
    standing: OnceLock<Standing>,
    /// User whose limit of requests the request was counted against, and the limits.
    payer: OnceLock<(UserId, Arc<RateLimits>)>,
    route: OnceLock<&'static str>,
}

impl Client {
    /// Creates the client of a request whose connection `hang_up` closes.
    pub fn new(address: IpAddr, hang_up: CancellationToken, method: Method) -> Self {
        Self {
            address,
            hang_up,
            method,
            standing: OnceLock::new(),
            payer: OnceLock::new(),
            route: OnceLock::new(),
        }
    }

    /// Creates the client of a message that comes over an open connection, or over a broker.
    pub fn at(address: IpAddr) -> Self {
        Self::new(address, CancellationToken::new(), Method::POST)
    }

    /// Returns the client of a request.
    ///
    /// # Errors
    /// [`super::Code::InternalError`] if the request did not come through the edge.
    pub fn of(extensions: &Extensions) -> Result<&Arc<Self>, ApiError> {
        extensions
            .get()
            .ok_or_else(|| ApiError::internal("no client is attached to the request"))
    }

    /// Records the result of counting the request.
    ///
    /// # Errors
    /// [`super::Code::RateLimited`] if the limit is exceeded.
    pub fn count(&self, verdict: Verdict) -> Result<(), ApiError> {
        let standing = verdict.unwrap_or_else(|refused| Some(refused.standing));
        if let Some(standing) = standing {
            // Only the first count of a request sets the headers.
            let _ = self.standing.set(standing);
        }
        verdict.map(drop).map_err(ApiError::from)
    }

    /// Records the user whose limit of requests the request was counted against.
    pub(super) fn counted_for(&self, user: &UserId, limits: &Arc<RateLimits>) {
        let _ = self.payer.set((user.clone(), Arc::clone(limits)));
    }

    /// Adds `requests` to what the user owes, to whom the request was counted.
    pub fn owe(&self, requests: u32) {
        if let Some((user, limits)) = self.payer.get() {
            limits.owe(user, requests);
        }
    }

    /// Charges the user for a response of `bytes`. The host, strangers, and requests that another limit counts pay nothing.
    pub(super) fn charge(&self, bytes: usize) {
        if let Some((user, limits)) = self.payer.get() {
            limits.charge(user, bytes);
        }
    }

    /// Records the pattern of the request's path.
    pub fn matched(&self, route: &'static str) {
        let _ = self.route.set(route);
    }

    /// Returns the pattern of the request's path; `None` if none matched.
    pub(super) fn route(&self) -> Option<&'static str> {
        self.route.get().copied()
    }

    /// Adds the headers with the remaining limit, if the request was counted.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(standing) = self.standing.get() {
            headers.insert(LIMIT, standing.limit.into());
            headers.insert(REMAINING, standing.remaining.into());
            headers.insert(RESET, HeaderValue::from(whole_seconds(standing.reset)));
        }
    }
}

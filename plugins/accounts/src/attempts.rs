//! Limits of guesses: per account, counted in the database for all processes, and per address, counted in this process.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chat_sdk::{
    Timestamp,
    plugin::{Collection, Filter, HostError, Index, StoredDate, Update},
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::secrets;

/// Number of checks after which idle addresses are removed.
const EVICTION: u32 = 1000;

/// Counter of one window of time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Counter {
    #[serde(rename = "_id")]
    id: String,
    count: i64,
    expires: StoredDate,
}

/// Collection of counters.
pub struct Attempts(Collection<Counter>);

/// Counter of a subject in the present window.
pub struct Window {
    id: String,
    expires: Timestamp,
}

impl Window {
    /// Returns the counter of `subject` in windows of the length `length`. The subject is hashed: it may be a text of any length, and personal data.
    pub fn of(subject: &str, length: Duration) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
        let number = Timestamp::now().as_millis() / length;
        Self {
            id: format!("{}:{number}", secrets::digest(subject)),
            expires: Timestamp::from_millis((number + 1).saturating_mul(length)),
        }
    }
}

impl Attempts {
    /// Uses `collection` for the counters.
    pub fn new(collection: Collection<Counter>) -> Self {
        Self(collection)
    }

    /// Creates the index by which old counters are removed.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let expiry = Index::expiry("expiry", "expires", Duration::ZERO);
        self.0.create_indexes([expiry]).await
    }

    /// Counts an attempt before it is made, so that parallel attempts cannot exceed a limit together. Returns the number of attempts in the window.
    pub async fn count(&self, window: &Window) -> Result<i64, HostError> {
        let update = Update::one(Filter::id(window.id.as_str()))
            .or_insert(json!({ "expires": StoredDate(window.expires) }))
            .increment("count", 1);
        let counter = self.0.find_and_update(update).await?;
        Ok(counter.map_or(1, |counter| counter.count))
    }

    /// Takes back an attempt that succeeded.
    pub async fn forgive(&self, window: &Window) -> Result<(), HostError> {
        let filter = Filter::id(window.id.as_str());
        self.0
            .update(Update::one(filter).increment("count", -1))
            .await
            .map(drop)
    }
}

/// Limit of requests per address and minute, counted in this process.
pub struct AddressLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
}

impl AddressLimit {
    /// Creates a limit of `count` requests per minute.
    pub fn new(count: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(count)),
            checks: AtomicU32::new(0),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The time until the next one is accepted.
    pub fn count(&self, address: IpAddr) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % EVICTION == EVICTION - 1 {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(&address)
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

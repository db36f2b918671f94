//! Timers of a plugin: work that is done once at a given time, across restarts and on one process.

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use super::{BoxFuture, CancellationToken, ChatError, HostError};
use crate::{Timestamp, http::ApiError};

/// Maximum number of timers of a plugin that have not fired.
pub const MAX_TIMERS: usize = 10_000;
/// Maximum size of the payload of a timer as JSON, in bytes.
pub const MAX_TIMER_PAYLOAD: usize = 8 * 1024;
/// Maximum length of the key of a timer in bytes.
pub const MAX_TIMER_KEY: usize = 128;

/// A timer to set.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// Key within the plugin, 1 to [`MAX_TIMER_KEY`] bytes. A plugin has one timer per key.
    pub key: String,
    /// Time at which it fires. A time in the past means at once.
    pub at: Timestamp,
    /// Data for the handler, at most [`MAX_TIMER_PAYLOAD`] bytes as JSON. It should name resources by their ids and copy no content, because the erasure of
    /// a user does not reach it.
    pub payload: Value,
}

impl Timer {
    /// Returns a timer with the key `key` that fires at `at`, without a payload.
    pub fn new(key: impl Into<String>, at: Timestamp) -> Self {
        Self {
            key: key.into(),
            at,
            payload: Value::Null,
        }
    }

    /// Sets the payload, which must be representable as JSON.
    pub fn payload(self, payload: &impl Serialize) -> Self {
        // Payloads of plugins are structs of plain values, which always become JSON.
        let payload = serde_json::to_value(payload).unwrap_or_default();
        Self { payload, ..self }
    }

    /// Returns the payload as JSON text, if the timer is within the bounds.
    ///
    /// # Errors
    /// [`TimerError::Key`] and [`TimerError::Payload`].
    pub fn checked(&self) -> Result<String, TimerError> {
        if !(1..=MAX_TIMER_KEY).contains(&self.key.len()) {
            return Err(TimerError::Key(self.key.len()));
        }
        let payload = self.payload.to_string();
        if payload.len() > MAX_TIMER_PAYLOAD {
            return Err(TimerError::Payload(payload.len()));
        }
        Ok(payload)
    }
}

/// A timer that fires.
#[derive(Debug, Clone, PartialEq)]
pub struct DueTimer {
    /// Key of the timer.
    pub key: String,
    /// Time for which it was set.
    pub at: Timestamp,
    /// Data that it was set with.
    pub payload: Value,
    /// Number of attempts so far, this one included. It also counts attempts of processes that died.
    pub attempt: u32,
}

/// Reason of a failed attempt. It is logged, so it must contain no secret and no content of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerFault(pub String);

impl fmt::Display for TimerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TimerFault {}

impl From<HostError> for TimerFault {
    fn from(error: HostError) -> Self {
        Self(error.to_string())
    }
}

impl From<ChatError> for TimerFault {
    fn from(error: ChatError) -> Self {
        // Its message is for the caller, and may quote names.
        Self(format!("{} ({})", error.status, error.code))
    }
}

/// Handler of the timers of a plugin. Several timers are handled at once, in no order.
pub trait TimerHandler: Send + Sync + 'static {
    /// Handles a timer that is due. A timer may fire more than once, so the work must be safe to repeat.
    ///
    /// # Errors
    /// [`TimerFault`] if the attempt failed. It is repeated after one second, then two, then four, up to ten minutes, until it succeeds or the timer is
    /// cancelled. The same holds for a panic, and for an attempt that takes longer than five minutes, which is dropped.
    fn fire(self: Arc<Self>, timer: DueTimer) -> BoxFuture<'static, Result<(), TimerFault>>;
}

/// Timers of one plugin.
///
/// A timer is stored in the database until its handler succeeds. It fires at least once, in one of the processes that run the plugin. If that process dies, it
/// fires in another one after at most 15 seconds. It is not late by more than a second unless there is more to do than the processes can handle.
pub trait Timers: Send + Sync {
    /// Sets a timer. One with the same key gets the new time and payload, also while an attempt of it runs: it then fires again at the new time.
    ///
    /// # Errors
    /// [`TimerError::TooMany`] if the plugin has [`MAX_TIMERS`] timers with other keys, other errors if the timer is out of bounds or the database is
    /// unavailable.
    fn set(&self, timer: Timer) -> BoxFuture<'_, Result<(), TimerError>>;

    /// Cancels the timer with the key `key`. Returns true if there was one. An attempt that runs is not interrupted, and is not repeated.
    ///
    /// # Errors
    /// [`TimerError::Unavailable`] if the database is unavailable.
    fn cancel(&self, key: &str) -> BoxFuture<'_, Result<bool, TimerError>>;

    /// Passes due timers to `handler` until `stop`, then waits for the attempts in flight. Any number of processes may do so at once.
    fn run(
        &self,
        handler: Arc<dyn TimerHandler>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()>;
}

/// Error of setting or cancelling a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerError {
    /// The key has this number of bytes.
    Key(usize),
    /// The payload has this number of bytes as JSON.
    Payload(usize),
    /// The plugin has too many timers.
    TooMany,
    /// The database is unavailable or too slow.
    Unavailable(String),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(bytes) => write!(
                f,
                "the key of the timer has {bytes} bytes; it must have 1 to {MAX_TIMER_KEY}"
            ),
            Self::Payload(bytes) => write!(
                f,
                "the payload of the timer has {bytes} bytes as JSON; it must have at most {MAX_TIMER_PAYLOAD}"
            ),
            Self::TooMany => write!(
                f,
                "the plugin has {MAX_TIMERS} timers; cancel some, or set one timer for several tasks"
            ),
            Self::Unavailable(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TimerError {}

impl From<TimerError> for HostError {
    fn from(error: TimerError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<TimerError> for TimerFault {
    fn from(error: TimerError) -> Self {
        Self(error.to_string())
    }
}

/// A bound that is exceeded is an error of the plugin. One that wants another status for it handles the error itself.
impl From<TimerError> for ApiError {
    fn from(error: TimerError) -> Self {
        match error {
            TimerError::Unavailable(_) => HostError::from(error).into(),
            _ => Self::internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_payloads_are_bounded_and_the_error_names_the_bound() {
        let now = Timestamp::now();
        let longest = Timer::new("k".repeat(MAX_TIMER_KEY), now);
        // Two quotes are part of the JSON.
        let longest = longest.payload(&"p".repeat(MAX_TIMER_PAYLOAD - 2));
        assert_eq!(
            longest.checked().map(|text| text.len()),
            Ok(MAX_TIMER_PAYLOAD)
        );
        for (timer, problem) in [
            (Timer::new("", now), "has 0 bytes; it must have 1 to 128"),
            (
                Timer::new("k".repeat(MAX_TIMER_KEY + 1), now),
                "has 129 bytes; it must have 1 to 128",
            ),
            (
                Timer::new("k", now).payload(&"p".repeat(MAX_TIMER_PAYLOAD - 1)),
                "has 8193 bytes as JSON; it must have at most 8192",
            ),
        ] {
            let error = timer.checked().expect_err("out of bounds").to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}

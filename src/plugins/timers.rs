//! Timers of a plugin, over the timers of the store.
//!
//! Processes that run the plugin poll for due timers and claim them one by one, so no process depends on another one. The timers of the core are no place for
//! them: these run in processes with the role `api`, and most plugins work in others. The price is one indexed read per second, plugin and process.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chat_sdk::{
    Timestamp,
    plugin::{
        BoxFuture, CancellationToken, DueTimer, Timer, TimerError, TimerFault, TimerHandler, Timers,
    },
};
use futures_util::FutureExt;
use metrics::counter;
use tokio::{sync::Notify, task::JoinSet};

use crate::store::{ClaimedTimer, Store, TIMER_CLAIM};

/// Maximum time between two looks for due timers.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum time between two looks, so that clocks that differ cause no busy loop.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Maximum number of timers of a plugin that this process handles at once.
const AT_ONCE: usize = 16;
/// Maximum time of an attempt.
const MAX_ATTEMPT: Duration = Duration::from_secs(300);
/// Pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause after a failed attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Timers of one plugin.
#[derive(Clone)]
pub(super) struct PluginTimers {
    plugin: &'static str,
    store: Arc<Store>,
    /// Wakes this process if it sets a timer, so that one in less than a second is on time.
    changed: Arc<Notify>,
}

impl PluginTimers {
    pub(super) fn new(plugin: &'static str, store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self {
            plugin,
            store,
            changed: Arc::default(),
        })
    }

    async fn work(self, handler: Arc<dyn TimerHandler>, stop: CancellationToken) {
        // An attempt ends with its set if the plugin is stopped because it hangs.
        let mut running = JoinSet::new();
        while !stop.is_cancelled() {
            let pause = self.start_due(&handler, &mut running).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = self.changed.notified() => {}
                Some(_) = running.join_next() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Starts what is due. Returns the time until the next look.
    async fn start_due(
        &self,
        handler: &Arc<dyn TimerHandler>,
        running: &mut JoinSet<()>,
    ) -> Duration {
        while running.try_join_next().is_some() {}
        let next = match self.store.next_timer(self.plugin).await {
            Ok(next) => next,
            Err(_) => return POLL_INTERVAL,
        };
        let now = Timestamp::now();
        let Some(next) = next else {
            return POLL_INTERVAL;
        };
        if next > now {
            let left = next.as_millis() - now.as_millis();
            let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
            return left.clamp(SHORTEST_PAUSE, POLL_INTERVAL);
        }
        while running.len() < AT_ONCE {
            match self.store.claim_timer(self.plugin, now).await {
                Ok(Some(timer)) => {
                    running.spawn(self.clone().attempt(Arc::clone(handler), timer));
                }
                Ok(None) => return SHORTEST_PAUSE,
                Err(_) => break,
            }
        }
        POLL_INTERVAL
    }

    /// Handles one timer, and removes it or makes it due again.
    async fn attempt(self, handler: Arc<dyn TimerHandler>, timer: ClaimedTimer) {
        let due = DueTimer {
            key: timer.key.clone(),
            at: timer.at,
            payload: serde_json::from_str(&timer.payload).unwrap_or_default(),
            attempt: timer.attempt,
        };
        // `fire` itself may panic too.
        let work = AssertUnwindSafe(async move { handler.fire(due).await }).catch_unwind();
        let work = tokio::time::timeout(MAX_ATTEMPT, work);
        let outcome = match self.keep_claim(&timer, work).await {
            Ok(Ok(outcome)) => outcome,
            // The message of a panic may quote content.
            Ok(Err(_)) => Err(TimerFault("it panicked".to_owned())),
            Err(_) => Err(TimerFault("it took too long".to_owned())),
        };
        let (plugin, attempt) = (self.plugin, timer.attempt);
        let stored = match &outcome {
            Ok(()) => self.store.finish_timer(&timer).await,
            Err(fault) => {
                let pause = pause_after(attempt);
                tracing::warn!(plugin, attempt, reason = %fault, pause_s = pause.as_secs(), "a timer of a plugin failed; it will be repeated");
                self.store.postpone_timer(&timer, pause).await
            }
        };
        if let Err(error) = stored {
            tracing::warn!(plugin, attempt, %error, "the outcome of a timer could not be stored; it fires again when its claim ends");
        }
        let outcome = if outcome.is_ok() { "done" } else { "failed" };
        counter!("chat_plugin_timers_total", "plugin" => plugin, "outcome" => outcome).increment(1);
    }

    /// Waits for `work`, and renews the claim of its timer meanwhile.
    async fn keep_claim<T>(&self, timer: &ClaimedTimer, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(TIMER_CLAIM / 3) => {
                    // If it fails twice, another process repeats the work.
                    let _ = self.store.postpone_timer(timer, TIMER_CLAIM).await;
                }
            }
        }
    }
}

/// Returns the pause after a failed attempt.
fn pause_after(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

impl Timers for PluginTimers {
    fn set(&self, timer: Timer) -> BoxFuture<'_, Result<(), TimerError>> {
        Box::pin(async move {
            let payload = timer.checked()?;
            let set = self
                .store
                .set_timer(self.plugin, &timer.key, timer.at, &payload)
                .await;
            if !set.map_err(unavailable)? {
                return Err(TimerError::TooMany);
            }
            self.changed.notify_one();
            Ok(())
        })
    }

    fn cancel(&self, key: &str) -> BoxFuture<'_, Result<bool, TimerError>> {
        let key = key.to_owned();
        Box::pin(async move {
            let cancelled = self.store.cancel_timer(self.plugin, &key).await;
            cancelled.map_err(unavailable)
        })
    }

    fn run(
        &self,
        handler: Arc<dyn TimerHandler>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(self.clone().work(handler, stop))
    }
}

fn unavailable(error: impl std::fmt::Display) -> TimerError {
    TimerError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_one() {
        let seconds = |attempt| pause_after(attempt).as_secs();
        assert_eq!([1, 2, 3, 4].map(seconds), [1, 2, 4, 8]);
        assert_eq!([10, 11, 100, u32::MAX].map(seconds), [512, 600, 600, 600]);
    }
}

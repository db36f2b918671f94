//! Timers: send scheduled messages and end expired ones, on time to the second, despite crashes.
//!
//! The lease lets one process work, but two at once do no harm: ids are derived from the cause, so that the log accepts each action once. Everything
//! that is due is in an index of the database, and leaves it only when it is done; so after a crash at any point the work is only repeated.
//!
//! Each duty works independently, in batches of bounded size, and sleeps until the next item is due, but not longer than `POLL_INTERVAL`. An expiry
//! is at least one second after its message, so a poll always finds it in time; a message that is scheduled for less than a second ahead may be late by
//! that interval. The price is two indexed queries per second in the process that holds the lease. A failure is retried later, with growing pauses;
//! nothing else waits for it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chat_sdk::{ConversationId, MessageId, ScheduledId, Timestamp};
use futures_util::{StreamExt, stream};
use metrics::{counter, gauge, histogram};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::retention::Retention;
use crate::{
    domain::{
        Context, expiry,
        scheduled::{self, Delivery},
    },
    model::Result,
    store::DueScheduled,
};

/// Maximum sleep of a duty while this process holds the lease: the minimum lifetime of a message that expires.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two renewals of the lease.
const RENEWAL: Duration = Duration::from_millis(1000);
/// Time between two attempts to take the lease.
const LEASE_RETRY: Duration = Duration::from_millis(700);
/// Duration of the lease; the work passes to another process this long after a death.
const LEASE: Duration = Duration::from_secs(2);
/// Number of items per batch.
const BATCH: i64 = 200;
/// Number of items processed concurrently: the writer puts them into few large groups.
pub(super) const AT_ONCE: usize = 32;
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Maximum number of failed messages that are left out of the search.
///
/// Beyond that they block others until they can be ended.
const MAX_PAUSED: usize = 1000;

/// Parts that the timers work with.
#[derive(Clone)]
pub struct Timers {
    /// Context for the domain's operations.
    pub ctx: Context,
    /// Name of this process for the lease.
    pub holder: String,
}

/// Time at which a duty must check again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// At once: there is more.
    Now,
    /// At this time, when something is due.
    At(Timestamp),
    /// Later: nothing is known to be due.
    Later,
}

impl Next {
    /// Returns the next check for the earliest known item, if any.
    pub(super) fn due(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Later, Self::At)
    }

    fn pause(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Later => POLL_INTERVAL,
            Self::At(at) => {
                let left = at.as_millis() - Timestamp::now().as_millis();
                // One millisecond more, because the time itself must have passed; and never zero, so that a failing item does not spin.
                Duration::from_millis(u64::try_from(left + 1).unwrap_or(0))
                    .clamp(Duration::from_millis(20), POLL_INTERVAL)
            }
        }
    }
}

/// One kind of work.
pub(super) trait Duty {
    /// Name in logs.
    const NAME: &'static str;

    /// Resets the state, because this process has just taken the lease.
    fn begin(&mut self);

    /// Does one batch of what is due.
    fn work(&mut self, ctx: &Context) -> impl Future<Output = Result<Next>> + Send;
}

impl Timers {
    /// Works until `stop`, whenever this process holds the lease.
    pub async fn run(self, stop: CancellationToken) {
        let (is_holder, holding) = watch::channel(false);
        let all = async {
            tokio::join!(
                self.hold(&is_holder),
                self.keep(Sending, holding.clone()),
                self.keep(Ending::default(), holding.clone()),
                self.keep(Retention::default(), holding.clone()),
            )
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = all => {}
        }
        let _ = self.ctx.store.drop_lease("timers", &self.holder).await;
    }

    async fn hold(&self, is_holder: &watch::Sender<bool>) {
        loop {
            let taken = self
                .ctx
                .store
                .take_lease("timers", &self.holder, LEASE)
                .await;
            let is_taken = taken == Ok(true);
            gauge!("chat_timers_is_holder").set(if is_taken { 1.0 } else { 0.0 });
            is_holder.send_if_modified(|is| std::mem::replace(is, is_taken) != *is);
            tokio::time::sleep(if is_taken { RENEWAL } else { LEASE_RETRY }).await;
        }
    }

    /// Repeats one duty while this process holds the lease.
    async fn keep<D: Duty>(&self, mut duty: D, mut holding: watch::Receiver<bool>) {
        while holding.wait_for(|is_holder| *is_holder).await.is_ok() {
            duty.begin();
            while *holding.borrow_and_update() {
                let next = match duty.work(&self.ctx).await {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(%error, duty = D::NAME, "a timer failed; it will be retried");
                        Next::Later
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(next.pause()) => {}
                    _ = holding.changed() => {}
                }
            }
        }
    }
}

fn note_lateness(duty: &'static str, due: Timestamp) {
    let late = Timestamp::now().as_millis() - due.as_millis();
    histogram!("chat_timer_late_seconds", "duty" => duty).record(late.max(0) as f64 / 1000.0);
}

/// Sends scheduled messages.
struct Sending;

impl Duty for Sending {
    const NAME: &'static str = "scheduled";

    fn begin(&mut self) {}

    async fn work(&mut self, ctx: &Context) -> Result<Next> {
        let now = Timestamp::now();
        let next = ctx.store.next_scheduled().await?;
        if next.is_none_or(|at| at > now) {
            return Ok(Next::due(next));
        }
        let due = ctx.store.find_due_scheduled(now, BATCH).await?;
        let is_full = due.len() as i64 == BATCH;
        // In the order of their times within a conversation, many conversations concurrently.
        let mut by_conversation: HashMap<ConversationId, Vec<DueScheduled>> = HashMap::new();
        for one in due {
            let of_conversation = by_conversation.entry(one.conversation.clone());
            of_conversation.or_default().push(one);
        }
        stream::iter(by_conversation.into_values())
            .for_each_concurrent(AT_ONCE, |due| async move {
                for one in due {
                    if !send(ctx, &one.id, one.at).await {
                        // The same obstacle blocks the conversation's later messages; they stay due.
                        break;
                    }
                }
            })
            .await;
        if is_full {
            Ok(Next::Now)
        } else {
            Ok(Next::At(Timestamp::now()))
        }
    }
}

/// Sends one scheduled message. Returns true if it is finished, sent or refused.
async fn send(ctx: &Context, id: &ScheduledId, due: Timestamp) -> bool {
    match scheduled::deliver(ctx, id).await {
        Ok(Delivery::Sent) => {
            note_lateness(Sending::NAME, due);
            counter!("chat_timer_done_total", "duty" => Sending::NAME).increment(1);
        }
        Ok(Delivery::NotDue) => {}
        Ok(Delivery::Failed(failure)) => {
            counter!("chat_timer_refused_total").increment(1);
            tracing::warn!(%id, code = failure.code, "a scheduled message was refused when it was due");
        }
        // The claim determines when it is due again.
        Err(error) => {
            tracing::warn!(%id, %error, "a scheduled message could not be sent; it will be retried");
            return false;
        }
    }
    true
}

/// Ends messages with an own expiry.
#[derive(Default)]
struct Ending {
    paused: HashMap<MessageId, Paused>,
}

/// Message whose end failed.
struct Paused {
    failures: u32,
    until: Instant,
}

impl Ending {
    fn note_failure(&mut self, message: MessageId) {
        let known = self
            .paused
            .get(&message)
            .map_or(0, |paused| paused.failures);
        if known == 0 && self.paused.len() >= MAX_PAUSED {
            return;
        }
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(known.min(8));
        let paused = Paused {
            failures: known + 1,
            until: Instant::now() + pause.min(LONGEST_PAUSE),
        };
        self.paused.insert(message, paused);
    }

    /// Returns the time of the first retry.
    fn resumes_at(&self) -> Option<Timestamp> {
        let now = Instant::now();
        let pauses = self.paused.values().map(|paused| paused.until);
        let first = pauses.filter(|until| *until > now).min()? - now;
        let first = i64::try_from(first.as_millis()).unwrap_or(i64::MAX);
        Some(Timestamp::from_millis(Timestamp::now().as_millis() + first))
    }

    fn is_paused(&self) -> Vec<MessageId> {
        let now = Instant::now();
        self.paused
            .iter()
            .filter(|(_, paused)| paused.until > now)
            .map(|(id, _)| id.clone())
            .collect()
    }
}

impl Duty for Ending {
    const NAME: &'static str = "expiry";

    fn begin(&mut self) {
        self.paused.clear();
    }

    async fn work(&mut self, ctx: &Context) -> Result<Next> {
        let now = Timestamp::now();
        let except = self.is_paused();
        let next = ctx.store.next_expiry(&except).await?;
        if next.is_none_or(|at| at > now) {
            return Ok(Next::due(next.into_iter().chain(self.resumes_at()).min()));
        }
        let due = ctx.store.find_expired(now, &except, BATCH).await?;
        let is_full = due.len() as i64 == BATCH;
        let outcomes: Vec<(MessageId, bool)> = stream::iter(due)
            .map(|over| async move {
                let ended = end(ctx, Self::NAME, &over.conversation, &over.message, over.at).await;
                (over.message, ended)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (message, is_ended) in outcomes {
            if is_ended {
                self.paused.remove(&message);
            } else {
                self.note_failure(message);
            }
        }
        if is_full {
            Ok(Next::Now)
        } else {
            Ok(Next::At(Timestamp::now()))
        }
    }
}

/// Ends one message. Returns true if it succeeded.
pub(super) async fn end(
    ctx: &Context,
    duty: &'static str,
    conversation: &ConversationId,
    message: &MessageId,
    due: Timestamp,
) -> bool {
    match expiry::expire(ctx, conversation, message).await {
        Ok(()) => {
            note_lateness(duty, due);
            counter!("chat_timer_done_total", "duty" => duty).increment(1);
            true
        }
        Err(error) => {
            tracing::warn!(%message, %error, "an expired message could not be ended; it will be retried");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_when_something_is_due_and_is_never_long() {
        let now = Timestamp::now().as_millis();
        assert_eq!(Next::Now.pause(), Duration::ZERO);
        assert_eq!(Next::Later.pause(), POLL_INTERVAL);
        let far = Next::At(Timestamp::from_millis(now + 60_000));
        assert_eq!(far.pause(), POLL_INTERVAL);
        let soon = Next::At(Timestamp::from_millis(now + 200)).pause();
        assert!(soon > Duration::from_millis(100) && soon <= Duration::from_millis(201));
        let over = Next::At(Timestamp::from_millis(now - 5_000)).pause();
        assert_eq!(over, Duration::from_millis(20));
    }

    #[test]
    fn what_fails_again_and_again_is_tried_less_and_less() {
        let mut ending = Ending::default();
        let message = MessageId::generate();
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            ending.note_failure(message.clone());
            let pause = ending.paused[&message].until - Instant::now();
            assert!(pause + Duration::from_millis(50) >= last && pause <= LONGEST_PAUSE);
            last = pause;
        }
        assert!(last > LONGEST_PAUSE / 2);
        let resumes_at = ending.resumes_at().expect("it is tried again");
        let left = resumes_at.as_millis() - Timestamp::now().as_millis();
        assert!(left > 0 && left <= LONGEST_PAUSE.as_millis() as i64);
        assert_eq!(ending.is_paused(), [message]);
    }
}

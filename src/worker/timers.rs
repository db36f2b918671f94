//! The timers: what is scheduled is sent, and what is over is ended, on time to the second, whoever died meanwhile.
//!
//! The lease lets one process work, but two at once do no harm: ids follow from the cause, so that the log takes each thing once. Everything that is
//! due is in an index of the database, and leaves it only when it is done; so a process that dies anywhere has left nothing behind but work
//! that is done again.
//!
//! Each duty goes its own way, in batches of bounded size, and sleeps until the next thing is due, but not longer than `LOOK`: what became due
//! earlier is seen then. What fails is tried again later, and later each time; nothing else waits for it.

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
        Context, Result, expiry,
        scheduled::{self, Delivery},
    },
    store::DueScheduled,
};

/// How long a duty sleeps at most while this process holds the lease.
const LOOK: Duration = Duration::from_millis(500);
/// How often the lease is renewed, or tried for.
const RENEWAL: Duration = Duration::from_millis(700);
/// How long the lease lasts; the work passes to another process this long after a death.
const LEASE: Duration = Duration::from_secs(2);
/// How many things are taken at once.
const BATCH: i64 = 200;
/// How many of them are under way at the same time: the writer puts them into few large groups.
pub(super) const AT_ONCE: usize = 32;
/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How many messages that could not be ended are left out of the search at most; beyond that they stand in the way of others until they can be.
const MAX_PAUSED: usize = 1000;

/// What the timers work with.
pub struct Timers {
    /// For the verbs.
    pub ctx: Context,
    /// This process's name for the lease.
    pub holder: String,
}

/// When a duty has to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// At once: there is more.
    Now,
    /// When something is due.
    At(Timestamp),
    /// In a while: nothing is known to come.
    Later,
}

impl Next {
    /// What is known to come, if anything.
    pub(super) fn due(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Later, Self::At)
    }

    fn pause(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Later => LOOK,
            Self::At(at) => {
                let left = at.as_millis() - Timestamp::now().as_millis();
                // A millisecond more, because the moment itself has to be over; and never none, so that what cannot be done does not spin.
                Duration::from_millis(u64::try_from(left + 1).unwrap_or(0))
                    .clamp(Duration::from_millis(20), LOOK)
            }
        }
    }
}

/// One kind of work.
pub(super) trait Duty {
    /// What logs call it.
    const NAME: &'static str;

    /// Begins anew: this process has the lease since now.
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
                keep(&self.ctx, Sending, holding.clone()),
                keep(&self.ctx, Ending::default(), holding.clone()),
                keep(&self.ctx, Retention::default(), holding.clone()),
            )
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = all => {}
        }
        let _ = self.ctx.store.drop_lease("timers", &self.holder).await;
    }

    async fn hold(&self, is_holder: &watch::Sender<bool>) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let taken = self
                .ctx
                .store
                .take_lease("timers", &self.holder, LEASE)
                .await;
            gauge!("chat_timers_is_holder").set(if taken == Ok(true) { 1.0 } else { 0.0 });
            is_holder.send_if_modified(|is| std::mem::replace(is, taken == Ok(true)) != *is);
        }
    }
}

/// Does one duty for ever, while this process holds the lease.
async fn keep<D: Duty>(ctx: &Context, mut duty: D, mut holding: watch::Receiver<bool>) {
    while holding.wait_for(|is_holder| *is_holder).await.is_ok() {
        duty.begin();
        while *holding.borrow_and_update() {
            let next = match duty.work(ctx).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, duty = D::NAME, "a timer failed; it goes on in a moment");
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

fn note_lateness(duty: &'static str, due: Timestamp) {
    let late = Timestamp::now().as_millis() - due.as_millis();
    histogram!("chat_timer_late_seconds", "duty" => duty).record(late.max(0) as f64 / 1000.0);
}

/// Sends what was scheduled.
struct Sending;

impl Duty for Sending {
    const NAME: &'static str = "scheduled";

    fn begin(&mut self) {}

    async fn work(&mut self, ctx: &Context) -> Result<Next> {
        let due = ctx
            .store
            .find_due_scheduled(Timestamp::now(), BATCH)
            .await?;
        let is_full = due.len() as i64 == BATCH;
        // In the order of their times within a conversation, many conversations at once.
        let mut by_conversation: HashMap<ConversationId, Vec<DueScheduled>> = HashMap::new();
        for one in due {
            let of_conversation = by_conversation.entry(one.conversation.clone());
            of_conversation.or_default().push(one);
        }
        stream::iter(by_conversation.into_values())
            .for_each_concurrent(AT_ONCE, |due| async move {
                for one in due {
                    if !send(ctx, &one.id, one.at).await {
                        // What stands in its way stands in that of the others there; they are due still.
                        break;
                    }
                }
            })
            .await;
        match is_full {
            true => Ok(Next::Now),
            false => Ok(Next::due(ctx.store.next_scheduled().await?)),
        }
    }
}

/// Sends one scheduled message. Answers whether it is done with, one way or the other.
async fn send(ctx: &Context, id: &ScheduledId, due: Timestamp) -> bool {
    match scheduled::deliver(ctx, id).await {
        Ok(Delivery::Sent) => {
            note_lateness(Sending::NAME, due);
            counter!("chat_timer_done_total", "duty" => Sending::NAME).increment(1);
        }
        Ok(Delivery::NotDue) => {}
        Ok(Delivery::Failed(failure)) => {
            counter!("chat_timer_refused_total").increment(1);
            tracing::warn!(%id, code = failure.code, "a scheduled message was refused at its time");
        }
        // The claim says when it is due again.
        Err(error) => {
            tracing::warn!(%id, %error, "a scheduled message could not be sent; it is tried again");
            return false;
        }
    }
    true
}

/// Ends messages whose own time is over.
#[derive(Default)]
struct Ending {
    paused: HashMap<MessageId, Paused>,
}

/// Something that failed.
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
        let due = ctx
            .store
            .find_expired(now, &self.is_paused(), BATCH)
            .await?;
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
            match is_ended {
                true => drop(self.paused.remove(&message)),
                false => self.note_failure(message),
            }
        }
        match is_full {
            true => Ok(Next::Now),
            false => Ok(Next::due(ctx.store.next_expiry(&self.is_paused()).await?)),
        }
    }
}

/// Ends one message. Answers whether it did.
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
            tracing::warn!(%message, %error, "a message whose time is over could not be ended; it is tried again");
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
        assert_eq!(Next::Later.pause(), LOOK);
        assert_eq!(Next::At(Timestamp::from_millis(now + 60_000)).pause(), LOOK);
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
        assert_eq!(ending.is_paused(), [message]);
    }
}

//! Delivery of a durable's events to its consumer: pull, handle, acknowledge; and start again after every fault.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{
    self, AckKind,
    consumer::{Consumer as JetStreamConsumer, pull::Config},
};
use chat_sdk::{
    Timestamp,
    plugin::{Consumer, ConsumerSpec, Verdict},
};
use futures_util::{FutureExt, StreamExt};
use metrics::counter;
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Birth, Delivery, Durables, Placed, api};
use crate::{bus::BusError, model::durables::Ledger};

/// Time after which a pull request expires.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// First pause before a durable is placed again after a fault; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Time between two marks while events are being settled.
const MARK_PERIOD: Duration = Duration::from_secs(2);
/// Time between two marks while the durable is idle: without them it would seem to have been down.
const IDLE_MARK_PERIOD: Duration = Duration::from_secs(60);
/// Redelivery delay of an event whose handler panicked.
const AFTER_PANIC: Duration = Duration::from_secs(10);
/// Redelivery delay of an event that could not be read from the log.
const AFTER_FAILED_READ: Duration = Duration::from_secs(2);
/// Time that a pull waits for more free slots if nearly all are busy.
const GATHER: Duration = Duration::from_millis(5);
/// Time limit for the events in flight when the consumer stops.
const DRAIN: Duration = Duration::from_secs(20);

pub(super) async fn run<L: Ledger + 'static>(
    durables: Arc<Durables<L>>,
    spec: ConsumerSpec,
    consumer: Arc<dyn Consumer>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(spec.concurrency.max(1)));
    let in_flight = TaskTracker::new();
    let is_dirty = Arc::new(AtomicBool::new(true));
    let mut pause = FIRST_PAUSE;
    let mut placed = None;
    while !stop.is_cancelled() {
        let follow = async {
            let here = durables.place(&spec, Birth::Rejected).await?;
            placed = Some(here.clone());
            Following {
                durables: &durables,
                placed: here,
                consumer: &consumer,
                slots: &slots,
                in_flight: &in_flight,
                is_dirty: &is_dirty,
            }
            .follow()
            .await
        };
        let started = Instant::now();
        match stop.run_until_cancelled(follow).await {
            None => break,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                counter!("chat_durable_restarts_total", "durable" => spec.name.clone())
                    .increment(1);
                tracing::warn!(%error, durable = %spec.name, "durable restarted after a fault");
            }
        }
        if started.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    in_flight.close();
    let _ = tokio::time::timeout(DRAIN, in_flight.wait()).await;
    if let Some(placed) = placed {
        // Acknowledgements are still being sent; an event without a mark is only delivered again after a loss.
        let _ = tokio::time::timeout(Duration::from_secs(1), durables.mark(&placed)).await;
    }
    // The durable may be removed next, in another process.
    durables.displace(&spec.name);
}

struct Following<'a, L> {
    durables: &'a Arc<Durables<L>>,
    placed: Placed,
    consumer: &'a Arc<dyn Consumer>,
    slots: &'a Arc<Semaphore>,
    in_flight: &'a TaskTracker,
    is_dirty: &'a Arc<AtomicBool>,
}

impl<L: Ledger + 'static> Following<'_, L> {
    /// Pulls events until a fault occurs or the connection is replaced.
    async fn follow(&self) -> Result<(), BusError> {
        let mut connections = self.durables.bus.tail_connections.clone();
        let pulls: JetStreamConsumer<Config> = self
            .placed
            .stream
            .get_consumer(&self.placed.consumer)
            .await
            .map_err(|error| api(&error))?;
        let mut marks = tokio::time::interval(MARK_PERIOD);
        marks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_mark = Instant::now();
        let mut pull = Box::pin(self.pull(&pulls));
        loop {
            tokio::select! {
                outcome = &mut pull => {
                    outcome?;
                    pull = Box::pin(self.pull(&pulls));
                }
                _ = marks.tick() => {
                    let is_dirty = self.is_dirty.swap(false, Ordering::Relaxed);
                    if is_dirty || last_mark.elapsed() >= IDLE_MARK_PERIOD {
                        last_mark = Instant::now();
                        self.durables.mark(&self.placed).await?;
                    }
                }
                () = is_new(&mut connections, self.placed.connection) => return Ok(()),
            }
        }
    }

    /// Pulls as many events as there are free slots.
    async fn pull(&self, pulls: &JetStreamConsumer<Config>) -> Result<(), BusError> {
        let first = Arc::clone(self.slots)
            .acquire_owned()
            .await
            .map_err(|_| api("no slots"))?;
        let mut free = vec![first];
        while let Ok(slot) = Arc::clone(self.slots).try_acquire_owned() {
            free.push(slot);
        }
        // A pull costs the broker a subscription, however few events it requests: under load one pull per freed slot would cost as much as the events.
        let enough = self.placed.spec.concurrency / 4;
        if free.len() < enough {
            let gather = async {
                while free.len() < enough
                    && let Ok(slot) = Arc::clone(self.slots).acquire_owned().await
                {
                    free.push(slot);
                }
            };
            let _ = tokio::time::timeout(GATHER, gather).await;
        }
        let mut messages = pulls
            .batch()
            .max_messages(free.len())
            .expires(PULL_EXPIRES)
            .messages()
            .await
            .map_err(|error| api(&error))?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| api(&error))?;
            let Some(slot) = free.pop() else {
                break;
            };
            self.is_dirty.store(true, Ordering::Relaxed);
            let one = One {
                durable: self.placed.spec.name.clone(),
                skip_before: self.placed.skip_before,
                ack_wait: self.placed.spec.ack_wait,
                consumer: Arc::clone(self.consumer),
                is_dirty: Arc::clone(self.is_dirty),
            };
            let event = self.durables.event_of(&message).await;
            // Here and not in the task: what a consumer does before its first await runs in the order of the stream.
            let work = one.begin(event);
            self.in_flight.spawn(async move {
                one.finish(message, work).await;
                drop(slot);
            });
        }
        Ok(())
    }
}

/// Waits until the connection is another one than `known`.
async fn is_new(connections: &mut tokio::sync::watch::Receiver<u64>, known: u64) {
    let _ = connections.wait_for(|count| *count != known).await;
}

/// One event in flight.
struct One {
    durable: String,
    skip_before: Option<Timestamp>,
    ack_wait: Duration,
    consumer: Arc<dyn Consumer>,
    is_dirty: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct When {
    timestamp: Timestamp,
}

/// Next step for an event.
enum Work {
    Settled(Verdict),
    Handled(futures_util::future::BoxFuture<'static, Verdict>),
}

impl One {
    fn begin(&self, event: crate::model::Result<Option<Delivery>>) -> Work {
        let delivery = match event {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return Work::Settled(Verdict::Drop("it is no event".to_owned())),
            Err(_) => return Work::Settled(Verdict::RetryAfter(AFTER_FAILED_READ)),
        };
        let is_settled = self.skip_before.is_some_and(|limit| {
            !delivery.is_replay
                && serde_json::from_slice::<When>(&delivery.payload)
                    .is_ok_and(|when| when.timestamp < limit)
        });
        if delivery.kind == "noop" || is_settled {
            return Work::Settled(Verdict::Done);
        }
        let consumer = Arc::clone(&self.consumer);
        match std::panic::catch_unwind(AssertUnwindSafe(|| Consumer::handle(consumer, delivery))) {
            Ok(work) => Work::Handled(Box::pin(
                AssertUnwindSafe(work)
                    .catch_unwind()
                    .map(|outcome| outcome.unwrap_or_else(|_| panicked())),
            )),
            Err(_) => Work::Settled(panicked()),
        }
    }

    async fn finish(&self, message: jetstream::Message, work: Work) {
        let verdict = match work {
            Work::Settled(verdict) => verdict,
            Work::Handled(work) => self.wait(&message, work).await,
        };
        let (kind, outcome) = match verdict {
            Verdict::Done => (AckKind::Ack, "done"),
            Verdict::RetryAfter(delay) => (AckKind::Nak(Some(delay)), "retry"),
            Verdict::Drop(reason) => {
                tracing::warn!(durable = %self.durable, %reason, "an event was dropped");
                (AckKind::Term, "dropped")
            }
        };
        counter!("chat_durable_events_total", "durable" => self.durable.clone(), "outcome" => outcome)
            .increment(1);
        crate::failpoint::hit("durable.before_ack");
        if let Err(error) = message.ack_with(kind).await {
            // It is delivered again after `ack_wait`.
            tracing::debug!(%error, durable = %self.durable, "event could not be acknowledged");
        }
        self.is_dirty.store(true, Ordering::Relaxed);
    }

    /// Waits for a handler, and sends progress acknowledgements to the broker meanwhile.
    async fn wait(
        &self,
        message: &jetstream::Message,
        mut work: futures_util::future::BoxFuture<'static, Verdict>,
    ) -> Verdict {
        let mut words = tokio::time::interval(self.ack_wait / 2);
        words.tick().await;
        loop {
            tokio::select! {
                verdict = &mut work => return verdict,
                _ = words.tick() => {
                    let _ = message.ack_with(AckKind::Progress).await;
                }
            }
        }
    }
}

fn panicked() -> Verdict {
    counter!("chat_durable_panics_total").increment(1);
    tracing::error!("the handler of an event panicked");
    Verdict::RetryAfter(AFTER_PANIC)
}

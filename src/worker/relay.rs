//! The relay: makes sure that every entry of the log is applied and in the stream, whoever died, whatever the broker lost.
//!
//! One process holds the lease and sweeps the log by cluster time, from a stored watermark W to a little behind majority time: an entry's `ts` may precede
//! its commit by as long as the insert waited. What the tail has not shown is published again (`publishing`); what the documents lack is applied
//! (`applying`). Then a marker is published, and W and the marker's place are stored. Applying needs no broker and has a watermark of its own, so that it
//! goes on while nothing can be published.
//!
//! An entry or an owner that fails stops no other: it is set aside, counted, and reported.
//!
//! Before every sweep the newest stored marker is fetched from the stream. If it is gone, the stream lost data, and W goes back to where the durables that
//! keep up stand, at least three minutes. A durable that is further behind gets what it lacks by itself (`refills`). What every durable has settled is not put
//! back: sockets read it from MongoDB. So the time that a recovery takes follows what was not delivered, not the retention. Nothing is marked per entry.
//!
//! A second sweep, ten minutes behind, publishes what the first could not see. A process that started since has not seen all that passed before; so where
//! something seems to be missing, the stream itself is asked first.

mod applying;
mod publishing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Seen;
use crate::{
    bus::{
        Bus,
        tail::{self, TailMode, TailSink, TailStatus},
    },
    domain::{DomainError, Result, durables::CLOCK_MARGIN},
    store::{
        ClusterTime, Marker, RelayState, SettledPosition, Store, SweepEntry,
        log::mongo::MongoBackend, seconds_before,
    },
};

/// How often the relay looks.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the lease lasts; the work passes to another process this long after a death.
const LEASE: Duration = Duration::from_secs(5);
/// How often it is renewed, and with it what is known of the stored progress: others change that only when this process had lost the lease.
const RENEWAL: Duration = Duration::from_millis(1900);
/// How many entries are read at once.
const PAGE: usize = 2000;
/// How many pages one sweep takes before it stores where it is.
const MAX_PAGES: usize = 50;
/// How far behind the tail may be for a sweep: what it has not shown yet would be published twice.
const MAX_TAIL_LAG: u64 = 1000;

/// How often what was set aside and can be tried again is looked for.
const TRY_AGAIN_PERIOD: Duration = Duration::from_secs(5);

/// What is at least put back after a loss: what a new node's reader looks at, and what readers without a durable may not have read.
const RECENT: Duration = Duration::from_secs(180);
/// How far a durable may be behind the watermark and still count as keeping up. One that is further behind gets a refill of its own.
const NEAR: Duration = Duration::from_secs(300);
/// How many events the second sweep publishes in a run; it runs every second while there is more.
const LATE_PER_RUN: usize = 1000;

/// How many seconds the clocks of MongoDB and NATS may differ when the stream is asked for what it has.
const RECALL_MARGIN: u32 = 60;

/// When the second sweep looks, and at what.
#[derive(Debug, Clone, Copy)]
pub struct SecondSweep {
    /// How far it stays behind the first.
    pub behind: Duration,
    /// How often it runs.
    pub period: Duration,
    /// For how long the tail must have been followed before: longer than `behind`.
    pub warm_up: Duration,
}

impl Default for SecondSweep {
    fn default() -> Self {
        Self {
            behind: Duration::from_secs(600),
            period: Duration::from_secs(60),
            warm_up: Duration::from_secs(720),
        }
    }
}

/// What the relay works with.
#[derive(Clone)]
pub struct Relay {
    /// Where the log is.
    pub store: Arc<Store>,
    /// Where the stream is.
    pub bus: Bus,
    /// How documents are brought up to date.
    pub backend: Arc<MongoBackend>,
    /// What the tail has shown.
    pub seen: Arc<Seen>,
    /// Where that tail is.
    pub tail: Arc<TailStatus>,
    /// Whether the process follows everything anyway. If not, the relay has a tail of its own, while it holds the lease.
    pub is_followed: bool,
    /// This process's name for the lease.
    pub holder: String,
    /// How long the stream keeps an event: what is older need not be put back.
    pub retention: Duration,
    /// When the second sweep looks.
    pub second: SecondSweep,
}

/// A tail that is followed for the relay alone. It ends with this.
struct OwnTail {
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl OwnTail {
    /// Ends it, and waits until it no longer says where it is: the next one says it in the same place.
    async fn end(self) {
        let Self { task, _stop: stop } = self;
        drop(stop);
        // If it panicked it says nothing any more either.
        let _ = task.await;
    }
}

impl Relay {
    /// Sweeps until `stop`, whenever this process holds the lease.
    pub async fn run(self, stop: CancellationToken) {
        let mut since = Instant::now();
        let mut own_tail: Option<OwnTail> = None;
        let mut losses = self.tail.losses();
        let mut last_late = Instant::now();
        let mut renewed: Option<Instant> = None;
        let mut tried_again = Instant::now();
        // Whether the second sweep has stopped before its end.
        let mut has_more = false;
        let mut known = None;
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            if renewed.is_none_or(|at| at.elapsed() >= RENEWAL) {
                let now = Instant::now();
                let taken = self.store.take_lease("relay", &self.holder, LEASE).await;
                renewed = (taken == Ok(true)).then_some(now);
                known = None;
                // Where MongoDB did not answer, the lease may come back, and what was seen is worth keeping.
                if taken == Ok(false)
                    && let Some(tail) = own_tail.take()
                {
                    tail.end().await;
                }
            }
            gauge!("chat_relay_is_holder").set(if renewed.is_some() { 1.0 } else { 0.0 });
            if renewed.is_none() {
                continue;
            }
            // One that panicked would look as if it still ran, and what it has not shown would count as shown.
            if own_tail.take_if(|tail| tail.task.is_finished()).is_some() {
                tracing::error!("the relay's own tail ended; it starts anew");
            }
            if !self.is_followed && own_tail.is_none() {
                own_tail = Some(self.follow());
                since = Instant::now();
            }
            if tried_again.elapsed() >= TRY_AGAIN_PERIOD {
                tried_again = Instant::now();
                if let Err(error) = self.apply_again().await {
                    tracing::warn!(%error, "what was set aside could not be tried again");
                }
            }
            let swept = self.sweep(&mut losses, &mut known).await;
            if let Err(error) = &swept {
                tracing::warn!(%error, "a sweep of the relay failed; the next one goes on");
            }
            if swept != Ok(true) {
                // Documents need no broker.
                if let Err(error) = self.apply_alone().await {
                    tracing::warn!(%error, "the relay could not apply the log; it tries again");
                }
                continue;
            }
            let is_due = has_more || last_late.elapsed() >= self.second.period;
            if is_due && since.elapsed() >= self.second.warm_up {
                last_late = Instant::now();
                has_more = match self.sweep_late().await {
                    Ok(has_more) => has_more,
                    Err(error) => {
                        tracing::warn!(%error, "the second sweep of the relay failed; the next one goes on");
                        false
                    }
                };
            }
        }
        if let Some(tail) = own_tail {
            tail.end().await;
        }
        let _ = self.store.drop_lease("relay", &self.holder).await;
    }

    /// Starts a tail that reads what is in the stream, no more.
    fn follow(&self) -> OwnTail {
        // The stream may have lost what was seen when this process held the lease before.
        self.seen.on_loss();
        let stop = CancellationToken::new();
        let tail = tail::run(
            self.bus.clone(),
            TailMode::HeadersOnly,
            vec![Arc::clone(&self.seen) as _],
            Arc::clone(&self.tail),
            stop.clone(),
        );
        OwnTail {
            task: tokio::spawn(tail),
            _stop: stop.drop_guard(),
        }
    }

    /// Puts back what is missing up to the horizon. `losses` are those of the tail that were seen to, `known` is the stored progress where it need not be
    /// read again. Answers whether what the tail has shown can be relied on.
    async fn sweep(&self, losses: &mut u64, known: &mut Option<RelayState>) -> Result<bool> {
        let tail = &self.tail;
        let shows_all = tail.is_running() && tail.has_caught_up() && tail.pending() <= MAX_TAIL_LAG;
        if !self.bus.is_connected() || !shows_all {
            return Ok(false);
        }
        let mut state = match known.take() {
            Some(state) => state,
            None => self.store.relay_state().await?,
        };
        let noticed = self.tail.losses();
        if noticed != *losses {
            // A marker of this process may lie in the stream that came after the loss, and hide it.
            self.wind_back(&state).await?;
            *losses = noticed;
            state = self.store.relay_state().await?;
        } else if !self.has_newest_marker(&state).await? {
            self.wind_back(&state).await?;
            // What the tail has shown may lie in the stream that was lost; it has to look first.
            self.tail.doubt();
            return Ok(false);
        }
        let horizon = self.store.horizon().await?;
        let mut watermark = state.watermark;
        for _ in 0..MAX_PAGES {
            let entries = self.store.read_sweep(watermark, horizon, PAGE).await?;
            let Some(last) = entries.last().map(|entry| entry.ts) else {
                break;
            };
            if last > state.applied() {
                self.apply(&entries).await?;
            }
            self.publish_unseen(&entries).await?;
            watermark = last;
        }
        if watermark == state.watermark {
            *known = Some(state);
            return Ok(true);
        }
        let stream = self.bus.stream_created().await.map_err(unavailable)?;
        let id = format!("marker-{}", ulid::Ulid::generate());
        let stream_seq = self
            .bus
            .publish_marker(&id, as_number(watermark))
            .await
            .map_err(unavailable)?;
        let marker = Marker {
            watermark,
            stream_seq: i64::try_from(stream_seq).unwrap_or(i64::MAX),
            id,
        };
        if self.store.advance_relay(&state, &marker, &stream).await? {
            state.applied_watermark = Some(state.applied().max(watermark));
            state.watermark = watermark;
            state.stream = Some(stream);
            state.markers.push(marker);
            *known = Some(state);
        } else {
            tracing::info!("the relay's watermark was moved meanwhile; sweeping again");
        }
        gauge!("chat_relay_watermark_seconds").set(f64::from(watermark.time));
        Ok(true)
    }

    /// Publishes what the first sweep could not see, and after a loss what may have been among what durables had settled; the latter at a bounded rate.
    /// Returns whether there is more.
    async fn sweep_late(&self) -> Result<bool> {
        let state = self.store.relay_state().await?;
        let end = seconds_before(state.watermark, self.second.behind.as_secs() as u32);
        let mut watermark = state.late_watermark;
        let mut published = 0;
        for _ in 0..MAX_PAGES {
            if published >= LATE_PER_RUN {
                break;
            }
            let entries = self.store.read_sweep(watermark, end, PAGE).await?;
            let Some(last) = entries.last() else {
                break;
            };
            let last = last.ts;
            self.recall(&entries).await?;
            let is_unseen = |entry: &SweepEntry| !self.seen.contains(&entry.owner, entry.seq);
            let (unseen, _): (Vec<SweepEntry>, Vec<_>) = entries.into_iter().partition(is_unseen);
            // The first sweep could not see it, so it was not applied either.
            self.apply(&unseen).await?;
            self.publish_unseen(&unseen).await?;
            published += unseen.len();
            watermark = last;
        }
        if watermark != state.late_watermark {
            self.store.advance_late_relay(&state, watermark).await?;
        }
        Ok(published >= LATE_PER_RUN)
    }

    /// Asks the stream itself where the tail has not shown all of `entries`: it looks back a few minutes only when a process starts or after a loss, and what
    /// it missed by that is most likely there.
    async fn recall(&self, entries: &[SweepEntry]) -> Result<()> {
        let is_unseen = |entry: &&SweepEntry| !self.seen.contains(&entry.owner, entry.seq);
        let Some(first) = entries.iter().find(is_unseen) else {
            return Ok(());
        };
        // Nothing is published before it was inserted, but clocks differ.
        let since = seconds_before(first.ts, RECALL_MARGIN).time;
        let since = OffsetDateTime::from_unix_timestamp(i64::from(since))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let recalled = self.bus.recall(since, &*self.seen).await;
        recalled.map_err(|error| unavailable(error.into()))
    }

    /// Whether the newest marker is in the stream, if there is any.
    async fn has_newest_marker(&self, state: &RelayState) -> Result<bool> {
        match state.markers.last() {
            Some(marker) => self.has_marker(marker).await,
            None => Ok(true),
        }
    }

    async fn has_marker(&self, marker: &Marker) -> Result<bool> {
        let id = self.bus.stored_id(marker.stream_seq.unsigned_abs());
        Ok(id.await.map_err(unavailable)?.as_deref() == Some(marker.id.as_str()))
    }

    /// After a loss: winds W back to where the durables that keep up stand, and plans a refill for each of the others. What everyone has settled is not put
    /// back.
    async fn wind_back(&self, state: &RelayState) -> Result<()> {
        if state.markers.is_empty() {
            // It was wound back already, or there was nothing yet.
            return Ok(());
        }
        let mut count = 0;
        for marker in &state.markers {
            if !self.has_marker(marker).await? {
                break;
            }
            count += 1;
        }
        let kept = &state.markers[..count];
        // Up to here the stream has everything, or would have dropped it for its age by now.
        let floor = match kept.last() {
            Some(marker) => marker.watermark,
            None => seconds_before(
                self.store.majority_time().await?,
                u32::try_from(self.retention.as_secs()).unwrap_or(u32::MAX),
            ),
        };
        // Everyone gets again what is recent. It begins where the first of the durables stands that keep up; the others get what they lack by themselves.
        let near = seconds_before(state.watermark, NEAR.as_secs() as u32).time;
        let (near, far): (Vec<_>, Vec<_>) = self
            .store
            .settled_positions()
            .await?
            .into_iter()
            .partition(|position| position.seconds() >= near);
        let recent = seconds_before(state.watermark, RECENT.as_secs() as u32);
        let settled = near.iter().map(SettledPosition::seconds).min();
        let settled = settled.map(|time| ClusterTime {
            time: time.saturating_sub(1),
            increment: u32::MAX,
        });
        let to = settled
            .map_or(recent, |settled| settled.min(recent))
            .max(floor);
        let late = seconds_before(to, CLOCK_MARGIN.as_secs() as u32).max(floor);
        tracing::warn!(
            seconds = state.watermark.time.saturating_sub(to.time),
            refilled = far.len(),
            "the event stream lost data; publishing again from the log what is recent or not delivered"
        );
        counter!("chat_relay_winds_total").increment(1);
        self.store.plan_refills(&far, floor, to).await?;
        self.store.wind_relay_back(to, late, kept).await
    }
}

fn unavailable(error: crate::bus::BusError) -> DomainError {
    DomainError::Unavailable(error.to_string().into())
}

/// A cluster time as one number, in the same order.
pub fn as_number(time: ClusterTime) -> u64 {
    (u64::from(time.time) << 32) | u64::from(time.increment)
}

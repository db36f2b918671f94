//! The relay: makes sure that every entry of the log is applied and in the stream.
//!
//! It does so despite crashes and losses of the broker.
//!
//! One process holds the lease and sweeps the log by cluster time, from a stored watermark W to slightly behind majority time: an entry's `ts` may
//! precede its commit by as long as the insert waited. Entries that the tail has not shown are published again (`publishing`); what the documents
//! lack is applied (`applying`). Then a marker is published, and W and the marker's position are stored. Applying needs no broker and has its own
//! watermark, so that it continues while nothing can be published.
//!
//! An entry or an owner that fails stops no other: it is set aside, counted, and reported.
//!
//! Before every sweep the newest stored marker is fetched from the stream. If it is gone, the stream lost data, and W is rewound to the position of
//! the durables that keep up, by at least three minutes. A durable that is further behind gets its own refill (`refills`). Events that every durable
//! has acknowledged are not republished: sockets read them from MongoDB. So the time of a recovery depends on what was not delivered, not on the
//! retention. Nothing is marked per entry.
//!
//! A second sweep, ten minutes behind, publishes entries that the first could not see. A process that started or took over since then has not seen all
//! earlier events; so if something seems to be missing, it reads the headers in the stream first (`read_stream_since`). That costs a few seconds after
//! a start, and spares every durable the events of ten minutes.
//!
//! A process with sockets reads the whole stream anyway. Another one has a tail of its own while it holds the lease, which polls headers only: without
//! it each `api` process would read all payloads (docs/PERFORMANCE.md has the price).

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

use super::StreamedEntries;
use crate::{
    bus::{
        Bus,
        tail::{self, TailMode, TailSink, TailStatus},
    },
    model::{DomainError, Result, durables::CLOCK_MARGIN},
    store::{
        ClusterTime, Marker, RelayState, SettledPosition, Store, SweepEntry,
        log::mongo::MongoBackend, seconds_before,
    },
};

/// Time between two sweeps.
const PERIOD: Duration = Duration::from_secs(1);
/// Duration of the lease; the work passes to another process this long after a death.
const LEASE: Duration = Duration::from_secs(5);
/// Time between two renewals of the lease.
///
/// The cached progress is reread as often: other processes change it only if this one had lost the lease.
const RENEWAL: Duration = Duration::from_millis(1900);
/// Number of entries per read.
const PAGE: usize = 2000;
/// Maximum number of pages of one sweep before it stores its position.
const MAX_PAGES: usize = 50;
/// Maximum lag of the tail for a sweep: events that it has not shown yet would be published twice.
const MAX_TAIL_LAG: u64 = 1000;

/// Time between two checks for retries of what was set aside.
const TRY_AGAIN_PERIOD: Duration = Duration::from_secs(5);

/// Minimum time that is republished after a loss.
///
/// It covers what a new node's reader reads, and what readers without a durable may have missed.
const RECENT: Duration = Duration::from_secs(180);
/// Maximum lag of a durable behind the watermark to count as keeping up.
///
/// One that is further behind gets its own refill.
const NEAR: Duration = Duration::from_secs(300);
/// Maximum number of events that the second sweep publishes in a run.
///
/// It runs every second while there is more.
const LATE_PER_RUN: usize = 1000;

/// Maximum difference in seconds between the clocks of MongoDB and NATS when the stream is read.
const STREAM_MARGIN: u32 = 60;

/// Parts that the relay works with.
#[derive(Clone)]
pub struct Relay {
    /// Store with the log.
    pub store: Arc<Store>,
    /// Bus with the stream.
    pub bus: Bus,
    /// Backend that brings documents up to date.
    pub backend: Arc<MongoBackend>,
    /// Entries that the tail has shown.
    pub streamed: Arc<StreamedEntries>,
    /// Position of that tail.
    pub tail: Arc<TailStatus>,
    /// True if the process follows the whole stream anyway.
    ///
    /// Otherwise the relay has its own tail while it holds the lease.
    pub is_followed: bool,
    /// Name of this process for the lease.
    pub holder: String,
    /// Time that the stream keeps an event: older events need not be republished.
    pub retention: Duration,
    /// Time that the second sweep stays behind the first. It runs ten times in this time.
    pub second_sweep_behind: Duration,
}

/// Tail that is followed for the relay alone. It ends when this is dropped.
struct OwnTail {
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl OwnTail {
    /// Ends it, and waits until it no longer reports its position: the next one reports to the same place.
    async fn end(self) {
        let Self { task, _stop: stop } = self;
        drop(stop);
        // If it panicked, it no longer reports either.
        let _ = task.await;
    }
}

impl Relay {
    /// Sweeps until `stop`, whenever this process holds the lease.
    pub async fn run(self, stop: CancellationToken) {
        let mut own_tail: Option<OwnTail> = None;
        let mut losses = self.tail.losses();
        let mut last_late = Instant::now();
        let mut renewed: Option<Instant> = None;
        let mut tried_again = Instant::now();
        // True if the second sweep has stopped before its end.
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
                // If MongoDB did not answer, the lease may come back, and what the tail has shown is worth keeping.
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
            // A tail that panicked would look as if it still ran, and what it has not shown would count as shown.
            if own_tail.take_if(|tail| tail.task.is_finished()).is_some() {
                tracing::error!("the relay's own tail ended; restarting it");
            }
            if !self.is_followed && own_tail.is_none() {
                own_tail = Some(self.follow());
            }
            if tried_again.elapsed() >= TRY_AGAIN_PERIOD {
                tried_again = Instant::now();
                if let Err(error) = self.apply_again().await {
                    tracing::warn!(%error, "the retry of what was set aside failed");
                }
            }
            let swept = self.sweep(&mut losses, &mut known).await;
            if let Err(error) = &swept {
                tracing::warn!(%error, "a relay sweep failed; the next one continues");
            }
            if swept != Ok(true) {
                // Documents need no broker.
                if let Err(error) = self.apply_alone().await {
                    tracing::warn!(%error, "the relay could not apply the log; it will be retried");
                }
                continue;
            }
            if has_more || last_late.elapsed() >= self.second_sweep_behind / 10 {
                last_late = Instant::now();
                has_more = match self.second_sweep().await {
                    Ok(has_more) => has_more,
                    Err(error) => {
                        tracing::warn!(%error, "the second relay sweep failed; the next one continues");
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

    /// Starts a tail that only reads the stream.
    fn follow(&self) -> OwnTail {
        // The stream may have lost entries that it had when this process last held the lease.
        self.streamed.on_loss();
        let stop = CancellationToken::new();
        let tail = tail::run(
            self.bus.clone(),
            TailMode::HeadersOnly,
            vec![Arc::clone(&self.streamed) as _],
            Arc::clone(&self.tail),
            stop.clone(),
        );
        OwnTail {
            task: tokio::spawn(tail),
            _stop: stop.drop_guard(),
        }
    }

    /// Publishes what is missing up to the horizon. Returns true if what the tail has shown is reliable.
    ///
    /// `losses` is the number of the tail's losses that were handled; `known` is the stored progress if it need not be read again.
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
            // A marker of this process may be in the stream after the loss, and hide it.
            self.rewind(&state).await?;
            *losses = noticed;
            state = self.store.relay_state().await?;
        } else if !self.has_newest_marker(&state).await? {
            self.rewind(&state).await?;
            // The tail may have shown events that the stream has since lost; it must check first.
            self.tail.request_check();
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
            self.publish_missing(&entries).await?;
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
            tracing::info!("the relay's watermark was moved concurrently; sweeping again");
        }
        gauge!("chat_relay_watermark_seconds").set(f64::from(watermark.time));
        Ok(true)
    }

    /// Publishes entries that the first sweep could not see.
    ///
    /// After a loss it also publishes lost entries among those that durables had acknowledged, at a bounded rate.
    ///
    /// Returns true if there is more.
    async fn second_sweep(&self) -> Result<bool> {
        let state = self.store.relay_state().await?;
        let end = seconds_before(state.watermark, self.second_sweep_behind.as_secs() as u32);
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
            self.read_stream(&entries).await?;
            let is_missing = |entry: &SweepEntry| !self.streamed.contains(&entry.owner, entry.seq);
            let (missing, _): (Vec<SweepEntry>, Vec<_>) = entries.into_iter().partition(is_missing);
            // The first sweep could not see it, so it was not applied either.
            self.apply(&missing).await?;
            self.publish_missing(&missing).await?;
            published += missing.len();
            watermark = last;
        }
        if watermark != state.late_watermark {
            self.store.advance_late_relay(&state, watermark).await?;
        }
        Ok(published >= LATE_PER_RUN)
    }

    /// Reads the stream itself if the tail has not shown all of `entries`.
    ///
    /// The tail looks back a few minutes only when a process starts or after a loss; entries that it missed for that reason are most likely in the
    /// stream.
    async fn read_stream(&self, entries: &[SweepEntry]) -> Result<()> {
        let is_missing = |entry: &&SweepEntry| !self.streamed.contains(&entry.owner, entry.seq);
        let Some(first) = entries.iter().find(is_missing) else {
            return Ok(());
        };
        // An entry is never published before its insert, but clocks differ.
        let since = seconds_before(first.ts, STREAM_MARGIN).time;
        let since = OffsetDateTime::from_unix_timestamp(i64::from(since))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let is_read = self.bus.read_stream_since(since, &*self.streamed).await;
        is_read.map_err(|error| unavailable(error.into()))
    }

    /// True if the newest marker is in the stream, or if there is none.
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

    /// After a loss, rewinds W to the position of the durables that keep up.
    ///
    /// It plans a refill for each of the others.
    ///
    /// Events that every durable has acknowledged are not republished.
    async fn rewind(&self, state: &RelayState) -> Result<()> {
        if state.markers.is_empty() {
            // It was already rewound, or there was no marker yet.
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
        // All readers get recent events again. The rewind starts at the earliest of the durables that keep up; each of the others gets its own
        // refill.
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
            "the event stream lost data; republishing recent and undelivered entries from the log"
        );
        counter!("chat_relay_rewinds_total").increment(1);
        self.store.plan_refills(&far, floor, to).await?;
        self.store.rewind_relay(to, late, kept).await
    }
}

fn unavailable(error: crate::bus::BusError) -> DomainError {
    DomainError::Unavailable(error.to_string().into())
}

/// Returns a cluster time as one number with the same order.
pub fn as_number(time: ClusterTime) -> u64 {
    (u64::from(time.time) << 32) | u64::from(time.increment)
}

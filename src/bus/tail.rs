//! The tail: this process's reader of the stream.
//!
//! A process with sockets reads the whole stream live. One without sockets needs only the content of users' events. While it relays, it runs a second tail
//! for the headers of all events, which may arrive a little later. See [`TailMode`].
//!
//! A tail is one consumer without acknowledgements, a watermark, and a supervisor that creates the consumer again after every fault. Not the crate's ordered
//! consumer: that can replay everything if it is created again before its first message, and stalls 15 s after a crash of the server.
//!
//! At every new connection the message at the watermark is fetched and its id compared. If it is another message, or the stream ends before it, or the stream was
//! created again, data was lost: the sinks forget what they took for stored, and the tail starts some minutes back. Repeated entries are dropped by their
//! seq.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Message,
    header::NATS_MESSAGE_ID,
    jetstream::{consumer::DeliverPolicy, stream::Stream},
};
use bytes::Bytes;
use chat_sdk::{EventType, UserId};
use metrics::{counter, gauge};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Bus, StreamError,
    publish::{self, header},
    reader::{Place, PollMode, Reader, Selection},
};
use crate::model::entry::Owner;

/// Look-back of a new tail, so that a new node has in its cache what clients may still request.
const LOOK_BACK: Duration = Duration::from_secs(180);
/// Poll period of a headers-only tail. The relay examines entries that are three seconds old.
const UNHURRIED: Duration = Duration::from_millis(500);
/// Age above which latest values are skipped: a newer value may have replaced them already.
const LATEST_MAX_AGE: Duration = Duration::from_secs(10);
/// Pause before a consumer is created again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Part of the stream that a tail reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailMode {
    /// All events, live.
    Full,
    /// Events of users' logs and latest values of users, live.
    UserEvents,
    /// Headers of log events only, polled every 500 ms; no latest values.
    HeadersOnly,
}

impl TailMode {
    fn pace(self) -> PollMode {
        match self {
            Self::Full | Self::UserEvents => PollMode::Live,
            Self::HeadersOnly => PollMode::Every(UNHURRIED),
        }
    }
}

/// An event from the stream.
#[derive(Debug, Clone)]
pub struct TailEvent {
    /// Owner of the log that holds the event.
    pub owner: Owner,
    /// Seq of the event in that log.
    pub seq: u64,
    /// Type of the event.
    pub kind: EventType,
    /// Envelope as JSON; empty if the tail reads headers only.
    pub payload: Bytes,
}

impl TailEvent {
    /// Parses the entry of `message`; `None` if it is not an entry or cannot be read.
    pub(super) fn of(bus: &Bus, message: &Message) -> Option<Self> {
        Some(Self {
            owner: owner_of(message)?,
            seq: header(message, publish::SEQ_HEADER)?.parse().ok()?,
            kind: bus.subjects.kind_of(&message.subject)?,
            payload: message.payload.clone(),
        })
    }
}

fn owner_of(message: &Message) -> Option<Owner> {
    header(message, publish::OWNER_HEADER).and_then(publish::parse_owner)
}

/// A latest value from the stream: not an entry of a log, without a seq.
#[derive(Debug, Clone)]
pub struct Latest {
    /// Owner of the value.
    pub owner: Owner,
    /// Type of the value.
    pub kind: EventType,
    /// The only recipients; `None` if all users who may see the value are recipients.
    pub only: Option<Vec<UserId>>,
    /// Envelope as JSON.
    pub payload: Bytes,
}

/// Receiver of a tail's events. One task calls it in the order of the stream; it must not block.
pub trait TailSink: Send + Sync {
    /// Receives an event. It may be a repetition, and earlier ones may be missing.
    fn on_event(&self, event: &TailEvent);
    /// Receives a reference to an event that is too large for the stream.
    ///
    /// The payload is empty; it is read from the log.
    fn on_reference(&self, _event: &TailEvent) {}
    /// Receives a latest value. Earlier ones of the same kind no longer matter.
    fn on_latest(&self, _latest: &Latest) {}
    /// Receives a marker of the relay.
    ///
    /// Everything that MongoDB committed until cluster time `watermark` precedes it in the stream.
    fn on_marker(&self, watermark: u64);
    /// Handles a data loss of the broker: no event seen so far counts as stored any longer.
    fn on_loss(&self);
}

/// State of a tail.
#[derive(Debug, Default)]
pub struct TailStatus {
    is_running: AtomicBool,
    has_caught_up: AtomicBool,
    watermark: AtomicU64,
    pending: AtomicU64,
    losses: AtomicU64,
    /// Number of checks of the stream that were requested, and the number of them that are done.
    checks_requested: AtomicU64,
    checks_done: AtomicU64,
    check_requested: Notify,
}

impl TailStatus {
    /// Returns true if a consumer delivers and no check of the stream is due.
    pub fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
            && self.checks_done.load(Ordering::Acquire)
                == self.checks_requested.load(Ordering::Acquire)
    }

    /// Returns true if the tail has read all messages that the stream had when its consumer was created.
    pub fn has_caught_up(&self) -> bool {
        self.has_caught_up.load(Ordering::Acquire)
    }

    /// Returns how often the stream was found to have lost messages that the tail had read.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Reports that the stream may have lost data.
    ///
    /// The tail does not count as running until it has verified that the stream is the one it has read.
    pub fn request_check(&self) {
        self.checks_requested.fetch_add(1, Ordering::AcqRel);
        self.check_requested.notify_one();
    }

    /// Returns the stream sequence of the last message seen.
    pub fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Relaxed)
    }

    /// Returns the number of messages that were to follow the last one seen.
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }
}

/// The last message seen, and the stream it came from.
#[derive(Debug, Clone)]
struct Watermark {
    sequence: u64,
    id: String,
    created: OffsetDateTime,
}

/// Reads the stream until `stop`, and passes the events to `sinks`.
pub async fn run(
    bus: Bus,
    reads: TailMode,
    sinks: Vec<Arc<dyn TailSink>>,
    status: Arc<TailStatus>,
    stop: CancellationToken,
) {
    let mut tail = Tail {
        bus,
        reads,
        sinks,
        status,
        watermark: None,
    };
    while !stop.is_cancelled() {
        let outcome = tokio::select! {
            () = stop.cancelled() => break,
            outcome = tail.follow() => outcome,
        };
        tail.say_running(false);
        if let Err(error) = outcome {
            counter!("chat_tail_restarts_total").increment(1);
            tracing::warn!(%error, "event stream tail restarted after a fault");
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
    tail.say_running(false);
}

struct Tail {
    bus: Bus,
    reads: TailMode,
    sinks: Vec<Arc<dyn TailSink>>,
    status: Arc<TailStatus>,
    watermark: Option<Watermark>,
}

impl Tail {
    /// Reads one consumer until it fails or the connection is replaced.
    async fn follow(&mut self) -> Result<(), StreamError> {
        let mut connections = self.bus.tail_connections.clone();
        connections.mark_unchanged();
        let checks_requested = self.status.checks_requested.load(Ordering::Acquire);
        let declared = self.bus.declare_stream().await?;
        let created = declared.cached_info().created;
        let start = self.check_incarnation(&declared, created).await?;
        let last = declared.cached_info().state.last_sequence;
        let selection = Selection {
            name: "tail",
            start,
            // A filter that nearly all messages pass costs the server more than it saves.
            subject: match self.reads {
                TailMode::Full | TailMode::HeadersOnly => String::new(),
                TailMode::UserEvents => self.bus.subjects.events_of_users(),
            },
            headers_only: self.reads == TailMode::HeadersOnly,
            pace: self.reads.pace(),
        };
        let (mut messages, pending) = Reader::open(&self.bus, selection).await?;
        self.status
            .has_caught_up
            .store(pending == 0, Ordering::Release);
        self.status.pending.store(pending, Ordering::Relaxed);
        self.status
            .checks_done
            .store(checks_requested, Ordering::Release);
        self.say_running(true);
        let mut delivered = 0;
        loop {
            // With a long backlog the reader never waits for a message; then only this check notices a new connection.
            let is_new = connections.has_changed().unwrap_or(true);
            if is_new || self.status.checks_requested.load(Ordering::Acquire) != checks_requested {
                return Ok(());
            }
            let message = tokio::select! {
                biased;
                message = messages.next() => message?,
                _ = connections.changed() => return Ok(()),
                () = self.status.check_requested.notified() => continue,
            };
            let place = Place::of(&message).ok_or_else(|| {
                StreamError::Api("a message without a stream position".to_owned())
            })?;
            if place.delivered != delivered + 1 {
                // The client dropped messages.
                return Err(StreamError::Api(
                    "messages were dropped on the way".to_owned(),
                ));
            }
            delivered = place.delivered;
            self.take(&message, place);
            let status = &self.status;
            status.watermark.store(place.sequence, Ordering::Relaxed);
            status.pending.store(place.pending, Ordering::Relaxed);
            // The last message may have been removed from the stream since.
            if place.pending == 0 || place.sequence >= last {
                status.has_caught_up.store(true, Ordering::Release);
            }
            let id = header(&message, NATS_MESSAGE_ID);
            match &mut self.watermark {
                Some(mark) => {
                    mark.sequence = place.sequence;
                    mark.id.clear();
                    mark.id.push_str(id.unwrap_or_default());
                }
                None => {
                    self.watermark = Some(Watermark {
                        sequence: place.sequence,
                        id: id.unwrap_or_default().to_owned(),
                        created,
                    });
                }
            }
        }
    }

    fn say_running(&self, is_running: bool) {
        self.status.is_running.store(is_running, Ordering::Release);
        // The gauge belongs to the live tail; a process has exactly one.
        if self.reads != TailMode::HeadersOnly {
            gauge!("chat_tail_running").set(if is_running { 1.0 } else { 0.0 });
        }
    }

    /// Checks that the stream is still the one that was read; returns where to continue.
    async fn check_incarnation(
        &mut self,
        stream: &Stream,
        created: OffsetDateTime,
    ) -> Result<DeliverPolicy, StreamError> {
        let look_back = DeliverPolicy::ByStartTime {
            start_time: OffsetDateTime::now_utc() - LOOK_BACK,
        };
        let Some(mark) = &self.watermark else {
            return Ok(look_back);
        };
        let state = &stream.cached_info().state;
        let is_same = if mark.created != created || mark.sequence > state.last_sequence {
            false
        } else if mark.sequence < state.first_sequence {
            // The message expired while this process was disconnected.
            true
        } else {
            // Read from the leader: a follower may be stale.
            match stream.get_raw_message(mark.sequence).await {
                Ok(message) => {
                    let id = message.headers.get(NATS_MESSAGE_ID);
                    id.is_some_and(|id| id.as_str() == mark.id)
                }
                Err(error) => return Err(StreamError::Api(error.to_string())),
            }
        };
        if is_same {
            return Ok(DeliverPolicy::ByStartSequence {
                start_sequence: mark.sequence + 1,
            });
        }
        tracing::warn!(
            watermark = mark.sequence,
            last = state.last_sequence,
            "the event stream lost data or was created again"
        );
        counter!("chat_tail_losses_total").increment(1);
        self.watermark = None;
        for sink in &self.sinks {
            sink.on_loss();
        }
        self.status.losses.fetch_add(1, Ordering::AcqRel);
        Ok(look_back)
    }

    fn take(&self, message: &Message, place: Place) {
        let Some(kind) = self.bus.subjects.kind_of(&message.subject) else {
            if *message.subject == self.bus.subjects.marker()
                && let Some(watermark) = std::str::from_utf8(&message.payload)
                    .ok()
                    .and_then(|text| text.parse().ok())
            {
                for sink in &self.sinks {
                    sink.on_marker(watermark);
                }
            }
            return;
        };
        if !kind.is_logged() {
            if self.reads != TailMode::HeadersOnly {
                self.take_latest(message, place, kind);
            }
            return;
        }
        let Some(event) = TailEvent::of(&self.bus, message) else {
            counter!("chat_tail_unreadable_total").increment(1);
            return;
        };
        let is_reference = header(message, publish::REFERENCE_HEADER).is_some();
        for sink in &self.sinks {
            if is_reference {
                sink.on_reference(&event)
            } else {
                sink.on_event(&event)
            }
        }
    }

    fn take_latest(&self, message: &Message, place: Place, kind: EventType) {
        if place.age() > LATEST_MAX_AGE {
            // A tail that looks back sees values that have been replaced since.
            return;
        }
        let Some(owner) = owner_of(message) else {
            counter!("chat_tail_unreadable_total").increment(1);
            return;
        };
        let latest = Latest {
            owner,
            kind,
            only: header(message, publish::ONLY_HEADER).and_then(publish::parse_only),
            payload: message.payload.clone(),
        };
        for sink in &self.sinks {
            sink.on_latest(&latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_with_a_requested_check_is_not_running() {
        let status = TailStatus::default();
        status.is_running.store(true, Ordering::Release);
        assert!(status.is_running());
        status.request_check();
        assert!(!status.is_running());
        // A check that began before the second request has not covered it.
        let began = status.checks_requested.load(Ordering::Acquire);
        status.request_check();
        status.checks_done.store(began, Ordering::Release);
        assert!(!status.is_running());
        status.checks_done.store(2, Ordering::Release);
        assert!(status.is_running());
    }
}

//! Durable consumers: every event at least once, to any number of processes that share the work.
//!
//! A durable is a pull consumer with explicit acknowledgements, kept by the broker. It retries by `nak` with a delay, never by the consumer's own `backoff`:
//! the two together give skewed delays. Its settled position is stored in the database too (`place`), because the broker is never the source of truth: it may
//! lose what it acknowledged, or come back without the stream.
//!
//! Beside the events a durable reads a subject of its own, to which events are published again for it alone: replayed dead letters, and events that expired
//! in the stream before they were read.

mod give;
mod place;
mod pull;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::{
    HeaderMap, HeaderName,
    header::NATS_MESSAGE_ID,
    jetstream::{self, consumer::pull::Config, stream::Stream},
};
use bytes::Bytes;
use chat_sdk::{EventId, TraceParent};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{Bus, BusError, StreamError, publish};
use crate::model::{catalogue, durables::Ledger, entry::Entry};
pub use chat_sdk::plugin::{
    Consumer, ConsumerSpec, Delivery, Lag, LogPosition, Pulled, ReplayedEvent, Verdict,
};

/// Header with the id of an event that was published again.
const EVENT_ID_HEADER: HeaderName = HeaderName::from_static("Chat-Event-Id");
/// Header with the type of an event that was published again.
const EVENT_TYPE_HEADER: HeaderName = HeaderName::from_static("Chat-Event-Type");

/// Reads events from the database that a durable missed in the stream.
pub trait Backfill: Send + Sync {
    /// Reads a page of events after `from` until `until`; all types if none are given.
    ///
    /// Returns where to continue; `None` at the end.
    fn read(
        &self,
        from: LogPosition,
        until: LogPosition,
    ) -> futures_util::future::BoxFuture<
        '_,
        crate::model::Result<(Vec<ReplayedEvent>, Option<LogPosition>)>,
    >;

    /// Returns the event of an entry; `None` if the log has no such id, or the entry cannot be read.
    fn find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> futures_util::future::BoxFuture<'a, crate::model::Result<Option<ReplayedEvent>>>;
}

/// The durables of this process.
pub struct Durables<L> {
    bus: Bus,
    ledger: Arc<L>,
    backfill: Arc<dyn Backfill>,
    /// Durables placed on the current connection, for those that are only pulled from occasionally.
    placed: Mutex<HashMap<String, Placed>>,
}

/// A durable that has been placed.
#[derive(Clone)]
struct Placed {
    stream: Stream<()>,
    /// Name of its consumer in the broker.
    consumer: String,
    /// Creation time of the stream, which identifies it.
    created: String,
    /// Id of the server's run.
    server: String,
    /// Events before this time were settled before a data loss.
    skip_before: Option<chat_sdk::Timestamp>,
    /// Number of the connection on which it was placed.
    connection: u64,
    spec: ConsumerSpec,
}

/// Position of a durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Creation time of the stream that it reads, which identifies it.
    pub stream: String,
    /// Number of events that have not been delivered to it yet.
    pub pending: u64,
    /// Stream sequence up to which every event is settled.
    pub floor: u64,
}

/// Permission to create an unknown durable.
///
/// Only its declaration may create it: a process that delivers its events may be late, and the durable removed in the meantime.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Birth {
    Allowed,
    Rejected,
}

fn api(error: impl std::fmt::Display) -> BusError {
    BusError::Stream(StreamError::Api(error.to_string()))
}

impl<L: Ledger + 'static> Durables<L> {
    /// Returns durables on `bus` whose positions are stored in `ledger`.
    pub fn new(bus: Bus, ledger: Arc<L>, backfill: Arc<dyn Backfill>) -> Arc<Self> {
        Arc::new(Self {
            bus,
            ledger,
            backfill,
            placed: Mutex::default(),
        })
    }

    /// Returns the stream on the connection for readers.
    async fn stream(&self) -> Result<Stream<()>, BusError> {
        let mut context = jetstream::new(self.bus.tail.clone());
        context.set_timeout(super::API_TIMEOUT);
        context
            .get_stream_no_info(self.bus.subjects.stream())
            .await
            .map_err(api)
    }

    fn config(&self, spec: &ConsumerSpec, consumer: &str) -> Config {
        Config {
            durable_name: Some(consumer.to_owned()),
            description: Some("Chat Service: made and kept by it".to_owned()),
            ack_wait: spec.ack_wait,
            // A consumer that gives up on an event says so; the broker never gives up.
            max_deliver: -1,
            filter_subjects: self
                .bus
                .subjects
                .of_durable(&spec.name, spec.events.as_deref()),
            max_ack_pending: i64::try_from(spec.max_pending).unwrap_or(i64::MAX),
            max_waiting: 4096,
            num_replicas: self.bus.options.replicas,
            ..Config::default()
        }
    }

    /// Creates a durable, or updates it to `spec`. A new one starts at the end of the stream.
    ///
    /// # Errors
    /// If the broker or the database does not answer.
    pub async fn declare(&self, spec: &ConsumerSpec) -> Result<(), BusError> {
        self.place(spec, Birth::Allowed).await.map(drop)
    }

    /// Places a durable and stores its settled position, for one whose events another component pulls.
    ///
    /// # Errors
    /// If the broker or the database does not answer, or the durable was never declared.
    pub async fn keep(self: &Arc<Self>, spec: &ConsumerSpec) -> Result<(), BusError> {
        let placed = self.placed(spec).await?;
        let marked = self.mark(&placed).await;
        if marked.is_err() {
            self.displace(&spec.name);
        }
        marked
    }

    /// Returns the name of the stream that durables read.
    pub fn stream_name(&self) -> String {
        self.bus.subjects.stream()
    }

    /// Removes a durable and its stored state.
    ///
    /// # Errors
    /// If the broker or the database does not answer.
    pub async fn remove(&self, name: &str) -> Result<(), BusError> {
        self.placed.lock().remove(name);
        let consumer = self.consumer_of(name).await?;
        // The stored state first: then a process that still delivers its events cannot create it again.
        self.ledger.forget(name).await.map_err(api)?;
        let stream = self.stream().await?;
        match stream.delete_consumer(&consumer).await {
            Ok(_) => Ok(()),
            Err(_) if !self.exists(&stream, &consumer).await? => Ok(()),
            Err(error) => Err(api(error)),
        }
    }

    /// Returns the name of a durable's consumer in the broker.
    async fn consumer_of(&self, name: &str) -> Result<String, BusError> {
        let state = self.ledger.load(name).await.map_err(api)?;
        Ok(state.map_or_else(|| name.to_owned(), |state| state.consumer()))
    }

    async fn exists(&self, stream: &Stream<()>, name: &str) -> Result<bool, BusError> {
        use async_nats::jetstream::context::ConsumerInfoErrorKind as Kind;
        match stream.consumer_info(name).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::StreamNotFound) => {
                Ok(false)
            }
            Err(error) => Err(api(error)),
        }
    }

    /// Makes the broker deliver nothing for `pause`.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn pause(&self, name: &str, pause: Duration) -> Result<(), BusError> {
        let until = OffsetDateTime::now_utc() + pause;
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        stream.pause_consumer(&consumer, until).await.map_err(api)?;
        Ok(())
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn resume(&self, name: &str) -> Result<(), BusError> {
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        stream.resume_consumer(&consumer).await.map_err(api)?;
        Ok(())
    }

    /// Returns the lag of a durable.
    ///
    /// # Errors
    /// If the broker does not answer, or has no such durable.
    pub async fn lag(&self, name: &str) -> Result<Lag, BusError> {
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        let info = stream.consumer_info(&consumer).await.map_err(api)?;
        // Events that are missing in the stream count like those in it.
        let missing = self.ledger.missing(name).await.map_err(api)?;
        Ok(Lag {
            pending: info.num_pending + missing,
            ack_pending: info.num_ack_pending as u64,
            redelivered: info.num_redelivered as u64,
            ack_floor: info.ack_floor.stream_sequence,
            paused_for: info.pause_remaining.filter(|_| info.paused),
        })
    }

    /// Returns a durable's position in the stream; `None` if the broker does not have it now.
    ///
    /// # Errors
    /// If the broker or the database does not answer.
    pub async fn position(&self, name: &str) -> Result<Option<Position>, BusError> {
        use async_nats::jetstream::context::ConsumerInfoErrorKind as Kind;
        let declared = self.bus.stream_created().await?;
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        match stream.consumer_info(&consumer).await {
            Ok(info) => Ok(Some(Position {
                stream: declared,
                pending: info.num_pending,
                floor: info.ack_floor.stream_sequence,
            })),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::StreamNotFound) => Ok(None),
            Err(error) => Err(api(error)),
        }
    }

    /// Publishes events again for one durable, and waits for the acknowledgements.
    ///
    /// Returns the stream sequence of the last one; 0 if there are none.
    ///
    /// # Errors
    /// At the first event that is not acknowledged.
    pub async fn put(&self, name: &str, events: &[ReplayedEvent]) -> Result<u64, BusError> {
        let subject = self.bus.subjects.replay(name);
        let mut last = 0;
        for chunk in events.chunks(256) {
            let mut acks = Vec::with_capacity(chunk.len());
            for event in chunk {
                let mut headers = HeaderMap::new();
                let id = format!("replay-{}", ulid::Ulid::generate());
                headers.insert(NATS_MESSAGE_ID, id);
                headers.insert(EVENT_ID_HEADER, event.event_id.as_str());
                headers.insert(EVENT_TYPE_HEADER, event.kind.as_str());
                headers.insert(publish::OWNER_HEADER, publish::header_text(&event.owner));
                let trace = TraceParent::of(&event.event_id);
                headers.insert(publish::TRACE_HEADER, trace.to_string());
                if let Some(seq) = event.seq {
                    headers.insert(publish::SEQ_HEADER, seq.to_string());
                }
                let mut payload = event.payload.to_vec();
                let size = publish::size_of(&headers, payload.len());
                // An event of the log can be read there when it is delivered.
                if event.seq.is_some() && self.bus.check_size(size).is_err() {
                    headers.insert(publish::REFERENCE_HEADER, "log");
                    payload.clear();
                }
                let ack = self
                    .bus
                    .send_message(subject.clone(), headers, payload)
                    .await?;
                acks.push(publish::wait_for(ack));
            }
            let stored = try_join_all(acks).await?;
            last = stored.into_iter().fold(last, u64::max);
        }
        Ok(last)
    }

    /// Delivers the events of a durable to `consumer` until `stop`, then waits for those in flight.
    pub async fn run(
        self: Arc<Self>,
        spec: ConsumerSpec,
        consumer: Arc<dyn Consumer>,
        stop: CancellationToken,
    ) {
        give::run(self, spec, consumer, stop).await;
    }
}

impl<L> Durables<L> {
    /// Returns the event that a message carries or refers to; `None` if it is not an event.
    ///
    /// # Errors
    /// If the event must be read from the log and the database does not answer.
    async fn event_of(
        &self,
        message: &jetstream::Message,
    ) -> crate::model::Result<Option<Delivery>> {
        let Some(mut event) = delivery(&self.bus.subjects, message) else {
            return Ok(None);
        };
        if publish::header(message, publish::REFERENCE_HEADER).is_some() {
            let Some(found) = self.backfill.find(&event.event_id).await? else {
                return Ok(None);
            };
            event.payload = found.payload;
        }
        Ok(Some(event))
    }
}

/// Returns the event of a message from the message alone.
fn delivery(subjects: &super::Subjects, message: &jetstream::Message) -> Option<Delivery> {
    let header = |name| publish::header(message, name);
    let replayed = header(EVENT_ID_HEADER);
    let event_id: EventId = match replayed {
        Some(id) => id.parse().ok()?,
        None => header(NATS_MESSAGE_ID)?.parse().ok()?,
    };
    let kind = match header(EVENT_TYPE_HEADER) {
        Some(kind) => kind,
        None => subjects.type_of(&message.subject)?,
    };
    let trace = header(publish::TRACE_HEADER).and_then(|text| text.parse().ok());
    let attempt = message.info().map_or(1, |info| info.delivered);
    Some(Delivery {
        trace: trace.unwrap_or_else(|| TraceParent::of(&event_id)),
        event_id,
        kind: kind.to_owned(),
        owner: publish::parse_owner(header(publish::OWNER_HEADER)?)?.key(),
        seq: header(publish::SEQ_HEADER).and_then(|seq| seq.parse().ok()),
        payload: Bytes::clone(&message.payload),
        attempt: u32::try_from(attempt).unwrap_or(1).max(1),
        is_replay: replayed.is_some(),
    })
}

/// Returns an entry in the form in which it is published again for one durable.
pub fn replay_of(entry: &Entry) -> Option<ReplayedEvent> {
    let payload = serde_json::to_vec(&catalogue::envelope(entry)).ok()?;
    Some(ReplayedEvent {
        event_id: entry.id.clone(),
        kind: entry.body.kind().as_str().to_owned(),
        owner: entry.owner.key(),
        seq: Some(entry.seq),
        payload: Bytes::from(payload),
    })
}

/// Returns the event types of a spec as a set, to filter events from the database.
fn wanted(spec: &ConsumerSpec) -> Option<HashSet<&'static str>> {
    let kinds = spec.events.as_ref()?;
    Some(kinds.iter().map(|kind| kind.as_str()).collect())
}

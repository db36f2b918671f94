//! Position of a durable, and its recovery after any failure of the broker.
//!
//! A mark is a message of the stream, by sequence and id, up to which every event was settled. At the start and at every new connection the newest mark is
//! compared with the message that the stream has at this sequence:
//! - the same message: the durable stands where the broker says, unless the server has restarted since the mark: it may have lost data that
//!   followed, so the durable is put back to the mark;
//! - another message, a stream that ends before it, or another stream: data was lost. The durable is created again behind the newest mark that the stream still
//!   has, else at its beginning, never at its end. The events that the relay then puts back are delivered, except those that happened long enough before
//!   the newest relay marker that the durable had passed: they were settled;
//! - nothing, because the stream no longer goes back so far: events that expired unread are read from the database and published again for this durable alone.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{DeliverPolicy, Info},
    stream::{RawMessageErrorKind, Stream},
};
use chat_sdk::{
    Timestamp,
    plugin::{ConsumerSpec, LogPosition},
};
use metrics::counter;
use time::OffsetDateTime;

use super::{Birth, Durables, Placed, api, wanted};
use crate::{
    bus::{BusError, streams::stream_name},
    model::durables::{BIRTH_TOLERANCE, CLOCK_MARGIN, DurableState, Ledger, Mark},
};

/// Minimum age of the stream's first message at which the log before it is final.
///
/// No event can be committed before it any more, so all earlier ones can be read from the log.
const SETTLED_AGE: Duration = Duration::from_secs(10);

/// Result of comparing a mark with the stream.
enum Found {
    Same,
    Expired,
    Other,
}

/// The stream and the server at the time of a placement.
struct Broker<'a> {
    declared: &'a Stream,
    stream: &'a Stream<()>,
    created: &'a str,
    server: &'a str,
}

impl Broker<'_> {
    /// Returns the first and the last sequence number of the stream.
    fn range(&self) -> (u64, u64) {
        let state = &self.declared.cached_info().state;
        (state.first_sequence, state.last_sequence)
    }
}

impl<L: Ledger + 'static> Durables<L> {
    /// Places a durable, and creates it if it is missing. One process at a time does this.
    pub(super) async fn place(
        &self,
        spec: &ConsumerSpec,
        birth: Birth,
    ) -> Result<Placed, BusError> {
        let holder = self.ledger.lock(&spec.name).await.map_err(api)?;
        let holder = holder.ok_or_else(|| api("the durable is being placed by somebody else"))?;
        let placed = self.place_locked(spec, birth).await;
        self.ledger.unlock(&spec.name, &holder).await;
        match &placed {
            Ok(placed) => drop(self.placed.lock().insert(spec.name.clone(), placed.clone())),
            // Another process may have removed it.
            Err(_) => self.displace(&spec.name),
        }
        placed
    }

    async fn place_locked(&self, spec: &ConsumerSpec, birth: Birth) -> Result<Placed, BusError> {
        let connection = *self.bus.tail_connections.borrow();
        let declared = self.bus.declare_stream().await?;
        let created = stream_name(&declared);
        let stream = self.stream().await?;
        let server = self.bus.tail.server_info().server_id;
        let state = self.ledger.load(&spec.name).await.map_err(api)?;
        let broker = Broker {
            declared: &declared,
            stream: &stream,
            created: &created,
            server: &server,
        };
        let state = match state {
            None if birth == Birth::Rejected => return Err(api("there is no such durable")),
            None => self.begin(spec, &broker).await?,
            Some(state) => {
                let existing = self.consumer(&stream, &state.consumer()).await?;
                self.find_again(spec, state, existing, &broker).await?
            }
        };
        Ok(Placed {
            consumer: state.consumer(),
            stream,
            created,
            server,
            skip_before: state.skip_before,
            connection,
            spec: spec.clone(),
        })
    }

    async fn consumer(&self, stream: &Stream<()>, name: &str) -> Result<Option<Info>, BusError> {
        use async_nats::jetstream::context::ConsumerInfoErrorKind as Kind;
        match stream.consumer_info(name).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(api(error)),
        }
    }

    /// Creates an unknown durable: it starts behind the last message.
    async fn begin(
        &self,
        spec: &ConsumerSpec,
        broker: &Broker<'_>,
    ) -> Result<DurableState, BusError> {
        let (_, last) = broker.range();
        let now = Timestamp::now();
        let state = DurableState {
            name: spec.name.clone(),
            events: event_names(spec),
            generation: 0,
            born: now,
            stream: broker.created.to_owned(),
            server: broker.server.to_owned(),
            marks: self
                .mark_at(broker.stream, last)
                .await?
                .into_iter()
                .collect(),
            settled_until: earlier(now, BIRTH_TOLERANCE),
            skip_before: Some(earlier(now, BIRTH_TOLERANCE)),
        };
        // The state is stored first: if this process dies in between, the durable is created at the mark.
        self.ledger.save(&state).await.map_err(api)?;
        self.make(spec, &state.consumer(), broker.stream, last + 1)
            .await?;
        Ok(state)
    }

    async fn find_again(
        &self,
        spec: &ConsumerSpec,
        mut state: DurableState,
        existing: Option<Info>,
        broker: &Broker<'_>,
    ) -> Result<DurableState, BusError> {
        let Broker {
            declared,
            stream,
            server,
            ..
        } = *broker;
        let (first, last) = broker.range();
        let is_same_stream = state.stream == broker.created;
        state.events = event_names(spec);
        let newest = state.marks.last().cloned();
        let found = match &newest {
            _ if !is_same_stream => Found::Other,
            // The stream was empty when the durable was created, and later events may have expired.
            None if first > 1 => Found::Expired,
            None => Found::Same,
            Some(mark) => self.compare(stream, mark, first, last).await?,
        };
        let behind_mark = newest.as_ref().map_or(1, |mark| mark.sequence + 1);
        match found {
            Found::Same => {
                let is_certain = existing.as_ref().is_some_and(|info| {
                    let floor = info.ack_floor.stream_sequence;
                    info.delivered.stream_sequence <= last
                        && (floor < behind_mark || state.server == server)
                });
                let name = state.consumer();
                match existing {
                    Some(info) if is_certain => self.adjust(spec, &info, stream).await?,
                    Some(_) => self.remake(spec, &name, stream, behind_mark).await?,
                    None => self.make(spec, &name, stream, behind_mark).await?,
                }
                state.server = server.to_owned();
                self.ledger.save(&state).await.map_err(api)?;
            }
            Found::Expired => {
                self.fill(spec, &state, declared).await?;
                match existing {
                    Some(info) => self.adjust(spec, &info, stream).await?,
                    None => self.make(spec, &state.consumer(), stream, first).await?,
                }
                state.server = server.to_owned();
                state.settled_until = state.settled_until.max(first_moment(declared));
                // The first message itself may be unsettled, and an expired one cannot be a mark.
                state.marks.clear();
                self.ledger.save(&state).await.map_err(api)?;
            }
            Found::Other => {
                self.put_back(spec, &mut state, existing.is_some(), broker)
                    .await?
            }
        }
        Ok(state)
    }

    /// Puts a durable back to the newest mark that the stream still has, else to its beginning.
    async fn put_back(
        &self,
        spec: &ConsumerSpec,
        state: &mut DurableState,
        exists: bool,
        broker: &Broker<'_>,
    ) -> Result<(), BusError> {
        let (first, last) = broker.range();
        let is_same_stream = state.stream == broker.created;
        counter!("chat_durable_losses_total", "durable" => spec.name.clone()).increment(1);
        while let Some(mark) = state.marks.last().filter(|_| is_same_stream) {
            match self.compare(broker.stream, mark, first, last).await? {
                Found::Same => break,
                Found::Expired | Found::Other => state.marks.pop(),
            };
        }
        if !is_same_stream {
            state.marks.clear();
        }
        let start = state.marks.last().map_or(1, |mark| mark.sequence + 1);
        tracing::warn!(
            durable = %spec.name,
            from = start,
            last,
            "the event stream lost data or was created again; durable rewound"
        );
        state.skip_before = Some(
            earlier(state.settled_until, CLOCK_MARGIN).max(earlier(state.born, BIRTH_TOLERANCE)),
        );
        state.stream = broker.created.to_owned();
        state.server = broker.server.to_owned();
        let before = state.consumer();
        state.generation += 1;
        if !state.is_of_a_host() {
            self.ledger.save(state).await.map_err(api)?;
        }
        if exists {
            broker.stream.delete_consumer(&before).await.map_err(api)?;
        }
        if state.is_of_a_host() {
            // The name stays the same, so the state may report success only after the previous consumer is deleted.
            self.ledger.save(state).await.map_err(api)?;
            self.make_paused(spec, broker.stream, start).await?;
        } else {
            self.make(spec, &state.consumer(), broker.stream, start)
                .await?;
        }
        Ok(())
    }

    async fn compare(
        &self,
        stream: &Stream<()>,
        mark: &Mark,
        first: u64,
        last: u64,
    ) -> Result<Found, BusError> {
        if mark.sequence > last {
            return Ok(Found::Other);
        }
        if mark.sequence < first {
            return Ok(Found::Expired);
        }
        Ok(match self.mark_at(stream, mark.sequence).await? {
            Some(found) if found.id == mark.id => Found::Same,
            Some(_) => Found::Other,
            // The message has expired since the stream's state was read.
            None => Found::Expired,
        })
    }

    /// Returns the message at `sequence`, read from the stream's leader: a follower may be stale.
    async fn mark_at(&self, stream: &Stream<()>, sequence: u64) -> Result<Option<Mark>, BusError> {
        if sequence == 0 {
            return Ok(None);
        }
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(message
                .headers
                .get(async_nats::header::NATS_MESSAGE_ID)
                .map(|id| Mark {
                    sequence,
                    id: id.as_str().to_owned(),
                })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(api(error)),
        }
    }

    async fn make(
        &self,
        spec: &ConsumerSpec,
        consumer: &str,
        stream: &Stream<()>,
        from: u64,
    ) -> Result<(), BusError> {
        let mut config = self.config(spec, consumer);
        config.deliver_policy = DeliverPolicy::ByStartSequence {
            start_sequence: from.max(1),
        };
        stream.create_consumer(config).await.map_err(api)?;
        Ok(())
    }

    /// Creates a host's durable after a loss, paused for as long as the host may settle earlier events.
    ///
    /// The host may still have events of the previous consumer.
    async fn make_paused(
        &self,
        spec: &ConsumerSpec,
        stream: &Stream<()>,
        from: u64,
    ) -> Result<(), BusError> {
        let mut config = self.config(spec, &spec.name);
        config.deliver_policy = DeliverPolicy::ByStartSequence {
            start_sequence: from.max(1),
        };
        config.pause_until = Some(OffsetDateTime::now_utc() + spec.ack_wait);
        stream.create_consumer(config).await.map_err(api)?;
        Ok(())
    }

    async fn remake(
        &self,
        spec: &ConsumerSpec,
        consumer: &str,
        stream: &Stream<()>,
        from: u64,
    ) -> Result<(), BusError> {
        counter!("chat_durable_rewinds_total", "durable" => spec.name.clone()).increment(1);
        stream.delete_consumer(consumer).await.map_err(api)?;
        self.make(spec, consumer, stream, from).await
    }

    /// Updates an existing durable to `spec` without moving it.
    async fn adjust(
        &self,
        spec: &ConsumerSpec,
        info: &Info,
        stream: &Stream<()>,
    ) -> Result<(), BusError> {
        let mut config = self.config(spec, &info.name);
        let is_same = info.config.filter_subjects == config.filter_subjects
            && info.config.max_ack_pending == config.max_ack_pending
            && info.config.ack_wait == config.ack_wait;
        if is_same {
            return Ok(());
        }
        config.deliver_policy = info.config.deliver_policy;
        stream.create_consumer(config).await.map_err(api)?;
        Ok(())
    }

    /// Publishes again the events between a durable's last mark and the stream's first message.
    ///
    /// They go to this durable alone.
    async fn fill(
        &self,
        spec: &ConsumerSpec,
        state: &DurableState,
        declared: &Stream,
    ) -> Result<(), BusError> {
        let wanted = wanted(spec);
        let age = Timestamp::now().as_millis() - first_moment(declared).as_millis();
        if age < SETTLED_AGE.as_millis() as i64 {
            return Err(api(
                "the expired events are too recent to be read completely from the log; trying again in a moment",
            ));
        }
        let mut from = LogPosition::before(state.settled_until);
        let first = first_moment(declared);
        let until = LogPosition::before(Timestamp::from_millis(
            first.as_millis() + BIRTH_TOLERANCE.as_millis() as i64,
        ));
        let born = earlier(state.born, BIRTH_TOLERANCE);
        let mut count = 0;
        loop {
            let (mut events, next) = self.backfill.read(from, until).await.map_err(api)?;
            events.retain(|event| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(event.kind.as_str()))
            });
            count += events.len();
            self.put(&spec.name, &events).await?;
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        if count > 0 {
            counter!("chat_durable_backfilled_total", "durable" => spec.name.clone())
                .increment(count as u64);
            tracing::warn!(
                durable = %spec.name,
                since = %state.settled_until.max(born),
                until = %first,
                count,
                "events expired in the stream before they were read; they were put in again from the database"
            );
        }
        Ok(())
    }

    /// Stores the position up to which every event is settled.
    pub(super) async fn mark(&self, placed: &Placed) -> Result<(), BusError> {
        let name = &placed.spec.name;
        // The order matters: messages that arrive after the stream's state was read must not count as settled.
        let last = self
            .bus
            .declare_stream()
            .await?
            .cached_info()
            .state
            .last_sequence;
        let info = placed
            .stream
            .consumer_info(&placed.consumer)
            .await
            .map_err(api)?;
        let is_idle = info.num_pending == 0 && info.num_ack_pending == 0;
        let floor = if is_idle {
            last.max(info.ack_floor.stream_sequence)
        } else {
            info.ack_floor.stream_sequence
        };
        let Some(mark) = self.mark_at(&placed.stream, floor).await? else {
            return Ok(());
        };
        let settled_until = self.settled_before(placed, &mark).await?;
        let placed_on = (placed.created.as_str(), placed.server.as_str());
        self.ledger
            .mark(name, placed_on, &mark, settled_until)
            .await
            .map_err(api)
    }

    /// Returns the time up to which all events were in the stream before `mark`; `None` if it is not known.
    ///
    /// The stream itself is asked for the relay marker that says so. After a restore to an earlier state it has other messages under the same
    /// numbers, and until the relay has detected that, its markers still name the lost ones.
    async fn settled_before(
        &self,
        placed: &Placed,
        mark: &Mark,
    ) -> Result<Option<Timestamp>, BusError> {
        let passed = self.ledger.marker_before(&placed.created, mark.sequence);
        let Some((marker, until)) = passed.await.map_err(api)? else {
            return Ok(None);
        };
        let found = if marker.sequence == mark.sequence {
            Some(mark.clone())
        } else {
            self.mark_at(&placed.stream, marker.sequence).await?
        };
        Ok((found.as_ref() == Some(&marker)).then_some(until))
    }

    /// Puts a durable back to its first unsettled event.
    ///
    /// # Errors
    /// If the broker or the database does not answer.
    pub async fn rewind(&self, spec: &ConsumerSpec) -> Result<(), BusError> {
        let placed = self.place(spec, Birth::Rejected).await?;
        let info = placed
            .stream
            .consumer_info(&placed.consumer)
            .await
            .map_err(api)?;
        if info.num_ack_pending == 0 {
            return Ok(());
        }
        let from = info.ack_floor.stream_sequence + 1;
        self.remake(spec, &placed.consumer, &placed.stream, from)
            .await
    }

    /// Returns the durable as placed on this connection, or places it now.
    pub(super) async fn placed(self: &Arc<Self>, spec: &ConsumerSpec) -> Result<Placed, BusError> {
        let connection = *self.bus.tail_connections.borrow();
        let known = self.placed.lock().get(&spec.name).cloned();
        match known {
            Some(placed) if placed.connection == connection && placed.spec == *spec => Ok(placed),
            _ => self.place(spec, Birth::Rejected).await,
        }
    }

    /// Forgets a durable's placement after a fault.
    pub(super) fn displace(&self, name: &str) {
        self.placed.lock().remove(name);
    }
}

fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millis(moment.as_millis() - by.as_millis() as i64)
}

fn moment(time: OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

/// Returns the time of the stream's first message.
///
/// For an empty stream it is the time up to which the log is final.
fn first_moment(stream: &Stream) -> Timestamp {
    let state = &stream.cached_info().state;
    match state.messages {
        0 => earlier(Timestamp::now(), SETTLED_AGE),
        _ => moment(state.first_timestamp),
    }
}

/// Returns the event types of a durable, in the stored form.
fn event_names(spec: &ConsumerSpec) -> Option<Vec<String>> {
    let kinds = spec.events.as_ref()?;
    Some(kinds.iter().map(|kind| kind.as_str().to_owned()).collect())
}

//! Strict order per conversation: the next event of a conversation is tried only after the previous one was accepted or given up. Other conversations continue
//! meanwhile.
//!
//! A lease ensures that one worker at a time serves such an endpoint. Each conversation has a lane, in which events wait for one another in the order of the
//! stream. An event that fails is parked in the database together with all later events of its conversation, so that the durable need not wait. Parked
//! conversations are retried by schedule, in order. When the worker changes, the durable is moved back to its first unsettled event, so that no event overtakes
//! those that the previous worker had in flight.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chat_sdk::{
    EventId, Timestamp, TraceParent,
    plugin::{
        BoxFuture, CancellationToken, Collection, Consumer, Delivery, Host, HostError, Verdict,
    },
};
use futures_util::TryStreamExt;
use mongodb::{IndexModel, bson::doc, options::IndexOptions};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    deliver::{AttemptOutcome, Deliverer},
    endpoints::is_duplicate,
};

/// Duration of the lease. Another worker takes over this long after a worker dies.
const LEASE: Duration = Duration::from_secs(10);
/// Time between two renewals of the lease.
const RENEWAL: Duration = Duration::from_secs(3);
/// Time between two checks for parked conversations that are due.
const PERIOD: Duration = Duration::from_millis(200);
/// Pause before the retry of an event that could not be parked.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// Parked event as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parked {
    /// Id that sorts in the order of parking.
    #[serde(rename = "_id")]
    id: String,
    endpoint_id: String,
    owner: String,
    event_id: EventId,
    kind: String,
    seq: Option<i64>,
    payload: String,
    is_replay: bool,
    attempts: i32,
    next_attempt_at: i64,
    /// Absent in events that an earlier version parked.
    trace: Option<TraceParent>,
}

impl Parked {
    fn delivery(&self) -> Delivery {
        Delivery {
            event_id: self.event_id.clone(),
            kind: self.kind.clone(),
            owner: self.owner.clone(),
            seq: self.seq.map(i64::unsigned_abs),
            payload: Bytes::from(self.payload.clone()),
            attempt: u32::try_from(self.attempts).unwrap_or_default() + 1,
            is_replay: self.is_replay,
            trace: self
                .trace
                .unwrap_or_else(|| TraceParent::of(&self.event_id)),
        }
    }
}

fn collection(host: &dyn Host) -> Collection<Parked> {
    host.collection("parked").clone_with_type()
}

/// Creates the indexes.
pub async fn prepare(host: &dyn Host) -> Result<(), HostError> {
    let index = |keys, name: &str, unique| {
        let options = IndexOptions::builder()
            .name(name.to_owned())
            .unique(unique)
            .build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    collection(host)
        .create_indexes([
            index(
                doc! { "endpointId": 1, "owner": 1, "_id": 1 },
                "lane",
                false,
            ),
            index(doc! { "endpointId": 1, "eventId": 1 }, "event", true),
        ])
        .await?;
    Ok(())
}

/// Estimates the number of parked events of all endpoints.
///
/// The estimate comes from metadata, so it costs the database nothing; it may be wrong for a while after a crash of the database.
pub async fn parked_count(host: &dyn Host) -> Result<u64, HostError> {
    Ok(collection(host).estimated_document_count().await?)
}

/// Removes the parked events of an endpoint.
pub async fn forget(host: &dyn Host, endpoint_id: &str) -> Result<(), HostError> {
    collection(host)
        .delete_many(doc! { "endpointId": endpoint_id })
        .await?;
    Ok(())
}

/// Serves an ordered endpoint until `stop`, while this process holds its lease.
pub async fn serve(deliverer: Arc<Deliverer>, stop: CancellationToken) {
    let host = Arc::clone(&deliverer.plugin.host);
    let lease = format!("ordered:{}", deliverer.endpoint.id);
    let mut held: Option<(CancellationToken, tokio::task::JoinHandle<()>)> = None;
    let mut renewed = tokio::time::Instant::now();
    loop {
        match host.take_lease(&lease, LEASE).await {
            Ok(true) => {
                renewed = tokio::time::Instant::now();
                if held.as_ref().is_none_or(|(_, task)| task.is_finished()) {
                    let own_stop = stop.child_token();
                    let turn = LeaseTerm::new(Arc::clone(&deliverer));
                    let task = tokio::spawn(Arc::new(turn).run(own_stop.clone()));
                    held = Some((own_stop, task));
                }
            }
            answer => {
                // A lease that cannot be renewed is valid until shortly before its end.
                let is_over = answer.is_ok() || renewed.elapsed() + RENEWAL >= LEASE;
                if is_over && let Some((own_stop, task)) = held.take() {
                    own_stop.cancel();
                    let _ = task.await;
                }
            }
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(RENEWAL))
            .await
            .is_none()
        {
            break;
        }
    }
    if let Some((own_stop, task)) = held {
        own_stop.cancel();
        let _ = task.await;
    }
    host.drop_lease(&lease).await;
}

/// One term of the lease, in which this process serves the endpoint.
struct LeaseTerm {
    deliverer: Arc<Deliverer>,
    parked: Collection<Parked>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Newest place in each lane, by owner: the next event of the lane waits until it is released.
    lanes: HashMap<String, (u64, oneshot::Receiver<()>)>,
    places: u64,
    /// Conversations that have parked events.
    blocked: HashSet<String>,
    last_id: u128,
}

/// Place of an event in a lane.
struct Place {
    owner: String,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    /// Dropped when the event is handled, which releases the next place.
    _through: oneshot::Sender<()>,
}

impl LeaseTerm {
    fn new(deliverer: Arc<Deliverer>) -> Self {
        Self {
            parked: collection(&*deliverer.plugin.host),
            deliverer,
            state: Mutex::default(),
        }
    }

    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let endpoint = &self.deliverer.endpoint;
        let spec = endpoint.spec(&self.deliverer.plugin.settings);
        let durables = self.deliverer.plugin.host.durables();
        let begun = async {
            durables.rewind(spec.clone()).await?;
            let owners = self
                .parked
                .distinct("owner", doc! { "endpointId": &endpoint.id })
                // The query reads all parked events of the endpoint, once per start.
                .max_time(Duration::from_secs(30))
                .await?;
            Ok::<_, HostError>(owners)
        };
        match begun.await {
            Ok(owners) => {
                let owners = owners.iter().filter_map(|owner| owner.as_str());
                self.state.lock().blocked.extend(owners.map(str::to_owned));
            }
            Err(error) => {
                tracing::warn!(%error, endpoint = %endpoint.id, "ordered endpoint could not be started; retrying");
                return;
            }
        }
        let run = durables.run(
            spec,
            Arc::new(OrderedQueue(Arc::clone(&self))),
            stop.clone(),
        );
        tokio::join!(run, self.retry(&stop));
    }

    /// Appends a place to the lane of `owner`. Places are released in the order of the calls.
    fn stand(&self, owner: &str) -> Place {
        let (through, is_through) = oneshot::channel();
        let mut state = self.state.lock();
        state.places += 1;
        let number = state.places;
        let before = state.lanes.insert(owner.to_owned(), (number, is_through));
        Place {
            owner: owner.to_owned(),
            number,
            before: before.map(|(_, is_through)| is_through),
            _through: through,
        }
    }

    fn leave(&self, place: Place) {
        let mut state = self.state.lock();
        if state
            .lanes
            .get(&place.owner)
            .is_some_and(|(number, _)| *number == place.number)
        {
            state.lanes.remove(&place.owner);
        }
    }

    async fn handle(&self, delivery: Delivery, mut place: Place) -> Verdict {
        if let Some(before) = place.before.take() {
            let _ = before.await;
        }
        let is_blocked = self.state.lock().blocked.contains(&delivery.owner);
        let verdict = if is_blocked {
            self.park(&delivery, 0, Duration::ZERO).await
        } else {
            // Every delivery by the durable is attempt 1; the parked event counts the further attempts.
            let first = Delivery {
                attempt: 1,
                ..delivery.clone()
            };
            match self.deliverer.try_once(&first).await {
                AttemptOutcome::Delivered | AttemptOutcome::Dead => Verdict::Done,
                AttemptOutcome::Again(pause) => self.park(&delivery, 1, pause).await,
            }
        };
        self.leave(place);
        verdict
    }

    async fn park(&self, delivery: &Delivery, attempts: i32, pause: Duration) -> Verdict {
        self.state.lock().blocked.insert(delivery.owner.clone());
        let parked = Parked {
            id: self.next_id(),
            endpoint_id: self.deliverer.endpoint.id.clone(),
            owner: delivery.owner.clone(),
            event_id: delivery.event_id.clone(),
            kind: delivery.kind.clone(),
            seq: delivery
                .seq
                .map(|seq| i64::try_from(seq).unwrap_or(i64::MAX)),
            payload: String::from_utf8_lossy(&delivery.payload).into_owned(),
            is_replay: delivery.is_replay,
            trace: Some(delivery.trace),
            attempts,
            next_attempt_at: Timestamp::now().as_millis() + pause.as_millis() as i64,
        };
        match self.parked.insert_one(parked).await {
            Ok(_) => Verdict::Done,
            // The event was redelivered and is parked already.
            Err(error) if is_duplicate(&error) => Verdict::Done,
            Err(error) => {
                tracing::warn!(error = %error.kind, "event could not be parked");
                Verdict::RetryAfter(AFTER_FAULT)
            }
        }
    }

    /// Returns ids that increase even if the clock moves back.
    fn next_id(&self) -> String {
        let mut state = self.state.lock();
        state.last_id = ulid::Ulid::generate().0.max(state.last_id + 1);
        ulid::Ulid(state.last_id).to_string()
    }

    /// Retries parked events by schedule until `stop`.
    async fn retry(self: &Arc<Self>, stop: &CancellationToken) {
        let mut at_work: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
        while stop
            .run_until_cancelled(tokio::time::sleep(PERIOD))
            .await
            .is_some()
        {
            at_work.retain(|_, task| !task.is_finished());
            let blocked: Vec<String> = {
                let state = self.state.lock();
                let owners = state.blocked.iter();
                owners
                    .filter(|owner| !at_work.contains_key(*owner))
                    .cloned()
                    .collect()
            };
            let room = self.deliverer.plugin.settings.table.concurrency;
            for owner in blocked {
                if at_work.len() >= room {
                    break;
                }
                let (turn, stop) = (Arc::clone(self), stop.clone());
                let name = owner.clone();
                let task = tokio::spawn(async move {
                    if let Err(error) = turn.retry_owner(&owner, &stop).await {
                        tracing::warn!(%error, "parked events could not be retried");
                    }
                });
                at_work.insert(name, task);
            }
        }
        for task in at_work.into_values() {
            let _ = task.await;
        }
    }

    /// Retries the parked events of one conversation in order, until one is not due or fails.
    async fn retry_owner(&self, owner: &str, stop: &CancellationToken) -> Result<(), HostError> {
        let lane = doc! { "endpointId": &self.deliverer.endpoint.id, "owner": owner };
        while !stop.is_cancelled() {
            let head = self
                .parked
                .find_one(lane.clone())
                .sort(doc! { "_id": 1 })
                .await?;
            if head
                .as_ref()
                .is_some_and(|head| head.next_attempt_at > Timestamp::now().as_millis())
            {
                return Ok(());
            }
            let Some(head) = head else {
                // Events that are in the lane now are parked before this place is released; later ones come after it.
                let mut place = self.stand(owner);
                if let Some(before) = place.before.take() {
                    let _ = before.await;
                }
                let rest: Vec<Parked> = self
                    .parked
                    .find(lane.clone())
                    .limit(1)
                    .await?
                    .try_collect()
                    .await?;
                if rest.is_empty() {
                    self.state.lock().blocked.remove(owner);
                }
                self.leave(place);
                if rest.is_empty() {
                    return Ok(());
                }
                continue;
            };
            match self.deliverer.try_once(&head.delivery()).await {
                AttemptOutcome::Delivered | AttemptOutcome::Dead => {
                    self.parked.delete_one(doc! { "_id": &head.id }).await?;
                }
                AttemptOutcome::Again(pause) => {
                    let next = Timestamp::now().as_millis() + pause.as_millis() as i64;
                    self.parked
                        .update_one(
                            doc! { "_id": &head.id },
                            doc! { "$set": { "nextAttemptAt": next }, "$inc": { "attempts": 1 } },
                        )
                        .await?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Consumer of the durable: it adds each event to its lane in the order of delivery.
struct OrderedQueue(Arc<LeaseTerm>);

impl Consumer for OrderedQueue {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        let place = self.0.stand(&delivery.owner);
        Box::pin(async move { self.0.handle(delivery, place).await })
    }
}

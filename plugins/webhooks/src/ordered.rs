//! Strict order per conversation: the next event of a conversation is tried only after the previous one was accepted or given up. Other conversations continue
//! meanwhile.
//!
//! A lease ensures that one worker at a time serves such an endpoint. Each conversation has a lane, in which events wait for one another in the order of the
//! stream. An event that fails is parked in the database together with all later events of its conversation, so that the durable need not wait. Parked
//! conversations are retried by schedule, in order. When the worker changes, the durable is moved back to its first unsettled event, so that no event overtakes
//! those that the previous worker had in flight.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chat_sdk::{
    EventId, Timestamp, TraceParent,
    plugin::{
        BoxFuture, CancellationToken, Collection, Consumer, Delivery, Filter, Host, HostError,
        Index, Order, Query, Update, Verdict,
    },
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use crate::deliver::{AttemptOutcome, Deliverer};

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

/// Fields of the first parked event of a conversation, which a start reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    owner: String,
    next_attempt_at: i64,
}

fn collection(host: &Host) -> Collection<Parked> {
    host.collection("parked")
}

/// Creates the indexes.
pub async fn prepare(host: &Host) -> Result<(), HostError> {
    let lane = [
        ("endpointId", Order::Ascending),
        ("owner", Order::Ascending),
        ("_id", Order::Ascending),
    ];
    let event = [
        ("endpointId", Order::Ascending),
        ("eventId", Order::Ascending),
    ];
    let indexes = [
        Index::new("lane", &lane),
        Index::new("event", &event).unique(),
    ];
    collection(host).create_indexes(indexes).await
}

/// Estimates the number of parked events of all endpoints.
///
/// The estimate comes from metadata, so it costs the database nothing; it may be wrong for a while after a crash of the database.
pub async fn parked_count(host: &Host) -> Result<u64, HostError> {
    collection(host).count(Filter::all()).await
}

/// Removes the parked events of an endpoint.
pub async fn forget(host: &Host, endpoint_id: &str) -> Result<(), HostError> {
    let all = Filter::all().is("endpointId", endpoint_id);
    collection(host).delete(all).await.map(drop)
}

/// Serves an ordered endpoint until `stop`, while this process holds its lease.
pub async fn serve(deliverer: Arc<Deliverer>, stop: CancellationToken) {
    let leases = Arc::clone(&deliverer.plugin.host.leases);
    let lease = format!("ordered:{}", deliverer.endpoint.id);
    let mut held: Option<(CancellationToken, tokio::task::JoinHandle<()>)> = None;
    let mut renewed = tokio::time::Instant::now();
    loop {
        match leases.take(&lease, LEASE).await {
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
    leases.release(&lease).await;
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
    blocked: Blocked,
    last_id: u128,
}

/// Conversations that have parked events, with the times of their next attempts.
///
/// They may be very many: an endpoint may fail for days. So a check takes those that are due, not all.
#[derive(Default)]
struct Blocked {
    /// Time of the next attempt of each, in milliseconds since 1970; `None` while it is tried.
    next: HashMap<String, Option<i64>>,
    /// The waiting ones by that time.
    due: BTreeSet<(i64, String)>,
}

impl Blocked {
    fn contains(&self, owner: &str) -> bool {
        self.next.contains_key(owner)
    }

    /// Adds a conversation, unless it is known already.
    fn add(&mut self, owner: &str, at: i64) {
        if !self.contains(owner) {
            self.schedule(owner, at);
        }
    }

    fn schedule(&mut self, owner: &str, at: i64) {
        if let Some(Some(before)) = self.next.insert(owner.to_owned(), Some(at)) {
            self.due.remove(&(before, owner.to_owned()));
        }
        self.due.insert((at, owner.to_owned()));
    }

    /// Schedules a conversation whose attempt ended without a result.
    fn schedule_unfinished(&mut self, owner: &str, at: i64) {
        if self.next.get(owner) == Some(&None) {
            self.schedule(owner, at);
        }
    }

    /// Returns the conversation that has been due for the longest time, to be tried now.
    fn take_due(&mut self, now: i64) -> Option<String> {
        if self.due.first()?.0 > now {
            return None;
        }
        let (_, owner) = self.due.pop_first()?;
        self.next.insert(owner.clone(), None);
        Some(owner)
    }

    fn remove(&mut self, owner: &str) {
        if let Some(Some(at)) = self.next.remove(owner) {
            self.due.remove(&(at, owner.to_owned()));
        }
    }
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
            parked: collection(&deliverer.plugin.host),
            deliverer,
            state: Mutex::default(),
        }
    }

    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let endpoint = &self.deliverer.endpoint;
        let spec = endpoint.spec(&self.deliverer.plugin.settings);
        let durables = &self.deliverer.plugin.host.events;
        let begun = async {
            durables.rewind(spec.clone()).await?;
            let lanes = Filter::all().is("endpointId", endpoint.id.as_str());
            let kept = ["owner", "nextAttemptAt"];
            let heads = self.parked.first_of_each::<Head>("owner", &kept, lanes);
            heads.await
        };
        match begun.await {
            Ok(heads) => {
                let mut state = self.state.lock();
                for head in heads {
                    state.blocked.add(&head.owner, head.next_attempt_at);
                }
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
    fn place_of(&self, owner: &str) -> Place {
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
        let next_attempt_at = Timestamp::now().as_millis() + pause.as_millis() as i64;
        // Before it is stored: the next event of the conversation must not overtake it.
        self.state
            .lock()
            .blocked
            .add(&delivery.owner, next_attempt_at);
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
            next_attempt_at,
        };
        match self.parked.insert(&parked).await {
            // False if the event was redelivered and is parked already.
            Ok(_) => Verdict::Done,
            Err(error) => {
                tracing::warn!(%error, "event could not be parked");
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
            let now = Timestamp::now().as_millis();
            at_work.retain(|owner, task| {
                if task.is_finished() {
                    // If the task panicked, it left no time.
                    let again = now + AFTER_FAULT.as_millis() as i64;
                    self.state.lock().blocked.schedule_unfinished(owner, again);
                }
                !task.is_finished()
            });
            let room = self.deliverer.plugin.settings.table.concurrency;
            while at_work.len() < room {
                let Some(owner) = self.state.lock().blocked.take_due(now) else {
                    break;
                };
                let (turn, stop, name) = (Arc::clone(self), stop.clone(), owner.clone());
                let task = tokio::spawn(async move {
                    let next = match turn.retry_owner(&owner, &stop).await {
                        Ok(next) => next,
                        Err(error) => {
                            tracing::warn!(%error, "parked events could not be retried");
                            let again = AFTER_FAULT.as_millis() as i64;
                            Some(Timestamp::now().as_millis() + again)
                        }
                    };
                    if let Some(at) = next {
                        turn.state.lock().blocked.schedule(&owner, at);
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
    ///
    /// Returns the time of its next attempt, in milliseconds since 1970; `None` if no event is left.
    async fn retry_owner(
        &self,
        owner: &str,
        stop: &CancellationToken,
    ) -> Result<Option<i64>, HostError> {
        let lane = Filter::all()
            .is("endpointId", self.deliverer.endpoint.id.as_str())
            .is("owner", owner);
        let in_order = Query::from(lane).sort("_id", Order::Ascending);
        while !stop.is_cancelled() {
            let head = self.parked.first(in_order.clone()).await?;
            let next = head.as_ref().map(|head| head.next_attempt_at);
            if next.is_some_and(|next| next > Timestamp::now().as_millis()) {
                return Ok(next);
            }
            let Some(head) = head else {
                // Events that are in the lane now are parked before this place is released; later ones come after it.
                let mut place = self.place_of(owner);
                if let Some(before) = place.before.take() {
                    let _ = before.await;
                }
                let rest = self.parked.first(in_order.clone()).await?;
                if rest.is_none() {
                    self.state.lock().blocked.remove(owner);
                }
                self.leave(place);
                if rest.is_none() {
                    return Ok(None);
                }
                continue;
            };
            match self.deliverer.try_once(&head.delivery()).await {
                AttemptOutcome::Delivered | AttemptOutcome::Dead => {
                    self.parked.delete(Filter::id(head.id)).await?;
                }
                AttemptOutcome::Again(pause) => {
                    let next = Timestamp::now().as_millis() + pause.as_millis() as i64;
                    let update = Update::one(Filter::id(head.id))
                        .set(json!({ "nextAttemptAt": next }))
                        .increment("attempts", 1);
                    self.parked.update(update).await?;
                    return Ok(Some(next));
                }
            }
        }
        Ok(Some(Timestamp::now().as_millis()))
    }
}

/// Consumer of the durable: it adds each event to its lane in the order of delivery.
struct OrderedQueue(Arc<LeaseTerm>);

impl Consumer for OrderedQueue {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        let place = self.0.place_of(&delivery.owner);
        Box::pin(async move { self.0.handle(delivery, place).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_taken_when_they_are_due_longest_first() {
        let mut blocked = Blocked::default();
        for (owner, at) in [("a", 30), ("b", 10), ("c", 20), ("b", 40)] {
            blocked.add(owner, at);
        }
        assert_eq!(blocked.take_due(9), None);
        assert_eq!(blocked.take_due(25).as_deref(), Some("b"));
        // While it is tried, it stays blocked and is not taken again.
        blocked.add("b", 0);
        assert_eq!(blocked.take_due(25).as_deref(), Some("c"));
        assert_eq!(blocked.take_due(25), None);
        blocked.schedule("b", 50);
        blocked.remove("c");
        assert!(blocked.contains("b") && !blocked.contains("c"));
        blocked.schedule_unfinished("b", 1);
        blocked.schedule_unfinished("c", 1);
        assert_eq!(blocked.take_due(60).as_deref(), Some("a"));
        blocked.schedule_unfinished("a", 5);
        assert_eq!(blocked.take_due(60).as_deref(), Some("a"));
        assert_eq!(blocked.take_due(60).as_deref(), Some("b"));
        assert_eq!(blocked.take_due(60), None);
    }
}

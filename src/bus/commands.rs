//! The way of a command to the writer of its shard.
//!
//! Appends of one conversation meet in one process, because several that write the same busy log keep refusing one another's numbers. Who that is, is a hint:
//! when the owner does not answer, or NATS is down, the asking process appends itself, and the index decides. The event's id was given where the command
//! entered, so a command that is handed over twice is appended once.
//!
//! Per shard one hand-over is under way at a time, with everything that came meanwhile in the next: group commit over the wire, and the order in which
//! commands were taken in is kept, also when the target changes.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_nats::Message;
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use metrics::counter;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Bus, nodes};
use crate::domain::{
    DomainError, Result,
    command::{Outcome, Reply, Request, Writers},
    entry::SHARDS,
};

/// How long the owner may take. Then the asking process appends itself, so it must leave time for that.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(900);
/// The most commands of one hand-over.
const MAX_BATCH: usize = 256;
/// The most bytes of one hand-over; the server takes 1 MiB at most by default.
const MAX_BATCH_BYTES: usize = 200 * 1024;

/// Takes commands to the writer of their shard: this process's own, or another's.
pub struct Router {
    bus: Bus,
    local: Arc<dyn Writers>,
    nodes: nodes::Writers,
    shards: Vec<OnceLock<mpsc::UnboundedSender<(Request, Reply)>>>,
}

impl Router {
    /// A router that writes with `local` where this process is the owner or must help itself.
    pub fn new(bus: Bus, local: Arc<dyn Writers>, nodes: nodes::Writers) -> Self {
        Self {
            bus,
            local,
            nodes,
            shards: (0..SHARDS).map(|_| OnceLock::new()).collect(),
        }
    }

    fn lane(&self, shard: u8) -> &mpsc::UnboundedSender<(Request, Reply)> {
        self.shards[usize::from(shard)].get_or_init(|| {
            let (sender, inbox) = mpsc::unbounded_channel();
            let lane = Lane {
                bus: self.bus.clone(),
                local: Arc::clone(&self.local),
                nodes: self.nodes.clone(),
                shard,
            };
            tokio::spawn(lane.run(inbox));
            sender
        })
    }
}

impl Writers for Router {
    fn submit(&self, request: Request, reply: Reply) {
        let shard = request.owner.shard();
        // With one process there is nothing to hand over, and no lane between caller and writer.
        let is_alone = self.nodes.living.borrow()[..] == [Arc::clone(&self.nodes.me)];
        if is_alone && self.shards[usize::from(shard)].get().is_none() {
            self.local.submit(request, reply);
        } else if let Err(mpsc::error::SendError((request, reply))) =
            self.lane(shard).send((request, reply))
        {
            self.local.submit(request, reply);
        }
    }
}

/// The commands of one shard, in order.
struct Lane {
    bus: Bus,
    local: Arc<dyn Writers>,
    nodes: nodes::Writers,
    shard: u8,
}

#[derive(Serialize, Deserialize)]
struct Results(Vec<Result<Outcome>>);

impl Lane {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<(Request, Reply)>) {
        let mut batch = Vec::new();
        // Commands that were given to the local writer and not answered yet: a hand-over must wait for them, or it could overtake them.
        let mut local: Vec<oneshot::Receiver<()>> = Vec::new();
        while inbox.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let owner = self.nodes.owner_of(self.shard);
            let is_mine = owner.is_none_or(|owner| owner == self.nodes.me);
            if is_mine || !self.bus.is_connected() {
                local.retain_mut(|done| {
                    done.try_recv()
                        .is_err_and(|e| e == oneshot::error::TryRecvError::Empty)
                });
                for (request, reply) in batch.drain(..) {
                    let (done, is_done) = oneshot::channel();
                    local.push(is_done);
                    self.local.submit(request, watched(reply, done));
                }
                continue;
            }
            join_all(local.drain(..)).await;
            while !batch.is_empty() {
                let rest = self.hand_over(std::mem::take(&mut batch)).await;
                batch = rest;
            }
        }
    }

    /// Hands over as many as fit; answers the rest.
    async fn hand_over(&self, mut batch: Vec<(Request, Reply)>) -> Vec<(Request, Reply)> {
        let mut payload = vec![b'['];
        let mut count = 0;
        for (request, _) in &batch {
            if payload.len() > MAX_BATCH_BYTES {
                break;
            }
            if count > 0 {
                payload.push(b',');
            }
            if serde_json::to_writer(&mut payload, request).is_err() {
                break;
            }
            count += 1;
        }
        payload.push(b']');
        let rest = batch.split_off(count.max(1));
        counter!("chat_hand_overs_total").increment(batch.len() as u64);
        match self.ask(payload.into(), batch.len()).await {
            Some(results) => {
                for ((_, reply), result) in batch.into_iter().zip(results) {
                    let _ = reply.send(result);
                }
            }
            None => {
                counter!("chat_hand_overs_failed_total").increment(batch.len() as u64);
                let waits: Vec<_> = batch
                    .into_iter()
                    .map(|(request, reply)| {
                        let (done, is_done) = oneshot::channel();
                        self.local.submit(request, watched(reply, done));
                        is_done
                    })
                    .collect();
                join_all(waits).await;
            }
        }
        rest
    }

    async fn ask(&self, payload: Bytes, count: usize) -> Option<Vec<Result<Outcome>>> {
        let subject = self.bus.subjects.commands(self.shard);
        let answer =
            tokio::time::timeout(HAND_OVER_TIMEOUT, self.bus.client.request(subject, payload))
                .await
                .ok()?
                .ok()?;
        let Results(results) = serde_json::from_slice(&answer.payload).ok()?;
        (results.len() == count).then_some(results)
    }
}

/// A reply that also tells `done` when it is given, or given up.
fn watched(reply: Reply, done: oneshot::Sender<()>) -> Reply {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(outcome) = receiver.await {
            let _ = reply.send(outcome);
        }
        let _ = done.send(());
    });
    sender
}

/// Takes the commands of the shards that this process owns, until `stop`.
pub async fn serve(
    bus: Bus,
    local: Arc<dyn Writers>,
    mut nodes: nodes::Writers,
    stop: CancellationToken,
) {
    let mut shards: HashMap<u8, JoinHandle<()>> = HashMap::new();
    loop {
        for shard in 0..SHARDS {
            let is_mine = nodes.owner_of(shard).is_some_and(|owner| owner == nodes.me);
            if is_mine {
                shards.entry(shard).or_insert_with(|| {
                    tokio::spawn(serve_shard(bus.clone(), Arc::clone(&local), shard))
                });
            } else if let Some(task) = shards.remove(&shard) {
                task.abort();
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = nodes.living.changed() => if changed.is_err() { break },
        }
    }
    for task in shards.into_values() {
        task.abort();
    }
}

async fn serve_shard(bus: Bus, local: Arc<dyn Writers>, shard: u8) {
    let subject = bus.subjects.commands(shard);
    loop {
        // At a change of ownership two may listen for a moment; the group lets one of them answer.
        let Ok(mut commands) = bus
            .client
            .queue_subscribe(subject.clone(), "writers".to_owned())
            .await
        else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        while let Some(message) = commands.next().await {
            take(&bus, &*local, message);
        }
    }
}

/// Submits at once, so that the order on the wire is the order of the writer, and answers when all is known.
fn take(bus: &Bus, local: &dyn Writers, message: Message) {
    let Some(reply_to) = message.reply else {
        return;
    };
    let Ok(requests) = serde_json::from_slice::<Vec<Request>>(&message.payload) else {
        // Without an answer the asking process appends itself: versions differ for the time of an upgrade.
        tracing::warn!("commands of another process cannot be read");
        return;
    };
    let outcomes: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let (reply, outcome) = oneshot::channel();
            local.submit(request, reply);
            outcome
        })
        .collect();
    let client = bus.client.clone();
    tokio::spawn(async move {
        let results = join_all(outcomes)
            .await
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|_| Err(DomainError::store_unavailable())))
            .collect();
        if let Ok(payload) = serde_json::to_vec(&Results(results)) {
            let _ = client.publish(reply_to, payload.into()).await;
        }
    });
}

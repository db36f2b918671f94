//! Forwards commands to the processes that write for their shards: group commit across processes.
//!
//! Commands of many shards are sent to one process together, and while a group is in flight the next one is collected. Within a shard the order of submission
//! is kept, also when its writer changes: no command of a shard takes one route while another one is still in flight on a different route.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use metrics::counter;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use super::{
    ShardWriters,
    group::{List, Results, after_apply},
};
use crate::{
    bus::Bus,
    model::{
        Result,
        command::{Outcome, Request},
        entry::SHARDS,
        writers::{Reply, Writers},
    },
};

/// Time limit of the owner's answer.
///
/// Then the sending process appends itself, so the limit must leave time for that.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(900);
/// Maximum number of commands in one group.
const MAX_BATCH: usize = 256;

/// Destination of a shard's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// The writer of this process.
    Local,
    /// Another process.
    Node(Arc<str>),
}

/// Commands of one shard.
#[derive(Default)]
struct ShardQueue {
    /// Commands that have not been sent yet, in order.
    waiting: VecDeque<(Request, Reply)>,
    /// Number of commands in flight, and their route.
    in_flight: usize,
    route: Option<Route>,
}

/// Completion message from a task of the forwarder.
struct Done {
    /// Number of answered commands per shard.
    shards: Vec<(u8, usize)>,
    /// The process that has answered, unless it is this one.
    node: Option<Arc<str>>,
}

/// A group of commands for another process: at most `bounds::NATS_GROUP` bytes.
#[derive(Default)]
struct Group {
    commands: Vec<(Request, Reply)>,
    payload: List,
    /// True if a command no longer fitted into the group.
    is_full: bool,
}

/// All waiting and in-flight commands. One task owns it, so all decisions are made in one order.
struct CommandForwarder {
    bus: Bus,
    local: Arc<dyn Writers>,
    shard_writers: Arc<ShardWriters>,
    queues: Vec<ShardQueue>,
    /// Processes that have not answered their group yet.
    busy: Vec<Arc<str>>,
    done: mpsc::UnboundedSender<Done>,
}

/// Task that forwards the commands of a router.
#[derive(Clone)]
pub struct Forwarder {
    bus: Bus,
    local: Arc<dyn Writers>,
    shard_writers: Arc<ShardWriters>,
    /// Queue that outlives a failure: the next run forwards what it holds.
    inbox: Arc<AsyncMutex<mpsc::UnboundedReceiver<(Request, Reply)>>>,
}

impl Forwarder {
    /// Returns the queue of the commands, and the task that forwards them.
    pub(super) fn new(
        bus: Bus,
        local: Arc<dyn Writers>,
        shard_writers: Arc<ShardWriters>,
    ) -> (mpsc::UnboundedSender<(Request, Reply)>, Self) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let forwarder = Self {
            bus,
            local,
            shard_writers,
            inbox: Arc::new(AsyncMutex::new(inbox)),
        };
        (commands, forwarder)
    }

    /// Forwards until the queue's sender is dropped and all commands are answered.
    ///
    /// After a failure it may run again: the callers of the commands that waited in it get no answer, and repeat them.
    pub async fn run(self) {
        let mut inbox = self.inbox.lock().await;
        let (done, events) = mpsc::unbounded_channel();
        let forwarder = CommandForwarder {
            bus: self.bus,
            local: self.local,
            shard_writers: self.shard_writers,
            queues: (0..SHARDS).map(|_| ShardQueue::default()).collect(),
            busy: Vec::new(),
            done,
        };
        forwarder.run(&mut inbox, events).await;
    }
}

impl CommandForwarder {
    async fn run(
        mut self,
        inbox: &mut mpsc::UnboundedReceiver<(Request, Reply)>,
        mut events: mpsc::UnboundedReceiver<Done>,
    ) {
        let mut arrived = Vec::new();
        let mut is_open = true;
        while is_open || self.queues.iter().any(ShardQueue::is_occupied) {
            tokio::select! {
                count = inbox.recv_many(&mut arrived, MAX_BATCH), if is_open => is_open = count > 0,
                Some(done) = events.recv() => self.note(done),
            }
            // Process completions first: they free capacity before more is sent.
            while let Ok(done) = events.try_recv() {
                self.note(done);
            }
            for (request, reply) in arrived.drain(..) {
                let shard = usize::from(request.owner.shard());
                self.queues[shard].waiting.push_back((request, reply));
            }
            self.send_on();
        }
    }

    fn note(&mut self, done: Done) {
        for (shard, count) in done.shards {
            self.queues[usize::from(shard)].in_flight -= count;
        }
        if let Some(node) = done.node {
            self.busy.retain(|busy| *busy != node);
        }
    }

    /// Sends the commands that may be sent now.
    fn send_on(&mut self) {
        let mut groups: HashMap<Arc<str>, Group> = HashMap::new();
        for shard in 0..SHARDS {
            if self.queues[usize::from(shard)].waiting.is_empty() {
                continue;
            }
            let route = self.route_of(shard);
            let queue = &mut self.queues[usize::from(shard)];
            if queue.in_flight > 0 && queue.route.as_ref() != Some(&route) {
                continue;
            }
            let sent = match &route {
                Route::Local => {
                    let commands = queue.waiting.drain(..);
                    let is_asked = self.shard_writers.is_heard();
                    let answers: Vec<_> = commands
                        .map(|(request, reply)| {
                            if is_asked {
                                watched(&*self.local, request, reply)
                            } else {
                                appended_alone(&self.local, request, reply)
                            }
                        })
                        .collect();
                    let (sent, done) = (answers.len(), self.done.clone());
                    tokio::spawn(async move {
                        join_all(answers).await;
                        let _ = done.send(Done {
                            shards: vec![(shard, sent)],
                            node: None,
                        });
                    });
                    sent
                }
                Route::Node(node) if self.busy.contains(node) => continue,
                Route::Node(node) => {
                    let group = groups.entry(Arc::clone(node)).or_default();
                    group.fill(&mut queue.waiting, &*self.local)
                }
            };
            queue.in_flight += sent;
            queue.route = Some(route);
        }
        groups.retain(|_, group| !group.commands.is_empty());
        for (node, group) in groups {
            self.busy.push(Arc::clone(&node));
            self.hand_over(node, group);
        }
    }

    fn route_of(&self, shard: u8) -> Route {
        let owner = self.shard_writers.owner_of(shard);
        match owner {
            Some(owner) if owner != self.shard_writers.me && self.bus.is_connected() => {
                Route::Node(owner)
            }
            _ => Route::Local,
        }
    }

    /// Sends a group and answers its callers. Commands without an answer are appended here.
    fn hand_over(&self, node: Arc<str>, group: Group) {
        let Group {
            mut commands,
            payload,
            ..
        } = group;
        let mut payload = payload.finish();
        counter!("chat_hand_overs_total").increment(commands.len() as u64);
        let mut shards: HashMap<u8, usize> = HashMap::new();
        for (request, _) in &commands {
            *shards.entry(request.owner.shard()).or_default() += 1;
        }
        let (bus, local) = (self.bus.clone(), Arc::clone(&self.local));
        let finished = Finished {
            done: self.done.clone(),
            what: Some(Done {
                shards: shards.into_iter().collect(),
                node: Some(Arc::clone(&node)),
            }),
        };
        tokio::spawn(async move {
            let _finished = finished;
            while let Some(results) = ask(&bus, &node, payload, commands.len()).await {
                let answered = results.len();
                for ((_, reply), result) in commands.drain(..answered).zip(results) {
                    let _ = reply.send(result);
                }
                if commands.is_empty() {
                    break;
                }
                // The other outcomes did not fit into the answer. The ids of these commands ensure that sending them again does not append them twice.
                let mut rest = List::default();
                for (request, _) in &commands {
                    rest.push(request);
                }
                payload = rest.finish();
            }
            if !commands.is_empty() {
                counter!("chat_hand_overs_failed_total").increment(commands.len() as u64);
                let answers = commands
                    .into_iter()
                    .map(|(request, reply)| appended_alone(&local, request, reply));
                join_all(answers.collect::<Vec<_>>()).await;
            }
        });
    }
}

/// Reports the end of a group when its task ends, also by a panic.
///
/// Otherwise the group's shards would wait for it for ever.
struct Finished {
    done: mpsc::UnboundedSender<Done>,
    what: Option<Done>,
}

impl Drop for Finished {
    fn drop(&mut self) {
        if let Some(what) = self.what.take() {
            let _ = self.done.send(what);
        }
    }
}

impl ShardQueue {
    fn is_occupied(&self) -> bool {
        self.in_flight > 0 || !self.waiting.is_empty()
    }
}

impl Group {
    /// Moves as many commands as fit into the group; returns their number.
    fn fill(&mut self, waiting: &mut VecDeque<(Request, Reply)>, local: &dyn Writers) -> usize {
        let before = self.commands.len();
        while self.commands.len() < MAX_BATCH && !self.is_full {
            let Some((request, reply)) = waiting.pop_front() else {
                break;
            };
            if reply.is_closed() {
                // The caller has given up and would not see the outcome.
                continue;
            }
            if self.payload.push(&request) {
                self.commands.push((request, reply));
            } else if self.commands.is_empty() {
                // It fits into no group, so its event is too large as well. The local writer refuses it; a refusal changes nothing and needs no order.
                local.submit(request, reply);
            } else {
                self.is_full = true;
                waiting.push_front((request, reply));
            }
        }
        self.commands.len() - before
    }
}

async fn ask(bus: &Bus, node: &str, payload: Bytes, count: usize) -> Option<Vec<Result<Outcome>>> {
    let subject = bus.subjects.commands(node);
    let answer = tokio::time::timeout(HAND_OVER_TIMEOUT, bus.client.request(subject, payload));
    let Results(results) = serde_json::from_slice(&answer.await.ok()?.ok()?.payload).ok()?;
    // The answer has the first outcomes, as many as fit.
    (1..=count).contains(&results.len()).then_some(results)
}

/// Submits a command to the writer of this process.
///
/// The returned receiver resolves when the command's caller is answered or gone.
fn watched(local: &dyn Writers, request: Request, reply: Reply) -> oneshot::Receiver<()> {
    let (done, is_done) = oneshot::channel();
    let (sender, outcome) = oneshot::channel();
    local.submit(request, sender);
    tokio::spawn(async move {
        if let Ok(outcome) = outcome.await {
            let _ = reply.send(outcome);
        }
        let _ = done.send(());
    });
    is_done
}

/// Like [`watched`], but answers the caller only once the entry is applied.
///
/// For shards whose readers do not know that this process writes.
fn appended_alone(
    local: &Arc<dyn Writers>,
    request: Request,
    reply: Reply,
) -> oneshot::Receiver<()> {
    let reply = after_apply(local, &request.owner, reply);
    watched(&**local, request, reply)
}

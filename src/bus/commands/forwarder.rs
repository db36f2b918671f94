//! Takes commands to the processes that write for their shards: group commit over the wire.
//!
//! Commands of many shards go to one process together, and while a group is under way the next one gathers. Within a shard the order in which commands
//! were taken in is kept, also when its writer changes: nothing of a shard goes one way while something of it is still under way on another.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use metrics::counter;
use tokio::sync::{mpsc, oneshot};

use super::{List, Results, after_apply};
use crate::{
    bus::{Bus, nodes},
    domain::{
        Result,
        command::{Outcome, Reply, Request, Writers},
        entry::SHARDS,
    },
};

/// How long the owner may take. Then the asking process appends itself, so it must leave time for that.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(900);
/// The most commands of one hand-over.
const MAX_BATCH: usize = 256;

/// Where the commands of a shard go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// To the writer of this process.
    Local,
    /// To another process.
    Node(Arc<str>),
}

/// The commands of one shard.
#[derive(Default)]
struct Lane {
    /// Those that were not sent on yet, in order.
    waiting: VecDeque<(Request, Reply)>,
    /// How many are under way, and by which way.
    under_way: usize,
    way: Option<Way>,
}

/// What a task of the courier tells it.
struct Done {
    /// How many commands of which shard were answered.
    shards: Vec<(u8, usize)>,
    /// The process that has answered, if it was another.
    node: Option<Arc<str>>,
}

/// A group on its way to another process: at most [`bounds::NATS_GROUP`] bytes.
#[derive(Default)]
struct Group {
    commands: Vec<(Request, Reply)>,
    payload: List,
    /// Whether there was a command that did not fit any more.
    is_full: bool,
}

/// All that waits and is under way. One task owns it, so every decision is taken in one order.
pub(super) struct CommandForwarder {
    bus: Bus,
    local: Arc<dyn Writers>,
    nodes: nodes::Writers,
    lanes: Vec<Lane>,
    /// The processes that have not answered their group yet.
    busy: Vec<Arc<str>>,
    done: mpsc::UnboundedSender<Done>,
}

impl CommandForwarder {
    /// Starts the task; it ends with the handle, when everything is answered.
    pub(super) fn start(
        bus: Bus,
        local: Arc<dyn Writers>,
        nodes: nodes::Writers,
    ) -> mpsc::UnboundedSender<(Request, Reply)> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (done, events) = mpsc::unbounded_channel();
        let forwarder = Self {
            bus,
            local,
            nodes,
            lanes: (0..SHARDS).map(|_| Lane::default()).collect(),
            busy: Vec::new(),
            done,
        };
        tokio::spawn(forwarder.run(inbox, events));
        commands
    }

    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<(Request, Reply)>,
        mut events: mpsc::UnboundedReceiver<Done>,
    ) {
        let mut arrived = Vec::new();
        let mut is_open = true;
        while is_open || self.lanes.iter().any(Lane::is_occupied) {
            tokio::select! {
                count = inbox.recv_many(&mut arrived, MAX_BATCH), if is_open => is_open = count > 0,
                Some(done) = events.recv() => self.note(done),
            }
            // What has been answered meanwhile makes room, before anything is sent on.
            while let Ok(done) = events.try_recv() {
                self.note(done);
            }
            for (request, reply) in arrived.drain(..) {
                let shard = usize::from(request.owner.shard());
                self.lanes[shard].waiting.push_back((request, reply));
            }
            self.send_on();
        }
    }

    fn note(&mut self, done: Done) {
        for (shard, count) in done.shards {
            self.lanes[usize::from(shard)].under_way -= count;
        }
        if let Some(node) = done.node {
            self.busy.retain(|busy| *busy != node);
        }
    }

    /// Sends on what may go.
    fn send_on(&mut self) {
        let mut groups: HashMap<Arc<str>, Group> = HashMap::new();
        for shard in 0..SHARDS {
            if self.lanes[usize::from(shard)].waiting.is_empty() {
                continue;
            }
            let way = self.way_of(shard);
            let lane = &mut self.lanes[usize::from(shard)];
            if lane.under_way > 0 && lane.way.as_ref() != Some(&way) {
                continue;
            }
            let sent = match &way {
                Way::Local => {
                    let commands = lane.waiting.drain(..);
                    let is_asked = self.nodes.is_heard();
                    let answers: Vec<_> = commands
                        .map(|(request, reply)| match is_asked {
                            true => watched(&*self.local, request, reply),
                            false => appended_alone(&self.local, request, reply),
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
                Way::Node(node) if self.busy.contains(node) => continue,
                Way::Node(node) => {
                    let group = groups.entry(Arc::clone(node)).or_default();
                    group.fill(&mut lane.waiting, &*self.local)
                }
            };
            lane.under_way += sent;
            lane.way = Some(way);
        }
        groups.retain(|_, group| !group.commands.is_empty());
        for (node, group) in groups {
            self.busy.push(Arc::clone(&node));
            self.hand_over(node, group);
        }
    }

    fn way_of(&self, shard: u8) -> Way {
        let owner = self.nodes.owner_of(shard);
        match owner {
            Some(owner) if owner != self.nodes.me && self.bus.is_connected() => Way::Node(owner),
            _ => Way::Local,
        }
    }

    /// Hands a group over and answers its callers. What the other process does not answer is appended here.
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
                // The outcomes of the others did not fit into the answer. Their ids make sure that what is asked for again is not done again.
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

/// Says that a group is no longer under way when its task ends, also by a panic: otherwise its shards would wait for it for ever.
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

impl Lane {
    fn is_occupied(&self) -> bool {
        self.under_way > 0 || !self.waiting.is_empty()
    }
}

impl Group {
    /// Takes as many as fit. Returns how many.
    fn fill(&mut self, waiting: &mut VecDeque<(Request, Reply)>, local: &dyn Writers) -> usize {
        let before = self.commands.len();
        while self.commands.len() < MAX_BATCH && !self.is_full {
            let Some((request, reply)) = waiting.pop_front() else {
                break;
            };
            if reply.is_closed() {
                // The caller has given up; nobody would learn of it.
                continue;
            }
            if self.payload.push(&request) {
                self.commands.push((request, reply));
            } else if self.commands.is_empty() {
                // It fits into no group, so its event is too large as well. The writer here refuses it: what changes nothing needs no order.
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
    // The first outcomes, as many as fit into an answer.
    (1..=count).contains(&results.len()).then_some(results)
}

/// Gives a command to the writer of this process. What is answered tells when its caller has been answered, or given up.
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

/// The same where readers do not know that this process writes: its caller is answered when the entry is applied.
fn appended_alone(
    local: &Arc<dyn Writers>,
    request: Request,
    reply: Reply,
) -> oneshot::Receiver<()> {
    let reply = after_apply(local, &request.owner, reply);
    watched(&**local, request, reply)
}

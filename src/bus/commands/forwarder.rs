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

/// Time limit of the owner's answer.
///
/// Then the sending process appends itself, so the limit must leave time for that.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(900);
/// Maximum number of commands in one group.
const MAX_BATCH: usize = 256;

/// Destination of a shard's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The writer of this process.
    Local,
    /// Another process.
    Node(Arc<str>),
}

/// Commands of one shard.
#[derive(Default)]
struct Lane {
    /// Commands that have not been sent yet, in order.
    waiting: VecDeque<(Request, Reply)>,
    /// Number of commands in flight, and their route.
    under_way: usize,
    way: Option<Way>,
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
pub(super) struct CommandForwarder {
    bus: Bus,
    local: Arc<dyn Writers>,
    nodes: nodes::Writers,
    lanes: Vec<Lane>,
    /// Processes that have not answered their group yet.
    busy: Vec<Arc<str>>,
    done: mpsc::UnboundedSender<Done>,
}

impl CommandForwarder {
    /// Starts the task; it ends after the handle is dropped and all commands are answered.
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
            // Process completions first: they free capacity before more is sent.
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

    /// Sends the commands that may be sent now.
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

impl Lane {
    fn is_occupied(&self) -> bool {
        self.under_way > 0 || !self.waiting.is_empty()
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

//! Routing of commands to the writer of their shard.
//!
//! Appends of one conversation meet in one process, because several processes that write to the same busy log keep rejecting one another's seqs. The owner is
//! only a hint: if it does not answer, or NATS is down, the sending process appends itself, and the log's index decides. The event's id is assigned where the
//! command enters, so a command that is sent twice is appended once.
//!
//! Modules: `forwarder` sends commands to other processes, in groups; `serve` receives those of other processes; `settle` asks other writers to apply
//! what they have acknowledged.

mod forwarder;
mod serve;
mod settle;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use chat_sdk::ConversationId;
use futures_util::future::{BoxFuture, join};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Bus, nodes};
use crate::{
    bounds,
    domain::{
        Result,
        command::{Outcome, Reply, Request, Writers},
        entry::Owner,
    },
};
use forwarder::CommandForwarder;
use settle::Settlers;

/// Maximum delay of a reply until its entry is applied.
///
/// The entry is committed, so the reply is sent in any case.
const APPLY_PATIENCE: Duration = Duration::from_millis(200);

/// Serves other processes with the writer of this process `me`, until `stop`.
pub async fn serve(bus: Bus, local: Arc<dyn Writers>, me: Arc<str>, stop: CancellationToken) {
    join(
        serve::serve(
            bus.clone(),
            Arc::clone(&local),
            Arc::clone(&me),
            stop.clone(),
        ),
        settle::serve(bus, local, me, stop),
    )
    .await;
}

/// Routes commands to the writer of their shard: that of this process or of another.
pub struct Router {
    bus: Bus,
    local: Arc<dyn Writers>,
    nodes: nodes::Writers,
    forwarder: OnceLock<mpsc::UnboundedSender<(Request, Reply)>>,
    settlers: OnceLock<Settlers>,
}

/// Outcomes of the first commands of a group, in order; as many as fit into one message.
#[derive(Deserialize)]
struct Results(Vec<Result<Outcome>>);

/// A JSON array of at most [`bounds::NATS_GROUP`] bytes.
#[derive(Default)]
struct List(Vec<u8>);

impl List {
    /// Adds `item` unless the array would become too large; returns true if it was added.
    fn push(&mut self, item: &impl Serialize) -> bool {
        let before = self.0.len();
        self.0.push(if before == 0 { b'[' } else { b',' });
        let is_written = serde_json::to_writer(&mut self.0, item).is_ok();
        // The closing bracket needs one byte too.
        if is_written && self.0.len() < bounds::NATS_GROUP {
            return true;
        }
        self.0.truncate(before);
        false
    }

    fn finish(mut self) -> Bytes {
        if self.0.is_empty() {
            self.0.push(b'[');
        }
        self.0.push(b']');
        self.0.into()
    }
}

impl Router {
    /// Returns a router that writes with `local` if this process is the owner, or if the owner fails.
    pub fn new(bus: Bus, local: Arc<dyn Writers>, nodes: nodes::Writers) -> Self {
        Self {
            bus,
            local,
            nodes,
            forwarder: OnceLock::new(),
            settlers: OnceLock::new(),
        }
    }

    fn forwarder(&self) -> &mpsc::UnboundedSender<(Request, Reply)> {
        self.forwarder.get_or_init(|| {
            let (local, nodes) = (Arc::clone(&self.local), self.nodes.clone());
            CommandForwarder::start(self.bus.clone(), local, nodes)
        })
    }
}

impl Writers for Router {
    fn submit(&self, request: Request, reply: Reply) {
        // A process that has always written for itself submits to its writer directly.
        let is_mine =
            || self.nodes.owner_of(request.owner.shard()).as_ref() == Some(&self.nodes.me);
        if self.forwarder.get().is_none() && is_mine() {
            let reply = match self.nodes.is_heard() {
                true => reply,
                false => after_apply(&self.local, &request.owner, reply),
            };
            self.local.submit(request, reply);
        } else if let Err(mpsc::error::SendError((request, reply))) =
            self.forwarder().send((request, reply))
        {
            self.local.submit(request, reply);
        }
    }

    fn settle<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>> {
        let mut asked = Vec::new();
        let mut unconfirmed = Vec::new();
        let is_heard = self.nodes.is_heard();
        for id in conversations {
            let shard = Owner::from(id.clone()).shard();
            let writer = self.nodes.owner_of(shard);
            if writer.is_none() || !self.nodes.is_steady(shard) {
                unconfirmed.push(id.clone());
            }
            if let Some(writer) = writer.filter(|writer| is_heard && *writer != self.nodes.me) {
                asked.push((writer, id.clone()));
            }
        }
        // Includes conversations that another process writes now: a moment ago this one may have written them.
        let here = self.local.settle(conversations);
        Box::pin(async move {
            let elsewhere = async {
                if asked.is_empty() {
                    return Some(Vec::new());
                }
                let settlers = self
                    .settlers
                    .get_or_init(|| settle::start(self.bus.clone()));
                settlers.ask(asked).await
            };
            let (_, unanswered) = join(here, elsewhere).await;
            match unanswered {
                Some(unanswered) => unconfirmed.extend(unanswered),
                None => return conversations.to_vec(),
            }
            unconfirmed.sort_unstable();
            unconfirmed.dedup();
            unconfirmed
        })
    }
}

/// Delays a reply until the entry is applied to the documents of its conversation.
///
/// Used if this process writes although readers ask another one, or none at all: because it is cut off, or the writer of the shard did not answer. Readers cannot
/// ask it to apply what it has acknowledged.
fn after_apply(local: &Arc<dyn Writers>, owner: &Owner, reply: Reply) -> Reply {
    let Owner::Conversation(conversation) = owner else {
        // Entries of users are acknowledged after they are applied anyway.
        return reply;
    };
    let (local, conversation) = (Arc::clone(local), conversation.clone());
    let (sender, outcome) = oneshot::channel::<Result<Outcome>>();
    tokio::spawn(async move {
        let Ok(outcome) = outcome.await else {
            return;
        };
        if outcome.is_ok() {
            let applied = local.settle(std::slice::from_ref(&conversation));
            let _ = tokio::time::timeout(APPLY_PATIENCE, applied).await;
        }
        let _ = reply.send(outcome);
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_takes_items_that_fit_and_is_json() {
        let mut list = List::default();
        let item = "x".repeat(100 * 1024);
        let taken = (0..5).filter(|_| list.push(&item)).count();
        assert_eq!(taken, 2);
        assert!(list.push(&"small"), "a smaller item may still fit");
        let bytes = list.finish();
        assert!(bytes.len() <= bounds::NATS_GROUP);
        let items: Vec<String> = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(items, [&item, &item, "small"]);
        let nothing: Vec<u8> = serde_json::from_slice(&List::default().finish()).expect("JSON");
        assert!(nothing.is_empty());
    }
}

//! Routing of commands to the writer of their shard.
//!
//! Appends of one conversation meet in one process, because several processes that write to the same busy log keep rejecting one another's seqs. The owner is
//! only a hint: if it does not answer, or NATS is down, the sending process appends itself, and the log's index decides. The event's id is assigned where the
//! command enters, so a command that is sent twice is appended once.
//!
//! Modules: `forwarder` sends commands to other processes, in groups; `serve` receives those of other processes; `apply_now` asks other writers to apply
//! what they have acknowledged; `group` has what these share; `shard_writers` knows which process writes for which shard.

mod apply_now;
mod forwarder;
mod group;
mod serve;
mod shard_writers;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use chat_sdk::ConversationId;
use futures_util::future::{BoxFuture, join};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Bus;
use crate::model::{
    command::Request,
    entry::Owner,
    writers::{Reply, Writers},
};
use apply_now::ApplyRequests;
pub use forwarder::Forwarder;
use group::after_apply;
pub use shard_writers::ShardWriters;

/// Serves other processes with the writer of this process `me`, until `stop`.
pub async fn serve(bus: Bus, local: Arc<dyn Writers>, me: Arc<str>, stop: CancellationToken) {
    join(
        serve::serve(
            bus.clone(),
            Arc::clone(&local),
            Arc::clone(&me),
            stop.clone(),
        ),
        apply_now::serve(bus, local, me, stop),
    )
    .await;
}

/// Routes commands to the writer of their shard: that of this process or of another.
pub struct Router {
    bus: Bus,
    local: Arc<dyn Writers>,
    shard_writers: Arc<ShardWriters>,
    forwarder: mpsc::UnboundedSender<(Request, Reply)>,
    /// True once a command was forwarded. From then on all commands take that route, which keeps their order.
    is_forwarding: AtomicBool,
    apply_requests: OnceLock<ApplyRequests>,
}

impl Router {
    /// Returns a router that writes with `local` if this process is the owner, or if the owner fails, and the task to run for it.
    pub fn new(
        bus: Bus,
        local: Arc<dyn Writers>,
        shard_writers: Arc<ShardWriters>,
    ) -> (Self, Forwarder) {
        let (commands, forwarder) =
            Forwarder::new(bus.clone(), Arc::clone(&local), Arc::clone(&shard_writers));
        let router = Self {
            bus,
            local,
            shard_writers,
            forwarder: commands,
            is_forwarding: AtomicBool::new(false),
            apply_requests: OnceLock::new(),
        };
        (router, forwarder)
    }
}

impl Writers for Router {
    fn submit(&self, request: Request, reply: Reply) {
        // A process that has always written for itself submits to its writer directly.
        let is_mine = || self.shard_writers.is_mine(request.owner.shard());
        let is_forwarding = self.is_forwarding.load(Ordering::Acquire);
        if !is_forwarding && is_mine() {
            let reply = if self.shard_writers.is_heard() {
                reply
            } else {
                after_apply(&self.local, &request.owner, reply)
            };
            self.local.submit(request, reply);
            return;
        }
        if !is_forwarding {
            self.is_forwarding.store(true, Ordering::Release);
        }
        if let Err(mpsc::error::SendError((request, reply))) = self.forwarder.send((request, reply))
        {
            self.local.submit(request, reply);
        }
    }

    fn apply_now<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>> {
        let mut asked = Vec::new();
        let mut unconfirmed = Vec::new();
        let is_heard = self.shard_writers.is_heard();
        for id in conversations {
            let shard = Owner::from(id.clone()).shard();
            let writer = self.shard_writers.owner_of(shard);
            if writer.is_none() || !self.shard_writers.is_steady(shard) {
                unconfirmed.push(id.clone());
            }
            if let Some(writer) =
                writer.filter(|writer| is_heard && *writer != self.shard_writers.me)
            {
                asked.push((writer, id.clone()));
            }
        }
        // Includes conversations that another process writes now: a moment ago this one may have written them.
        let here = self.local.apply_now(conversations);
        Box::pin(async move {
            let elsewhere = async {
                if asked.is_empty() {
                    return Some(Vec::new());
                }
                let requests = self
                    .apply_requests
                    .get_or_init(|| apply_now::start(self.bus.clone()));
                requests.ask(asked).await
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

//! State that all sockets of a run share: its clock, its counters, and the turn of the senders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, mpsc};

use super::socket::Command;

/// Delay before the next send after a refused one.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// Shared state of a run.
#[derive(Debug)]
pub(super) struct Run {
    epoch: Instant,
    tag: String,
    filler: String,
    /// Number of successful answers.
    pub acknowledged: AtomicU64,
    /// Number of messages of the run that arrived.
    pub delivered: AtomicU64,
    /// Number of sends without an answer so far.
    pub outstanding: AtomicU64,
    /// True if each answer triggers the next send.
    pub refill: AtomicBool,
    next: AtomicU32,
    targets: OnceCell<Targets>,
}

/// Command of the senders: conversations in turn, and in each its first `senders` members in turn.
#[derive(Debug)]
pub(super) struct Targets {
    /// Number of conversations.
    pub conversations: usize,
    /// Members of each; the sockets are ordered by conversation.
    pub members: usize,
    /// Number of members of each conversation that send.
    pub senders: usize,
    /// Command channels of the sockets.
    pub commands: Vec<mpsc::UnboundedSender<Command>>,
}

impl Targets {
    /// Returns the conversation of a send.
    pub fn conversation_of(number: u32, conversations: usize) -> usize {
        number as usize % conversations
    }

    fn socket_of(&self, number: u32) -> usize {
        let conversation = Self::conversation_of(number, self.conversations);
        let turn = number as usize / self.conversations;
        conversation * self.members + turn % self.senders
    }
}

impl Run {
    /// Creates a run with messages of `size` bytes.
    pub fn new(size: usize) -> Arc<Self> {
        let tag = format!("{:08x}", rand::random::<u32>());
        // Tag, two separators and up to ten digits come before the filler.
        let filler = "x".repeat(size.saturating_sub(tag.len() + 8));
        Arc::new(Self {
            epoch: Instant::now(),
            tag,
            filler,
            acknowledged: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            refill: AtomicBool::new(false),
            next: AtomicU32::new(0),
            targets: OnceCell::new(),
        })
    }

    /// Returns the random letters that distinguish this run from others.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the microseconds since the epoch of the run.
    pub fn now_us(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    /// Sets the sockets; nothing is sent before this.
    pub fn set_targets(&self, targets: Targets) {
        // Only the first call counts, and each run has only one.
        let _ = self.targets.set(targets);
    }

    /// Triggers the next send.
    pub fn dispatch(&self, intended_us: u64) {
        let Some(targets) = self.targets.get() else {
            return;
        };
        let number = self.next.fetch_add(1, Relaxed);
        self.outstanding.fetch_add(1, Relaxed);
        let socket = &targets.commands[targets.socket_of(number)];
        if socket
            .send(Command::Send {
                number,
                intended_us,
            })
            .is_err()
        {
            self.outstanding.fetch_sub(1, Relaxed);
        }
    }

    /// Records that a send has completed.
    pub fn settled(self: &Arc<Self>, success: bool) {
        self.outstanding.fetch_sub(1, Relaxed);
        if success {
            self.acknowledged.fetch_add(1, Relaxed);
        }
        if !self.refill.load(Relaxed) {
            return;
        }
        if success {
            self.dispatch(self.now_us());
            return;
        }
        let run = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REFUSED_PAUSE).await;
            if run.refill.load(Relaxed) {
                run.dispatch(run.now_us());
            }
        });
    }

    /// Returns the content of a send.
    pub fn content(&self, number: u32) -> String {
        format!("{}-{number} {}", self.tag, self.filler)
    }

    /// Returns the send that a content belongs to, or `None` if it is not of this run.
    pub fn number_in(&self, content: &str) -> Option<u32> {
        let rest = content.strip_prefix(self.tag.as_str())?.strip_prefix('-')?;
        rest.split(' ').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_go_round_conversations_and_members() {
        let targets = Targets {
            conversations: 2,
            members: 3,
            senders: 3,
            commands: Vec::new(),
        };
        let sockets: Vec<usize> = (0..7).map(|n| targets.socket_of(n)).collect();
        assert_eq!(sockets, [0, 3, 1, 4, 2, 5, 0]);
        let one = Targets {
            conversations: 1,
            senders: 1,
            ..targets
        };
        assert!((0..5).all(|n| one.socket_of(n) == 0));
    }
}

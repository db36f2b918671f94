//! One kind of operation, performed by all clients in turn in a closed loop: order of the operations and their results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::bail;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::clients::Command;

/// Time to wait for the last answers.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);
/// Quiet time after which an operation counts as over: late events must not be counted to the next one.
const QUIET: Duration = Duration::from_millis(300);
/// Delay before the next operation after a refused one.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// Kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// A message is sent.
    Send,
    /// A message newer than the last read one is marked as read.
    Read,
    /// A reaction is added, then removed.
    React,
    /// Typing starts, then stops.
    Type,
}

impl Operation {
    /// All kinds in the order in which they run: messages must be sent before they are read and reacted to.
    pub const ALL: [Self; 4] = [Self::Send, Self::Read, Self::React, Self::Type];

    /// Returns the name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::React => "react",
            Self::Type => "type",
        }
    }

    /// Returns the number of members notified of one change in a conversation of `members`; a member is not notified of its own typing.
    pub fn audience(self, members: usize) -> usize {
        match self {
            Self::Type => members - 1,
            _ => members,
        }
    }

    /// Returns true if a pushed event of this type reports such a change.
    pub fn is_reported_by(self, event: &str) -> bool {
        match self {
            Self::Send => event == "message:new",
            Self::Read => event == "message:read",
            Self::React => matches!(event, "reaction:added" | "reaction:removed"),
            Self::Type => event == "user:typing",
        }
    }
}

/// Conversations of a phase, and the size of a message.
#[derive(Debug)]
pub(super) struct Fixture {
    /// Letters that distinguish these messages from others.
    pub tag: String,
    /// Ids of the conversations.
    pub conversations: Vec<String>,
    /// Members of each; the clients are ordered by conversation.
    pub members: usize,
    /// Size of a message's content, in bytes.
    pub size: usize,
}

/// Conversation and member of an operation.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    conversation: usize,
    member: usize,
    /// Number of earlier operations of this member.
    done: usize,
}

impl Fixture {
    /// Returns the turn of an operation: conversations in turn, and in each its members in turn.
    fn turn(&self, number: u32) -> Share {
        let count = self.conversations.len();
        let round = number as usize / count;
        Share {
            conversation: number as usize % count,
            member: round % self.members,
            done: round / self.members,
        }
    }

    fn content(&self, number: u32) -> String {
        let head = format!("{}-{number} ", self.tag);
        let filler = "x".repeat(self.size.saturating_sub(head.len()));
        head + &filler
    }
}

/// A sent message, in the order of its conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    /// Seq of the message.
    pub seq: u64,
    /// Id of the message.
    pub id: String,
}

/// A successful answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Time at which the operation was due, in microseconds of the phase's clock.
    pub due_us: u64,
    /// Time at which the answer arrived.
    pub at_us: u64,
}

/// Results of the operations.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Successful operations.
    pub done: Vec<Done>,
    /// Number of refusals by code.
    pub refused: BTreeMap<String, u64>,
    /// Messages that were sent, by conversation.
    pub messages: Vec<Vec<Message>>,
}

/// One kind of operation, performed by all clients in turn.
#[derive(Debug)]
pub(super) struct Phase {
    /// Kind of the operations.
    pub operation: Operation,
    fixture: Arc<Fixture>,
    /// Messages to read and to react to, by conversation, oldest first.
    messages: Arc<Vec<Vec<Message>>>,
    clients: Vec<mpsc::UnboundedSender<Command>>,
    clock: Instant,
    next: AtomicU32,
    outstanding: AtomicU64,
    is_going: AtomicBool,
    /// Notified when no operation is left to do.
    spent: Notify,
    /// Number of events that report these operations, over all members.
    pub events: AtomicU64,
    records: Mutex<Records>,
}

impl Phase {
    /// Creates a phase that has not begun. Reading and reacting need `messages`.
    pub fn new(
        operation: Operation,
        fixture: &Arc<Fixture>,
        messages: &Arc<Vec<Vec<Message>>>,
        clients: Vec<mpsc::UnboundedSender<Command>>,
    ) -> Arc<Self> {
        let records = Records {
            messages: vec![Vec::new(); fixture.conversations.len()],
            ..Records::default()
        };
        Arc::new(Self {
            operation,
            fixture: Arc::clone(fixture),
            messages: Arc::clone(messages),
            clients,
            clock: Instant::now(),
            next: AtomicU32::new(0),
            outstanding: AtomicU64::new(0),
            is_going: AtomicBool::new(false),
            spent: Notify::new(),
            events: AtomicU64::new(0),
            records: Mutex::new(records),
        })
    }

    /// Returns the microseconds since the phase was created.
    pub fn now_us(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    /// Starts this many concurrent operations; each answer triggers the next one.
    pub fn begin(self: &Arc<Self>, inflight: u32) {
        self.is_going.store(true, Relaxed);
        for _ in 0..inflight {
            self.dispatch();
        }
    }

    /// Waits for `time`, or until no operation is left to do.
    pub async fn watch(&self, time: Duration) {
        let goes_on = self.is_going.load(Relaxed);
        tokio::select! {
            () = sleep(time), if goes_on => {}
            () = self.spent.notified(), if goes_on => {}
            else => {}
        }
    }

    /// Stops, and returns the records after the last answer and the last event have arrived.
    ///
    /// # Errors
    /// If answers are missing.
    pub async fn finish(&self) -> anyhow::Result<Records> {
        self.is_going.store(false, Relaxed);
        let limit = Instant::now() + SETTLE_LIMIT;
        let (mut events, mut still_since) = (0, Instant::now());
        while self.outstanding.load(Relaxed) > 0 || still_since.elapsed() < QUIET {
            if Instant::now() > limit {
                match self.outstanding.load(Relaxed) {
                    0 => break,
                    count => bail!(
                        "{}: {count} operations without an answer after {SETTLE_LIMIT:?}",
                        self.operation.name()
                    ),
                }
            }
            let now = self.events.load(Relaxed);
            if now != events {
                (events, still_since) = (now, Instant::now());
            }
            sleep(Duration::from_millis(10)).await;
        }
        let mut records = std::mem::take(&mut *self.records.lock());
        records.messages.iter_mut().for_each(|list| list.sort());
        Ok(records)
    }

    /// Returns the frame of an operation; `None` if there is nothing to operation on.
    pub fn frame(&self, number: u32) -> Option<String> {
        let turn = self.fixture.turn(number);
        let conversation = &self.fixture.conversations[turn.conversation];
        let messages = self.messages.get(turn.conversation);
        let is_even = turn.done.is_multiple_of(2);
        let (event, data) = match self.operation {
            Operation::Send => (
                "message:send",
                format!(
                    r#""conversationId":"{conversation}","content":"{}","clientMessageId":"{}-{number}""#,
                    self.fixture.content(number),
                    self.fixture.tag
                ),
            ),
            Operation::Read => (
                "message:read",
                format!(r#""messageId":"{}""#, messages?.get(turn.done)?.id),
            ),
            Operation::React => {
                let messages = messages.filter(|list| !list.is_empty())?;
                let message = &messages[turn.done / 2 % messages.len()];
                let event = if is_even {
                    "reaction:add"
                } else {
                    "reaction:remove"
                };
                (
                    event,
                    format!(r#""messageId":"{}","emoji":"👍""#, message.id),
                )
            }
            Operation::Type => {
                let event = if is_even {
                    "typing:start"
                } else {
                    "typing:stop"
                };
                (event, format!(r#""conversationId":"{conversation}""#))
            }
        };
        Some(format!(
            r#"{{"id":"{number}","event":"{event}","data":{{{data}}}}}"#
        ))
    }

    /// Triggers the next operation, if there is one.
    fn dispatch(self: &Arc<Self>) {
        let number = self.next.fetch_add(1, Relaxed);
        let Some(frame) = self.frame(number) else {
            self.is_going.store(false, Relaxed);
            self.spent.notify_one();
            return;
        };
        let turn = self.fixture.turn(number);
        let actor = turn.conversation * self.fixture.members + turn.member;
        self.outstanding.fetch_add(1, Relaxed);
        let command = Command::Perform {
            phase: Arc::clone(self),
            number,
            frame,
            due_us: self.now_us(),
        };
        if self.clients[actor].send(command).is_err() {
            self.outstanding.fetch_sub(1, Relaxed);
        }
    }

    /// Records a successful operation, and the message that it created.
    pub fn succeeded(self: &Arc<Self>, number: u32, due_us: u64, message: Option<Message>) {
        let at_us = self.now_us();
        {
            let mut records = self.records.lock();
            records.done.push(Done { due_us, at_us });
            if let Some(message) = message.filter(|_| self.operation == Operation::Send) {
                records.messages[self.fixture.turn(number).conversation].push(message);
            }
        }
        self.outstanding.fetch_sub(1, Relaxed);
        if self.is_going.load(Relaxed) {
            self.dispatch();
        }
    }

    /// Records a refused operation.
    pub fn refused(self: &Arc<Self>, code: &str) {
        let mut records = self.records.lock();
        *records.refused.entry(code.to_owned()).or_default() += 1;
        drop(records);
        self.outstanding.fetch_sub(1, Relaxed);
        let phase = Arc::clone(self);
        tokio::spawn(async move {
            sleep(REFUSED_PAUSE).await;
            if phase.is_going.load(Relaxed) {
                phase.dispatch();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(operation: Operation, messages: usize) -> Arc<Phase> {
        let fixture = Fixture {
            tag: "t".to_owned(),
            conversations: vec!["cnv_a".to_owned(), "cnv_b".to_owned()],
            members: 2,
            size: 10,
        };
        let list = |name: &str| {
            let message = |seq| Message {
                seq,
                id: format!("msg_{name}{seq}"),
            };
            (0..messages as u64).map(message).collect::<Vec<_>>()
        };
        let messages = Arc::new(vec![list("a"), list("b")]);
        Phase::new(operation, &Arc::new(fixture), &messages, Vec::new())
    }

    fn said(phase: &Phase, number: u32) -> String {
        let frame = phase.frame(number).expect("something to do");
        let value: serde_json::Value = serde_json::from_str(&frame).expect("a frame is JSON");
        let data = &value["data"];
        let place = data["messageId"]
            .as_str()
            .or(data["conversationId"].as_str());
        format!("{} {}", value["event"], place.unwrap_or_default())
    }

    #[test]
    fn every_mark_of_a_member_is_newer_than_the_last() {
        let phase = phase(Operation::Read, 2);
        // Two conversations of two members: a member's turn comes every four operations.
        assert_eq!(said(&phase, 1), r#""message:read" msg_b0"#);
        assert_eq!(said(&phase, 3), r#""message:read" msg_b0"#);
        assert_eq!(said(&phase, 5), r#""message:read" msg_b1"#);
        assert_eq!(phase.frame(8), None);
    }

    #[tokio::test]
    async fn a_phase_ends_when_nothing_is_left_to_do() {
        let phase = phase(Operation::Read, 0);
        phase.begin(4);
        let watch = phase.watch(Duration::from_secs(3_600));
        let ended = tokio::time::timeout(Duration::from_secs(10), watch).await;
        assert!(ended.is_ok(), "still waiting");
        let records = phase.finish().await.expect("no answer is missing");
        assert!(records.done.is_empty());
    }

    #[test]
    fn the_same_member_reverts_what_it_started() {
        let react = phase(Operation::React, 1);
        assert_eq!(said(&react, 0), r#""reaction:add" msg_a0"#);
        assert_eq!(said(&react, 4), r#""reaction:remove" msg_a0"#);
        assert_eq!(said(&react, 8), r#""reaction:add" msg_a0"#);
        let types = phase(Operation::Type, 0);
        assert_eq!(said(&types, 0), r#""typing:start" cnv_a"#);
        assert_eq!(said(&types, 2), r#""typing:start" cnv_a"#);
        assert_eq!(said(&types, 4), r#""typing:stop" cnv_a"#);
        assert_eq!(types.fixture.turn(6).member, 1);
    }
}

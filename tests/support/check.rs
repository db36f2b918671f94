//! Waiting for conditions, and conclusions that a client may draw from the seqs that it received.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chat_sdk::Timestamp;
use serde_json::Value;

use super::socket::Socket;

/// Asks `condition` until it answers something, for ten seconds.
#[track_caller]
pub fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    condition: impl FnMut() -> F,
) -> impl Future<Output = T> {
    eventually_within(Duration::from_secs(10), what, condition)
}

/// Asks `condition` until it answers something, at most for `limit`.
#[track_caller]
pub fn eventually_within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    let deadline = Instant::now() + limit;
    async move {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{caller}: within {limit:?} it did not come about that {what}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The time in an hour, as the contract writes it.
pub fn in_an_hour() -> String {
    Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000).to_string()
}

/// A seed from the environment variable `SEED`, else a new one. A failing test names it.
pub fn random_seed() -> u64 {
    std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random)
}

/// The seqs that one client received over all its sockets, per conversation, in order of arrival.
#[derive(Debug, Default)]
pub struct Seen {
    conversations: BTreeMap<String, Vec<(u64, Value)>>,
    /// Number of frames that were repeated.
    pub repeats: usize,
}

impl Seen {
    /// Records `frames`. Frames without a seq belong to no log.
    ///
    /// A repeated seq must carry the same event; it counts as a repetition and is otherwise ignored, as a client would.
    #[track_caller]
    pub fn note(&mut self, frames: impl IntoIterator<Item = Value>) {
        for frame in frames {
            let Some(seq) = frame["seq"].as_u64() else {
                continue;
            };
            let data = &frame["data"];
            let conversation = data["conversationId"]
                .as_str()
                .or_else(|| data["id"].as_str());
            let conversation =
                conversation.unwrap_or_else(|| panic!("names no conversation: {frame}"));
            let numbers = self
                .conversations
                .entry(conversation.to_owned())
                .or_default();
            match numbers.iter().find(|(known, _)| *known == seq) {
                Some((_, known)) => {
                    assert_eq!(
                        known["id"], frame["id"],
                        "number {seq} of {conversation} is two events"
                    );
                    self.repeats += 1;
                }
                None => numbers.push((seq, frame)),
            }
        }
    }

    /// Records the frames of `socket` until seq `seq` of `conversation`.
    pub async fn follow(&mut self, socket: &mut Socket, conversation: &str, seq: u64) {
        let started = Instant::now();
        let limit = Duration::from_secs(20);
        while self.last(conversation) < seq {
            let came =
                tokio::time::timeout(limit.saturating_sub(started.elapsed()), socket.any()).await;
            match came {
                Ok(Some(frame)) => self.note([frame]),
                Ok(None) => panic!(
                    "closed before number {seq} came; {:?} did",
                    self.numbers(conversation)
                ),
                Err(_) => panic!(
                    "number {seq} did not come; {:?} did",
                    self.numbers(conversation)
                ),
            }
        }
    }

    /// The numbers that came of `conversation`, in that order.
    pub fn numbers(&self, conversation: &str) -> Vec<u64> {
        let numbers = self
            .conversations
            .get(conversation)
            .map_or(&[][..], Vec::as_slice);
        numbers.iter().map(|(seq, _)| *seq).collect()
    }

    /// The frames that came of `conversation`, in that order.
    pub fn frames(&self, conversation: &str) -> Vec<Value> {
        let numbers = self
            .conversations
            .get(conversation)
            .map_or(&[][..], Vec::as_slice);
        numbers.iter().map(|(_, frame)| frame.clone()).collect()
    }

    /// The highest number that came of `conversation`.
    pub fn last(&self, conversation: &str) -> u64 {
        self.numbers(conversation).into_iter().max().unwrap_or(0)
    }

    /// Fails unless the seqs of `conversation` arrived in order and without a gap.
    #[track_caller]
    pub fn assert_dense(&self, conversation: &str) {
        let numbers = self.numbers(conversation);
        for pair in numbers.windows(2) {
            assert_eq!(
                pair[0] + 1,
                pair[1],
                "a hole or disorder in what came of {conversation}: {numbers:?}"
            );
        }
    }

    /// Fails unless every seq from `from` to `to` of `conversation` arrived, in order.
    #[track_caller]
    pub fn assert_complete(&self, conversation: &str, from: u64, to: u64) {
        let expected: Vec<u64> = (from..=to).collect();
        assert_eq!(
            self.numbers(conversation),
            expected,
            "what came of {conversation}"
        );
    }
}

//! Acknowledgements of what was published: one subscription for all of them, and each message known by its number in it.
//!
//! The crate's own way has a channel, a permit, a timer and two entries of a table for each message.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, de::IgnoredAny};

use super::BusError;

/// The acknowledgements of one task that publishes. `T` is what it wants to know of a message when the outcome is there.
pub(super) struct Acks<T> {
    answers: Subscriber,
    /// What the subject of every answer begins with; the message's number follows.
    prefix: String,
    /// What was sent and when, in order; `None` where the answer is there.
    waiting: VecDeque<Option<(Instant, T)>>,
    /// The number of the first of them.
    first: u64,
    /// How many answers are still to come.
    open: usize,
}

/// What the stream answers, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    error: Option<IgnoredAny>,
}

impl<T> Acks<T> {
    /// Listens for answers on a subject of its own.
    pub(super) async fn open(client: &Client) -> Result<Self, BusError> {
        let prefix = format!("{}.", client.new_inbox());
        let answers = client
            .subscribe(format!("{prefix}*"))
            .await
            .map_err(|error| BusError::Publish(error.to_string()))?;
        Ok(Self {
            answers,
            prefix,
            waiting: VecDeque::new(),
            first: 0,
            open: 0,
        })
    }

    /// Whether no answer is to come.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Where the answer to the next message must go. Belongs to that message once [`Self::sent`] was called.
    pub(super) fn next_reply(&self) -> String {
        format!("{}{}", self.prefix, self.first + self.waiting.len() as u64)
    }

    /// Notes that the message was handed to the connection with [`Self::next_reply`].
    pub(super) fn sent(&mut self, what: T) {
        self.waiting.push_back(Some((Instant::now(), what)));
        self.open += 1;
    }

    /// Waits for an answer, takes in all that are there, and tells `outcome` of each whether the stream has the message. Can be cancelled.
    pub(super) async fn take(&mut self, mut outcome: impl FnMut(bool, T)) {
        // Without a subscription there is nothing to wait for but that what was sent gets old.
        let Some(message) = self.answers.next().await else {
            return std::future::pending().await;
        };
        let mut next = Some(message);
        while let Some(message) = next {
            if let Some((is_stored, what)) = self.settle(&message) {
                outcome(is_stored, what);
            }
            next = self.answers.next().now_or_never().flatten();
        }
    }

    fn settle(&mut self, message: &Message) -> Option<(bool, T)> {
        let number: u64 = message.subject.strip_prefix(&*self.prefix)?.parse().ok()?;
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let (_, what) = self.waiting.get_mut(index)?.take()?;
        self.open -= 1;
        self.forget_answered();
        Some((is_stored(message), what))
    }

    /// Takes out what has had no answer for `patience`.
    pub(super) fn take_unanswered(&mut self, patience: Duration) -> Vec<T> {
        let mut given_up = Vec::new();
        while let Some(Some((sent, _))) = self.waiting.front()
            && sent.elapsed() >= patience
        {
            if let Some((_, what)) = self.waiting.pop_front().flatten() {
                given_up.push(what);
            }
            self.first += 1;
            self.open -= 1;
            self.forget_answered();
        }
        given_up
    }

    fn forget_answered(&mut self) {
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
    }
}

/// Whether an answer says that the stream has the message: now, or from an earlier try.
fn is_stored(message: &Message) -> bool {
    message.status.is_none()
        && serde_json::from_slice::<Answer>(&message.payload)
            .is_ok_and(|answer| answer.error.is_none() && answer.seq.is_some())
}

//! Publish acknowledgements: one subscription for all of them; each message is identified by its number in the reply subject.
//!
//! The crate's own implementation needs a channel, a permit, a timer and two table entries per message.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, de::IgnoredAny};

use super::BusError;

/// Pending acknowledgements of one publishing task. `T` is the caller's data about a message.
pub(super) struct Acks<T> {
    answers: Subscriber,
    /// Prefix of the reply subjects; the message's number follows.
    prefix: String,
    /// Messages with their send time, in order; `None` once a message is acknowledged.
    waiting: VecDeque<Option<(Instant, T)>>,
    /// Number of the first message in `waiting`.
    first: u64,
    /// Number of messages without an answer.
    open: usize,
}

/// The relevant fields of the stream's answer.
#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    error: Option<IgnoredAny>,
}

impl<T> Acks<T> {
    /// Subscribes to answers on a subject of its own.
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

    /// Returns true if no answer is outstanding.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Returns the reply subject for the next message; [`Self::sent`] assigns it to that message.
    pub(super) fn next_reply(&self) -> String {
        format!("{}{}", self.prefix, self.first + self.waiting.len() as u64)
    }

    /// Records that the message was handed to the connection with [`Self::next_reply`].
    pub(super) fn sent(&mut self, what: T) {
        self.waiting.push_back(Some((Instant::now(), what)));
        self.open += 1;
    }

    /// Waits for an answer, then processes all that have arrived. Cancel-safe.
    ///
    /// `outcome` is called for each message, with true if the stream has stored it.
    pub(super) async fn take(&mut self, mut outcome: impl FnMut(bool, T)) {
        // Without a subscription no answer arrives, and the messages time out.
        let Some(message) = self.answers.next().await else {
            return std::future::pending().await;
        };
        let mut next = Some(message);
        while let Some(message) = next {
            if let Some((is_stored, what)) = self.resolve_ack(&message) {
                outcome(is_stored, what);
            }
            next = self.answers.next().now_or_never().flatten();
        }
    }

    fn resolve_ack(&mut self, message: &Message) -> Option<(bool, T)> {
        let number: u64 = message.subject.strip_prefix(&*self.prefix)?.parse().ok()?;
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let (_, what) = self.waiting.get_mut(index)?.take()?;
        self.open -= 1;
        self.forget_answered();
        Some((is_stored(message), what))
    }

    /// Removes and returns the messages that have had no answer for `patience`.
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

/// Returns true if the answer says that the stream has the message, from this or an earlier attempt.
fn is_stored(message: &Message) -> bool {
    message.status.is_none()
        && serde_json::from_slice::<Answer>(&message.payload)
            .is_ok_and(|answer| answer.error.is_none() && answer.seq.is_some())
}

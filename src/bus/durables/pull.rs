//! Durables with pull access: a reader takes some events, and acknowledges them later.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{Consumer as JetStreamConsumer, pull::Config},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{
    Timestamp,
    plugin::{ConsumerSpec, Pulled},
};
use futures_util::{StreamExt, future::join_all};
use serde::Deserialize;

use super::{Durables, Placed, api};
use crate::{bus::BusError, model::durables::Ledger};

/// Time limit of an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum length of a token that is parsed, in characters.
const MAX_TOKEN: usize = 512;

#[derive(Deserialize)]
struct When {
    timestamp: Timestamp,
}

impl<L: Ledger + 'static> Durables<L> {
    /// Pulls at most `limit` events; waits up to `wait` for the first one.
    ///
    /// # Errors
    /// If the broker or the database does not answer.
    pub async fn pull(
        self: &Arc<Self>,
        spec: &ConsumerSpec,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Pulled>, BusError> {
        let placed = self.placed(spec).await?;
        let pulled = self.pull_placed(&placed, limit, wait).await;
        if pulled.is_err() {
            self.displace(&spec.name);
        }
        pulled
    }

    async fn pull_placed(
        &self,
        placed: &Placed,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Pulled>, BusError> {
        let pulls: JetStreamConsumer<Config> = placed
            .stream
            .get_consumer(&placed.consumer)
            .await
            .map_err(|error| api(&error))?;
        // Take available events first; wait for one only if there are none.
        let there = pulls
            .fetch()
            .max_messages(limit)
            .messages()
            .await
            .map_err(|error| api(&error))?;
        let mut events = self.collect(placed, there).await?;
        if events.is_empty() && !wait.is_zero() {
            let next = pulls
                .batch()
                .max_messages(1)
                .expires(wait)
                .messages()
                .await
                .map_err(|error| api(&error))?;
            events = self.collect(placed, next).await?;
        }
        Ok(events)
    }

    async fn collect(
        &self,
        placed: &Placed,
        mut messages: jetstream::consumer::pull::Batch,
    ) -> Result<Vec<Pulled>, BusError> {
        let mut events = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| api(&error))?;
            let Ok(event) = self.event_of(&message).await else {
                // It is delivered again after its acknowledgement timeout.
                continue;
            };
            let (Some(delivery), Some(reply)) = (event, &message.reply) else {
                let _ = message.ack().await;
                continue;
            };
            let is_settled = placed.skip_before.is_some_and(|limit| {
                !delivery.is_replay
                    && serde_json::from_slice::<When>(&delivery.payload)
                        .is_ok_and(|when| when.timestamp < limit)
            });
            if is_settled || delivery.kind == "noop" {
                let _ = message.ack().await;
                continue;
            }
            let token = BASE64_URL_SAFE_NO_PAD.encode(reply.as_str());
            events.push(Pulled { delivery, token });
        }
        Ok(events)
    }

    /// Acknowledges events by their tokens; returns the number of valid tokens that the broker accepted.
    ///
    /// # Errors
    /// If the broker or the database does not answer.
    pub async fn acknowledge(
        self: &Arc<Self>,
        spec: &ConsumerSpec,
        tokens: &[String],
    ) -> Result<usize, BusError> {
        let placed = self.placed(spec).await?;
        let subjects = tokens
            .iter()
            .filter_map(|token| self.ack_subject(&placed.consumer, token));
        let acks = subjects.map(|subject| async move {
            let ack = self.bus.client.request(subject, "+ACK".into());
            matches!(tokio::time::timeout(ACK_TIMEOUT, ack).await, Ok(Ok(_)))
        });
        let count = join_all(acks).await.into_iter().filter(|is| *is).count();
        if count > 0 {
            self.mark(&placed).await?;
        }
        Ok(count)
    }

    /// Returns the subject of a token, if all it can do is acknowledge an event of `durable`.
    fn ack_subject(&self, durable: &str, token: &str) -> Option<String> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let subject = String::from_utf8(bytes).ok()?;
        let stream = self.bus.subjects.stream();
        is_ack_of(&subject, &stream, durable).then_some(subject)
    }
}

/// Returns true for `$JS.ACK.<stream>.<durable>.<numbers>`.
///
/// Also for the newer form with domain and account before the stream.
fn is_ack_of(subject: &str, stream: &str, durable: &str) -> bool {
    let Some(rest) = subject.strip_prefix("$JS.ACK.") else {
        return false;
    };
    let tokens: Vec<&str> = rest.split('.').collect();
    let is_plain = |token: &&str| {
        !token.is_empty()
            && token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let names = |at: usize| tokens.get(at) == Some(&stream) && tokens.get(at + 1) == Some(&durable);
    let (from, is_named) = match tokens.len() {
        7 => (2, names(0)),
        8.. => (4, names(2)),
        _ => return false,
    };
    is_named && tokens[..from - 2].iter().all(is_plain) && tokens[from..].iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::is_ack_of;

    #[test]
    fn tokens_acknowledge_only_their_own_durable() {
        let of = |subject: &str| is_ack_of(subject, "CHAT_EVENTS", "webhooks-a");
        assert!(of("$JS.ACK.CHAT_EVENTS.webhooks-a.1.2.3.4.5"));
        assert!(of("$JS.ACK._.hash.CHAT_EVENTS.webhooks-a.1.2.3.4.5.x"));
        for subject in [
            "$JS.ACK.CHAT_EVENTS.webhooks-b.1.2.3.4.5",
            "$JS.ACK.OTHER.webhooks-a.1.2.3.4.5",
            "$JS.ACK.CHAT_EVENTS.webhooks-a.1.2.3.4.>",
            "$JS.ACK.CHAT_EVENTS.webhooks-a.1.2.3.4.*",
            "$JS.ACK.CHAT_EVENTS.webhooks-a.1.2 x.3.4.5",
            "$JS.API.STREAM.DELETE.CHAT_EVENTS",
            "chat.cmd.s00",
            "",
        ] {
            assert!(!of(subject), "{subject}");
        }
    }
}

//! Putting events into the stream.
//!
//! The announcer publishes what this process's writer committed, at once and with acknowledgements, and gives up early: the sweep publishes whatever
//! did not arrive.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{context::PublishAckFuture, message::PublishMessage},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use metrics::counter;
use tokio::sync::mpsc;

use super::{Bus, BusError};
use crate::domain::{catalogue, command::Announce, entry::Entry};

/// The header with the owner of an event: a conversation's id, or `user:` and a user's.
pub const OWNER_HEADER: &str = "Chat-Conversation-Id";
/// The header with an event's number in its owner's log.
pub const SEQ_HEADER: &str = "Chat-Seq";
/// The header with who did it.
pub const ACTOR_HEADER: &str = "Chat-Actor-Id";

/// How many events may wait for the server. Beyond it they are left to the sweep.
const MAX_WAITING: usize = 20_000;
/// How long an acknowledgement is waited for.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long handing a message to the connection may take: it blocks while the server is away.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How many acknowledgements are waited for at once in a sweep.
const SWEEP_PIPELINE: usize = 256;

/// Publishes the entries that this process committed.
pub struct Announcer {
    entries: mpsc::Sender<Arc<Entry>>,
}

impl Announcer {
    /// Starts the task that publishes; it ends with the last handle.
    pub fn start(bus: Bus) -> Arc<Self> {
        let (entries, inbox) = mpsc::channel(MAX_WAITING);
        tokio::spawn(run(bus, inbox));
        Arc::new(Self { entries })
    }
}

impl Announce for Announcer {
    fn announce(&self, entries: &[Arc<Entry>]) {
        for entry in entries {
            if self.entries.try_send(Arc::clone(entry)).is_err() {
                counter!("chat_publish_left_to_sweep_total").increment(1);
            }
        }
    }
}

async fn run(bus: Bus, mut inbox: mpsc::Receiver<Arc<Entry>>) {
    let mut acks = FuturesUnordered::new();
    let mut batch = Vec::new();
    let mut is_open = true;
    while is_open || !acks.is_empty() {
        tokio::select! {
            Some(is_acknowledged) = acks.next(), if !acks.is_empty() => {
                let outcome = if is_acknowledged { "ok" } else { "failed" };
                counter!("chat_publishes_total", "outcome" => outcome).increment(1);
            }
            count = inbox.recv_many(&mut batch, 256), if is_open => {
                is_open = count > 0;
                for entry in batch.drain(..) {
                    match bus.send(&entry).await {
                        Ok(ack) => acks.push(acknowledged(ack)),
                        Err(_) => counter!("chat_publish_left_to_sweep_total").increment(1),
                    }
                }
            }
        }
    }
}

async fn acknowledged(ack: PublishAckFuture) -> bool {
    matches!(tokio::time::timeout(ACK_TIMEOUT, ack).await, Ok(Ok(_)))
}

impl Bus {
    /// Hands the event of `entry` to the connection. Refuses while the server is away.
    async fn send(&self, entry: &Entry) -> Result<PublishAckFuture, BusError> {
        let payload = serde_json::to_vec(&catalogue::envelope(entry))
            .map_err(|error| BusError::Publish(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, entry.id.as_str());
        headers.insert(OWNER_HEADER, header_text(&entry.owner.key()));
        headers.insert(SEQ_HEADER, entry.seq.to_string());
        if let Some(actor) = &entry.actor {
            headers.insert(ACTOR_HEADER, header_text(actor.as_str()));
        }
        let subject = self.subjects.event(&entry.owner, entry.body.kind());
        self.send_message(subject, headers, payload).await
    }

    async fn send_message(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Vec<u8>,
    ) -> Result<PublishAckFuture, BusError> {
        if !self.is_connected() {
            return Err(BusError::Publish("not connected".to_owned()));
        }
        let message = PublishMessage::build()
            .payload(payload.into())
            .headers(headers);
        tokio::time::timeout(SEND_TIMEOUT, self.jetstream.send_publish(subject, message))
            .await
            .map_err(|_| BusError::Publish("the connection does not take messages".to_owned()))?
            .map_err(|error| BusError::Publish(error.to_string()))
    }

    /// Publishes `entries` and waits until the server has acknowledged every one of them.
    ///
    /// # Errors
    /// At the first that is not acknowledged; the others may or may not be in the stream.
    pub async fn publish_all(&self, entries: &[Arc<Entry>]) -> Result<(), BusError> {
        for chunk in entries.chunks(SWEEP_PIPELINE) {
            let mut acks = Vec::with_capacity(chunk.len());
            for entry in chunk {
                acks.push(self.send(entry).await?);
            }
            for ack in acks {
                wait_for(ack).await?;
            }
        }
        Ok(())
    }

    /// Publishes a marker and answers where it lies in the stream.
    ///
    /// # Errors
    /// When the server does not acknowledge it.
    pub async fn publish_marker(&self, id: &str, watermark: u64) -> Result<u64, BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        let payload = watermark.to_string().into_bytes();
        let ack = self
            .send_message(self.subjects.marker(), headers, payload)
            .await?;
        wait_for(ack).await
    }
}

async fn wait_for(ack: PublishAckFuture) -> Result<u64, BusError> {
    match tokio::time::timeout(ACK_TIMEOUT, ack).await {
        Ok(Ok(ack)) => Ok(ack.sequence),
        Ok(Err(error)) => Err(BusError::Publish(error.to_string())),
        Err(_) => Err(BusError::Publish("no acknowledgement in time".to_owned())),
    }
}

/// A user's id may hold any character; a header's value may not.
fn header_text(text: &str) -> String {
    if text.is_ascii() && !text.contains(['%', '+']) {
        return text.to_owned();
    }
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The owner that [`OWNER_HEADER`] names.
pub fn parse_owner(text: &str) -> Option<crate::domain::entry::Owner> {
    use crate::domain::entry::Owner;
    if !text.contains(['%', '+']) {
        return Owner::from_key(text);
    }
    let decoded = url::form_urlencoded::parse(format!("k={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())?;
    Owner::from_key(&decoded)
}

//! Messages between processes that nobody stores: presence and typing, over core NATS. A lost message is repeated, or its effect ends by itself.

use std::{marker::PhantomData, time::Duration};

use async_nats::Subscriber;
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};

use super::Bus;

/// Time limit for handing a message to the connection: it blocks while the server is unreachable.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause between two attempts to subscribe.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// One subject on which processes exchange `T`, as JSON.
pub struct Channel<T> {
    bus: Bus,
    subject: String,
    subscriber: Option<Subscriber>,
    talk: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Channel<T> {
    /// Returns the channel on which processes send heartbeats and announce their users.
    pub fn presence(bus: &Bus) -> Self {
        Self::new(bus, bus.subjects.presence())
    }

    /// Returns the channel on which nodes send typing and recording indicators.
    pub fn typing(bus: &Bus) -> Self {
        Self::new(bus, bus.subjects.typing())
    }

    /// Returns the channel of ephemeral events of plugins.
    pub fn signals(bus: &Bus) -> Self {
        Self::new(bus, bus.subjects.signals())
    }

    fn new(bus: &Bus, subject: String) -> Self {
        Self {
            bus: bus.clone(),
            subject,
            subscriber: None,
            talk: PhantomData,
        }
    }

    /// Returns a second sender for the channel.
    pub fn speaker(&self) -> Self {
        Self::new(&self.bus, self.subject.clone())
    }

    /// Subscribes if the server is reachable; otherwise [`Channel::next`] tries again.
    pub async fn listen(&mut self) {
        if self.subscriber.is_none() {
            self.subscriber = self.bus.client.subscribe(self.subject.clone()).await.ok();
            // After the flush the server has the subscription, and later messages are received.
            let _ = tokio::time::timeout(SEND_TIMEOUT, self.bus.client.flush()).await;
        }
    }

    /// Sends `value` to every subscribed process, including this one. It may be lost.
    pub async fn say(&self, value: &T) {
        let Ok(payload) = serde_json::to_vec(value) else {
            return;
        };
        let publish = self
            .bus
            .client
            .publish(self.subject.clone(), payload.into());
        let _ = tokio::time::timeout(SEND_TIMEOUT, publish).await;
    }

    /// Returns the next message; skips messages that this version cannot read. Cancel-safe.
    pub async fn next(&mut self) -> T {
        loop {
            let Some(subscriber) = &mut self.subscriber else {
                tokio::time::sleep(RETRY_PAUSE).await;
                self.listen().await;
                continue;
            };
            match subscriber.next().await {
                None => self.subscriber = None,
                Some(message) => {
                    if let Ok(value) = serde_json::from_slice(&message.payload) {
                        return value;
                    }
                }
            }
        }
    }

    /// Waits until the sent messages have left this process.
    pub async fn flush(&self) {
        let _ = tokio::time::timeout(SEND_TIMEOUT, self.bus.client.flush()).await;
    }
}

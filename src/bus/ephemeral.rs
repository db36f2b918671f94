//! What processes tell one another and nobody keeps: presence, typing, what will be due, over core NATS. Whatever is lost here is said again or ends by itself.

use std::{marker::PhantomData, time::Duration};

use async_nats::Subscriber;
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};

use super::Bus;

/// How long handing a message to the connection may take: it blocks while the server is away.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);
/// The pause before a subscription is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// One subject on which processes talk in `T`, as JSON.
pub struct Channel<T> {
    bus: Bus,
    subject: String,
    subscriber: Option<Subscriber>,
    talk: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Channel<T> {
    /// The channel on which processes tell one another which users they have.
    pub fn presence(bus: &Bus) -> Self {
        Self::new(bus, bus.subjects.presence())
    }

    /// The channel on which processes tell one another when something will be due.
    pub fn due(bus: &Bus) -> Self {
        Self::new(bus, bus.subjects.due())
    }

    /// The channel on which nodes tell one another who is typing or recording.
    pub fn typing(bus: &Bus) -> Self {
        Self::new(bus, bus.subjects.typing())
    }

    fn new(bus: &Bus, subject: String) -> Self {
        Self {
            bus: bus.clone(),
            subject,
            subscriber: None,
            talk: PhantomData,
        }
    }

    /// A second end to speak from.
    pub fn speaker(&self) -> Self {
        Self::new(&self.bus, self.subject.clone())
    }

    /// Begins to listen, if the server is there; [`Channel::next`] tries again.
    pub async fn listen(&mut self) {
        if self.subscriber.is_none() {
            self.subscriber = self.bus.client.subscribe(self.subject.clone()).await.ok();
            // What is said after this is heard: the server has the subscription.
            let _ = tokio::time::timeout(SEND_TIMEOUT, self.bus.client.flush()).await;
        }
    }

    /// Whether the server is reached at this moment.
    pub fn is_connected(&self) -> bool {
        self.bus.is_connected()
    }

    /// Says `value` to every process that listens, this one too. It may be lost.
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

    /// The next that a process says. What this version cannot read is passed over. May be dropped between two polls.
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

    /// Waits until what was said has left this process.
    pub async fn flush(&self) {
        let _ = tokio::time::timeout(SEND_TIMEOUT, self.bus.client.flush()).await;
    }
}

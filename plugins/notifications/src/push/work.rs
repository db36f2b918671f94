//! The worker that sends queued pushes.
//!
//! A device gets one push at a time, and none before its pause ends, whatever else waits for it. So a slow or failing service holds at most one slot per device
//! and a part of all slots per origin.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chat_sdk::plugin::{CancellationToken, HostError, NewsMembers, NewsQuery};
use metrics::counter;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::{
    payload,
    queue::{AT_ONCE, Push, Subject},
    send::{Outcome, Sender},
    subscriptions::{Device, MAX_REFUSALS, Platform, now},
};
use crate::{Notifications, Pushing};

/// Time between two reads of the queue if nothing wakes the worker.
const PERIOD: Duration = Duration::from_secs(1);
/// Maximum number of attempts of a push.
const MAX_ATTEMPTS: i64 = 8;
/// Pause after the first failure; each further one is four times as long.
const FIRST_PAUSE: i64 = 5_000;
/// Longest pause.
const LONGEST_PAUSE: i64 = 3_600_000;
/// Pause after 429 without `Retry-After`.
const DEFAULT_WAIT: i64 = 60_000;
/// Time after which a push is read again whose device was busy, if many wait.
const BUSY: i64 = 1_000;

/// Devices and origins to which requests are in flight.
#[derive(Default)]
struct InFlight {
    devices: HashSet<String>,
    origins: HashMap<String, usize>,
}

/// The slot of one push. It is free again when this is dropped.
struct Slot {
    in_flight: Arc<Mutex<InFlight>>,
    device: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.in_flight.lock().devices.remove(&self.device);
    }
}

/// Counts a request to an origin until it is dropped.
struct OfOrigin {
    in_flight: Arc<Mutex<InFlight>>,
    origin: String,
}

impl Drop for OfOrigin {
    fn drop(&mut self) {
        let mut in_flight = self.in_flight.lock();
        if let Some(count) = in_flight.origins.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                in_flight.origins.remove(&self.origin);
            }
        }
    }
}

/// Sends pushes until `stop`.
///
/// # Errors
/// [`HostError`] if the HTTP client cannot be created.
pub async fn run(
    plugin: &Arc<Notifications>,
    pushing: &Arc<Pushing>,
    stop: CancellationToken,
) -> Result<(), HostError> {
    let table = &plugin.settings.table;
    let ttl = Duration::from_secs(u64::from(table.push_ttl_seconds));
    let sender = Arc::new(Sender::new(pushing.settings.clone(), ttl)?);
    let most = table.push_concurrency as usize;
    let worker = Worker {
        plugin: Arc::clone(plugin),
        pushing: Arc::clone(pushing),
        sender,
        slots: Arc::new(Semaphore::new(most)),
        in_flight: Arc::default(),
        most_per_origin: most.div_ceil(2),
    };
    let worker = Arc::new(worker);
    while !stop.is_cancelled() {
        let woken = pushing.wake.notified();
        match worker.begin_due().await {
            // There is more, and slots are free.
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "queue of pushes could not be read"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = woken => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
    // The pushes in flight finish.
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(Duration::from_secs(15), worker.slots.acquire_many(all)).await;
    Ok(())
}

struct Worker {
    plugin: Arc<Notifications>,
    pushing: Arc<Pushing>,
    sender: Arc<Sender>,
    slots: Arc<Semaphore>,
    in_flight: Arc<Mutex<InFlight>>,
    most_per_origin: usize,
}

impl Worker {
    /// Begins the pushes that are due. Returns true if the queue may have more that can begin now.
    async fn begin_due(self: &Arc<Self>) -> Result<bool, HostError> {
        let due = self.pushing.queue.due().await?;
        let is_full = due.len() >= AT_ONCE;
        let mut begun = 0;
        for push in due {
            let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() else {
                // A slot that becomes free wakes the worker.
                return Ok(false);
            };
            if !self.in_flight.lock().devices.insert(push.device.clone()) {
                if is_full {
                    // Pushes that cannot begin must not hide others.
                    self.pushing.queue.delay(&push, now() + BUSY).await?;
                }
                continue;
            }
            let slot = Slot {
                in_flight: Arc::clone(&self.in_flight),
                device: push.device.clone(),
                _permit: permit,
            };
            let Some(push) = self.pushing.queue.take(&push).await? else {
                continue;
            };
            begun += 1;
            let worker = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = worker.serve(&push).await {
                    tracing::warn!(%error, "push could not be sent");
                }
                drop(slot);
                worker.pushing.wake.notify_one();
            });
        }
        Ok(is_full && begun > 0)
    }

    /// Sends one push that was taken, and records the outcome.
    async fn serve(&self, push: &Push) -> Result<(), HostError> {
        let Some(device) = self.pushing.devices.get(&push.device).await? else {
            return self.pushing.queue.forget(&push.device).await;
        };
        if device.user_id != push.user_id || push.expires_at <= now() {
            return self.drop_push(push, "expired").await;
        }
        if device.blocked_until > now() {
            let queue = &self.pushing.queue;
            return queue.retry(push, device.blocked_until, false).await;
        }
        let Some(payload) = self.payload(push).await? else {
            return self.drop_push(push, "obsolete").await;
        };
        let Some(of_origin) = self.count_origin(&device) else {
            return self.pushing.queue.retry(push, now() + BUSY, false).await;
        };
        let (host, keys) = (&self.plugin.host, &self.pushing.keys);
        let outcome = self
            .sender
            .send(host, keys, &device, push, &payload)
            .await?;
        drop(of_origin);
        self.settle(push, &device, outcome).await
    }

    /// Counts a request to the origin of a device; `None` if there are too many.
    fn count_origin(&self, device: &Device) -> Option<OfOrigin> {
        let origin = match device.platform {
            Platform::Web => Url::parse(&device.address)
                .ok()?
                .origin()
                .ascii_serialization(),
            Platform::Fcm | Platform::Apns => "gateway".to_owned(),
        };
        let mut in_flight = self.in_flight.lock();
        let count = in_flight.origins.entry(origin.clone()).or_default();
        if *count >= self.most_per_origin {
            return None;
        }
        *count += 1;
        Some(OfOrigin {
            in_flight: Arc::clone(&self.in_flight),
            origin,
        })
    }

    /// Returns what a push says now; `None` if there is nothing left to say.
    async fn payload(&self, push: &Push) -> Result<Option<Value>, HostError> {
        match &push.subject {
            Subject::Notification { notification } => {
                let item = self.plugin.items.get(&push.user_id, notification).await?;
                let unread = item.filter(|item| !item.is_read);
                Ok(unread.as_ref().map(payload::of_notification))
            }
            Subject::Messages { conversation } => {
                let query = NewsQuery {
                    conversation: conversation.clone(),
                    after: push.after,
                    until: push.until,
                    not_before: self.plugin.not_before(),
                    large_from: self.plugin.settings.table.large_conversation,
                    members: NewsMembers::Only(push.user_id.clone()),
                };
                let news = self.plugin.host.audience.news(query).await?;
                Ok(news.as_ref().and_then(|news| {
                    let recipient = news.recipients.first()?;
                    payload::of_messages(conversation, news, recipient)
                }))
            }
        }
    }

    async fn drop_push(&self, push: &Push, reason: &'static str) -> Result<(), HostError> {
        counter!("chat_notifications_dropped_total", "reason" => reason).increment(1);
        self.pushing.queue.finish(push).await
    }

    async fn settle(
        &self,
        push: &Push,
        device: &Device,
        outcome: Outcome,
    ) -> Result<(), HostError> {
        let Pushing { queue, devices, .. } = &*self.pushing;
        let name = match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Gone => "gone",
            Outcome::Wait(_) => "wait",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        };
        counter!("chat_notifications_pushes_total", "outcome" => name).increment(1);
        let (wait, is_refusal) = match outcome {
            Outcome::Accepted => {
                devices.accepted(device).await?;
                return queue.finish(push).await;
            }
            Outcome::Gone => {
                devices.remove(&device.id).await?;
                return queue.forget(&device.id).await;
            }
            Outcome::Refused(_) if device.refusals + 1 >= MAX_REFUSALS => {
                tracing::info!(device = device.id, "device was removed after its refusals");
                devices.remove(&device.id).await?;
                return queue.forget(&device.id).await;
            }
            Outcome::Refused(_) => (None, true),
            Outcome::Wait(wait) => (Some(wait.map_or(DEFAULT_WAIT, millis)), false),
            Outcome::Failed(wait) => (wait.map(millis), false),
        };
        let until = now() + wait.unwrap_or_else(|| pause(device.failures));
        devices.failed(device, is_refusal, until).await?;
        // A service that only wants a pause has not refused the push.
        let is_last = push.attempts >= MAX_ATTEMPTS && !matches!(outcome, Outcome::Wait(_));
        if is_last || until >= push.expires_at || outcome == Outcome::Refused(413) {
            self.drop_push(push, "failed").await?;
        } else {
            queue.retry(push, until, true).await?;
        }
        queue.hold(&device.id, until).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Returns the pause after the failure that follows `failures` others, in milliseconds. It varies, so that devices do not return together.
fn pause(failures: i64) -> i64 {
    let exponent = u32::try_from(failures.clamp(0, 6)).unwrap_or(6);
    let pause = FIRST_PAUSE
        .saturating_mul(4_i64.pow(exponent))
        .min(LONGEST_PAUSE);
    pause + pause * i64::from(rand::random::<u8>()) / 1280
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        assert!((5_000..6_000).contains(&pause(0)));
        assert!((20_000..24_000).contains(&pause(1)));
        assert!((3_600_000..4_320_001).contains(&pause(50)));
    }
}

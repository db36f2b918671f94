//! Delivery of one endpoint's events: an attempt, its record, and the decision on the next attempt.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Timestamp,
    plugin::{BoxFuture, Consumer, Delivery, Verdict},
};
use metrics::{counter, histogram};

use crate::{
    Webhooks,
    circuit::Circuit,
    endpoints::Endpoint,
    records::{Line, Outcome},
    send::{Refused, Sender},
};

/// Pause before the retry of an event that could be neither delivered nor kept because the database is unavailable.
const AFTER_FAULT: Duration = Duration::from_secs(10);
/// Pause before the retry of an event whose endpoint is gone; it may be enabled again.
const AFTER_GONE: Duration = Duration::from_secs(5);
/// First pause of an endpoint that keeps failing, if its schedule is empty.
const FIRST_REST: Duration = Duration::from_secs(30);
/// Maximum pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// Consumer that delivers events to one endpoint.
pub struct Deliverer {
    /// The webhooks plugin, which shares its settings and storage.
    pub plugin: Arc<Webhooks>,
    /// The endpoint as it was when this worker was started.
    pub endpoint: Endpoint,
    /// Pauses between attempts.
    schedule: Vec<Duration>,
    retries: u32,
    sender: Arc<Sender>,
    circuit: Circuit,
}

/// Outcome of an attempt.
pub enum AttemptOutcome {
    /// The endpoint accepted the event.
    Delivered,
    /// The event must be tried again after this pause.
    Again(Duration),
    /// The event was given up and is kept as a dead letter.
    Dead,
}

impl Deliverer {
    /// Creates the consumer for `endpoint`.
    pub fn new(plugin: Arc<Webhooks>, endpoint: Endpoint, sender: Arc<Sender>) -> Self {
        let settings = &plugin.settings;
        let schedule = endpoint.schedule(settings);
        let first_rest = schedule.first().map_or(FIRST_REST, |first| *first * 6);
        Self {
            circuit: Circuit::new(settings.table.circuit_failures, first_rest),
            retries: endpoint.retries(settings),
            schedule,
            plugin,
            endpoint,
            sender,
        }
    }

    /// Makes one attempt and records it.
    pub async fn try_once(&self, delivery: &Delivery) -> AttemptOutcome {
        let (settings, secrets) = (&self.plugin.settings, &*self.plugin.host.secrets);
        let Some(url) = &self.endpoint.url else {
            return AttemptOutcome::Again(AFTER_GONE);
        };
        let keys = match self.endpoint.keys(secrets, settings) {
            Ok(keys) => keys,
            Err(error) => {
                tracing::error!(endpoint = %self.endpoint.id, %error, "endpoint secret could not be decrypted");
                return AttemptOutcome::Again(AFTER_FAULT);
            }
        };
        let sent = self.sender.attempt(url, &keys, delivery).await;
        let seconds = sent.attempt.duration_ms as f64 / 1000.0;
        let label = if sent.result.is_ok() {
            "delivered"
        } else {
            "failed"
        };
        histogram!("chat_webhooks_attempt_seconds", "outcome" => label).record(seconds);
        let (outcome, tried) = match &sent.result {
            Ok(()) => (Outcome::Delivered, self.succeeded(delivery).await),
            Err(refused) => self.failed(delivery, refused).await,
        };
        let pause = match tried {
            AttemptOutcome::Again(pause) if outcome == Outcome::Retrying => Some(pause),
            _ => None,
        };
        self.plugin.records.note(Line {
            endpoint_id: self.endpoint.id.clone(),
            event_id: delivery.event_id.clone(),
            kind: delivery.kind.clone(),
            attempt: sent.attempt,
            outcome,
            next_attempt_at: pause.map(|pause| {
                Timestamp::from_millis(Timestamp::now().as_millis() + pause.as_millis() as i64)
            }),
        });
        tried
    }

    async fn succeeded(&self, delivery: &Delivery) -> AttemptOutcome {
        self.circuit.succeeded();
        counter!("chat_webhooks_deliveries_total", "outcome" => "delivered").increment(1);
        if delivery.is_replay
            && let Err(error) = self
                .plugin
                .letters
                .settle(&self.endpoint.id, &delivery.event_id)
                .await
        {
            tracing::warn!(%error, "delivered dead letter could not be removed from the list");
        }
        AttemptOutcome::Delivered
    }

    async fn failed(&self, delivery: &Delivery, refused: &Refused) -> (Outcome, AttemptOutcome) {
        counter!("chat_webhooks_deliveries_total", "outcome" => "failed").increment(1);
        if refused.is_gone {
            self.disable().await;
            return (Outcome::Retrying, AttemptOutcome::Again(AFTER_GONE));
        }
        if let Some(pause) = self.circuit.failed() {
            self.rest(pause).await;
        }
        if delivery.attempt > self.retries {
            let kept = self
                .plugin
                .letters
                .keep(
                    &self.endpoint.id,
                    delivery,
                    delivery.attempt,
                    &refused.reason,
                )
                .await;
            return match kept {
                Ok(()) => {
                    counter!("chat_webhooks_dead_letters_total").increment(1);
                    tracing::warn!(
                        endpoint = %self.endpoint.id, event = %delivery.event_id, attempts = delivery.attempt,
                        trace = %delivery.trace.trace_id(),
                        "event given up after the last attempt and kept as a dead letter"
                    );
                    (Outcome::Dead, AttemptOutcome::Dead)
                }
                Err(error) => {
                    tracing::warn!(%error, "dead letter could not be stored; the event will be retried");
                    (Outcome::Retrying, AttemptOutcome::Again(AFTER_FAULT))
                }
            };
        }
        let pause = pause(&self.schedule, delivery.attempt, refused.retry_after);
        (Outcome::Retrying, AttemptOutcome::Again(pause))
    }

    /// Disables an endpoint that answered 410. Its events wait in its durable in case it is enabled again.
    async fn disable(&self) {
        let id = &self.endpoint.id;
        let reason = "it answered 410 Gone";
        match self.plugin.endpoints.enable(id, Some(reason), false).await {
            Ok(_) => {
                tracing::warn!(endpoint = %id, "endpoint answered 410 Gone and was disabled")
            }
            Err(error) => {
                tracing::warn!(%error, endpoint = %id, "endpoint could not be disabled")
            }
        }
    }

    async fn rest(&self, pause: Duration) {
        let id = &self.endpoint.id;
        counter!("chat_webhooks_circuit_opened_total").increment(1);
        tracing::warn!(endpoint = %id, seconds = pause.as_secs_f64(), "endpoint keeps failing; its deliveries were paused");
        if let Err(error) = self.plugin.host.events.pause(id, pause).await {
            tracing::warn!(%error, endpoint = %id, "durable could not be paused");
        }
    }
}

impl Consumer for Deliverer {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            match self.try_once(&delivery).await {
                AttemptOutcome::Delivered | AttemptOutcome::Dead => Verdict::Done,
                AttemptOutcome::Again(pause) => Verdict::RetryAfter(pause),
            }
        })
    }
}

/// Returns the pause after attempt `attempt`: that of the schedule, up to a fifth longer or shorter, and at least the time that the endpoint asked for.
///
/// The jitter spreads the retries of events that failed together.
fn pause(schedule: &[Duration], attempt: u32, asked: Option<Duration>) -> Duration {
    let index = (attempt.max(1) as usize - 1).min(schedule.len().saturating_sub(1));
    let planned = schedule.get(index).copied().unwrap_or(AFTER_FAULT);
    let jittered = planned.mul_f64(rand::random_range(0.8..1.2));
    jittered.max(asked.unwrap_or_default()).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_schedule_jitter_and_retry_after() {
        let schedule = [Duration::from_secs(5), Duration::from_secs(30)];
        let mut seen = std::collections::HashSet::new();
        for (attempt, base) in [(1, 5.0), (2, 30.0), (3, 30.0), (100, 30.0)] {
            for _ in 0..50 {
                let pause = pause(&schedule, attempt, None);
                assert!(
                    (base * 0.8..=base * 1.2).contains(&pause.as_secs_f64()),
                    "{pause:?}"
                );
                seen.insert(pause);
            }
        }
        assert!(seen.len() > 100, "pauses have jitter");
        let asked = Some(Duration::from_secs(20));
        assert_eq!(pause(&schedule, 1, asked), Duration::from_secs(20));
        assert!(pause(&schedule, 2, asked) >= Duration::from_secs(24));
        assert_eq!(pause(&[LONGEST_PAUSE * 2], 1, None), LONGEST_PAUSE);
    }
}

//! Hooks over NATS: a request on `<prefix>.hook.<plugin>`, which one of the plugin's instances answers.
//!
//! The instances subscribe in one queue group. The broker's configuration binds the subject to the plugin's account.

use std::sync::Arc;

use async_nats::{Request, client::RequestErrorKind};
use chat_sdk::plugin::{BoxFuture, Hook, HookFault, HookRequest, HookSpec, HookVerdict};

use super::Bus;
use crate::model::bounds;

/// Hook of one plugin.
pub struct NatsHook {
    bus: Bus,
    spec: HookSpec,
}

impl NatsHook {
    /// Returns the hook of the plugin that has the name of `spec`.
    pub fn new(bus: Bus, spec: HookSpec) -> Self {
        Self { bus, spec }
    }

    /// Sends the probe `{"probe":true}`.
    ///
    /// # Errors
    /// The reason why no instance answered with a verdict: what to check in the plugin and in the broker's accounts.
    pub async fn probe(&self) -> Result<(), HookFault> {
        let subject = self.bus.subjects.hook(&self.spec.name);
        // The broker tells the service neither that a subscription was denied nor that an answer was.
        let answer = self.send(br#"{"probe":true}"#.to_vec()).await;
        answer.map(drop).map_err(|failure| match failure {
            Failure::Silent => HookFault::new(format!(
                "no answer to a request on {subject} arrived in time: the instance is blocked, or its account may not publish answers (allow_responses)"
            )),
            Failure::Alone => HookFault::new(format!(
                "nobody receives requests on {subject}: no instance is connected, its account may not subscribe to this subject, or the service's account does not import it"
            )),
            Failure::Other(fault) => fault,
        })
    }

    async fn send(&self, payload: Vec<u8>) -> Result<HookVerdict, Failure> {
        if payload.len() > bounds::NATS_GROUP {
            let fault = HookFault::new("the request is too large for the broker");
            return Err(Failure::Other(fault));
        }
        let request = Request::new()
            .payload(payload.into())
            .timeout(Some(self.spec.timeout));
        let subject = self.bus.subjects.hook(&self.spec.name);
        let answer = self.bus.client.send_request(subject, request).await;
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::Alone,
            RequestErrorKind::TimedOut => Failure::Silent,
            _ => Failure::Other(HookFault::new("the broker could not be reached")),
        })?;
        HookVerdict::parse(&answer.payload).map_err(Failure::Other)
    }
}

/// Reason why a request got no verdict.
enum Failure {
    /// Nobody is subscribed to the subject.
    Alone,
    /// No answer arrived in time.
    Silent,
    Other(HookFault),
}

impl From<Failure> for HookFault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Alone => Self::new("no instance of the plugin is connected"),
            Failure::Silent => Self::new("it did not answer in time"),
            Failure::Other(fault) => fault,
        }
    }
}

impl Hook for NatsHook {
    fn spec(&self) -> HookSpec {
        self.spec.clone()
    }

    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>> {
        Box::pin(async move {
            let payload = serde_json::to_vec(&request)
                .map_err(|_| HookFault::new("the request cannot be encoded"))?;
            Ok(self.send(payload).await?)
        })
    }
}

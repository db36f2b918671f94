//! One request: to a browser's push service, encrypted by RFC 8291, or to the host's gateway, signed as webhooks are.
//!
//! No response body is kept: an endpoint comes from a user, who must learn nothing from the answer of a foreign server.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use chat_sdk::{
    Timestamp,
    outbound::{
        address::SystemLookup,
        client,
        sign::{Keys, Signed},
    },
    plugin::{Host, HostError},
};
use reqwest::{
    Client, RequestBuilder,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    encrypt::encrypt,
    keys::Keys as VapidKeys,
    queue::Push,
    subscriptions::{Device, Platform},
};
use crate::settings::PushSettings;

/// User agent of the requests.
const AGENT: &str = concat!("chat-service-notifications/", env!("CARGO_PKG_VERSION"));

/// Outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service has accepted the push.
    Accepted,
    /// The device is gone (404, 410), or was made with a key that is lost.
    Gone,
    /// The service wants a pause (429), of this length if it says one.
    Wait(Option<Duration>),
    /// The push itself is refused, with this status (400 to 499).
    Refused(u16),
    /// The service failed or did not answer, and wants a pause of this length if it says one.
    Failed(Option<Duration>),
}

/// Sender of pushes.
pub struct Sender {
    web: Client,
    gateway: Client,
    settings: PushSettings,
    ttl: Duration,
}

impl Sender {
    /// Creates a sender. A push service keeps a push for `ttl`.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub fn new(settings: PushSettings, ttl: Duration) -> Result<Self, HostError> {
        let client = |reach| {
            let made = client::guarded(AGENT, reach, settings.timeout, Arc::new(SystemLookup));
            made.map_err(|error| {
                HostError::Unavailable(format!("HTTP client could not be created: {error}"))
            })
        };
        Ok(Self {
            web: client(settings.reach)?,
            gateway: client(settings.gateway_reach)?,
            settings,
            ttl,
        })
    }

    /// Sends `payload` to a device.
    ///
    /// # Errors
    /// [`HostError`] if the key of the subscription cannot be read.
    pub async fn send(
        &self,
        host: &Host,
        keys: &VapidKeys,
        device: &Device,
        push: &Push,
        payload: &Value,
    ) -> Result<Outcome, HostError> {
        let request = match device.platform {
            Platform::Web => self.web_request(host, keys, device, push, payload).await?,
            Platform::Fcm | Platform::Apns => self.gateway_request(device, push, payload),
        };
        let Some(request) = request else {
            return Ok(Outcome::Gone);
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(reason = client::explain(&error), "push was not sent");
                return Ok(Outcome::Failed(None));
            }
        };
        let wait = client::retry_after(response.headers(), Timestamp::now());
        Ok(match response.status().as_u16() {
            200..=299 => Outcome::Accepted,
            404 | 410 => Outcome::Gone,
            429 => Outcome::Wait(wait),
            status @ 400..=499 => Outcome::Refused(status),
            _ => Outcome::Failed(wait),
        })
    }

    fn urgency(push: &Push) -> &'static str {
        if push.is_urgent { "high" } else { "normal" }
    }

    /// Returns the request to a push service; `None` if the subscription cannot be used any more.
    async fn web_request(
        &self,
        host: &Host,
        keys: &VapidKeys,
        device: &Device,
        push: &Push,
        payload: &Value,
    ) -> Result<Option<RequestBuilder>, HostError> {
        // The rules may have become stricter since the registration.
        let Ok(url) = self.settings.reach.check_url(&device.address) else {
            return Ok(None);
        };
        let origin = url.origin().ascii_serialization();
        let authorization = keys.authorization(host, &device.vapid, &origin).await?;
        let (Some(authorization), Some(body)) = (authorization, body_for(device, payload)) else {
            return Ok(None);
        };
        let request = self
            .web
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_ENCODING, "aes128gcm")
            .header("TTL", self.ttl.as_secs())
            .header("Urgency", Self::urgency(push))
            .header("Topic", push.subject.topic())
            .body(body);
        Ok(Some(request))
    }

    /// Returns the request to the gateway; `None` if there is none any more.
    fn gateway_request(
        &self,
        device: &Device,
        push: &Push,
        payload: &Value,
    ) -> Option<RequestBuilder> {
        let gateway = self.settings.gateway.as_ref()?;
        let url: Url = self.settings.gateway_reach.check_url(&gateway.url).ok()?;
        let body = json!({
            "id": push.id, "deviceId": device.id, "platform": device.platform, "token": device.address,
            "payload": payload, "ttlSeconds": self.ttl.as_secs(), "urgency": Self::urgency(push),
            "collapseKey": push.subject.topic(),
        });
        let body = Bytes::from(serde_json::to_vec(&body).ok()?);
        let keys = Keys {
            newest: gateway.key.clone(),
            previous: None,
        };
        // A repeated attempt has the same id; a push that has grown since has another one.
        let id = format!("{}:{}", push.id, push.until);
        let event = Signed {
            id: &id,
            kind: "push.send",
            at: Timestamp::now(),
        };
        Some(client::sign(self.gateway.post(url), event, &keys, body))
    }
}

/// Encrypts a payload for a browser; `None` if its keys cannot be used.
fn body_for(device: &Device, payload: &Value) -> Option<Vec<u8>> {
    let bytes = |text: &str| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .ok()
    };
    let auth: [u8; 16] = bytes(&device.auth)?.try_into().ok()?;
    let plain = serde_json::to_vec(payload).ok()?;
    encrypt(&plain, &bytes(&device.p256dh)?, &auth)
}

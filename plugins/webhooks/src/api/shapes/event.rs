//! Events as endpoints receive them, for the bodies of operations.

use std::borrow::Cow;

use chat_sdk::{
    EventId, Timestamp,
    events::{EVENTS_OF_WEBHOOKS, any_event},
};
use poem_openapi::{
    Object,
    registry::{MetaSchemaRef, Registry},
    types::{ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Serialize;
use serde_json::Value;

/// Type of a test event.
pub const TEST: &str = "webhook.test";

/// Event as an endpoint receives it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct WebhookEvent(pub Value);

/// Test event of an endpoint.
#[derive(Debug, Serialize, Object)]
pub struct WebhookTestEvent {
    /// Id of the event, the same at every attempt.
    pub id: EventId,
    /// Always `webhook.test`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// Version of the event's shape.
    pub version: u32,
    /// Time at which the test was requested.
    pub timestamp: Timestamp,
    /// Data of the event: the tested endpoint.
    pub data: WebhookTestData,
}

/// Data of a test event.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WebhookTestData {
    /// Id of the tested endpoint.
    pub webhook_id: String,
}

impl Type for WebhookEvent {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "WebhookEvent".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        WebhookTestEvent::register(registry);
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_| {
            any_event(
                EVENTS_OF_WEBHOOKS,
                "Event as an endpoint receives it.",
                vec![(TEST, WebhookTestEvent::name().into_owned())],
            )
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for WebhookEvent {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(value.unwrap_or_default()))
    }
}

impl ToJSON for WebhookEvent {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

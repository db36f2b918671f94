//! Bodies of the operations, one module per resource.

mod delivery;
mod endpoint;
mod event;
mod letter;
mod pull;

pub use delivery::{
    BackfillWebhook, DeliveryAttempts, DeliveryStatus, ReplayResult, WebhookDelivery,
    WebhookDeliveryPage, WebhookTest,
};
pub use endpoint::{CreateWebhook, UpdateWebhook, Webhook, WebhookPage, WebhookWithSecret};
pub use event::{TEST, WebhookEvent, WebhookTestData, WebhookTestEvent};
pub use letter::{DeadLetter, DeadLetterPage, ReplayDeadLetters};
pub use pull::{AcknowledgeEvents, AcknowledgedEvents, PulledEvents};

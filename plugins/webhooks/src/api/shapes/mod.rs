//! The bodies of the operations, each beside the noun that it is about.

mod delivery;
mod endpoint;
mod letter;
mod pull;

pub use delivery::{
    AttemptList, Backfill, DeliveryPage, DeliveryStatus, Replayed, TestSent, WebhookDelivery,
};
pub use endpoint::{CreateWebhook, Webhook, WebhookChange, WebhookPage, WebhookWithSecret};
pub use letter::{DeadLetter, DeadLetterPage, Replay};
pub use pull::{Acknowledge, Acknowledged, PulledEvents};

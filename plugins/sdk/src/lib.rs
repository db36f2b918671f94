//! The contract of Chat Service: its resources, ids, times and event catalogue.
//!
//! All interfaces of the service (REST, WebSocket, NATS, webhooks) use the types of this crate, so that a resource has the same name and shape everywhere.
//! Plugins depend on this crate and on no other part of the service. It does no I/O of its own; it includes the types of the database and of HTTP that
//! plugins work with.

pub mod events;
pub mod hosts;
pub mod http;
pub mod ids;
mod metadata;
pub mod nouns;
mod openapi;
mod patch;
pub mod patterns;
pub mod plugin;
pub mod scheduled;
pub mod text;
mod time;
mod trace;
pub mod whole_number;

pub use events::{Envelope, EventType};
pub use ids::{ConversationId, EventId, GivenUserId, IdError, MessageId, ScheduledId, UserId};
pub use metadata::Metadata;
pub use nouns::*;
pub use patch::Patch;
pub use scheduled::{ScheduledFailure, ScheduledMessage, ScheduledStatus};
pub use time::Timestamp;
pub use trace::{NoTraceParent, TraceParent};

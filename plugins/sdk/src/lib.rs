//! The contract of Chat Service: its resources, ids, times and event catalogue.
//!
//! All interfaces of the service (REST, WebSocket, NATS, webhooks) use the types of this crate, so that a resource has the same name and shape everywhere.
//! Plugins depend on this crate and on no other part of the service. It names no database and no broker; it includes the types of HTTP that plugins work
//! with, and the client for requests to foreign URLs (`outbound`).

pub mod commands;
pub mod events;
pub mod hosts;
pub mod http;
pub mod ids;
mod metadata;
pub mod nouns;
mod openapi;
pub mod outbound;
mod patch;
pub mod patterns;
pub mod plugin;
pub mod scheduled;
pub mod settings;
pub mod text;
mod time;
mod trace;
mod upserted;
pub mod whole_number;

pub use events::{Envelope, EventType};
pub use ids::{ConversationId, EventId, GivenUserId, IdError, MessageId, ScheduledId, UserId};
pub use metadata::{Metadata, json_len};
pub use nouns::*;
pub use patch::Patch;
pub use scheduled::{ScheduledFailure, ScheduledMessage, ScheduledStatus};
pub use time::Timestamp;
pub use trace::{NoTraceParent, TraceParent};

//! The contract of Chat Service: its nouns, ids, times and event catalogue.
//!
//! Everything that crosses a border of the service (REST, WebSocket, NATS, webhooks) is made of the types here, so that the
//! same thing has the same name and shape everywhere. Plugins know this crate and nothing else of the service.
//! It does no I/O of its own; of the database and of HTTP it knows the types that plugins work with.

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

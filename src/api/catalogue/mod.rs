//! The catalogue of events as documents: JSON Schemas, and one AsyncAPI 3 document for sockets, NATS and webhooks. Built from the types of the sdk,
//! so that no document can differ from what is sent.
//!
//! It is beside the OpenAPI document because it uses the same schemas. It depends on no socket and no broker; it only describes their contents.

mod asyncapi;
mod commands;
pub mod committed;
mod hosts;
mod schemas;
mod sockets;
mod tables;

pub use asyncapi::documents;
pub use schemas::{fill_events, schema_files};

//! State that the operations share, and their groups in the OpenAPI document.

use std::sync::Arc;

use poem_openapi::Tags;

use crate::{
    domain::{Context, consumers::Consumers, registrations::Registrations},
    http::{EventStreams, caller::Callers, health::HealthChecks},
    plugins::Plugins,
};

/// Groups of operations in the OpenAPI document.
#[derive(Tags)]
pub enum Tag {
    /// Health, status and metrics of the service.
    Health,
    /// Users as the host manages them: sync, deletion, export. For the host's backend.
    #[oai(rename = "Users (Internal)")]
    UsersInternal,
    /// Profiles, blocks and status of users.
    Users,
    /// Conversations, their members, settings and logs.
    Conversations,
    /// Messages, threads, pins and scheduled messages.
    Messages,
    /// Reactions to messages.
    Reactions,
    /// Presence of users.
    Presence,
    /// Read and delivery receipts, and unread counts.
    #[oai(rename = "Read Receipts")]
    ReadReceipts,
    /// Live events as Server-Sent Events.
    Events,
    /// Durable consumers of hosts that receive events from NATS.
    #[oai(rename = "Admin/Consumers")]
    AdminConsumers,
    /// Plugins in other processes, with their hooks.
    #[oai(rename = "Admin/Plugins")]
    AdminPlugins,
}

/// Shared state of the HTTP API.
#[derive(Clone)]
pub struct ApiState {
    /// Context of the domain functions.
    pub ctx: Context,
    /// Authentication of the callers.
    pub callers: Arc<Callers>,
    /// Health of the process.
    pub health: HealthChecks,
    /// Source of event streams; `None` in a process without sockets.
    pub events: Option<Arc<dyn EventStreams>>,
    /// Plugins, which add routes.
    pub plugins: Plugins,
    /// Durable consumers of hosts.
    pub consumers: Consumers,
    /// Plugins in other processes.
    pub registrations: Registrations,
}

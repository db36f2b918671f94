//! The WebSocket node: clients' sockets and the delivery of events to them. The only user of tungstenite.
//!
//! # Modules
//! - [`handshake`]: from an HTTP request to a socket; the same port answers health checks.
//! - [`session`]: authentication of a token.
//! - [`connection`]: one task per socket: reads frames, runs commands, writes answers.
//! - [`flush`]: a few tasks for all sockets, which write the pushes.
//! - [`outlet`]: the write half of a socket, shared by both.
//! - [`event_stream`]: the same events for clients that only read (Server-Sent Events).
//! - [`feed`]: the frames and cursors of one client, for both transports.
//! - [`command`]: the commands of clients; each is one operation of the domain.
//! - [`hub`]: the subscriptions of sockets to conversations, and delivery in order. It follows the tail.
//! - `lately`: recent membership changes that the documents may not have yet.
//! - [`catch_up`]: the entries that a socket receives before live events.
//! - [`cursor`]: sealed resume positions.
//! - [`presence`], [`typing`]: delivery of presence and of typing indicators.
//! - [`close`]: reasons for closing a socket, and what the client does then. [`closing`]: the closing itself.
//!
//! # Invariants
//! - A socket receives the entries of a conversation in the order of their seqs, each once, from the position at which it joined, as long as it stays: the hub
//!   holds early entries back and reads missing ones from the log.
//! - A slow reader delays nobody else: its queue is bounded, and at the limit the socket is closed.
//! - An event is serialised once for all sockets.
//!
//! This module does not depend on `api` or `worker`.

pub mod catch_up;
pub mod close;
pub mod closing;
pub mod command;
pub mod connection;
pub mod cursor;
pub mod event_stream;
pub mod feed;
pub mod flush;
pub mod frame;
pub mod handshake;
pub mod hub;
mod lately;
mod memory;
pub mod outlet;
pub mod presence;
pub mod push;
pub mod session;
mod socket;
mod tracker;
pub mod typing;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Verifier,
    config::{Origins, Secret},
    domain::Context,
    health::Probe,
    limits::RateLimits,
};

pub use flush::Flushers;
pub use handshake::answer;
pub use hub::Hub;
pub use presence::Watchers;
pub use typing::Typing;

/// State that all sockets of this node share.
pub struct Node {
    /// Context of the domain's operations.
    pub ctx: Context,
    /// Verifies tokens.
    pub verifier: Verifier,
    /// Secret that the host's backend sends.
    pub internal_secret: Secret,
    /// Rate limits per caller.
    pub limits: Arc<RateLimits>,
    /// Origins of web pages that may connect.
    pub origins: Origins,
    /// Maximum number of sockets of one user on this node (`MAX_SOCKETS_PER_USER`).
    pub max_sockets_per_user: usize,
    /// Time between a token's expiry and the end of its socket (`AUTH_JWT_LEEWAY_SECONDS`).
    pub leeway: Duration,
    /// Tasks that write pushes.
    pub flushers: Flushers,
    /// Subscriptions of sockets, and delivery to them.
    pub hub: Arc<Hub>,
    /// Subscriptions to users' presence.
    pub watchers: Arc<Watchers>,
    /// Typing and recording indicators.
    pub typing: Arc<Typing>,
    /// Health and metrics of the process.
    pub probe: Arc<Probe>,
    /// Open connections. The process waits for them when it stops, so that each gets its close frame.
    pub connections: TaskTracker,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
}

/// The other end of a socket, as known from its request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Address of the client.
    pub address: IpAddr,
    /// True if the client sent the internal secret; then it is not rate-limited.
    pub is_host: bool,
}

//! The WebSocket node: clients' sockets, and the way of events to them. The one user of tungstenite.
//!
//! # Cast
//! - [`handshake`]: from an HTTP request to a socket; the same port answers health checks.
//! - [`session`]: who is behind a token.
//! - [`connection`]: one task per socket: reads frames, runs commands, writes answers.
//! - [`flush`]: a few tasks for all sockets, which write the pushes.
//! - [`outlet`]: the way out of a socket, for both.
//! - [`event_stream`]: the same events to clients that only read (Server-Sent Events).
//! - [`feed`]: what a client is given and with which cursors, whichever of the two it has.
//! - [`command`]: what a client may ask; each is one verb of the domain.
//! - [`hub`]: which sockets hear of which conversation, and in which order. It follows the tail.
//! - `lately`: memberships that began or ended so lately that the documents may not know it.
//! - [`catch_up`]: what a socket is given before live events.
//! - [`cursor`]: where to resume, sealed.
//! - [`presence`], [`typing`]: who is told who is there, and who is writing.
//! - [`close`]: why sockets are closed, and what the client then owes. [`closing`]: how.
//!
//! # Invariants
//! - A socket gets the entries of a conversation in the order of their numbers, each once, from where it began, as long as it stays: the hub holds back what comes
//!   too early and reads what is missing from the log.
//! - Nobody waits for a slow reader: its queue is bounded, and at the bound it is closed.
//! - An event is serialised once for all sockets.
//!
//! This room does not know `api` or `worker`.

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

/// What every socket of this node works with.
pub struct Node {
    /// The verbs.
    pub ctx: Context,
    /// Who checks tokens.
    pub verifier: Verifier,
    /// What the host's backend shows.
    pub internal_secret: Secret,
    /// How much each caller may ask for.
    pub limits: Arc<RateLimits>,
    /// Which pages may connect.
    pub origins: Origins,
    /// How many sockets one user may have here (`MAX_SOCKETS_PER_USER`).
    pub max_sockets_per_user: usize,
    /// How long after a token's end a socket is closed (`AUTH_JWT_LEEWAY_SECONDS`).
    pub leeway: Duration,
    /// Who writes pushes.
    pub flushers: Flushers,
    /// Who hears of what.
    pub hub: Arc<Hub>,
    /// Who hears of whose presence.
    pub watchers: Arc<Watchers>,
    /// Who is typing or recording.
    pub typing: Arc<Typing>,
    /// What the port answers to health checks.
    pub probe: Arc<Probe>,
    /// The open connections. The process waits for them when it ends, so that each gets its close frame.
    pub connections: TaskTracker,
    /// Cancelled when the process ends.
    pub stop: CancellationToken,
}

/// Who is at the other end of a socket, as far as its request tells.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client's address.
    pub address: IpAddr,
    /// Whether it showed the internal secret: then nothing of it is counted.
    pub is_host: bool,
}

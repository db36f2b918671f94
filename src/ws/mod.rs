//! The WebSocket node: clients' sockets and the delivery of events to them. The only user of tungstenite.
//!
//! # Modules
//! - [`handshake`]: from an HTTP request to a socket; the same port answers health checks.
//! - [`session`]: authentication of a token.
//! - [`socket`]: a socket: its queue of pushes. [`socket::connection`] is its task, which reads frames, runs commands and writes answers;
//!   [`socket::flush`] has the tasks that write the pushes of all sockets; [`socket::writer`] is the write half, shared by both.
//! - [`sse`]: the same events for clients that only read (Server-Sent Events).
//! - [`push`]: an entry or live frame, ready for all its readers; [`delivery`]: what one client has received, for both transports.
//! - [`commands`]: the commands of clients; each is one operation of the domain.
//! - [`hub`]: the subscriptions of sockets to conversations, and delivery in order. It follows the tail. `hub::memberships` has the recent membership
//!   changes that the documents may not have yet, and `hub::cache` the recent events.
//! - [`resume`]: the frames that a socket receives before live events: what it missed, and its rooms; [`resume::cursor`] has the sealed resume positions.
//! - [`presence`], [`typing`]: delivery of presence and of typing indicators.
//! - [`close`]: reasons for closing a socket, and what the client does then. [`socket::closing`]: the closing itself.
//!
//! # Invariants
//! - A socket receives the entries of a conversation in the order of their seqs, each once, from the position at which it joined, as long as it stays: the hub
//!   holds early entries back and reads missing ones from the log.
//! - A slow reader delays nobody else: its queue is bounded, and at the limit the socket is closed.
//! - An event is serialised once for all sockets.
//!
//! This module does not depend on `api` or `worker`.

pub mod close;
pub mod commands;
pub mod delivery;
pub mod handshake;
pub mod hub;
mod node;
pub mod presence;
pub mod push;
pub mod resume;
pub mod session;
pub mod signals;
pub mod socket;
pub mod sse;
pub mod typing;

pub use handshake::answer;
pub use hub::Hub;
pub use node::{Node, Peer};
pub use presence::Watchers;
pub use resume::Pacing;
pub use socket::flush::Flushers;
pub use typing::Typing;

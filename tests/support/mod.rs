//! Foundation of the tests: services in this process or as the real binary, users, sockets, and servers that a test may damage.
//!
//! Nothing here sleeps to let something happen: [`eventually`] asks until a condition holds or its time is over.

mod catalogue;
mod check;
mod client;
mod front;
mod isolation;
pub mod large;
mod link;
mod node;
mod orphan;
mod process;
pub mod raw_socket;
mod receiver;
mod record;
pub mod replica;
mod servers;
mod service;
mod socket;
mod stream;
mod token;
mod volume;

pub use catalogue::is_of_added_plugin;
pub use check::{Seen, eventually, eventually_within, in_an_hour, random_seed};
pub use client::{Answer, Client, User, http_client};
pub use front::Front;
pub use isolation::{INTERNAL_SECRET, JWT_SECRET, Sandbox, program};
pub use link::Link;
pub use node::Node;
pub use orphan::{insert_orphan, insert_orphan_text, wait_until_applied};
pub use process::{Process, free_port, mortal, signal};
pub use raw_socket::RawSocket;
pub use receiver::{Answering, Received, Receiver};
pub use record::record_of;
pub use servers::{Mongod, Nats, configure, configured};
pub use service::{Builder, LINK_SECRET, Service};
pub use socket::{Connect, ConnectError, Socket, TokenBy, switch};
pub use stream::{EventStream, Parser};
pub use volume::{cursor_before, large_message, many_groups, send_large, wait_until_offline};

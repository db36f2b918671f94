//! Foundation of the tests: services in this process or as the real binary, users, sockets, and servers that a test may damage.
//!
//! Nothing here sleeps to let something happen: [`eventually`] asks until a condition holds or its time is over.

mod catalogue;
mod check;
mod client;
mod front;
pub mod large;
mod line;
mod node;
mod place;
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

pub use check::{Seen, eventually, eventually_within, in_an_hour, random_seed};
pub use client::{Answer, Client, User};
pub use front::Front;
pub use line::Line;
pub use node::Node;
pub use place::{INTERNAL_SECRET, JWT_SECRET, Place, program};
pub use process::{Process, free_port, mortal};
pub use raw_socket::RawSocket;
pub use receiver::{Answering, Received, Receiver};
pub use record::record_of;
pub use servers::{Mongod, Nats, configure, configured};
pub use service::Service;
pub use socket::{Connect, Refusal, Socket, TokenBy, switch};
pub use stream::{EventStream, Parser};
pub use volume::{large_message, many_groups, send_large};

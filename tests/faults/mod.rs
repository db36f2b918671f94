//! Guarantees that hold through failures: services killed at the worst moments, NATS and MongoDB stopped, frozen, and losing data.

mod barrier;
mod crash;
mod erasure;
mod memory;
mod mongodb;
mod nats;
mod nodes;
mod parted;
mod presence;
mod refill;
mod restore;
mod set_aside;
mod sweep;
mod tasks;
mod timers;
mod together;
mod traffic;

pub use traffic::{Traffic, senders};

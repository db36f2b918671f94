//! What runs beside requests and sockets: the relay.
//!
//! Every task here may run in any number of processes; a lease lets one of them work.

pub mod relay;
mod seen;

pub use seen::Seen;

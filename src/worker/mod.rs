//! What runs beside requests and sockets: the relay, and the timers.
//!
//! Every task here may run in any number of processes; a lease lets one of them work.

pub mod relay;
mod retention;
mod seen;
pub mod timers;

pub use seen::Seen;

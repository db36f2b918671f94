//! Background tasks beside requests and sockets.
//!
//! They are the relay, the timers, presence between processes, and erasing what deleted users left.
//!
//! Every task here may run in any number of processes; for the relay, a lease lets one process work.

pub mod erasure;
pub mod hosts;
pub mod presence;
pub mod refills;
pub mod relay;
mod retention;
mod revoked;
mod streamed;
pub mod timers;

pub use revoked::Revoked;
pub use streamed::StreamedEntries;

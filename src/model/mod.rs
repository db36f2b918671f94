//! Pure rules of the product: the entries of a log, the state that they fold to, the checks of commands, and who may see what.
//!
//! Everything here is computed from its arguments. The traits name what `store` and `bus` provide to each other and to `domain`, so that these two
//! modules depend only on this one.
//!
//! This module imports no other module of the crate and does no I/O.

pub mod access;
pub mod blocks;
pub mod bounds;
pub mod catalogue;
pub mod command;
pub mod consumers;
pub mod conversations;
pub mod decide;
pub mod durables;
pub mod entry;
pub mod erasure;
pub mod error;
pub(crate) mod fields;
pub mod fold;
pub mod hashed;
pub mod held;
pub mod host_commands;
pub mod latest;
pub mod local_requests;
pub mod messages;
pub mod page;
pub mod participants;
pub mod pins;
pub mod plugin_events;
pub mod plugins;
pub mod presence;
pub mod reactions;
pub mod receipts;
pub mod scheduled;
pub mod signals;
pub mod size;
pub mod state;
pub mod users;
pub mod visibility;
pub mod writers;

pub use error::{DomainError, FieldError, Result};

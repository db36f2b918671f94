//! Sockets: connecting, commands, recipients of events, and closing.

mod closing;
mod commands;
mod connecting;
mod contract;
mod ending;
mod events;
mod fields;
mod large;
mod limits;
mod messages;
mod presence;
mod protocol;
mod rates;
mod receipts;
mod roles;
mod silence;
mod social;
mod tokens;

pub use contract::{check_ack, check_command, check_frame};
mod typing;

//! Hooks: what plugins may decide about operations, and what happens when they fail.

mod answers;
mod connect;
mod coverage;
mod failing;
mod held;
mod messages;
mod once;
mod python;
mod remote;
pub mod sample;
mod status;

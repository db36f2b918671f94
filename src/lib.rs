//! Chat Service: a pluggable real-time chat microservice.
//!
//! Every change to a conversation is one numbered entry in that conversation's log. The log is written to MongoDB and published to JetStream, and
//! everything else follows the stream.
//!
//! # Layout
//! The layout follows the path of the data. In: [`api`] or [`ws`] → an operation of [`domain`] → [`store::log`]. Out: [`store::log`] → [`bus`] → the
//! hub of [`ws`] → sockets. [`worker`] holds the background tasks. A resource has the same file name in every module.
//!
//! - `api`, `ws` and `worker` never import one another;
//! - `domain` knows no HTTP, no socket, no broker and no database driver;
//! - `store` and `bus` depend on [`model`] only, and never import each other;
//! - `model` has the pure rules and imports no other module.

pub mod api;
pub mod app;
pub mod auth;
pub mod bus;
pub mod cli;
pub mod config;
mod contract;
pub mod domain;
pub mod failpoint;
mod group;
pub mod http;
pub mod model;
pub mod plugins;
pub mod store;
pub mod tasks;
pub mod trace;
pub mod worker;
pub mod ws;

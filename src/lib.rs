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
//! - `store` and `bus` never import each other.

pub mod address;
pub mod api;
pub mod app;
pub mod auth;
pub mod bounds;
pub mod bus;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod edge;
pub mod failpoint;
mod group;
pub mod health;
pub mod limits;
pub mod listener;
pub mod plugins;
pub mod store;
pub mod tasks;
pub mod trace;
pub mod worker;
pub mod ws;

//! The tests of Chat Service from outside: real sockets, real HTTP, a real MongoDB and NATS. `./dev test` starts both and runs them. Only [`simulation`] runs
//! parts of the library instead: the log over a model of the database.
//!
//! Folders mirror the subjects of the tests. Every test has its own database and subject prefix, so all tests may run in parallel; tests of [`faults`] that
//! damage a server start their own.

#![allow(
    clippy::too_many_lines,
    reason = "a scenario reads best from its beginning to its end"
)]

mod accounts;
mod api;
mod attachments;
mod bounds;
mod complete;
mod docs;
mod examples;
mod faults;
mod front;
mod hooks;
mod hosts;
mod layers;
mod moderation;
mod notifications;
mod plugins;
mod resume;
mod simulation;
mod sse;
mod support;
mod webhooks;
mod ws;

//! The tests of Chat Service from outside: real sockets, real HTTP, a real MongoDB and NATS. `./dev test` starts both and runs them.
//!
//! Folders mirror the subjects of the tests. Every test has its own database and subject prefix, so all tests may run in parallel; tests of [`faults`] that
//! damage a server start their own.

mod api;
mod bounds;
mod complete;
mod docs;
mod examples;
mod faults;
mod front;
mod hosts;
mod layers;
mod plugins;
mod resume;
mod sse;
mod support;
mod webhooks;
mod ws;

//! The tests of Chat Service from outside: real sockets, real HTTP, a real MongoDB and NATS. `./dev test` starts both and runs them.
//!
//! Folders mirror what is tested. Every test has a database and a subject prefix of its own, so all may run side by side; those of [`faults`] that
//! hurt a server start their own.

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

//! Completeness: a client that reads everything by REST once and then follows a socket has exactly the current state of REST, after any operations.
//!
//! - [`table`]: every operation that changes something, and the events that each role receives. An operation, command or event type that is in no row fails
//!   here.
//! - [`everything`]: everything that the API documents list, each once through nginx.
//! - [`session`]: thousands of random operations.
//!
//! The model of a client is `tests/support/replica`.

mod conversations;
mod everything;
mod messages;
mod participants;
mod scenario;
mod session;
mod social;
mod table;
mod unlogged;
mod users;

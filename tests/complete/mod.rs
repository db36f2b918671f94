//! Completeness: whoever read everything by REST once and then followed a socket sees exactly what REST answers now, whatever was done by whom.
//!
//! - [`table`]: every operation that changes something, and what each role gets pushed. An operation, command or event type that is in no row fails here.
//! - [`everything`]: what the documents of the contract name, each once through nginx.
//! - [`session`]: thousands of random ones.
//!
//! The model of a client is `tests/support/replica`.

mod conversations;
mod everything;
mod messages;
mod participants;
mod passing;
mod scene;
mod session;
mod social;
mod table;
mod users;

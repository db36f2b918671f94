//! Limits in bytes: of an event, for every command that produces one, and of batches between processes and for MongoDB.

mod event;
mod groups;
mod log;

//! Bounds in bytes: of an event, whichever command makes it, and of what is put together between processes and for MongoDB.

mod event;
mod groups;
mod log;

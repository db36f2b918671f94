//! Event streams: `GET /api/events`, to clients that only read.

mod ending;
mod following;
mod opening;
mod resuming;

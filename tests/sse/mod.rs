//! Event streams: `GET /api/events`, for clients that only read.

mod ending;
mod following;
mod opening;
mod resuming;

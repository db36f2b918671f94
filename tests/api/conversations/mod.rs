//! `/api/conversations`: making, finding, changing, joining, leaving, deleting.

mod create;
mod direct;
mod list;
mod log;
mod participants;
mod preferences;
mod public;
mod retention;
mod settings;

//! `/api/conversations`: making, finding, changing, joining, leaving, deleting.

mod additions;
mod create;
mod direct;
mod list;
mod log;
mod many_members;
mod participants;
mod preferences;
mod public;
mod retention;
mod settings;

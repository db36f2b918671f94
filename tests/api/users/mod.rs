//! `/api/users`: what the host tells of users, what they tell of themselves, and who sees it.

mod blocks;
mod profile;
mod search;
mod sync;

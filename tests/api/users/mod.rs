//! `/api/users`: what the host tells of users, what they tell of themselves, and who sees it; and how they go.

mod blocks;
mod delete;
mod disconnect;
mod export;
mod profile;
mod reused;
mod search;
mod sync;

//! `/api/users`: sync by the host, profiles and their visibility, and deletion.

mod blocks;
mod delete;
mod disconnect;
mod export;
mod profile;
mod reused;
mod search;
mod sync;

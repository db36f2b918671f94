//! A person's data: finding it, erasing it, and reporting it.
//!
//! Modules: `jobs` holds the requests and their progress; `entries` erases data in entries, the only place that overwrites an entry's data; `private`
//! covers data of a user outside any log; `reactions` covers the user's own reactions; `ties` covers blocks and memberships.

mod entries;
mod jobs;
mod private;
mod reactions;
mod ties;

pub use private::{CONVERSATIONS_AT_ONCE, PrivateData};
pub use reactions::OwnReaction;

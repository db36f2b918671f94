//! A person's data: found, erased, and the report of it.
//!
//! Cast: `jobs` is what was asked for and how far it came; `entries` erases what entries say, the one place where an entry's data is overwritten;
//! `private` is what is kept of a user outside any log; `reactions` are the user's own; `ties` is who and what the user is bound up with.

mod entries;
mod jobs;
mod private;
mod reactions;
mod ties;

pub use private::{CONVERSATIONS_AT_ONCE, PrivateData};
pub use reactions::OwnReaction;

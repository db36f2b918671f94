//! Parts of requests and responses that the operations share: bodies, ids in paths, pages, replies.
//!
//! Modules: `body` checks a body against its published schema, with the parts of [`crate::contract`]; `path` has the ids of paths, `page` the lists,
//! `reply` the success responses.

pub(super) mod body;
pub(super) mod page;
pub(super) mod path;
pub(super) mod reply;

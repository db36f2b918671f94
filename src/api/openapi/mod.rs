//! The OpenAPI document: it is built from the operations, and the router and the checks of bodies follow it.
//!
//! Modules: `document` builds it; `responses` adds the error responses, `examples` the examples; `text` writes
//! documents as they are committed; `docs` serves them;
//! `published` has what the answers to requests follow.

pub(super) mod docs;
pub(super) mod document;
pub(super) mod examples;
pub(super) mod published;
pub(super) mod responses;
pub(super) mod text;

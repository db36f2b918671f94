//! Change of one field: keep, clear or set.

pub use chat_sdk::Patch;

//! A field of a change: left alone, cleared, or set.

pub use chat_sdk::Patch;

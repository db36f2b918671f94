//! Requests to URLs that hosts and users give: the addresses that may be reached, the client, and the signatures of webhooks.
//!
//! Every plugin that calls such a URL uses this module, so that the rules are the same for all.

pub mod address;
pub mod client;
pub mod sign;

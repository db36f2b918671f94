//! Signals of plugins: ephemeral events to connected sockets.

use chat_sdk::Metadata;
use serde::{Deserialize, Serialize};

use super::entry::Owner;

/// Maximum size of a signal's data as JSON, in bytes.
pub const MAX_SIGNAL: usize = 64 * 1024;

/// Ephemeral event on its way to the nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Receivers: the members of a conversation, or a user.
    pub to: Owner,
    /// Name of the event over sockets.
    pub frame: String,
    /// Its data.
    pub data: Metadata,
}

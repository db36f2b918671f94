//! Plugins that are registered at run time, or by the configuration: each is a hook in another process.

use chat_sdk::{Timestamp, plugin::HookSpec, settings::Secret};

/// Secret that signs requests over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningSecret {
    /// Encrypted, as it is stored.
    Sealed(String),
    /// From the configuration.
    Plain(Secret),
}

/// A registered plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredPlugin {
    /// Name of the plugin and its hook.
    pub name: String,
    /// Purpose, for operators.
    pub description: Option<String>,
    /// URL of a hook over HTTP; `None` for one over NATS.
    pub url: Option<String>,
    /// Secret that signs requests over HTTP; `None` over NATS.
    pub secret: Option<SigningSecret>,
    /// Declaration of the hook.
    pub spec: HookSpec,
    /// Time of the registration.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

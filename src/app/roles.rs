//! Roles of a process.

/// Roles that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// REST, writing for shards, and the relay.
    pub api: bool,
    /// WebSocket connections.
    pub ws: bool,
    /// Delivery of webhooks.
    pub webhooks: bool,
}

impl Roles {
    /// Names of the roles.
    pub const NAMES: [&'static str; 3] = ["api", "ws", "webhooks"];

    /// Returns all roles, for a single process.
    pub fn all() -> Self {
        Self {
            api: true,
            ws: true,
            webhooks: true,
        }
    }

    /// Parses a comma-separated list of roles.
    ///
    /// # Errors
    /// Fails with a sentence if a name is unknown or the list is empty.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut roles = Self {
            api: false,
            ws: false,
            webhooks: false,
        };
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name {
                "api" => roles.api = true,
                "ws" => roles.ws = true,
                "webhooks" => roles.webhooks = true,
                "all" => roles = Self::all(),
                other => {
                    return Err(format!(
                        "{other} is no role of this version; there are {}",
                        Self::NAMES.join(", ")
                    ));
                }
            }
        }
        if roles.api || roles.ws || roles.webhooks {
            Ok(roles)
        } else {
            Err("name at least one role".to_owned())
        }
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        let mut names = Vec::new();
        names.extend(self.api.then_some("api"));
        names.extend(self.ws.then_some("ws"));
        names.extend(self.webhooks.then_some("webhooks"));
        names
    }
}

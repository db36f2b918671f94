//! Roles of a process.

use chat_sdk::plugin::Role;

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
                    let names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
                    return Err(format!(
                        "{other} is no role of this version; there are {}",
                        names.join(", ")
                    ));
                }
            }
        }
        if roles.names().is_empty() {
            return Err("name at least one role".to_owned());
        }
        Ok(roles)
    }

    /// Returns true if the process has at least one of `roles`.
    pub fn has_any(self, roles: &[Role]) -> bool {
        roles.iter().any(|role| match role {
            Role::Api => self.api,
            Role::Ws => self.ws,
            Role::Webhooks => self.webhooks,
        })
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        let all = Role::ALL.iter().filter(|role| self.has_any(&[**role]));
        all.map(|role| role.as_str()).collect()
    }
}

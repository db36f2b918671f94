//! What a process does.

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// REST, writing for shards, the relay.
    pub api: bool,
    /// Sockets.
    pub ws: bool,
    /// Delivering webhooks.
    pub webhooks: bool,
}

impl Roles {
    /// The roles by name.
    pub const NAMES: [&'static str; 3] = ["api", "ws", "webhooks"];

    /// Everything in one process.
    pub fn all() -> Self {
        Self {
            api: true,
            ws: true,
            webhooks: true,
        }
    }

    /// The roles of a comma-separated list.
    ///
    /// # Errors
    /// A sentence for a name that is none, or an empty list.
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

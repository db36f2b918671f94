//! HTTP operations on plugins in other processes, for the host only.

use chat_sdk::{
    ConversationType, GivenUserId, Role, Timestamp, UserId,
    plugin::{FailurePolicy, HookFault, HookPoint},
};
use poem_openapi::{Object, OpenApi, param};
use serde::{Deserialize, Serialize};

use super::{
    auth::AsHost,
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        body::ValidJson,
        reply::{Json, NoContent, Upserted},
    },
    state::Tag,
};
use crate::{
    domain::registrations::{Draft, Registrations},
    model::plugins::RegisteredPlugin as Stored,
};

/// Plugin in another process to register or change.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct RegisterPlugin {
    /// Name of the plugin and its hook, also of its NATS account: 1 to 32 of a-z, 0-9 and _, beginning with a letter.
    pub name: String,
    /// Purpose of the plugin, at most 500 characters. Default: none.
    pub description: Option<String>,
    /// URL that receives the requests of the hook, signed as webhooks are. Default: none; the hook is asked over NATS, on `<prefix>.hook.<name>`.
    pub url: Option<String>,
    /// Points at which the hook is asked, at least one.
    #[oai(validator(min_items = 1, max_items = 6, unique_items))]
    pub points: Vec<HookPoint>,
    /// Maximum time for an answer in milliseconds, 1 to 5,000. Default: 1,000.
    pub timeout_ms: Option<u32>,
    /// Consequence if the hook fails: `open` lets the operation pass, `closed` answers 503. Default: `open`.
    pub failure: Option<FailurePolicy>,
    /// Position among the hooks; lower ones are asked first. Default: 0.
    pub order: Option<i32>,
    /// Types of the conversations that the hook is asked about. Default: all.
    pub conversation_types: Option<Vec<ConversationType>>,
    /// Roles of the members that the hook is asked about. Default: all.
    pub roles: Option<Vec<Role>>,
    /// True if verdicts are only counted and logged. Default: false.
    pub shadow: Option<bool>,
    /// Ids of the users whose operations the hook is not asked about, at most 20: the bots that the plugin writes with. Default: none.
    #[oai(validator(max_items = 20))]
    pub bots: Option<Vec<GivenUserId>>,
}

impl From<RegisterPlugin> for Draft {
    fn from(body: RegisterPlugin) -> Self {
        let bots = body.bots.unwrap_or_default().into_iter();
        Self {
            name: body.name,
            description: body.description,
            url: body.url,
            points: body.points,
            timeout_ms: body.timeout_ms,
            failure: body.failure,
            order: body.order.unwrap_or_default(),
            conversation_types: body.conversation_types.unwrap_or_default(),
            roles: body.roles.unwrap_or_default(),
            is_shadow: body.shadow.unwrap_or_default(),
            bots: bots.map(|given| given.0).collect(),
        }
    }
}

/// Plugin in another process.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct RegisteredPlugin {
    /// Name of the plugin and its hook.
    pub name: String,
    /// Purpose of the plugin; absent if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// URL that receives the requests of the hook; absent for a hook over NATS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Points at which the hook is asked.
    pub points: Vec<HookPoint>,
    /// Maximum time for an answer in milliseconds.
    pub timeout_ms: u32,
    /// Consequence if the hook fails.
    pub failure: FailurePolicy,
    /// Position among the hooks.
    pub order: i32,
    /// Types of the conversations that the hook is asked about; empty for all.
    pub conversation_types: Vec<ConversationType>,
    /// Roles of the members that the hook is asked about; empty for all.
    pub roles: Vec<Role>,
    /// True if verdicts are only counted and logged.
    pub shadow: bool,
    /// Ids of the users whose operations the hook is not asked about.
    pub bots: Vec<UserId>,
    /// Secret that signs requests over HTTP; returned once, by the registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// True if an instance answered a probe within the time limit; only in the answer to a registration and to a request for one plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_answering: Option<bool>,
    /// Reason why no instance answered, and what to check; absent if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Time of the registration.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

impl From<Stored> for RegisteredPlugin {
    fn from(stored: Stored) -> Self {
        let spec = stored.spec;
        Self {
            name: stored.name,
            description: stored.description,
            url: stored.url,
            points: spec.points,
            timeout_ms: u32::try_from(spec.timeout.as_millis()).unwrap_or(u32::MAX),
            failure: spec.failure,
            order: spec.order,
            conversation_types: spec.filter.conversation_types,
            roles: spec.filter.roles,
            shadow: spec.is_shadow,
            bots: spec.bots,
            secret: None,
            is_answering: None,
            problem: None,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

impl RegisteredPlugin {
    fn with_probe(self, probe: Result<(), HookFault>) -> Self {
        Self {
            is_answering: Some(probe.is_ok()),
            problem: probe.err().map(|fault| fault.to_string()),
            ..self
        }
    }
}

/// All plugins in other processes.
#[derive(Debug, Serialize, Object)]
pub struct RegisteredPlugins {
    /// Plugins, at most 64: those of the configuration, then the registered ones by name.
    pub plugins: Vec<RegisteredPlugin>,
}

/// Operations on plugins in other processes.
pub struct PluginsApi(pub Registrations);

#[OpenApi(prefix_path = "/api", tag = "Tag::AdminPlugins")]
impl PluginsApi {
    /// Register a plugin
    ///
    /// Registers the hook of a plugin in another process, or changes its registration, and returns it. All processes ask it within a few seconds. A hook
    /// over HTTP gets a secret, which is returned once. A probe is sent to the plugin; if no instance answers it, the registration is kept and `problem`
    /// has the reason.
    ///
    /// Fails with 400 for an invalid registration, and with 409 if the configuration declares the plugin, if there are 32 plugins, if the plugin would change
    /// between NATS and HTTP, or if a hook over HTTP is registered without `SECRETS_KEY`.
    #[oai(
        path = "/admin/plugins",
        method = "post",
        operation_id = "registerPlugin"
    )]
    async fn put(
        &self,
        _host: AsHost,
        body: ValidJson<RegisterPlugin>,
    ) -> Result<Upserted<RegisteredPlugin>, Failure<Status<409>>> {
        let (stored, is_new, secret) = self.0.put(body.0.into()).await?;
        let probe = self.0.reach.probe(stored.clone()).await;
        let body = RegisteredPlugin {
            secret,
            ..RegisteredPlugin::from(stored).with_probe(probe)
        };
        Ok(Upserted { is_new, body })
    }

    /// List plugins in other processes
    ///
    /// Returns the plugins of the configuration, then the registered ones by name.
    #[oai(path = "/admin/plugins", method = "get", operation_id = "listPlugins")]
    async fn list(&self, _host: AsHost) -> Result<Json<RegisteredPlugins>, ApiError> {
        let all = self.0.list().await?;
        Ok(Json(RegisteredPlugins {
            plugins: all.into_iter().map(RegisteredPlugin::from).collect(),
        }))
    }

    /// Get a plugin in another process
    ///
    /// Returns one plugin. Sends a probe to it first, and reports whether an instance answered.
    ///
    /// Fails with 404 if there is none of that name.
    #[oai(
        path = "/admin/plugins/:name",
        method = "get",
        operation_id = "getPlugin"
    )]
    async fn get(
        &self,
        _host: AsHost,
        /// Name of the plugin.
        name: param::Path<String>,
    ) -> Result<Json<RegisteredPlugin>, ApiError> {
        let stored = self.0.get(&name.0).await?;
        let probe = self.0.reach.probe(stored.clone()).await;
        Ok(Json(RegisteredPlugin::from(stored).with_probe(probe)))
    }

    /// Delete a plugin
    ///
    /// Removes the registration. All processes stop asking its hook within a few seconds.
    ///
    /// Fails with 404 if there is none of that name, and with 409 if the configuration declares it.
    #[oai(
        path = "/admin/plugins/:name",
        method = "delete",
        operation_id = "deletePlugin"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// Name of the plugin.
        name: param::Path<String>,
    ) -> Result<NoContent, Failure<Status<409>>> {
        self.0.remove(&name.0).await?;
        Ok(NoContent)
    }
}

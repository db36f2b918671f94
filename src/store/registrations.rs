//! Plugins that are registered at run time.

use chat_sdk::{
    ConversationType, Role, UserId,
    plugin::{FailurePolicy, HookFilter, HookPoint, HookSpec},
};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{DateTime, doc},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use super::{
    Collection, Store, bounded,
    documents::{date, moment},
};
use crate::model::{
    DomainError, Result,
    plugins::{RegisteredPlugin, SigningSecret},
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PluginDocument {
    #[serde(rename = "_id")]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    sealed_secret: Option<String>,
    points: Vec<HookPoint>,
    timeout_ms: i64,
    failure: FailurePolicy,
    order: i32,
    conversation_types: Vec<ConversationType>,
    roles: Vec<Role>,
    is_shadow: bool,
    bots: Vec<UserId>,
    created_at: DateTime,
    updated_at: DateTime,
}

impl PluginDocument {
    fn new(plugin: &RegisteredPlugin) -> Self {
        let plugin = plugin.clone();
        let spec = plugin.spec;
        Self {
            name: plugin.name,
            description: plugin.description,
            url: plugin.url,
            sealed_secret: match plugin.secret {
                Some(SigningSecret::Sealed(sealed)) => Some(sealed),
                // Those of the configuration are not stored.
                Some(SigningSecret::Plain(_)) | None => None,
            },
            points: spec.points,
            timeout_ms: i64::try_from(spec.timeout.as_millis()).unwrap_or(i64::MAX),
            failure: spec.failure,
            order: spec.order,
            conversation_types: spec.filter.conversation_types,
            roles: spec.filter.roles,
            is_shadow: spec.is_shadow,
            bots: spec.bots,
            created_at: date(plugin.created_at),
            updated_at: date(plugin.updated_at),
        }
    }

    fn plugin(self) -> RegisteredPlugin {
        RegisteredPlugin {
            spec: HookSpec {
                points: self.points,
                name: self.name.clone(),
                timeout: std::time::Duration::from_millis(self.timeout_ms.unsigned_abs()),
                failure: self.failure,
                order: self.order,
                filter: HookFilter {
                    conversation_types: self.conversation_types,
                    roles: self.roles,
                },
                is_shadow: self.is_shadow,
                bots: self.bots,
            },
            name: self.name,
            description: self.description,
            url: self.url,
            secret: self.sealed_secret.map(SigningSecret::Sealed),
            created_at: moment(self.created_at),
            updated_at: moment(self.updated_at),
        }
    }
}

impl Store {
    fn registered_plugins(&self) -> Collection<PluginDocument> {
        self.database.collection("plugins")
    }

    /// Stores a plugin or its changes. A stored secret and the time of the registration stay. Returns the plugin as it was before.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn put_plugin(&self, wanted: &RegisteredPlugin) -> Result<Option<RegisteredPlugin>> {
        let unreadable = |_| DomainError::Internal("a plugin cannot be stored".into());
        let mut fields = mongodb::bson::serialize_to_document(&PluginDocument::new(wanted))
            .map_err(unreadable)?;
        fields.remove("_id");
        let mut first = doc! {};
        for name in ["sealedSecret", "createdAt"] {
            if let Some(value) = fields.remove(name) {
                first.insert(name, value);
            }
        }
        let before = bounded(
            self.registered_plugins()
                .find_one_and_update(
                    doc! { "_id": &wanted.name },
                    doc! { "$set": fields, "$setOnInsert": first },
                )
                .upsert(true)
                .return_document(ReturnDocument::Before)
                .into_future(),
        )
        .await?;
        Ok(before.map(PluginDocument::plugin))
    }

    /// Finds a registered plugin.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_plugin(&self, name: &str) -> Result<Option<RegisteredPlugin>> {
        let filter = doc! { "_id": name };
        let found = bounded(self.registered_plugins().find_one(filter).into_future()).await?;
        Ok(found.map(PluginDocument::plugin))
    }

    /// Returns all registered plugins, by name; at most `limit`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_plugins(&self, limit: i64) -> Result<Vec<RegisteredPlugin>> {
        let found: Vec<PluginDocument> = bounded(async {
            self.registered_plugins()
                .find(doc! {})
                .sort(doc! { "_id": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.into_iter().map(PluginDocument::plugin).collect())
    }

    /// Removes a registered plugin. Returns true if it existed.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_plugin(&self, name: &str) -> Result<bool> {
        let filter = doc! { "_id": name };
        let removed = bounded(self.registered_plugins().delete_one(filter).into_future()).await?;
        Ok(removed.deleted_count == 1)
    }
}

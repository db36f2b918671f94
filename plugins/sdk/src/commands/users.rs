//! Commands on users, for the host.

use poem_openapi::{
    Object,
    registry::{MetaSchemaRef, Registry},
    types::{ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Command, Declaration, Empty, PathFields, path_fields};
use crate::{GivenUserId, Metadata, Patch, User, UserId};

/// Profile of a user as the host knows it. An omitted field is cleared.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SyncUser {
    /// Host's id of the user, 1 to 128 characters.
    pub external_user_id: UserId,
    /// Display name, 1 to 320 characters.
    #[oai(validator(min_length = 1, max_length = 320))]
    pub name: String,
    /// URL of the picture, 1 to 2,048 characters.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Option<String>,
    /// E-mail address, 1 to 320 characters; visible to the user and the host only.
    #[oai(validator(min_length = 1, max_length = 320))]
    pub email: Option<String>,
    /// Roles of the user at the host, at most 50; visible to the user and the host only.
    #[oai(validator(max_items = 50))]
    pub roles: Option<Vec<String>>,
    /// JSON object of the host, at most 16 KiB; visible to the user and the host only.
    pub metadata: Option<Metadata>,
}

impl Command for SyncUser {
    type Path = Empty;
    type Body = Self;
    type Answer = User;

    const DECLARATION: Declaration =
        Declaration::new("Creates a user, or overwrites the profile.", &[409, 413])
            .rest("syncUser", "POST", "/api/users/sync")
            .host("users.sync");
}

/// Profiles to sync. Each item succeeds or fails on its own.
#[derive(Debug, Deserialize, Object)]
pub struct SyncUsers {
    /// Profiles, at most 1,000.
    #[oai(validator(max_items = 1000))]
    pub users: Vec<SyncItem>,
}

/// An unchecked item of a batch. Its published schema is that of [`SyncUser`]; the check runs per item, so that one invalid item fails alone.
#[derive(Debug, Deserialize)]
pub struct SyncItem(pub Value);

impl Type for SyncItem {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        SyncUser::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        SyncUser::schema_ref()
    }

    fn register(registry: &mut Registry) {
        SyncUser::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for SyncItem {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(value.unwrap_or_default()))
    }
}

impl ToJSON for SyncItem {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

impl Command for SyncUsers {
    type Path = Empty;
    type Body = Self;
    /// The OpenAPI document describes the answer, which contains errors of single items.
    type Answer = Empty;

    const DECLARATION: Declaration =
        Declaration::new("Creates or overwrites up to 1,000 users.", &[413])
            .rest("syncUsers", "POST", "/api/users/sync/batch")
            .host("users.syncBatch");
}

path_fields! {
    /// Path of a user.
    OfUser {
        /// Id of the user.
        user_id: GivenUserId = "userId",
    }
}

/// Change of the caller's profile. An omitted field keeps its value, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub struct UpdateUser {
    /// Display name, 1 to 320 characters.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[oai(validator(min_length = 1, max_length = 320))]
    pub name: Patch<String>,
    /// URL of the picture, 1 to 2,048 characters.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Patch<String>,
    /// JSON object of the user, at most 16 KiB.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Metadata>,
}

/// The command that deletes a user.
pub struct DeleteUser;

impl Command for DeleteUser {
    type Path = OfUser;
    type Body = Empty;
    type Answer = Empty;

    const DECLARATION: Declaration =
        Declaration::new("Deletes a user; the messages stay, anonymised.", &[404])
            .rest("deleteUser", "DELETE", "/api/users/{userId}")
            .host("users.delete");
}

//! Users over HTTP: the host syncs them, they look at each other and change themselves.

use std::collections::HashSet;

use chat_sdk::{Metadata, User, UserId, http::Query};
use poem_openapi::{
    Enum, Object, OpenApi,
    registry::{MetaSchemaRef, Registry},
    types::{ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Tag,
    auth::{AsHost, AsUser, Caller},
    erasure::ErasureMode,
    error::{ApiError, ErrorBody},
    json::{self, ValidJson},
    page::{PageQuery, UserPage},
    path::Path,
    reply::{Json, NoContent, Upserted},
};
use crate::domain::{
    Context, DomainError,
    command::ProfilePatch,
    entry::Profile,
    erasure,
    patch::Patch,
    users::{self, Sync, Synced},
};

/// A user as the host knows them. What is left out is cleared.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SyncUser {
    /// The host's own id of the user.
    pub external_user_id: UserId,
    /// The name to show.
    #[oai(validator(min_length = 1, max_length = 320))]
    pub name: String,
    /// The picture to show.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Option<String>,
    /// The e-mail address; shown to the user and the host only.
    #[oai(validator(min_length = 1, max_length = 320))]
    pub email: Option<String>,
    /// The host's roles of the user; shown to the user and the host only.
    #[oai(validator(max_items = 50))]
    pub roles: Option<Vec<String>>,
    /// The host's own data; shown to the user and the host only.
    pub metadata: Option<Metadata>,
}

impl From<SyncUser> for Sync {
    fn from(user: SyncUser) -> Self {
        Self {
            id: user.external_user_id,
            profile: Profile {
                name: Some(user.name),
                avatar_url: user.avatar_url,
                email: user.email,
                roles: user.roles.unwrap_or_default(),
                metadata: user.metadata,
                created_at: 0,
            },
        }
    }
}

/// Many users at once. Each is taken or refused on its own.
#[derive(Debug, Deserialize, Object)]
pub struct SyncUsers {
    /// The users, at most 1,000.
    #[oai(validator(max_items = 1000))]
    pub users: Vec<SyncItem>,
}

/// An item of a batch as it came in: published as [`SyncUser`], but checked when its turn comes, so that it fails alone.
#[derive(Debug, Deserialize)]
pub struct SyncItem(Value);

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

/// What became of one user of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum SyncStatus {
    /// The user is new.
    Created,
    /// The profile changed.
    Updated,
    /// The profile was the same already.
    Unchanged,
    /// The item was refused; `error` says why.
    Failed,
}

/// The result of one item of a batch.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct SyncUserResult {
    /// Which user; absent when the item named none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_user_id: Option<String>,
    /// What became of it.
    pub status: SyncStatus,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// The results of a batch, in the order of its items.
#[derive(Debug, Serialize, Object)]
pub struct SyncUsersResult {
    /// One per item.
    pub results: Vec<SyncUserResult>,
}

/// A change of the own profile. What is left out stays; `null` clears.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateUser {
    /// The name to show.
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 320))]
    pub name: Patch<String>,
    /// The picture to show.
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Patch<String>,
    /// The own data.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
}

/// The operations on users.
pub struct UsersApi(pub Context);

#[OpenApi(prefix_path = "/api")]
impl UsersApi {
    /// Sync a user
    ///
    /// Makes the user, or overwrites the profile. Repeating it changes nothing.
    #[oai(
        path = "/users/sync",
        method = "post",
        operation_id = "syncUser",
        tag = "Tag::UsersInternal"
    )]
    async fn sync(
        &self,
        _host: AsHost,
        body: ValidJson<SyncUser>,
    ) -> Result<Upserted<User>, ApiError> {
        let (user, synced) = users::sync(&self.0, body.0.into()).await?;
        Ok(Upserted {
            is_new: synced == Synced::Created,
            body: user,
        })
    }

    /// Sync many users
    ///
    /// At most 1,000 at once. An item that is wrong fails alone; the others are taken.
    #[oai(
        path = "/users/sync/batch",
        method = "post",
        operation_id = "syncUsers",
        tag = "Tag::UsersInternal"
    )]
    async fn sync_batch(
        &self,
        _host: AsHost,
        body: ValidJson<SyncUsers>,
    ) -> Result<Json<SyncUsersResult>, ApiError> {
        let (names, items) = read_items(body.0);
        let valid = items.iter().flatten().cloned().collect();
        let mut synced = users::sync_batch(&self.0, valid).await.into_iter();
        let outcomes = items.into_iter().map(|item| match item {
            Ok(_) => synced
                .next()
                .unwrap_or_else(|| Err(DomainError::store_unavailable())),
            Err(error) => Err(error),
        });
        let results = names.into_iter().zip(outcomes).map(sync_result).collect();
        Ok(Json(SyncUsersResult { results }))
    }

    /// Get oneself
    #[oai(
        path = "/users/me",
        method = "get",
        operation_id = "getMe",
        tag = "Tag::Users"
    )]
    async fn get_me(&self, caller: AsUser) -> Result<Json<User>, ApiError> {
        Ok(Json(users::get(&self.0, &caller.0).await?))
    }

    /// Change oneself
    ///
    /// The next sync by the host overwrites what it names.
    #[oai(
        path = "/users/me",
        method = "patch",
        operation_id = "updateMe",
        tag = "Tag::Users"
    )]
    async fn change_me(
        &self,
        caller: AsUser,
        body: ValidJson<UpdateUser>,
    ) -> Result<Json<User>, ApiError> {
        let patch = ProfilePatch {
            name: body.0.name,
            avatar_url: body.0.avatar_url,
            metadata: body.0.metadata,
        };
        Ok(Json(users::change(&self.0, &caller.0, patch).await?))
    }

    /// Find users
    ///
    /// By the beginning of the name or id, regardless of case. Shows public fields.
    #[oai(
        path = "/users/search",
        method = "get",
        operation_id = "searchUsers",
        tag = "Tag::Users"
    )]
    async fn search(
        &self,
        _caller: Caller,
        /// What the name or id begins with, 1 to 100 characters.
        q: Query<String>,
        page: PageQuery,
    ) -> Result<Json<UserPage>, ApiError> {
        let found = users::search(&self.0, &q.0, &page.0).await?;
        let shown = found.map(public).fit(page.0.max_bytes, |_, user| {
            user.external_user_id.to_string()
        });
        Ok(Json(shown.into()))
    }

    /// Get a user
    ///
    /// Users see each other's public fields; the host and the user themselves see all of them.
    #[oai(
        path = "/users/:id",
        method = "get",
        operation_id = "getUser",
        tag = "Tag::Users"
    )]
    async fn get(
        &self,
        caller: Caller,
        /// The host's own id of the user, percent-encoded.
        id: Path<UserId>,
    ) -> Result<Json<User>, ApiError> {
        let user = users::get(&self.0, &id.0).await?;
        let sees_all = caller.user().is_none_or(|caller| *caller == id.0);
        Ok(Json(if sees_all { user } else { public(user) }))
    }

    /// Delete a user
    ///
    /// When this is answered, the profile is gone, no token counts any more and the sockets are ending. The rest (blocks, markers, drafts, scheduled
    /// messages, presence, reactions, memberships and, as chosen, messages) is removed right after, also across a crash; the report is at
    /// `/api/users/{id}/erasure`. Until it is done the user cannot be synced again.
    #[oai(
        path = "/users/:id",
        method = "delete",
        operation_id = "deleteUser",
        tag = "Tag::UsersInternal"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// The host's own id of the user, percent-encoded.
        id: Path<UserId>,
        /// What becomes of the user's messages; `anonymise` when it is left out.
        messages: Query<Option<ErasureMode>>,
    ) -> Result<NoContent, ApiError> {
        erasure::begin(&self.0, &id.0, messages.0.into()).await?;
        Ok(NoContent)
    }
}

/// What everybody may see of a user.
fn public(user: User) -> User {
    User {
        email: None,
        roles: None,
        metadata: None,
        ..user
    }
}

/// The items of a batch, each checked on its own, and what each called itself. A user may stand in it once.
fn read_items(batch: SyncUsers) -> (Vec<Option<String>>, Vec<Result<Sync, DomainError>>) {
    let mut seen = HashSet::new();
    let read = batch.users.into_iter().map(|SyncItem(item)| {
        let name = item
            .get("externalUserId")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let sync = json::check::<SyncUser>(item, Vec::new()).map(Sync::from);
        let sync = sync.and_then(|sync| match seen.insert(sync.id.clone()) {
            true => Ok(sync),
            false => Err(DomainError::invalid(
                "externalUserId",
                "repeats an earlier item of this batch",
            )),
        });
        (name, sync)
    });
    read.unzip()
}

fn sync_result(
    (name, outcome): (Option<String>, Result<(User, Synced), DomainError>),
) -> SyncUserResult {
    let (status, error) = match outcome {
        Ok((_, Synced::Created)) => (SyncStatus::Created, None),
        Ok((_, Synced::Updated)) => (SyncStatus::Updated, None),
        Ok((_, Synced::Unchanged)) => (SyncStatus::Unchanged, None),
        Err(error) => (SyncStatus::Failed, Some(ApiError::from(error).body())),
    };
    SyncUserResult {
        external_user_id: name,
        status,
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_item_fails_alone() {
        let body = serde_json::json!({ "users": [
            { "externalUserId": "alice", "name": "Alice" },
            { "externalUserId": "me", "name": "" },
            7,
            { "externalUserId": "alice", "name": "Alice again" },
            { "externalUserId": "bob", "name": "B\0b" },
        ]});
        let batch = json::parse::<SyncUsers>(body.to_string().as_bytes()).expect("a valid batch");
        let (names, items) = read_items(batch);
        assert_eq!(names[1].as_deref(), Some("me"));
        let fields: Vec<Vec<String>> = items
            .into_iter()
            .map(|item| match item {
                Err(DomainError::Validation(faults)) => {
                    faults.into_iter().map(|fault| fault.field).collect()
                }
                _ => Vec::new(),
            })
            .collect();
        let none: [&str; 0] = [];
        assert_eq!(fields[0], none);
        assert_eq!(fields[1], ["externalUserId", "name"]);
        assert_eq!(fields[2], ["body"]);
        assert_eq!(fields[3], ["externalUserId"]);
        assert_eq!(fields[4], ["name"]);
    }

    #[test]
    fn a_batch_beyond_the_limit_is_one_fault() {
        let users = vec![serde_json::json!({ "externalUserId": "a", "name": "A" }); 1001];
        let body = serde_json::json!({ "users": users }).to_string();
        let Err(DomainError::Validation(faults)) = json::parse::<SyncUsers>(body.as_bytes()) else {
            panic!("the batch was taken");
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].to_owned().field, "users");
    }
}

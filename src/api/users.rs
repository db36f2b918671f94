//! HTTP operations on users: the host syncs them; users read public profiles and change their own.

use std::collections::HashSet;

use chat_sdk::{
    User, UserId,
    commands::users::{SyncItem, SyncUser, SyncUsers, UpdateUser},
    http::Query,
};
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use serde_json::Value;

use super::{
    auth::{AsHost, AsUser, Caller},
    erasure::ErasureMode,
    error::{ApiError, ErrorBody},
    failure::{Failure, Status},
    parts::{
        body::{self, ValidJson},
        page::{PageQuery, UserPage},
        path::Path,
        reply::{Json, NoContent, Upserted},
    },
    state::Tag,
};
use crate::{
    domain::{
        Context, erasure,
        users::{self, Sync, Synced},
    },
    model::{DomainError, entry::Profile},
};

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

/// Outcome of the sync of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum SyncStatus {
    /// The user was created.
    Created,
    /// The profile was changed.
    Updated,
    /// The profile already had these values.
    Unchanged,
    /// The item was rejected; `error` has the reason.
    Failed,
}

/// Result of one item of a batch.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct SyncUserResult {
    /// Host's id of the user; absent if the item has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_user_id: Option<String>,
    /// Outcome of the item.
    pub status: SyncStatus,
    /// Error of a failed item; absent for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// Results of a batch, in the order of its items.
#[derive(Debug, Serialize, Object)]
pub struct SyncUsersResult {
    /// Results, one per item, in the order of the items.
    pub results: Vec<SyncUserResult>,
}

/// Operations on users.
pub struct UsersApi(pub Context);

#[OpenApi(prefix_path = "/api")]
impl UsersApi {
    /// Sync a user
    ///
    /// Creates the user, or overwrites the profile, and returns it. A repetition changes nothing.
    ///
    /// Fails with 409 while the deletion of the user is not done.
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
    ) -> Result<Upserted<User>, Failure<SyncUser>> {
        let (user, synced) = users::sync(&self.0, body.0.into()).await?;
        Ok(Upserted {
            is_new: synced == Synced::Created,
            body: user,
        })
    }

    /// Sync many users
    ///
    /// Creates or overwrites up to 1,000 users and returns the outcome of each. An invalid item fails alone; the others are stored.
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

    /// Get the caller's profile
    ///
    /// Returns all fields of the caller's profile.
    ///
    /// Fails with 404 if the caller was deleted.
    #[oai(
        path = "/users/me",
        method = "get",
        operation_id = "getMe",
        tag = "Tag::Users"
    )]
    async fn get_me(&self, caller: AsUser) -> Result<Json<User>, Failure<Status<404>>> {
        Ok(Json(users::get(&self.0, &caller.0).await?))
    }

    /// Change the caller's profile
    ///
    /// Changes name, picture or metadata and returns the profile. The next sync by the host overwrites the fields that it has.
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
    ) -> Result<Json<User>, Failure<Status<404>>> {
        Ok(Json(users::change(&self.0, &caller.0, body.0).await?))
    }

    /// Find users
    ///
    /// Returns users whose name, a word of the name, or id begins with `q`, compared regardless of case, with their public fields.
    #[oai(
        path = "/users/search",
        method = "get",
        operation_id = "searchUsers",
        tag = "Tag::Users"
    )]
    async fn search(
        &self,
        _caller: Caller,
        /// Beginning of the name, of a word in it or of the id, 1 to 100 characters.
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
    /// Returns the public fields of a user; to the host and the user all fields.
    ///
    /// Fails with 404 if the user does not exist.
    #[oai(
        path = "/users/:id",
        method = "get",
        operation_id = "getUser",
        tag = "Tag::Users"
    )]
    async fn get(
        &self,
        caller: Caller,
        /// Host's id of the user, percent-encoded.
        id: Path<UserId>,
    ) -> Result<Json<User>, ApiError> {
        let user = users::get(&self.0, &id.0).await?;
        let sees_all = caller.user().is_none_or(|caller| *caller == id.0);
        Ok(Json(if sees_all { user } else { public(user) }))
    }

    /// Delete a user
    ///
    /// After the response the profile is removed, tokens of the user are rejected and the user's sockets are being closed. The service then removes
    /// the rest in the background, also after a crash: blocks, markers, drafts, scheduled messages, presence, reactions, memberships and, with
    /// `messages=erase`, messages. The report is at `/api/users/{id}/erasure`. The user cannot be synced again until it is done.
    #[oai(
        path = "/users/:id",
        method = "delete",
        operation_id = "deleteUser",
        tag = "Tag::UsersInternal"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// Host's id of the user, percent-encoded.
        id: Path<UserId>,
        /// Treatment of the user's messages. Default: `anonymise`.
        messages: Query<Option<ErasureMode>>,
    ) -> Result<NoContent, ApiError> {
        erasure::begin(&self.0, &id.0, messages.0.into()).await?;
        Ok(NoContent)
    }
}

/// Returns the public fields of a user.
fn public(user: User) -> User {
    User {
        email: None,
        roles: None,
        metadata: None,
        ..user
    }
}

/// Checks each item of a batch on its own; returns the id that each item has, and the results. An id that repeats an earlier one fails.
fn read_items(batch: SyncUsers) -> (Vec<Option<String>>, Vec<Result<Sync, DomainError>>) {
    let mut seen = HashSet::new();
    let read = batch.users.into_iter().map(|SyncItem(item)| {
        let name = item
            .get("externalUserId")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let sync = body::check::<SyncUser>(item, Vec::new()).map(Sync::from);
        let sync = sync.and_then(|sync| {
            if seen.insert(sync.id.clone()) {
                Ok(sync)
            } else {
                Err(DomainError::invalid(
                    "externalUserId",
                    "repeats an earlier item of this batch",
                ))
            }
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
    use crate::api::openapi::published::tests::register;

    #[test]
    fn an_invalid_item_fails_alone() {
        register();
        let body = serde_json::json!({ "users": [
            { "externalUserId": "alice", "name": "Alice" },
            { "externalUserId": "me", "name": "" },
            7,
            { "externalUserId": "alice", "name": "Alice again" },
            { "externalUserId": "bob", "name": "B\0b" },
        ]});
        let batch = body::parse::<SyncUsers>(body.to_string().as_bytes()).expect("a valid batch");
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
        register();
        let users = vec![serde_json::json!({ "externalUserId": "a", "name": "A" }); 1001];
        let body = serde_json::json!({ "users": users }).to_string();
        let Err(DomainError::Validation(faults)) = body::parse::<SyncUsers>(body.as_bytes()) else {
            panic!("the batch was taken");
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].to_owned().field, "users");
    }
}

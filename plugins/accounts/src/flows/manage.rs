//! Profile and deletion of accounts, and changes by the host.

use std::net::IpAddr;

use chat_sdk::{
    Patch,
    http::ApiError,
    text::{Shape, fault},
};
use serde_json::json;

use super::{enter::MAX_NAME, no_account};
use crate::{
    Accounts,
    accounts::Account,
    audit, identity,
    service::{self, Messages},
};

/// Maximum number of roles of an account.
const MAX_ROLES: usize = 50;
/// Maximum length of all roles together in bytes: they are part of each access token.
const MAX_ROLES_BYTES: usize = 1024;
/// Maximum length of a role in characters.
const MAX_ROLE: usize = 64;

/// Change of a profile by its user.
#[derive(Default)]
pub struct ProfileChange {
    /// Display name.
    pub name: Patch<String>,
    /// User name.
    pub username: Option<String>,
}

impl Accounts {
    /// Changes the names of an account.
    pub async fn change_profile(
        &self,
        user: &str,
        change: ProfileChange,
    ) -> Result<Account, ApiError> {
        let account = self.account(user).await?;
        if let Patch::Set(name) = &change.name
            && let Some(problem) = fault(name, Shape::Line, MAX_NAME)
        {
            return Err(ApiError::invalid("name", problem));
        }
        let username = change.username.as_deref().map(identity::user_name);
        let username = username.transpose();
        let username = username.map_err(|problem| ApiError::invalid("username", problem))?;
        if let Some(username) = username
            && !self.store.rename(&account, &username).await?
        {
            return Err(ApiError::Conflict(
                "This user name, or one that looks like it, belongs to somebody else.".into(),
            ));
        }
        let name = match change.name {
            Patch::Keep => None,
            Patch::Clear => Some(None),
            Patch::Set(name) => Some(Some(name)),
        };
        if let Some(name) = name {
            let fields = json!({ "name": name, "isSynced": false });
            self.store.set(user, fields).await?;
        }
        self.sync(&self.account(user).await?).await?;
        self.account(user).await
    }

    /// Deletes an account and its user.
    pub async fn delete(
        &self,
        user: &str,
        password: &str,
        messages: Messages,
        address: IpAddr,
    ) -> Result<(), ApiError> {
        let account = self.account(user).await?;
        self.confirm_deletion(&account, password, address).await?;
        self.sessions.end_all(&account.id).await?;
        service::delete_user(&self.host, &account.id, messages).await?;
        // Last: after a failure the user can repeat the deletion.
        Ok(self.store.remove(&account).await?)
    }

    /// Changes what only the host may change.
    pub async fn change_by_host(
        &self,
        user: &str,
        roles: Option<Vec<String>>,
        is_disabled: Option<bool>,
    ) -> Result<Account, ApiError> {
        let mut faults = Vec::new();
        if roles.as_ref().is_some_and(|roles| roles.len() > MAX_ROLES) {
            faults.push(("roles".to_owned(), "must have at most 50 items".into()));
        }
        let bytes: usize = roles.iter().flatten().map(String::len).sum();
        if bytes > MAX_ROLES_BYTES {
            faults.push((
                "roles".to_owned(),
                "must have at most 1024 bytes together".into(),
            ));
        }
        for (index, role) in roles.iter().flatten().enumerate().take(MAX_ROLES) {
            if let Some(problem) = fault(role, Shape::Line, MAX_ROLE) {
                faults.push((format!("roles[{index}]"), problem.into()));
            }
        }
        if !faults.is_empty() {
            return Err(ApiError::Invalid(faults));
        }
        let mut fields = json!({});
        if let Some(roles) = roles {
            fields["roles"] = json!(roles);
            fields["isSynced"] = json!(false);
        }
        if let Some(is_disabled) = is_disabled {
            fields["isDisabled"] = json!(is_disabled);
        }
        let account = if fields == json!({}) {
            self.account(user).await?
        } else {
            let account = self.store.set(user, fields).await?.ok_or_else(no_account)?;
            self.note(user, audit::Kind::ChangedByHost, None).await?;
            account
        };
        self.sync(&account).await?;
        if is_disabled == Some(true) {
            self.end_everything(&account).await?;
        }
        Ok(account)
    }
}

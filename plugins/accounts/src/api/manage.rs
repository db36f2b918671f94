//! Operations by which the host manages accounts.

use std::sync::Arc;

use chat_sdk::http::{AsHost, Fails, Json, Query, Status, ValidJson};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::{AccountsAccount, AccountsAudit, AccountsByHost},
};
use crate::Accounts;

/// Operations of the host.
pub struct ManageApi(pub Arc<Accounts>);

#[OpenApi(tag = "Tag::Admin")]
impl ManageApi {
    /// Get an account
    ///
    /// Returns the account of a user.
    #[oai(
        path = "/api/admin/accounts/:userId",
        method = "get",
        operation_id = "getAccountOfUser"
    )]
    async fn get(
        &self,
        _host: AsHost,
        /// Id of the user.
        #[oai(name = "userId")]
        user_id: Path<String>,
    ) -> Result<Json<AccountsAccount>, Fails<Status<404>>> {
        Ok(Json(self.0.account(&user_id.0).await?.into()))
    }

    /// Change an account
    ///
    /// Sets the roles of a user, or disables or enables the account. A disabled account cannot log in; its sessions end.
    #[oai(
        path = "/api/admin/accounts/:userId",
        method = "patch",
        operation_id = "updateAccountOfUser"
    )]
    async fn update(
        &self,
        _host: AsHost,
        /// Id of the user.
        #[oai(name = "userId")]
        user_id: Path<String>,
        body: ValidJson<AccountsByHost>,
    ) -> Result<Json<AccountsAccount>, Fails<Status<404>>> {
        let AccountsByHost { roles, is_disabled } = body.0;
        let changed = self.0.change_by_host(&user_id.0, roles, is_disabled);
        Ok(Json(changed.await?.into()))
    }

    /// List the security events of an account
    ///
    /// Returns logins, logouts, changes of the password and replayed tokens, newest first. They are kept for 90 days.
    #[oai(
        path = "/api/admin/accounts/:userId/audit",
        method = "get",
        operation_id = "listAccountAudit"
    )]
    async fn audit(
        &self,
        _host: AsHost,
        /// Id of the user.
        #[oai(name = "userId")]
        user_id: Path<String>,
        /// Maximum number of entries, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the entries after it.
        before: Query<Option<String>>,
    ) -> Result<Json<AccountsAudit>, Fails<Status<404>>> {
        let limit = usize::try_from(limit.0.unwrap_or(50)).unwrap_or(50);
        let before = before.0.as_deref();
        let found = self.0.audit.page(&user_id.0, before, limit).await?;
        if found.items.is_empty() {
            // Entries outlive the account; without any the account must exist.
            self.0.account(&user_id.0).await?;
        }
        Ok(Json(found.into()))
    }
}

//! Operations of a user on their own account.

use std::sync::Arc;

use chat_sdk::http::{AsUser, ClientAddress, Fails, Json, NoContent, Status, ValidJson};
use poem_openapi::OpenApi;

use super::{
    Confirming, Tag,
    shapes::{
        AccountsAccount, AccountsDelete, AccountsDeletedMessages, AccountsPassword, AccountsProfile,
    },
};
use crate::{Accounts, flows::ProfileChange, service::Messages};

/// Operations of users.
pub struct OwnApi(pub Arc<Accounts>);

#[OpenApi(tag = "Tag::Accounts")]
impl OwnApi {
    /// Get the own account
    ///
    /// Returns the account of the user.
    ///
    /// Fails with 404 if the token is not that of an account.
    #[oai(path = "/auth/me", method = "get", operation_id = "getAccount")]
    async fn get(&self, user: AsUser) -> Result<Json<AccountsAccount>, Fails<Status<404>>> {
        let account = self.0.account(user.0.as_str()).await?;
        Ok(Json(account.into()))
    }

    /// Change the own account
    ///
    /// Changes the display name and the user name. With a user name the user can log in instead of with the e-mail address.
    ///
    /// Fails with 409 if the user name, or one that looks like it, belongs to somebody else.
    #[oai(path = "/auth/me", method = "patch", operation_id = "updateAccount")]
    async fn update(
        &self,
        user: AsUser,
        body: ValidJson<AccountsProfile>,
    ) -> Result<Json<AccountsAccount>, Fails<Status<404, 409>>> {
        let AccountsProfile { name, username } = body.0;
        let change = ProfileChange { name, username };
        let account = self.0.change_profile(user.0.as_str(), change).await?;
        Ok(Json(account.into()))
    }

    /// Change the password
    ///
    /// Sets another password. All sessions of the account end, except that of `refreshToken`.
    ///
    /// Fails with 403 if the present password is wrong.
    #[oai(
        path = "/auth/password",
        method = "post",
        operation_id = "changePassword"
    )]
    async fn change_password(
        &self,
        user: AsUser,
        address: ClientAddress,
        body: ValidJson<AccountsPassword>,
    ) -> Result<NoContent, Confirming> {
        let AccountsPassword {
            current_password,
            new_password,
            refresh_token,
        } = body.0;
        let passwords = [current_password.as_str(), new_password.as_str()];
        let (user, kept) = (user.0.as_str(), refresh_token.as_deref());
        self.0
            .change_password(user, passwords, kept, address.0)
            .await?;
        Ok(NoContent)
    }

    /// Log out everywhere
    ///
    /// Ends all sessions of the account: their refresh tokens, access tokens and sockets.
    #[oai(
        path = "/auth/logout/all",
        method = "post",
        operation_id = "logOutEverywhere"
    )]
    async fn log_out_everywhere(&self, user: AsUser) -> Result<NoContent, Fails<Status<404>>> {
        self.0.log_out_everywhere(user.0.as_str()).await?;
        Ok(NoContent)
    }

    /// Delete the own account
    ///
    /// Deletes the account and its user, as `DELETE /api/users/{id}` does. The address can be registered again.
    ///
    /// Fails with 403 if the password is wrong.
    #[oai(
        path = "/auth/me/delete",
        method = "post",
        operation_id = "deleteAccount"
    )]
    async fn delete(
        &self,
        user: AsUser,
        address: ClientAddress,
        body: ValidJson<AccountsDelete>,
    ) -> Result<NoContent, Fails<Status<403, 404>>> {
        let AccountsDelete { password, messages } = body.0;
        let messages = match messages {
            Some(AccountsDeletedMessages::Erase) => Messages::Erase,
            _ => Messages::Anonymise,
        };
        let user = user.0.as_str();
        self.0.delete(user, &password, messages, address.0).await?;
        Ok(NoContent)
    }
}

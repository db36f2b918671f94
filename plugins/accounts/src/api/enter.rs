//! Operations that need no token: each counts against the limit of its address.

use std::sync::Arc;

use chat_sdk::http::{Accepted, ClientAddress, Fails, Json, NoContent, Status, ValidJson};
use poem_openapi::OpenApi;

use super::{
    Open, Proving, Tag,
    shapes::{
        AccountsEmail, AccountsLogin, AccountsRefresh, AccountsRegister, AccountsRegistered,
        AccountsReset, AccountsTokens, AccountsVerify,
    },
};
use crate::{Accounts, flows::NewAccount, outbox::Occasion};

/// Operations for strangers.
pub struct EnterApi(pub Arc<Accounts>);

#[OpenApi(tag = "Tag::Accounts")]
impl EnterApi {
    /// Register an account
    ///
    /// Registers an account with an e-mail address and a password. The response is the same whether the address had an account before: then nothing changes,
    /// and its owner gets an e-mail that says so. If the deployment sends e-mails, the account can be used after `POST /auth/verify`, otherwise immediately.
    #[oai(
        path = "/auth/register",
        method = "post",
        operation_id = "registerAccount"
    )]
    async fn register(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsRegister>,
    ) -> Result<Accepted<AccountsRegistered>, Open> {
        self.0.count_address(address.0)?;
        let AccountsRegister {
            email,
            password,
            name,
        } = body.0;
        let new = NewAccount {
            email,
            password,
            name,
        };
        self.0.register(new).await?;
        Ok(Accepted(AccountsRegistered {
            verification_required: self.0.settings.mail.is_some(),
        }))
    }

    /// Log in
    ///
    /// Opens a session and returns its tokens. `accessToken` works like every token of the service, for 15 minutes; `refreshToken` is exchanged for the next
    /// pair by `POST /auth/refresh`, within 7 days.
    ///
    /// Fails with 401 if the login or the password is wrong, and with exactly the same response if the address is not verified, the account is disabled, or its
    /// password was guessed too often.
    #[oai(path = "/auth/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsLogin>,
    ) -> Result<Json<AccountsTokens>, Proving> {
        self.0.count_address(address.0)?;
        let AccountsLogin { login, password } = body.0;
        let grant = self.0.log_in(&login, &password, address.0).await?;
        Ok(Json(grant.into()))
    }

    /// Exchange a refresh token
    ///
    /// Returns the next tokens of the session. A refresh token is valid once. A repetition within the grace time (`ACCOUNTS_REFRESH_GRACE_SECONDS`) returns the
    /// same refresh token again, unless that one was used already.
    ///
    /// Any other use of a used token fails with 401 and ends the session, because somebody else may have the token.
    #[oai(
        path = "/auth/refresh",
        method = "post",
        operation_id = "refreshTokens"
    )]
    async fn refresh(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsRefresh>,
    ) -> Result<Json<AccountsTokens>, Proving> {
        self.0.count_address(address.0)?;
        let grant = self.0.refresh(&body.0.refresh_token).await?;
        Ok(Json(grant.into()))
    }

    /// Log out
    ///
    /// Ends the session of a refresh token: the token, the access tokens and the sockets of the session. Other sessions go on. The response is the same if the
    /// session had ended before.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsRefresh>,
    ) -> Result<NoContent, Open> {
        self.0.count_address(address.0)?;
        self.0.log_out(&body.0.refresh_token).await?;
        Ok(NoContent)
    }

    /// Send a verification e-mail
    ///
    /// Sends another link to an address that is not verified. The response is the same for every address. An address gets at most 5 e-mails in an hour.
    ///
    /// Fails with 409 if the deployment sends no e-mail.
    #[oai(
        path = "/auth/verify/request",
        method = "post",
        operation_id = "requestVerification"
    )]
    async fn request_verification(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsEmail>,
    ) -> Result<NoContent, Fails<Status<409, 429, 503>>> {
        self.0.count_address(address.0)?;
        let occasion = Occasion::VerificationAsked;
        self.0.ask_for_mail(occasion, &body.0.email).await?;
        Ok(NoContent)
    }

    /// Verify an e-mail address
    ///
    /// Verifies the address of an account, with the token of the e-mail and the password of the registration. Then the account can log in.
    ///
    /// Fails with 400 if the token is not valid, and with 403 if the password is wrong.
    #[oai(path = "/auth/verify", method = "post", operation_id = "verifyEmail")]
    async fn verify(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsVerify>,
    ) -> Result<NoContent, Fails<Status<403, 429, 503>>> {
        self.0.count_address(address.0)?;
        let AccountsVerify { token, password } = body.0;
        self.0.verify(&token, &password, address.0).await?;
        Ok(NoContent)
    }

    /// Send an e-mail to reset the password
    ///
    /// Sends a link with which the password can be set. The response is the same for every address. An address gets at most 5 e-mails in an hour.
    ///
    /// Fails with 409 if the deployment sends no e-mail.
    #[oai(
        path = "/auth/reset/request",
        method = "post",
        operation_id = "requestPasswordReset"
    )]
    async fn request_reset(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsEmail>,
    ) -> Result<NoContent, Fails<Status<409, 429, 503>>> {
        self.0.count_address(address.0)?;
        self.0
            .ask_for_mail(Occasion::ResetAsked, &body.0.email)
            .await?;
        Ok(NoContent)
    }

    /// Reset the password
    ///
    /// Sets another password with the token of the e-mail. All sessions of the account end; the address counts as verified.
    ///
    /// Fails with 400 if the token is not valid.
    #[oai(path = "/auth/reset", method = "post", operation_id = "resetPassword")]
    async fn reset(
        &self,
        address: ClientAddress,
        body: ValidJson<AccountsReset>,
    ) -> Result<NoContent, Open> {
        self.0.count_address(address.0)?;
        let AccountsReset {
            token,
            new_password,
        } = body.0;
        self.0.reset(&token, &new_password).await?;
        Ok(NoContent)
    }
}

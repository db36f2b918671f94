//! Verification of addresses, and other passwords.

use std::net::IpAddr;

use chat_sdk::http::ApiError;
use serde_json::json;

use super::wrong_password;
use crate::{
    Accounts,
    accounts::Account,
    audit, identity,
    links::{Link, Purpose},
    outbox::Occasion,
    password::Password,
    sessions::RefreshToken,
};

fn wrong_link() -> ApiError {
    ApiError::invalid(
        "token",
        "is not valid: it was used or has expired; ask for another e-mail",
    )
}

fn changed_meanwhile() -> ApiError {
    ApiError::Conflict("The password was changed at the same time; log in again.".into())
}

impl Accounts {
    /// Stores that an e-mail with a link is due. It reads no account, so it cannot tell whether there is one.
    pub async fn ask_for_mail(&self, occasion: Occasion, email: &str) -> Result<(), ApiError> {
        if self.settings.mail.is_none() {
            return Err(ApiError::Conflict(
                "This deployment sends no e-mail (ACCOUNTS_MAIL_URL).".into(),
            ));
        }
        let address = identity::address(email);
        let address = address.map_err(|problem| ApiError::invalid("email", problem))?;
        self.send_mail(occasion, &address.key).await
    }

    async fn linked(&self, purpose: Purpose, token: &str) -> Result<(Link, Account), ApiError> {
        let link = self.links.find(purpose, token).await?;
        let link = link.ok_or_else(wrong_link)?;
        let account = self.store.find(&link.account_id).await?;
        let account =
            account.filter(|account| account.version == link.version && !account.is_disabled);
        Ok((link, account.ok_or_else(wrong_link)?))
    }

    /// Verifies the address of an account with the token of an e-mail and the account's password.
    ///
    /// The password is required, because somebody else may have registered the address: they know the password and not the e-mail, the owner of the mailbox
    /// knows the e-mail and not the password.
    pub async fn verify(
        &self,
        token: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<(), ApiError> {
        let (link, account) = self.linked(Purpose::Verify, token).await?;
        self.check_password(&account, password, address).await?;
        if !self.links.consume(&link).await? {
            return Err(wrong_link());
        }
        let verified = json!({ "isEmailVerified": true, "isActive": true });
        let hash = account.password_hash.clone();
        let changed = self.store.change_password(&account, hash, verified).await?;
        changed.ok_or_else(wrong_link)?;
        self.note(&account.id, audit::Kind::EmailVerified, None)
            .await
    }

    /// Sets another password with the token of an e-mail. All sessions end. The address counts as verified, because the e-mail arrived there.
    pub async fn reset(&self, token: &str, password: &str) -> Result<(), ApiError> {
        let (link, account) = self.linked(Purpose::Reset, token).await?;
        let password = Password::chosen(password, &[&account.email, &account.email_key]);
        let password = password.map_err(|problem| ApiError::invalid("newPassword", problem))?;
        let hash = self.hasher.hash(self.hasher.place()?, password).await?;
        if !self.links.consume(&link).await? {
            return Err(wrong_link());
        }
        let further = json!({ "isEmailVerified": true, "isActive": true });
        let changed = self.store.change_password(&account, hash, further).await?;
        let account = changed.ok_or_else(wrong_link)?;
        self.end_everything(&account).await?;
        self.note(&account.id, audit::Kind::PasswordReset, None)
            .await
    }

    /// Changes the password of a user who knows the present one. Sessions end, except that of the refresh token `kept`.
    pub async fn change_password(
        &self,
        user: &str,
        [current, new]: [&str; 2],
        kept: Option<&str>,
        address: IpAddr,
    ) -> Result<(), ApiError> {
        let account = self.account(user).await?;
        let password = Password::chosen(new, &[&account.email, &account.email_key]);
        let password = password.map_err(|problem| ApiError::invalid("newPassword", problem))?;
        let kept = match kept.and_then(RefreshToken::parse) {
            Some(token) => self.sessions.owner(&token).await?,
            None => None,
        };
        let kept = kept.filter(|session| session.account_id == account.id);
        self.check_password(&account, current, address).await?;
        let hash = self.hasher.hash(self.hasher.place()?, password).await?;
        let changed = self
            .store
            .change_password(&account, hash, json!({}))
            .await?;
        let account = changed.ok_or_else(changed_meanwhile)?;
        match kept {
            None => self.end_everything(&account).await?,
            Some(kept) => {
                for session in self.sessions.of_account(&account.id).await? {
                    if session.id != kept.id {
                        self.end_session(&account.id, &session.id).await?;
                    }
                }
            }
        }
        self.note(&account.id, audit::Kind::PasswordChanged, None)
            .await
    }

    /// Checks the password of a user before the account is deleted.
    pub(super) async fn confirm_deletion(
        &self,
        account: &Account,
        password: &str,
        address: IpAddr,
    ) -> Result<(), ApiError> {
        if account.is_disabled {
            return Err(wrong_password());
        }
        self.check_password(account, password, address).await
    }
}

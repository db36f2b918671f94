//! Flows of the operations: each function is one operation, without HTTP.
//!
//! Functions that a stranger may call do the same work, in the same order, for known and unknown addresses.

mod enter;
mod manage;
mod recover;

use std::{net::IpAddr, time::Duration};

use chat_sdk::http::ApiError;

use crate::{
    Accounts,
    accounts::Account,
    attempts::Window,
    audit, identity,
    password::{Busy, Password},
    service,
    sessions::RefreshToken,
};

pub use enter::{Grant, NewAccount};
pub use manage::ProfileChange;

/// Window of failed logins.
const LOGIN_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Number by which the limit of failed logins of an account from all addresses exceeds that from one address.
const ALL_ADDRESSES: i64 = 10;
/// Window of e-mails to one address.
const MAIL_WINDOW: Duration = Duration::from_secs(3600);
/// Maximum number of e-mails to one address in a window.
const MAX_MAILS: i64 = 5;

/// Returns the error of a login that failed, whatever the reason was.
fn wrong_login() -> ApiError {
    ApiError::Unauthorized("The login or the password is wrong.".into())
}

/// Returns the error of a refresh token that is not valid.
fn wrong_token() -> ApiError {
    ApiError::Unauthorized("The refresh token is not valid; log in again.".into())
}

fn no_account() -> ApiError {
    ApiError::NotFound("This user has no account.".into())
}

impl From<Busy> for ApiError {
    fn from(_: Busy) -> Self {
        Self::Unavailable("Too many logins at once; try again.".into())
    }
}

/// Attempts to guess the password of one account.
struct Guess {
    near: Window,
    far: Window,
    is_over: bool,
}

impl Accounts {
    /// Counts a request without a token.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`].
    pub fn count_address(&self, address: IpAddr) -> Result<(), ApiError> {
        self.addresses
            .count(address)
            .map_err(|wait| ApiError::RateLimited {
                message: format!(
                    "Too many requests from this address: at most {} in 60 s.",
                    self.settings.rate_limit
                )
                .into(),
                retry_after: wait,
            })
    }

    /// Finds the account of an e-mail address or a user name, and the key by which attempts are counted.
    async fn by_login(&self, login: &str) -> Result<(Option<Account>, String), ApiError> {
        if login.contains(['@', '\u{ff20}', '\u{fe6b}']) {
            let Ok(address) = identity::address(login) else {
                return Ok((None, login.to_owned()));
            };
            let account = self.store.find_by_email(&address.key).await?;
            return Ok((account, address.key));
        }
        let Ok(name) = identity::user_name(login) else {
            return Ok((None, login.to_owned()));
        };
        let account = self.store.find_by_name(&name.key).await?;
        Ok((account, name.key))
    }

    /// Counts an attempt to log in to `account`, or to the unknown one with this key.
    async fn guess(
        &self,
        account: Option<&Account>,
        key: &str,
        address: IpAddr,
    ) -> Result<Guess, ApiError> {
        // All names of an account share one counter.
        let subject = account.map_or(key, |account| account.email_key.as_str());
        let near = Window::of(&format!("login {address} {subject}"), LOGIN_WINDOW);
        let far = Window::of(&format!("login {subject}"), LOGIN_WINDOW);
        let limit = self.settings.max_failed_logins;
        let is_near = self.attempts.count(&near).await? > limit;
        let is_far = self.attempts.count(&far).await? > limit * ALL_ADDRESSES;
        Ok(Guess {
            near,
            far,
            is_over: is_near || is_far,
        })
    }

    async fn forgive(&self, guess: &Guess) -> Result<(), ApiError> {
        self.attempts.forgive(&guess.near).await?;
        self.attempts.forgive(&guess.far).await?;
        Ok(())
    }

    /// Checks the password of an account whose user is logged in, with the limit of failed logins.
    async fn check_password(
        &self,
        account: &Account,
        password: &str,
        address: IpAddr,
    ) -> Result<(), ApiError> {
        let password = Password::typed(password);
        let password = password.map_err(|_| wrong_password())?;
        let place = self.hasher.place()?;
        let guess = self.guess(Some(account), "", address).await?;
        let stored = Some(account.password_hash.as_str());
        let is_right = self.hasher.verify(place, password, stored).await?;
        if !is_right || guess.is_over {
            return Err(wrong_password());
        }
        self.forgive(&guess).await
    }

    /// Returns the account of a user.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub async fn account(&self, id: &str) -> Result<Account, ApiError> {
        self.store.find(id).await?.ok_or_else(no_account)
    }

    /// Creates or updates the user of an account in the chat, if that was not done yet.
    async fn sync(&self, account: &Account) -> Result<(), ApiError> {
        if account.is_synced {
            return Ok(());
        }
        service::sync_user(&self.host, account).await?;
        let fields = serde_json::json!({ "isSynced": true });
        self.store.set(&account.id, fields).await?;
        Ok(())
    }

    /// Ends all sessions of an account, its sockets and its access tokens.
    async fn end_everything(&self, account: &Account) -> Result<(), ApiError> {
        self.sessions.end_all(&account.id).await?;
        service::disconnect(&self.host, &account.id, None).await?;
        let fields = serde_json::json!({ "revokedAt": chat_sdk::Timestamp::now().as_millis() });
        self.store.set(&account.id, fields).await?;
        Ok(())
    }

    /// Ends one session, its sockets and its access tokens.
    async fn end_session(&self, account_id: &str, session_id: &str) -> Result<(), ApiError> {
        // The core first: if it fails, a repetition finds the session still open.
        service::disconnect(&self.host, account_id, Some(session_id)).await?;
        self.sessions.end(session_id).await?;
        Ok(())
    }

    async fn note(
        &self,
        account_id: &str,
        kind: audit::Kind,
        session_id: Option<&str>,
    ) -> Result<(), ApiError> {
        Ok(self.audit.note(account_id, kind, session_id).await?)
    }

    /// Ends the session of a refresh token. A token that is not valid has no session to end.
    pub async fn log_out(&self, token: &str) -> Result<(), ApiError> {
        let Some(token) = RefreshToken::parse(token) else {
            return Ok(());
        };
        let Some(session) = self.sessions.owner(&token).await? else {
            return Ok(());
        };
        self.end_session(&session.account_id, &session.id).await?;
        let kind = audit::Kind::LoggedOut;
        self.note(&session.account_id, kind, Some(&session.id))
            .await
    }

    /// Ends all sessions of a user.
    pub async fn log_out_everywhere(&self, user: &str) -> Result<(), ApiError> {
        let account = self.account(user).await?;
        self.end_everything(&account).await?;
        self.note(user, audit::Kind::LoggedOutEverywhere, None)
            .await
    }
}

fn wrong_password() -> ApiError {
    ApiError::Forbidden("The password is wrong.".into())
}

//! Registration, login and refresh.

use std::net::IpAddr;

use chat_sdk::{
    http::ApiError,
    text::{Shape, fault},
};

use super::{MAIL_WINDOW, MAX_MAILS, wrong_login, wrong_token};
use crate::{
    Accounts,
    accounts::{Account, Registration},
    attempts::Window,
    audit, identity,
    outbox::Occasion,
    password::Password,
    secrets, service,
    sessions::{MAX_SESSIONS, RefreshToken, Refreshed},
};

/// Maximum length of a display name in characters.
pub const MAX_NAME: usize = 100;

/// Tokens of a session.
#[derive(Debug)]
pub struct Grant {
    /// Id of the user.
    pub user_id: String,
    /// Id of the session.
    pub session_id: String,
    /// Token for all operations and sockets.
    pub access_token: String,
    /// Token for the next refresh.
    pub refresh_token: String,
}

/// Data of a registration as it was sent.
pub struct NewAccount {
    /// E-mail address.
    pub email: String,
    /// Password.
    pub password: String,
    /// Display name.
    pub name: Option<String>,
}

impl Accounts {
    /// Registers an account. The result does not tell whether the address had an account before.
    pub async fn register(&self, new: NewAccount) -> Result<(), ApiError> {
        let mut faults = Vec::new();
        let address = identity::address(&new.email);
        let address = address.map_err(|problem| faults.push(("email".to_owned(), problem.into())));
        let password = Password::chosen(&new.password, &[new.email.trim()]);
        let password =
            password.map_err(|problem| faults.push(("password".to_owned(), problem.into())));
        let name = new.name.as_deref();
        if let Some(problem) = name.and_then(|name| fault(name, Shape::Line, MAX_NAME)) {
            faults.push(("name".to_owned(), problem.into()));
        }
        let (Ok(address), Ok(password), true) = (address, password, faults.is_empty()) else {
            return Err(ApiError::Invalid(faults));
        };
        let place = self.hasher.place()?;
        let password_hash = self.hasher.hash(place, password).await?;
        let key = address.key.clone();
        let draft = Registration {
            address,
            name: new.name,
            password_hash,
            is_active: self.settings.mail.is_none(),
        };
        self.store.register(draft).await?;
        self.send_mail(Occasion::Registered, &key).await
    }

    /// Stores that an e-mail is due, unless the address got too many.
    pub(super) async fn send_mail(&self, occasion: Occasion, key: &str) -> Result<(), ApiError> {
        if self.settings.mail.is_none() {
            return Ok(());
        }
        let window = Window::of(&format!("mail {key}"), MAIL_WINDOW);
        if self.attempts.count(&window).await? <= MAX_MAILS {
            self.outbox.put(occasion, key).await?;
        }
        Ok(())
    }

    /// Checks a login and opens a session.
    ///
    /// The password is checked against some hash in every case: also if there is no such account, or if it may not log in.
    pub async fn log_in(
        &self,
        login: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Grant, ApiError> {
        if login.len() > identity::MAX_INPUT {
            return Err(ApiError::invalid("login", "must have at most 1024 bytes"));
        }
        let password = Password::typed(password);
        let password = password.map_err(|problem| ApiError::invalid("password", problem))?;
        // Before any work of the database: a flood of logins costs it nothing.
        let place = self.hasher.place()?;
        let (account, key) = self.by_login(login).await?;
        let guess = self.guess(account.as_ref(), &key, address).await?;
        let stored = account
            .as_ref()
            .map(|account| account.password_hash.as_str());
        let is_right = self.hasher.verify(place, password, stored).await?;
        let may_enter = |account: &Account| account.is_active && !account.is_disabled;
        match account.filter(may_enter) {
            Some(account) if is_right && !guess.is_over => {
                self.forgive(&guess).await?;
                self.open(&account).await
            }
            _ => Err(wrong_login()),
        }
    }

    async fn open(&self, account: &Account) -> Result<Grant, ApiError> {
        self.sync(account).await?;
        let sessions = self.sessions.of_account(&account.id).await?;
        let excess = (sessions.len() + 1).saturating_sub(MAX_SESSIONS);
        for session in &sessions[..excess.min(sessions.len())] {
            self.end_session(&account.id, &session.id).await?;
        }
        let session_id = secrets::new_id("ses_");
        // Issued before the session is stored, so that a revocation of all tokens after that covers it.
        let access_token = service::issue(&self.host, account, &session_id).await?;
        let refresh_token = self.sessions.open(&session_id, &account.id).await?;
        // The password may have changed since it was checked.
        let confirmed = self.store.confirm(&account.id, account.version).await?;
        if confirmed.is_none() {
            self.sessions.end(&session_id).await?;
            return Err(wrong_login());
        }
        let kind = audit::Kind::LoggedIn;
        self.note(&account.id, kind, Some(&session_id)).await?;
        Ok(Grant {
            user_id: account.id.clone(),
            session_id,
            access_token,
            refresh_token,
        })
    }

    /// Exchanges a refresh token for the next one and an access token.
    pub async fn refresh(&self, token: &str) -> Result<Grant, ApiError> {
        let token = RefreshToken::parse(token).ok_or_else(wrong_token)?;
        let session = self.sessions.find(&token.session_id).await?;
        let session = session.ok_or_else(wrong_token)?;
        let account = self.store.find(&session.account_id).await?;
        let account = account.filter(|account| !account.is_disabled);
        let account = account.ok_or_else(wrong_token)?;
        // Issued before the rotation, as in `open`.
        let access_token = service::issue(&self.host, &account, &session.id).await?;
        match self.sessions.refresh(&token, self.settings.grace).await? {
            Refreshed::Next(refresh_token) => {
                self.sync(&account).await?;
                Ok(Grant {
                    user_id: account.id,
                    session_id: session.id,
                    access_token,
                    refresh_token,
                })
            }
            Refreshed::Unknown => Err(wrong_token()),
            Refreshed::Replayed => {
                service::disconnect(&self.host, &account.id, Some(&session.id)).await?;
                // One of several parallel replays ends the session; only this one is noted.
                if self.sessions.end(&session.id).await? {
                    tracing::warn!(
                        user = account.id,
                        session = session.id,
                        "a used refresh token was used again; its session has ended"
                    );
                    let kind = audit::Kind::TokenReplayed;
                    self.note(&account.id, kind, Some(&session.id)).await?;
                }
                Err(wrong_token())
            }
        }
    }
}

//! Bodies of the operations. Their texts are bounded in bytes by the flows; the schemas bound them in characters.

use chat_sdk::{Patch, Timestamp, plugin::Found};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::{
    accounts::Account,
    audit::{Entry, Kind},
    flows::Grant,
    service::ACCESS_LIFETIME,
    sessions::LIFETIME,
};

/// Account to register.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsRegister {
    /// E-mail address, at most 254 bytes. Case, blanks around it and the Unicode form do not matter.
    #[oai(validator(max_length = 1024))]
    pub email: String,
    /// Password, 8 characters to 256 bytes.
    #[oai(validator(max_length = 1024))]
    pub password: String,
    /// Display name, 1 to 100 characters. Default: none.
    #[oai(validator(min_length = 1, max_length = 100))]
    pub name: Option<String>,
}

/// Response to a registration, the same for new and known addresses.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsRegistered {
    /// True if the link of an e-mail must be followed before the first login.
    pub verification_required: bool,
}

/// Credentials of an account.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsLogin {
    /// E-mail address or user name.
    #[oai(validator(max_length = 1024))]
    pub login: String,
    /// Password of the account, at most 256 bytes.
    #[oai(validator(max_length = 1024))]
    pub password: String,
}

/// Refresh token.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsRefresh {
    /// Refresh token of the session.
    #[oai(validator(max_length = 200))]
    pub refresh_token: String,
}

/// E-mail address.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsEmail {
    /// E-mail address of the account.
    #[oai(validator(max_length = 1024))]
    pub email: String,
}

/// Token of a verification e-mail.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsVerify {
    /// Token of the link.
    #[oai(validator(max_length = 200))]
    pub token: String,
    /// Password of the registration.
    #[oai(validator(max_length = 1024))]
    pub password: String,
}

/// Token of an e-mail, and another password.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsReset {
    /// Token of the link.
    #[oai(validator(max_length = 200))]
    pub token: String,
    /// Password to set, 8 characters to 256 bytes.
    #[oai(validator(max_length = 1024))]
    pub new_password: String,
}

/// Change of the password.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsPassword {
    /// Present password.
    #[oai(validator(max_length = 1024))]
    pub current_password: String,
    /// Password to set, 8 characters to 256 bytes.
    #[oai(validator(max_length = 1024))]
    pub new_password: String,
    /// Refresh token of the session that goes on. Default: all sessions end.
    #[oai(validator(max_length = 200))]
    pub refresh_token: Option<String>,
}

/// Change of the names of an account; omitted fields keep their values.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsProfile {
    /// Display name, 1 to 100 characters; `null` clears it.
    #[serde(default)]
    pub name: Patch<String>,
    /// User name: 3 to 32 letters, digits, `.`, `_` and `-` of one script.
    #[oai(validator(max_length = 1024))]
    pub username: Option<String>,
}

/// Treatment of the messages of a deleted user.
#[derive(Debug, Clone, Copy, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum AccountsDeletedMessages {
    /// The messages stay, without their sender.
    Anonymise,
    /// The messages are erased.
    Erase,
}

/// Deletion of an account.
#[derive(Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsDelete {
    /// Password of the account.
    #[oai(validator(max_length = 1024))]
    pub password: String,
    /// Treatment of the user's messages. Default: `anonymise`.
    pub messages: Option<AccountsDeletedMessages>,
}

/// Tokens of a session.
#[derive(Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsTokens {
    /// Id of the user in the chat.
    pub user_id: String,
    /// Id of the session, the claim `sid` of its access tokens.
    pub session_id: String,
    /// Token for all operations and sockets.
    pub access_token: String,
    /// Lifetime of the access token in seconds.
    pub expires_in: u64,
    /// Token for the next refresh, valid once.
    pub refresh_token: String,
    /// Lifetime of the refresh token in seconds.
    pub refresh_expires_in: u64,
}

impl From<Grant> for AccountsTokens {
    fn from(grant: Grant) -> Self {
        Self {
            user_id: grant.user_id,
            session_id: grant.session_id,
            access_token: grant.access_token,
            expires_in: ACCESS_LIFETIME.as_secs(),
            refresh_token: grant.refresh_token,
            refresh_expires_in: LIFETIME.as_secs(),
        }
    }
}

/// Account of a user.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct AccountsAccount {
    /// Id of the user in the chat.
    pub user_id: String,
    /// E-mail address.
    pub email: String,
    /// True if the user has proven that the mailbox is theirs.
    pub is_email_verified: bool,
    /// True if the host forbids the account to log in.
    pub is_disabled: bool,
    /// User name; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Display name; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Roles in the chat.
    pub roles: Vec<String>,
    /// Time of the registration.
    pub created_at: Timestamp,
}

impl From<Account> for AccountsAccount {
    fn from(account: Account) -> Self {
        Self {
            user_id: account.id,
            email: account.email,
            is_email_verified: account.is_email_verified,
            is_disabled: account.is_disabled,
            username: account.username,
            name: account.name,
            roles: account.roles,
            created_at: Timestamp::from_millis(account.created_at),
        }
    }
}

/// Change of an account by the host; omitted fields keep their values.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AccountsByHost {
    /// Roles in the chat: at most 50, each 1 to 64 characters, 1,024 bytes together.
    #[oai(validator(max_items = 50))]
    pub roles: Option<Vec<String>>,
    /// True if the account must not log in.
    pub is_disabled: Option<bool>,
}

/// Security event of an account.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct AccountsAuditEntry {
    /// Id of the entry.
    pub id: String,
    /// Kind of the event.
    pub kind: Kind,
    /// Id of the session of the event; absent if it concerns none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Time of the event.
    pub at: Timestamp,
}

/// Page of security events, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct AccountsAudit {
    /// Entries of this page.
    pub entries: Vec<AccountsAuditEntry>,
    /// Value of `before` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more entries.
    pub has_more: bool,
}

impl From<Found<Entry>> for AccountsAudit {
    fn from(found: Found<Entry>) -> Self {
        let last = found.items.last().filter(|_| found.has_more);
        Self {
            next_cursor: last.map(|last| last.id.clone()),
            has_more: found.has_more,
            entries: found
                .items
                .into_iter()
                .map(|entry| AccountsAuditEntry {
                    id: entry.id,
                    kind: entry.kind,
                    session_id: entry.session_id,
                    at: entry.at.0,
                })
                .collect(),
        }
    }
}

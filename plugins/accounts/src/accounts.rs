//! Accounts as they are stored. A unique index makes an address belong to one account; a collection of names does the same for user names.

use chat_sdk::{
    Timestamp,
    plugin::{Collection, Filter, Host, HostError, Index, Order, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    identity::{Address, UserName},
    secrets,
};

/// Account as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Id of the account and of its user in the chat.
    #[serde(rename = "_id")]
    pub id: String,
    /// Form in which the address is compared.
    pub email_key: String,
    /// Address to which e-mails are sent.
    pub email: String,
    /// True if the user has proven that the mailbox is theirs.
    pub is_email_verified: bool,
    /// False until the address is verified, if e-mails are sent.
    pub is_active: bool,
    /// True if the host forbids the account to log in.
    pub is_disabled: bool,
    /// User name as it is shown.
    #[serde(default)]
    pub username: Option<String>,
    /// Key of the user name.
    #[serde(default)]
    pub username_key: Option<String>,
    /// Display name.
    #[serde(default)]
    pub name: Option<String>,
    /// Roles in the chat.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Hash of the password, in the PHC format.
    pub password_hash: String,
    /// Incremented by every change of the password; links and logins in progress belong to one version.
    pub version: i64,
    /// True if the user exists in the chat with these names and roles.
    pub is_synced: bool,
    /// Time of the last revocation of all tokens, in milliseconds since 1970; 0 for never.
    #[serde(default)]
    pub revoked_at: i64,
    /// Time of the creation, in milliseconds since 1970.
    pub created_at: i64,
}

/// Data of a registration.
pub struct Registration {
    /// Address of the account.
    pub address: Address,
    /// Display name.
    pub name: Option<String>,
    /// Hash of the password.
    pub password_hash: String,
    /// True if the account can be used at once.
    pub is_active: bool,
}

/// User name that belongs to an account.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TakenName {
    #[serde(rename = "_id")]
    key: String,
    account_id: String,
}

/// Collections of accounts and user names.
pub struct AccountStore {
    accounts: Collection<Account>,
    names: Collection<TakenName>,
}

impl AccountStore {
    /// Uses the plugin's collections.
    pub fn new(host: &Host) -> Self {
        Self {
            accounts: host.collection("accounts"),
            names: host.collection("usernames"),
        }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let email = Index::new("email", &[("emailKey", Order::Ascending)]).unique();
        self.accounts.create_indexes([email]).await
    }

    /// Stores a registration, unless the address belongs to an account that is in use.
    ///
    /// An account that was never activated is replaced: nobody has proven yet that the mailbox is theirs. All three commands are sent in every case and exactly
    /// one of them writes, because a write waits for a majority and one that matches nothing does not: the time says nothing about the address.
    pub async fn register(&self, draft: Registration) -> Result<(), HostError> {
        let pending = Filter::all()
            .is("emailKey", draft.address.key.as_str())
            .is("isActive", false);
        let replace = Update::one(pending)
            .set(json!({
                "email": draft.address.mailbox, "name": draft.name, "passwordHash": draft.password_hash,
            }))
            .increment("version", 1);
        self.accounts.find_and_update(replace).await?;
        let now = Timestamp::now().as_millis();
        let active = Filter::all()
            .is("emailKey", draft.address.key.as_str())
            .is("isActive", true);
        let note = Update::one(active).set(json!({ "registeredAgainAt": now }));
        self.accounts.find_and_update(note).await?;
        let account = Account {
            id: secrets::new_id("usr_"),
            email_key: draft.address.key,
            email: draft.address.mailbox,
            is_email_verified: false,
            is_active: draft.is_active,
            is_disabled: false,
            username: None,
            username_key: None,
            name: draft.name,
            roles: Vec::new(),
            password_hash: draft.password_hash,
            version: 1,
            is_synced: false,
            revoked_at: 0,
            created_at: now,
        };
        self.accounts.insert(&account).await.map(drop)
    }

    /// Finds an account by its id.
    pub async fn find(&self, id: &str) -> Result<Option<Account>, HostError> {
        self.accounts.first(Filter::id(id)).await
    }

    /// Finds an account by the key of its address.
    pub async fn find_by_email(&self, key: &str) -> Result<Option<Account>, HostError> {
        self.accounts.first(Filter::all().is("emailKey", key)).await
    }

    /// Finds an account by the key of its user name.
    pub async fn find_by_name(&self, key: &str) -> Result<Option<Account>, HostError> {
        match self.names.first(Filter::id(key)).await? {
            Some(name) => self.find(&name.account_id).await,
            None => Ok(None),
        }
    }

    /// Sets fields of an account. Returns it as it is then; `None` if it does not exist.
    pub async fn set(
        &self,
        id: &str,
        fields: serde_json::Value,
    ) -> Result<Option<Account>, HostError> {
        let update = Update::one(Filter::id(id)).set(fields);
        self.accounts.find_and_update(update).await
    }

    /// Returns the account if its password is still that of `version` and it can be used. It reads the newest state, unlike [`AccountStore::find`].
    pub async fn confirm(&self, id: &str, version: i64) -> Result<Option<Account>, HostError> {
        let filter = Filter::id(id)
            .is("version", version)
            .is("isDisabled", false);
        let seen = json!({ "seenAt": Timestamp::now().as_millis() });
        self.accounts
            .find_and_update(Update::one(filter).set(seen))
            .await
    }

    /// Sets another password and further fields, if the password is still that of `version`.
    pub async fn change_password(
        &self,
        account: &Account,
        password_hash: String,
        further: serde_json::Value,
    ) -> Result<Option<Account>, HostError> {
        let filter = Filter::id(account.id.as_str()).is("version", account.version);
        let update = Update::one(filter)
            .set(json!({ "passwordHash": password_hash }))
            .set(further)
            .increment("version", 1);
        self.accounts.find_and_update(update).await
    }

    /// Gives an account a user name. Returns false if a name that looks like it belongs to another account.
    pub async fn rename(&self, account: &Account, name: &UserName) -> Result<bool, HostError> {
        let taken = TakenName {
            key: name.key.clone(),
            account_id: account.id.clone(),
        };
        if !self.names.insert(&taken).await? {
            let owner = self.names.first(Filter::id(name.key.as_str())).await?;
            if owner.is_some_and(|owner| owner.account_id != account.id) {
                return Ok(false);
            }
        }
        let fields = json!({ "username": name.shown, "usernameKey": name.key, "isSynced": false });
        self.set(&account.id, fields).await?;
        if let Some(former) = account
            .username_key
            .as_ref()
            .filter(|key| **key != name.key)
        {
            self.release_name(former, &account.id).await?;
        }
        Ok(true)
    }

    async fn release_name(&self, key: &str, account: &str) -> Result<(), HostError> {
        let filter = Filter::id(key).is("accountId", account);
        self.names.delete(filter).await.map(drop)
    }

    /// Removes an account and its name.
    pub async fn remove(&self, account: &Account) -> Result<(), HostError> {
        if let Some(key) = &account.username_key {
            self.release_name(key, &account.id).await?;
        }
        self.accounts
            .delete(Filter::id(account.id.as_str()))
            .await
            .map(drop)
    }
}

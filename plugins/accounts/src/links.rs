//! Single-use tokens in the links of e-mails. Only their hashes are stored.

use std::time::Duration;

use chat_sdk::{
    Timestamp,
    plugin::{Collection, Filter, HostError, Index, StoredDate},
};
use serde::{Deserialize, Serialize};

use crate::{accounts::Account, secrets};

/// Purpose of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Verifies the address.
    Verify,
    /// Sets another password.
    Reset,
}

impl Purpose {
    /// Returns the time for which a link is valid.
    pub fn lifetime(self) -> Duration {
        match self {
            Self::Verify => Duration::from_secs(86_400),
            Self::Reset => Duration::from_secs(3600),
        }
    }
}

/// Link as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    #[serde(rename = "_id")]
    digest: String,
    purpose: Purpose,
    /// Account of the link.
    pub account_id: String,
    /// Version of the password for which the link was made; a change of the password ends it.
    pub version: i64,
    expires_at: i64,
    expires: StoredDate,
}

/// Collection of links.
pub struct Links(Collection<Link>);

impl Links {
    /// Uses `collection` for the links.
    pub fn new(collection: Collection<Link>) -> Self {
        Self(collection)
    }

    /// Creates the index by which old links are removed.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let expiry = Index::expiry("expiry", "expires", Duration::ZERO);
        self.0.create_indexes([expiry]).await
    }

    /// Creates a link. Returns its token and the time until which it is valid.
    pub async fn make(
        &self,
        purpose: Purpose,
        account: &Account,
    ) -> Result<(String, Timestamp), HostError> {
        let token = secrets::random();
        let lifetime = i64::try_from(purpose.lifetime().as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(lifetime));
        let link = Link {
            digest: secrets::digest(&token),
            purpose,
            account_id: account.id.clone(),
            version: account.version,
            expires_at: until.as_millis(),
            expires: StoredDate(until),
        };
        self.0.insert(&link).await?;
        Ok((token, until))
    }

    /// Finds a link that is valid for `purpose`.
    pub async fn find(&self, purpose: Purpose, token: &str) -> Result<Option<Link>, HostError> {
        let link = self.0.first(Filter::id(secrets::digest(token))).await?;
        let now = Timestamp::now().as_millis();
        Ok(link.filter(|link| link.purpose == purpose && link.expires_at >= now))
    }

    /// Uses up a link. Returns false if somebody else has used it before.
    pub async fn consume(&self, link: &Link) -> Result<bool, HostError> {
        Ok(self.0.delete(Filter::id(link.digest.as_str())).await? == 1)
    }
}

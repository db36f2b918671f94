//! E-mails to send. A request only stores that one is due, for a known or an unknown address alike; a worker looks the account up, makes the link and sends.

use std::time::Duration;

use chat_sdk::{
    Timestamp,
    plugin::{CancellationToken, Collection, Filter, HostError, Index, Order, StoredDate, Update},
};
use metrics::counter;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Accounts,
    accounts::Account,
    links::Purpose,
    mailer::{Letter, Mailer},
    secrets,
};

/// Time between two looks for due e-mails.
const POLL: Duration = Duration::from_millis(500);
/// Time after which an e-mail whose worker has died is due again.
const LEASE: Duration = Duration::from_secs(60);
/// Pauses after a failed attempt; after the last one the e-mail is dropped.
const PAUSES: [u64; 6] = [2, 10, 60, 300, 900, 1800];
/// Time after which an e-mail is removed in any case.
const KEPT: Duration = Duration::from_secs(2 * 3600);

/// Occasion of an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Occasion {
    /// Somebody registered with the address.
    Registered,
    /// Somebody asked for another verification link.
    VerificationAsked,
    /// Somebody asked for a link to reset the password.
    ResetAsked,
}

/// E-mail that is due.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    #[serde(rename = "_id")]
    id: String,
    occasion: Occasion,
    email_key: String,
    /// Id of the e-mail, the same in every attempt.
    mail_id: String,
    next_at: i64,
    attempts: i64,
    expires: StoredDate,
}

/// Collection of e-mails that are due.
pub struct Outbox(Collection<Due>);

fn after(pause: Duration) -> i64 {
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    Timestamp::now().as_millis().saturating_add(pause)
}

impl Outbox {
    /// Uses `collection` for the e-mails.
    pub fn new(collection: Collection<Due>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let indexes = [
            Index::new("due", &[("nextAt", Order::Ascending)]),
            Index::expiry("expiry", "expires", Duration::ZERO),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores that an e-mail is due. The same occasion for the same address is one e-mail until it is sent.
    pub async fn put(&self, occasion: Occasion, email_key: &str) -> Result<(), HostError> {
        let id = secrets::digest(&format!("{occasion:?} {email_key}"));
        let update = Update::one(Filter::id(id)).set(json!({
            "occasion": occasion, "emailKey": email_key, "mailId": secrets::new_id("mail_"),
            "nextAt": after(Duration::ZERO), "attempts": 0,
            "expires": StoredDate(Timestamp::from_millis(after(KEPT))),
        }));
        let update = update.or_insert(json!({}));
        self.0.find_and_update(update).await.map(drop)
    }

    /// Takes an e-mail that is due, for one worker.
    async fn take(&self) -> Result<Option<Due>, HostError> {
        let due = Filter::all().below("nextAt", Timestamp::now().as_millis());
        let claim = Update::one(due)
            .set(json!({ "nextAt": after(LEASE) }))
            .increment("attempts", 1);
        self.0.find_and_update(claim).await
    }

    /// Removes an e-mail, unless it became due again meanwhile.
    async fn finish(&self, due: &Due) -> Result<(), HostError> {
        let filter = Filter::id(due.id.as_str()).is("mailId", due.mail_id.as_str());
        self.0.delete(filter).await.map(drop)
    }

    async fn postpone(&self, due: &Due, pause: Duration) -> Result<(), HostError> {
        let filter = Filter::id(due.id.as_str()).is("mailId", due.mail_id.as_str());
        let later = json!({ "nextAt": after(pause) });
        self.0
            .update(Update::one(filter).set(later))
            .await
            .map(drop)
    }
}

/// Sends e-mails until `stop`.
pub async fn run(plugin: &Accounts, mailer: &Mailer, stop: &CancellationToken) {
    let pause = || tokio::time::sleep(POLL);
    while stop.run_until_cancelled(pause()).await.is_some() {
        while !stop.is_cancelled() {
            match send_one(plugin, mailer).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "e-mails could not be read");
                    break;
                }
            }
        }
    }
}

/// Sends one e-mail that is due. Returns false if there is none.
async fn send_one(plugin: &Accounts, mailer: &Mailer) -> Result<bool, HostError> {
    let Some(due) = plugin.outbox.take().await? else {
        return Ok(false);
    };
    let account = plugin.store.find_by_email(&due.email_key).await?;
    let Some(letter) = letter(plugin, &due, account).await? else {
        plugin.outbox.finish(&due).await?;
        return Ok(true);
    };
    match mailer.send(&letter).await {
        Ok(()) => {
            counter!("chat_accounts_mails_total", "result" => "sent").increment(1);
            plugin.outbox.finish(&due).await?;
        }
        Err(reason) => {
            let failed = usize::try_from(due.attempts - 1).unwrap_or(usize::MAX);
            let pause = PAUSES
                .get(failed)
                .map(|seconds| Duration::from_secs(*seconds));
            let is_last = pause.is_none();
            tracing::warn!(mail = due.mail_id, attempt = due.attempts, %reason, is_last, "e-mail could not be sent");
            counter!("chat_accounts_mails_total", "result" => "failed").increment(1);
            match pause {
                Some(pause) => plugin.outbox.postpone(&due, pause).await?,
                None => plugin.outbox.finish(&due).await?,
            }
        }
    }
    Ok(true)
}

/// Returns the e-mail for an occasion; `None` if nothing is to be sent.
async fn letter(
    plugin: &Accounts,
    due: &Due,
    account: Option<Account>,
) -> Result<Option<Letter>, HostError> {
    let Some(account) = account.filter(|account| !account.is_disabled) else {
        return Ok(None);
    };
    let purpose = match due.occasion {
        Occasion::ResetAsked => Some(Purpose::Reset),
        _ if !account.is_email_verified => Some(Purpose::Verify),
        Occasion::Registered => None,
        Occasion::VerificationAsked => return Ok(None),
    };
    let link = match purpose {
        Some(purpose) => {
            let (token, until) = plugin.links.make(purpose, &account).await?;
            Some((purpose, token, until))
        }
        None => None,
    };
    Ok(Some(Letter {
        id: due.mail_id.clone(),
        to: account.email,
        link,
    }))
}

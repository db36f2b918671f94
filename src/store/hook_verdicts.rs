//! Verdicts of hooks about repeatable sends, so that no repetition asks again.
//!
//! A request claims the key before it asks, and stores the verdict afterwards. A claim whose process died is taken over after a while.

use std::time::Duration;

use chat_sdk::{MessageId, Timestamp, UserId};
use mongodb::{
    bson::{DateTime, Document, doc, serialize_to_document},
    error::{ErrorKind, WriteFailure},
};
use serde::{Deserialize, Serialize};

use super::{Collection, DUPLICATE_KEY, Store, bounded, documents::date};
use crate::model::{DomainError, Result, held::StoredVerdict, messages::Draft};

/// Time for which a verdict is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Identity of a send whose verdict is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictKey {
    /// Key of the verdict.
    pub id: String,
    /// User who sends.
    pub sender: UserId,
    /// Hash of the request: tells a repetition from another message.
    pub request_hash: Option<String>,
}

/// Outcome of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// The caller must ask the hooks, and store the verdict under this claim.
    New(String),
    /// An earlier request got this verdict.
    Decided(StoredVerdict),
    /// Another request with the same key is asking.
    Asking,
    /// The key belongs to another message.
    Other,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerdictDocument {
    #[serde(rename = "_id")]
    id: String,
    sender_id: UserId,
    #[serde(default)]
    request_hash: Option<String>,
    claim: String,
    claimed_at: DateTime,
    ends_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictFields>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerdictFields {
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draft: Option<Draft>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hook: Option<String>,
}

impl From<&StoredVerdict> for VerdictFields {
    fn from(verdict: &StoredVerdict) -> Self {
        let action = |action: &str| Self {
            action: action.to_owned(),
            ..Self::default()
        };
        match verdict {
            StoredVerdict::Pass => action("pass"),
            StoredVerdict::Change(draft) => Self {
                draft: Some((**draft).clone()),
                ..action("change")
            },
            StoredVerdict::Refuse { code, reason } => Self {
                code: Some(code.clone()),
                reason: Some(reason.clone()),
                ..action("refuse")
            },
            StoredVerdict::Hold {
                id,
                draft,
                hook,
                reason,
            } => Self {
                message_id: Some(id.clone()),
                draft: Some((**draft).clone()),
                hook: Some(hook.clone()),
                reason: Some(reason.clone()),
                ..action("hold")
            },
        }
    }
}

impl VerdictFields {
    fn verdict(self) -> Result<StoredVerdict> {
        match (self.action.as_str(), self.draft, self.code, self.message_id) {
            ("pass", ..) => Ok(StoredVerdict::Pass),
            ("change", Some(draft), ..) => Ok(StoredVerdict::Change(Box::new(draft))),
            ("refuse", _, Some(code), _) => Ok(StoredVerdict::Refuse {
                code,
                reason: self.reason.unwrap_or_default(),
            }),
            ("hold", Some(draft), _, Some(id)) => Ok(StoredVerdict::Hold {
                id,
                draft: Box::new(draft),
                hook: self.hook.unwrap_or_default(),
                reason: self.reason.unwrap_or_default(),
            }),
            _ => Err(DomainError::Internal(
                "a stored verdict cannot be read".into(),
            )),
        }
    }
}

impl Store {
    fn hook_verdicts(&self) -> Collection<VerdictDocument> {
        self.database.collection("hook_verdicts")
    }

    /// Claims `key`. A claim that is older than `abandoned_after` and has no verdict is taken over.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn claim_verdict(
        &self,
        key: &VerdictKey,
        abandoned_after: Duration,
    ) -> Result<Claimed> {
        let now = Timestamp::now();
        let claim = ulid::Ulid::generate().to_string();
        let document = VerdictDocument {
            id: key.id.clone(),
            sender_id: key.sender.clone(),
            request_hash: key.request_hash.clone(),
            claim: claim.clone(),
            claimed_at: date(now),
            ends_at: date(later(now, KEPT)),
            verdict: None,
        };
        let collection = self.hook_verdicts();
        let is_new = bounded(async {
            match collection.insert_one(&document).await {
                Ok(_) => Ok(true),
                Err(error) => match *error.kind {
                    ErrorKind::Write(WriteFailure::WriteError(ref refused))
                        if refused.code == DUPLICATE_KEY =>
                    {
                        Ok(false)
                    }
                    _ => Err(error),
                },
            }
        });
        if is_new.await? {
            return Ok(Claimed::New(claim));
        }
        let found = bounded(collection.find_one(doc! { "_id": &key.id }).into_future()).await?;
        let Some(found) = found else {
            // It was given up in the meantime; the caller tries again.
            return Ok(Claimed::Asking);
        };
        if found.request_hash != key.request_hash {
            return Ok(Claimed::Other);
        }
        if let Some(verdict) = found.verdict {
            return verdict.verdict().map(Claimed::Decided);
        }
        let age = now.as_millis() - found.claimed_at.timestamp_millis();
        if age < i64::try_from(abandoned_after.as_millis()).unwrap_or(i64::MAX) {
            return Ok(Claimed::Asking);
        }
        let taken = bounded(
            collection
                .update_one(
                    doc! { "_id": &key.id, "claim": &found.claim, "verdict": { "$exists": false } },
                    doc! { "$set": { "claim": &claim, "claimedAt": date(now) } },
                )
                .into_future(),
        )
        .await?;
        Ok(if taken.modified_count == 1 {
            Claimed::New(claim)
        } else {
            Claimed::Asking
        })
    }

    /// Stores the verdict under a claim.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn store_verdict(
        &self,
        key: &VerdictKey,
        claim: &str,
        verdict: &StoredVerdict,
    ) -> Result<()> {
        let fields: Document = serialize_to_document(&VerdictFields::from(verdict))
            .map_err(|_| DomainError::Internal("a verdict cannot be stored".into()))?;
        bounded(
            self.hook_verdicts()
                .update_one(
                    doc! { "_id": &key.id, "claim": claim },
                    doc! { "$set": { "verdict": fields } },
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Replaces the verdict by which the message `id` is held.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn replace_held_verdict(
        &self,
        id: &MessageId,
        verdict: &StoredVerdict,
    ) -> Result<()> {
        let fields: Document = serialize_to_document(&VerdictFields::from(verdict))
            .map_err(|_| DomainError::Internal("a verdict cannot be stored".into()))?;
        bounded(
            self.hook_verdicts()
                .update_one(
                    doc! { "verdict.messageId": id.as_str() },
                    doc! { "$set": { "verdict": fields } },
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Gives up a claim without a verdict: the next request asks again.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn release_verdict(&self, key: &VerdictKey, claim: &str) -> Result<()> {
        let filter = doc! { "_id": &key.id, "claim": claim, "verdict": { "$exists": false } };
        bounded(self.hook_verdicts().delete_one(filter).into_future()).await?;
        Ok(())
    }
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_add(millis))
}

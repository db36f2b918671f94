//! Due scheduled messages: finds, claims and finishes them.

use std::time::Duration;

use chat_sdk::{ConversationId, ScheduledFailure, ScheduledId, Timestamp};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{DateTime, Document, doc},
    options::ReturnDocument,
};
use serde::Deserialize;

use super::{
    super::{
        Store, bounded,
        documents::{date, moment},
    },
    ScheduledDocument,
};
use crate::model::{Result, scheduled::Scheduled};

/// Time that the first claim has to send a message before it is due again.
const FIRST_CLAIM: Duration = Duration::from_secs(2);
/// Maximum of that time after any number of attempts.
const LONGEST_CLAIM: Duration = Duration::from_secs(10);

/// Scheduled message that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueScheduled {
    /// Id of the scheduled message.
    pub id: ScheduledId,
    /// Id of its conversation.
    pub conversation: ConversationId,
    /// Time since which it is due.
    pub at: Timestamp,
}

impl Store {
    /// Finds the messages that are due at `now`, longest overdue first.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_due_scheduled(
        &self,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<DueScheduled>> {
        self.read_due(doc! { "dueAt": { "$lte": date(now) } }, limit)
            .await
    }

    /// Returns the time at which the next one is due.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn next_scheduled(&self) -> Result<Option<Timestamp>> {
        let next = self.read_due(doc! { "dueAt": { "$exists": true } }, 1);
        Ok(next.await?.first().map(|due| due.at))
    }

    async fn read_due(&self, filter: Document, limit: i64) -> Result<Vec<DueScheduled>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Due {
            #[serde(rename = "_id")]
            id: ScheduledId,
            conversation_id: ConversationId,
            due_at: DateTime,
        }
        let collection = self.scheduled().clone_with_type::<Due>();
        let due: Vec<Due> = bounded(async {
            collection
                .find(filter)
                .sort(doc! { "dueAt": 1 })
                .projection(doc! { "conversationId": 1, "dueAt": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(due
            .into_iter()
            .map(|due| DueScheduled {
                id: due.id,
                conversation: due.conversation_id,
                at: moment(due.due_at),
            })
            .collect())
    }

    /// Claims a due message for sending; `None` if it is not due or does not exist.
    ///
    /// Unless it is finished, it is due again after a while, longer each time.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn claim_scheduled(
        &self,
        id: &ScheduledId,
        now: Timestamp,
    ) -> Result<Option<Scheduled>> {
        let pause = doc! { "$min": [
            LONGEST_CLAIM.as_millis() as i64,
            { "$multiply": [FIRST_CLAIM.as_millis() as i64, { "$add": ["$attempts", 1] }] },
        ] };
        let claim = vec![doc! { "$set": {
            "status": "sending",
            "dueAt": { "$add": [date(now), pause] },
            "attempts": { "$add": ["$attempts", 1] },
        } }];
        let found = bounded(
            self.scheduled()
                .find_one_and_update(
                    doc! { "_id": id.as_str(), "dueAt": { "$lte": date(now) } },
                    claim,
                )
                .return_document(ReturnDocument::After)
                .into_future(),
        )
        .await?;
        Ok(found.map(ScheduledDocument::scheduled))
    }

    /// Removes a claimed message that was sent.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn finish_scheduled(&self, id: &ScheduledId) -> Result<()> {
        bounded(
            self.scheduled()
                .delete_one(doc! { "_id": id.as_str(), "status": "sending" })
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Records that a claimed message was refused, unless another process claimed it since.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn fail_scheduled(
        &self,
        claimed: &Scheduled,
        failure: &ScheduledFailure,
    ) -> Result<()> {
        bounded(
            self.scheduled()
                .update_one(
                    doc! {
                        "_id": claimed.id.as_str(),
                        "status": "sending",
                        "attempts": i64::from(claimed.attempts),
                    },
                    doc! {
                        "$set": {
                            "status": "failed",
                            "failure": { "code": &failure.code, "message": &failure.message },
                            "updatedAt": date(Timestamp::now()),
                        },
                        "$inc": { "version": 1_i64 },
                        "$unset": { "dueAt": "" },
                    },
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }
}

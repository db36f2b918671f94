//! Messages that wait for their time. `dueAt` says when somebody has to do something about one; without it nobody has.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{ConversationId, ScheduledFailure, ScheduledId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
    error::{ErrorKind, WriteFailure},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use super::{
    Store, bounded,
    documents::{ParticipantDocument, date, moment},
    facets::StoredMessage,
};
use crate::domain::{
    DomainError, Result,
    entry::Body,
    messages::Draft,
    page::{Page, PageRequest},
    scheduled::{Scheduled, Stage},
    state::ConversationState,
};

/// A duplicate key, by mongod's error code.
const DUPLICATE_KEY: i32 = 11000;
/// How long whoever claimed a message has to send it before it is due again, the first time.
const FIRST_CLAIM: Duration = Duration::from_secs(2);
/// The same, however often it was tried.
const LONGEST_CLAIM: Duration = Duration::from_secs(10);

/// A scheduled message for which somebody has to do something.
#[derive(Debug, Clone, PartialEq)]
pub struct DueScheduled {
    /// Which.
    pub id: ScheduledId,
    /// Where it goes.
    pub conversation: ConversationId,
    /// Since when it is due.
    pub at: Timestamp,
}

/// What became of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertedScheduled {
    /// It is there now.
    New,
    /// One of the same sender, conversation and `clientMessageId` was there before.
    Repeated,
}

/// A scheduled message as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScheduledDocument {
    #[serde(rename = "_id")]
    id: ScheduledId,
    conversation_id: ConversationId,
    sender_id: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver_id: Option<UserId>,
    draft: Draft,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_hash: Option<String>,
    first_send_at: DateTime,
    send_at: DateTime,
    /// When somebody has to send it, or to look again whether the one who claimed it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<DateTime>,
    status: Stage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<ScheduledFailure>,
    attempts: i64,
    version: i64,
    created_at: DateTime,
    updated_at: DateTime,
}

impl ScheduledDocument {
    fn new(scheduled: &Scheduled) -> Self {
        let scheduled = scheduled.clone();
        Self {
            due_at: (scheduled.stage == Stage::Pending).then(|| date(scheduled.send_at)),
            id: scheduled.id,
            conversation_id: scheduled.conversation,
            sender_id: scheduled.sender,
            receiver_id: scheduled.receiver,
            draft: scheduled.draft,
            request_hash: scheduled.request_hash,
            first_send_at: date(scheduled.first_send_at),
            send_at: date(scheduled.send_at),
            status: scheduled.stage,
            failure: scheduled.failure,
            attempts: i64::from(scheduled.attempts),
            version: i64::try_from(scheduled.version).unwrap_or(i64::MAX),
            created_at: date(scheduled.created_at),
            updated_at: date(scheduled.updated_at),
        }
    }

    fn scheduled(self) -> Scheduled {
        Scheduled {
            id: self.id,
            conversation: self.conversation_id,
            sender: self.sender_id,
            receiver: self.receiver_id,
            draft: self.draft,
            request_hash: self.request_hash,
            first_send_at: moment(self.first_send_at),
            send_at: moment(self.send_at),
            stage: self.status,
            failure: self.failure,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            version: self.version.unsigned_abs(),
            created_at: moment(self.created_at),
            updated_at: moment(self.updated_at),
        }
    }
}

/// A place in the list, which is sorted by time.
fn cursor_of(scheduled: &Scheduled) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!(
        "{}:{}",
        scheduled.send_at.as_millis(),
        scheduled.id
    ))
}

fn parse_cursor(text: &str) -> Option<(DateTime, ScheduledId)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, id) = text.split_once(':')?;
    Some((DateTime::from_millis(at.parse().ok()?), id.parse().ok()?))
}

/// Of the ones that their author sees: what is being sent counts as sent.
fn own(actor: &UserId) -> Document {
    doc! { "senderId": actor.as_str(), "status": { "$in": ["pending", "failed"] } }
}

fn own_one(actor: &UserId, id: &ScheduledId) -> Document {
    let mut filter = own(actor);
    filter.insert("_id", id.as_str());
    filter
}

impl Store {
    fn scheduled(&self) -> Collection<ScheduledDocument> {
        self.database.collection("scheduled")
    }

    /// Notes a scheduled message.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn insert_scheduled(&self, scheduled: &Scheduled) -> Result<InsertedScheduled> {
        let document = ScheduledDocument::new(scheduled);
        let collection = self.scheduled();
        let inserted = bounded(async {
            match collection.insert_one(&document).await {
                Ok(_) => Ok(InsertedScheduled::New),
                Err(error) => match *error.kind {
                    ErrorKind::Write(WriteFailure::WriteError(ref refused))
                        if refused.code == DUPLICATE_KEY =>
                    {
                        Ok(InsertedScheduled::Repeated)
                    }
                    _ => Err(error),
                },
            }
        });
        Ok(inserted.await?)
    }

    /// How many scheduled messages `actor` has, counted up to `limit`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn count_scheduled(&self, actor: &UserId, limit: u32) -> Result<u32> {
        let count = bounded(
            self.scheduled()
                .count_documents(own(actor))
                .limit(u64::from(limit))
                .into_future(),
        )
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn find_one_scheduled(&self, filter: Document) -> Result<Option<Scheduled>> {
        let found = bounded(self.scheduled().find_one(filter).into_future()).await?;
        Ok(found.map(ScheduledDocument::scheduled))
    }

    /// A scheduled message of `actor`, unless it is sent or being sent.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_scheduled(
        &self,
        actor: &UserId,
        id: &ScheduledId,
    ) -> Result<Option<Scheduled>> {
        self.find_one_scheduled(own_one(actor, id)).await
    }

    /// What `sender` scheduled for `conversation` under a `clientMessageId`, being sent or not.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_scheduled_under(
        &self,
        conversation: &ConversationId,
        sender: &UserId,
        client_message_id: &str,
    ) -> Result<Option<Scheduled>> {
        self.find_one_scheduled(doc! {
            "conversationId": conversation.as_str(),
            "senderId": sender.as_str(),
            "draft.clientMessageId": client_message_id,
        })
        .await
    }

    /// The message that `sender` sent to `conversation` under a `clientMessageId`, with the hash of the request.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_message_under(
        &self,
        conversation: &ConversationId,
        sender: &UserId,
        client_message_id: &str,
    ) -> Result<Option<(StoredMessage, Option<String>)>> {
        let filter = doc! {
            "conversationId": conversation.as_str(),
            "actorId": sender.as_str(),
            "data.clientMessageId": client_message_id,
        };
        let Some(document) = bounded(self.log.find_one(filter).into_future()).await? else {
            return Ok(None);
        };
        let request_hash = match document.entry()?.body {
            Body::MessageCreated(message) => message.request_hash,
            _ => None,
        };
        Ok(Some((StoredMessage::new(document)?, request_hash)))
    }

    /// The state of a conversation as far as a check of a send of `actor` needs it: its settings, the actor, and who blocks the other.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_state_for(
        &self,
        conversation: &ConversationId,
        actor: &UserId,
    ) -> Result<ConversationState> {
        let members = async {
            let filter = doc! { "conversationId": conversation.as_str(), "$or": [
                { "_id": ParticipantDocument::id(conversation, actor) },
                { "isActive": true, "isBlocking": true },
            ] };
            self.participants.find(filter).await?.try_collect().await
        };
        let (fields, members): (_, Vec<ParticipantDocument>) = tokio::try_join!(
            bounded(
                self.conversations
                    .find_one(doc! { "_id": conversation.as_str() })
                    .into_future()
            ),
            bounded(members),
        )?;
        let mut state = ConversationState::empty(conversation.clone());
        if let Some(document) = fields {
            state.seq = document.applied.unsigned_abs();
            state.fields = Some(document.fields());
        }
        state.members = members
            .into_iter()
            .map(|document| (document.user_id.clone(), document.member()))
            .collect();
        Ok(state)
    }

    /// The scheduled messages of `actor`, soonest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for an unknown cursor.
    pub async fn find_scheduled_page(
        &self,
        actor: &UserId,
        request: &PageRequest,
    ) -> Result<Page<Scheduled>> {
        let mut filter = own(actor);
        // One direction only: whichever parameter carries it, a cursor goes on.
        let cursor = [("after", &request.after), ("before", &request.before)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
        if let Some((field, cursor)) = cursor {
            let (at, id) = self.scheduled_position(actor, field, cursor).await?;
            filter.insert(
                "$or",
                vec![
                    doc! { "sendAt": { "$gt": at } },
                    doc! { "sendAt": at, "_id": { "$gt": id.as_str() } },
                ],
            );
        }
        let collection = self.scheduled();
        let documents: Vec<ScheduledDocument> = bounded(async {
            collection
                .find(filter)
                .sort(doc! { "sendAt": 1, "_id": 1 })
                .limit(i64::from(request.limit) + 1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let scheduled = documents
            .into_iter()
            .map(ScheduledDocument::scheduled)
            .collect();
        Ok(Page::cut(scheduled, request.limit, cursor_of))
    }

    async fn scheduled_position(
        &self,
        actor: &UserId,
        field: &'static str,
        cursor: &str,
    ) -> Result<(DateTime, ScheduledId)> {
        if let Some(position) = parse_cursor(cursor) {
            return Ok(position);
        }
        let unknown = || DomainError::invalid(field, "is no cursor or id of this list");
        let id: ScheduledId = cursor.parse().map_err(|_| unknown())?;
        let found = self.find_scheduled(actor, &id).await?.ok_or_else(unknown)?;
        Ok((date(found.send_at), id))
    }

    /// Puts `changed` in the place of `found`, unless somebody changed, claimed or removed it meanwhile. Answers whether it did.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn update_scheduled(&self, found: &Scheduled, changed: &Scheduled) -> Result<bool> {
        let mut filter = own_one(&found.sender, &found.id);
        filter.insert("version", i64::try_from(found.version).unwrap_or(i64::MAX));
        let document = ScheduledDocument::new(changed);
        let collection = self.scheduled();
        let replaced = bounded(collection.replace_one(filter, &document).into_future()).await?;
        Ok(replaced.matched_count == 1)
    }

    /// Removes a scheduled message of `actor`, unless somebody claimed it. Answers whether it was there.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn remove_scheduled(&self, actor: &UserId, id: &ScheduledId) -> Result<bool> {
        let removed = bounded(
            self.scheduled()
                .delete_one(own_one(actor, id))
                .into_future(),
        )
        .await?;
        Ok(removed.deleted_count == 1)
    }

    /// Those that are due at `now`, the longest overdue first.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_due_scheduled(
        &self,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<DueScheduled>> {
        self.read_due(doc! { "dueAt": { "$lte": date(now) } }, limit)
            .await
    }

    /// When the next one is due.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
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

    /// Claims a due one for sending; `None` when it is not due, or not there. Unless it is finished, it is due again after a while, longer each time.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
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

    /// Forgets a claimed one that is sent.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn finish_scheduled(&self, id: &ScheduledId) -> Result<()> {
        bounded(
            self.scheduled()
                .delete_one(doc! { "_id": id.as_str(), "status": "sending" })
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Says of a claimed one that it was refused, unless somebody claimed it since.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
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

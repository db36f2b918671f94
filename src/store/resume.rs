//! What a client missed, read from the log.

use std::{collections::HashSet, sync::Arc};

use chat_sdk::{ConversationId, MessageId, Timestamp};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, Timestamp as ClusterTime, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    documents::{LogDocument, number},
    facets::StoredMessage,
};
use crate::domain::{
    Result,
    entry::{Body, Entry},
    patch::Patch,
};

/// From where on entries of a conversation are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// After this number.
    AfterSeq(u64),
    /// After what mongod took in until this cluster time.
    AfterTime(ClusterTime),
}

/// What was missed, or that it is too much.
#[derive(Debug, Clone)]
pub enum MissedEntries {
    /// All of it, ascending.
    All(Vec<Arc<Entry>>),
    /// More than the limit.
    TooMany,
}

#[derive(Deserialize)]
struct Applied {
    #[serde(rename = "_id")]
    id: ConversationId,
    applied: i64,
}

impl Store {
    /// Those of `ids` that changed after `since`, deleted ones too, each with the number that it is at.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_touched(
        &self,
        ids: &[&ConversationId],
        since: Option<ClusterTime>,
    ) -> Result<Vec<(ConversationId, u64)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rooms: Vec<ConversationId> = ids.iter().map(|id| (*id).clone()).collect();
        self.settled.wait(&rooms).await;
        let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let mut filter = doc! { "_id": { "$in": ids } };
        if let Some(since) = since {
            filter.insert("touchedTs", doc! { "$gt": since });
        }
        let found: Vec<Applied> = bounded(async {
            self.conversations
                .clone_with_type::<Applied>()
                .find(filter)
                .projection(doc! { "applied": 1 })
                .batch_size(2000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|document| (document.id, document.applied.unsigned_abs()))
            .collect())
    }

    /// Entries of `conversation` from `missed` on, up to number `to` (all with `u64::MAX`), at most `limit`. Of a message whose time is over, no
    /// entry has its text.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn read_missed(
        &self,
        conversation: &ConversationId,
        missed: Missed,
        to: u64,
        limit: usize,
    ) -> Result<MissedEntries> {
        let floor = match missed {
            Missed::AfterSeq(seq) => seq,
            Missed::AfterTime(_) => 0,
        };
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        let mut below = to.saturating_add(1);
        // Backwards in growing pieces: within a conversation `ts` grows with the number, so the first older one ends the search.
        let mut page = 64;
        loop {
            let documents: Vec<LogDocument> = bounded(async {
                self.log
                    .find(doc! {
                        "conversationId": conversation.as_str(),
                        "seq": { "$gt": number(floor), "$lt": number(below) },
                    })
                    .sort(doc! { "conversationId": -1, "seq": -1 })
                    .limit(page)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            let is_last = (documents.len() as i64) < page;
            for document in documents {
                if let Missed::AfterTime(time) = missed
                    && document.ts <= time
                {
                    entries.reverse();
                    return self.without_gone(entries).await;
                }
                let entry = document.shared_entry()?;
                below = entry.seq;
                entries.push(entry);
                if entries.len() > limit {
                    return Ok(MissedEntries::TooMany);
                }
            }
            if is_last {
                entries.reverse();
                return self.without_gone(entries).await;
            }
            page = (page * 4).min(2000);
        }
    }

    /// `entries` without the text of messages whose time is over. What was ended is erased; this is for the moments before.
    async fn without_gone(&self, mut entries: Vec<Arc<Entry>>) -> Result<MissedEntries> {
        let now = Timestamp::now().as_millis();
        // Most know it from themselves; only those that change a message have to ask.
        let changes: Vec<MessageId> = entries
            .iter()
            .filter(|entry| !matches!(entry.body, Body::MessageCreated(_)))
            .filter_map(|entry| told_message(entry))
            .collect();
        let gone: HashSet<MessageId> = self
            .find_of(&changes, doc! { "data.expiresAt": { "$lte": now } })
            .await?
            .into_iter()
            .map(|message| message.id)
            .collect();
        for entry in &mut entries {
            let is_gone = match &entry.body {
                Body::MessageCreated(message) => message.expires_at.is_some_and(|at| at <= now),
                _ => told_message(entry).is_some_and(|id| gone.contains(&id)),
            };
            if is_gone {
                forget_text(&mut Arc::make_mut(entry).body);
            }
        }
        Ok(MissedEntries::All(entries))
    }

    /// Entries of `conversation` after number `after`, up to number `to`, ascending, at most `limit`. Of a message that was deleted by `to`, no
    /// entry has its text.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_entries(
        &self,
        conversation: &ConversationId,
        after: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<Entry>> {
        let documents: Vec<LogDocument> = bounded(async {
            self.log
                .find(doc! {
                    "conversationId": conversation.as_str(),
                    "seq": { "$gt": number(after), "$lte": number(to) },
                })
                .sort(doc! { "conversationId": 1, "seq": 1 })
                .limit(i64::from(limit))
                .await?
                .try_collect()
                .await
        })
        .await?;
        let mut entries: Vec<Entry> = documents
            .iter()
            .map(LogDocument::entry)
            .collect::<Result<_>>()?;
        let deleted = self.find_deleted(&entries, to).await?;
        for entry in &mut entries {
            if told_message(entry).is_some_and(|id| deleted.contains(&id)) {
                forget_text(&mut entry.body);
            }
        }
        Ok(entries)
    }

    /// Those messages that `entries` tell the text of, and that were deleted by number `to` or whose time is over.
    async fn find_deleted(&self, entries: &[Entry], to: u64) -> Result<HashSet<MessageId>> {
        let ids: Vec<MessageId> = entries.iter().filter_map(told_message).collect();
        let changed = doc! { "$or": [
            { "deleted": { "$exists": true } },
            { "data.expiresAt": { "$lte": Timestamp::now().as_millis() } },
        ] };
        let mut deleted = HashSet::new();
        for message in self.find_of(&ids, changed).await? {
            let is_deleted = match message.facets.deleted_by(to) {
                _ if message.is_gone(Timestamp::now()) => true,
                Some(is_deleted) => is_deleted,
                None => {
                    let then = self.read_facets(&message.id, to).await?;
                    then.deletion().is_some()
                }
            };
            if is_deleted {
                deleted.insert(message.id);
            }
        }
        Ok(deleted)
    }

    /// Those of the messages `ids` of which `filter` is true.
    async fn find_of(&self, ids: &[MessageId], mut filter: Document) -> Result<Vec<StoredMessage>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(|id| id.to_event_id().to_string()).collect();
        filter.insert("_id", doc! { "$in": ids });
        let found: Vec<LogDocument> =
            bounded(async { self.log.find(filter).await?.try_collect().await }).await?;
        found.into_iter().map(StoredMessage::new).collect()
    }
}

/// The message whose text an entry tells.
fn told_message(entry: &Entry) -> Option<MessageId> {
    match &entry.body {
        Body::MessageCreated(_) => Some(entry.id.to_message_id()),
        Body::MessageUpdated(edit) => Some(edit.message_id.clone()),
        Body::MessageRestored(restored) => Some(restored.message_id.clone()),
        _ => None,
    }
}

fn forget_text(body: &mut Body) {
    match body {
        Body::MessageCreated(message) => {
            message.content.clear();
            message.attachments.clear();
            message.mentions.clear();
            message.metadata = None;
        }
        Body::MessageUpdated(edit) => {
            edit.content.clear();
            edit.metadata = Patch::Keep;
        }
        Body::MessageRestored(restored) => {
            restored.content.clear();
            restored.attachments.clear();
            restored.mentions.clear();
            restored.metadata = None;
        }
        _ => {}
    }
}

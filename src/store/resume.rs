//! Reads from the log what a client missed.

use std::{collections::HashSet, sync::Arc};

use chat_sdk::{ConversationId, EventId, MessageId, Patch, Timestamp};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, Timestamp as ClusterTime, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    documents::{LogDocument, number},
    facets::DeletedFacet,
    pieces::{Listing, SizedDocument},
};
use crate::model::{
    Result,
    entry::{Body, Entry},
    page::Piece,
};

/// Maximum number of conversations per query.
const CONVERSATIONS_AT_ONCE: usize = 1000;
/// Number of a conversation's newest entries that are read to find where the missed ones begin.
///
/// Further back, only seqs are read.
const NEWEST: u32 = 64;
/// Number of seqs that are read together further back.
const NUMBERS_AT_ONCE: i64 = 2000;

/// Start of the missed entries of a conversation.
#[derive(Debug)]
pub struct MissedSince {
    /// Last seq that was not missed.
    pub after: u64,
    /// All missed entries, if they are few.
    pub entries: Option<Vec<Arc<Entry>>>,
}

#[derive(Deserialize)]
struct Applied {
    #[serde(rename = "_id")]
    id: ConversationId,
    applied: i64,
}

impl Store {
    /// Returns those `ids` that changed after `since`, including deleted ones, each with its current seq.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_touched(
        &self,
        ids: &[&ConversationId],
        since: Option<ClusterTime>,
    ) -> Result<Vec<(ConversationId, u64)>> {
        let mut touched = Vec::new();
        for ids in ids.chunks(CONVERSATIONS_AT_ONCE) {
            touched.extend(self.find_some_touched(ids, since).await?);
        }
        Ok(touched)
    }

    async fn find_some_touched(
        &self,
        ids: &[&ConversationId],
        since: Option<ClusterTime>,
    ) -> Result<Vec<(ConversationId, u64)>> {
        let rooms: Vec<ConversationId> = ids.iter().map(|id| (*id).clone()).collect();
        self.read_barrier.wait(&rooms).await;
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

    /// Finds the start of the entries of `conversation` up to `to` that mongod accepted after `since`.
    ///
    /// It returns `None` if there are more than `limit`.
    ///
    /// The entries are included if they are few and have at most `max_bytes`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_missed_since(
        &self,
        conversation: &ConversationId,
        since: ClusterTime,
        to: u64,
        (limit, max_bytes): (usize, usize),
    ) -> Result<Option<MissedSince>> {
        let newest = Listing {
            sort: doc! { "conversationId": -1, "seq": -1 },
            ..ascending(conversation, 0, to, (NEWEST, max_bytes))
        };
        let found = self.find_sized(&self.log, &newest).await?;
        let is_all = found.len() < NEWEST as usize;
        // Within a conversation `ts` grows with the seq, so the first older entry ends the search.
        let is_missed = |one: &SizedDocument<LogDocument>| one.ts.is_none_or(|ts| ts > since);
        let count = found.iter().take_while(|one| is_missed(one)).count();
        let first = found[..count].last().map(|one| one.seq.unsigned_abs());
        let Some(first) = first else {
            return Ok(Some(MissedSince {
                after: to,
                entries: None,
            }));
        };
        if count == found.len() && !is_all {
            let before = self
                .find_first_since(conversation, since, first, limit.saturating_sub(count))
                .await?;
            return Ok(before.map(|first| MissedSince {
                after: first - 1,
                entries: None,
            }));
        }
        let mut entries = None;
        if found[..count].iter().map(SizedDocument::len).sum::<usize>() <= max_bytes {
            let small = found.into_iter().take(count).map(SizedDocument::into_small);
            if let Some(mut documents) = small.collect::<Option<Vec<LogDocument>>>() {
                documents.reverse();
                let all = documents.iter().map(LogDocument::shared_entry);
                entries = Some(self.without_gone(all.collect::<Result<_>>()?).await?);
            }
        }
        Ok((count <= limit).then_some(MissedSince {
            after: first - 1,
            entries,
        }))
    }

    /// Finds the first seq below `below` that mongod accepted after `since`, or `below`.
    ///
    /// It returns `None` if there are more than `limit`.
    async fn find_first_since(
        &self,
        conversation: &ConversationId,
        since: ClusterTime,
        mut below: u64,
        limit: usize,
    ) -> Result<Option<u64>> {
        #[derive(Deserialize)]
        struct Taken {
            seq: i64,
            ts: ClusterTime,
        }
        let mut count = 0;
        loop {
            let found: Vec<Taken> = bounded(async {
                self.log
                    .clone_with_type::<Taken>()
                    .find(doc! {
                        "conversationId": conversation.as_str(),
                        "seq": { "$lt": number(below) },
                    })
                    .sort(doc! { "conversationId": -1, "seq": -1 })
                    .projection(doc! { "_id": 0, "seq": 1, "ts": 1 })
                    .limit(NUMBERS_AT_ONCE)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            for taken in &found {
                if taken.ts <= since {
                    return Ok(Some(below));
                }
                below = taken.seq.unsigned_abs();
                count += 1;
                if count > limit {
                    return Ok(None);
                }
            }
            if (found.len() as i64) < NUMBERS_AT_ONCE {
                return Ok(Some(below));
            }
        }
    }

    /// Reads entries of `conversation` after `after` up to `to`, ascending.
    ///
    /// It reads at most `limit` and about `max_bytes`, but at least one.
    ///
    /// No entry has the text of an expired message.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn read_missed(
        &self,
        conversation: &ConversationId,
        after: u64,
        to: u64,
        most: (u32, usize),
    ) -> Result<Piece<Arc<Entry>>> {
        let listing = ascending(conversation, after, to, most);
        let piece = self.read_piece(&self.log, listing).await?;
        let piece = piece.try_map(|document| document.shared_entry())?;
        Ok(Piece {
            items: self.without_gone(piece.items).await?,
            ..piece
        })
    }

    /// Removes the text of expired messages from `entries`.
    ///
    /// Ended messages are erased; this covers the time before.
    async fn without_gone(&self, mut entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>> {
        let now = Timestamp::now().as_millis();
        // Most entries contain the expiry themselves; only those that change a message need a query.
        let changes: Vec<MessageId> = entries
            .iter()
            .filter(|entry| !matches!(entry.body, Body::MessageCreated(_)))
            .filter_map(|entry| told_message(entry))
            .collect();
        let gone: HashSet<MessageId> = self
            .find_of(&changes, doc! { "data.expiresAt": { "$lte": now } })
            .await?
            .into_iter()
            .map(|message| message.id.to_message_id())
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
        Ok(entries)
    }

    /// Reads entries of `conversation` after `after` up to `to`, ascending.
    ///
    /// It reads at most `limit` and `max_bytes`, but at least one.
    ///
    /// No entry has the text of a message that was deleted by `to`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_entries(
        &self,
        conversation: &ConversationId,
        after: u64,
        to: u64,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Piece<Entry>> {
        let listing = ascending(conversation, after, to, (limit, max_bytes));
        let piece = self.read_piece(&self.log, listing).await?;
        let mut piece = piece.try_map(|document| document.entry())?;
        let deleted = self.find_deleted(&piece.items, to).await?;
        for entry in &mut piece.items {
            if told_message(entry).is_some_and(|id| deleted.contains(&id)) {
                forget_text(&mut entry.body);
            }
        }
        Ok(piece)
    }

    /// Returns the messages whose text `entries` contain and that were deleted by `to` or are expired.
    async fn find_deleted(&self, entries: &[Entry], to: u64) -> Result<HashSet<MessageId>> {
        let ids: Vec<MessageId> = entries.iter().filter_map(told_message).collect();
        let now = Timestamp::now().as_millis();
        let changed = doc! { "$or": [
            { "deleted": { "$exists": true } },
            { "data.expiresAt": { "$lte": now } },
        ] };
        let mut deleted = HashSet::new();
        for message in self.find_of(&ids, changed).await? {
            let id = message.id.to_message_id();
            let is_deleted = match &message.deleted {
                _ if message.data.expires_at.is_some_and(|at| at <= now) => true,
                Some(facet) if facet.is_expired && !facet.is_restored => true,
                Some(facet) if facet.seq <= number(to) => !facet.is_restored,
                Some(_) => self.read_facets(&id, to).await?.deletion().is_some(),
                None => false,
            };
            if is_deleted {
                deleted.insert(id);
            }
        }
        Ok(deleted)
    }

    /// Reads the deletion state of those `ids` that match `filter`.
    ///
    /// Their texts are not read: a hundred of them may be large.
    async fn find_of(&self, ids: &[MessageId], mut filter: Document) -> Result<Vec<Ended>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(|id| id.to_event_id().to_string()).collect();
        filter.insert("_id", doc! { "$in": ids });
        Ok(bounded(async {
            self.log
                .clone_with_type::<Ended>()
                .find(filter)
                .projection(doc! { "deleted": 1, "data.expiresAt": 1 })
                .await?
                .try_collect()
                .await
        })
        .await?)
    }
}

/// Fields that decide whether a message was deleted or is expired.
#[derive(Deserialize)]
struct Ended {
    #[serde(rename = "_id")]
    id: EventId,
    #[serde(default)]
    deleted: Option<DeletedFacet>,
    #[serde(default)]
    data: Expiry,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Expiry {
    /// Expiry in milliseconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

/// Lists entries of `conversation` after `after` up to `to`, ascending.
fn ascending(
    conversation: &ConversationId,
    after: u64,
    to: u64,
    (limit, max_bytes): (u32, usize),
) -> Listing {
    Listing {
        filter: doc! {
            "conversationId": conversation.as_str(),
            "seq": { "$gt": number(after), "$lte": number(to) },
        },
        sort: doc! { "conversationId": 1, "seq": 1 },
        hint: None,
        limit,
        max_bytes,
    }
}

/// Returns the message whose text an entry contains.
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

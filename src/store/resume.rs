//! What a client missed, read from the log.

use std::{collections::HashSet, sync::Arc};

use chat_sdk::{ConversationId, EventId, MessageId, Timestamp};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, Timestamp as ClusterTime, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    documents::{LogDocument, number},
    facets::DeletedFacet,
    pieces::{Listing, SizedDocument},
};
use crate::domain::{
    Result,
    entry::{Body, Entry},
    page::Piece,
    patch::Patch,
};

/// The most conversations that one query asks for.
const CONVERSATIONS_AT_ONCE: usize = 1000;
/// How many of a conversation's newest entries are read to find where what was missed begins; further back only their numbers are.
const NEWEST: u32 = 64;
/// How many numbers are looked at together further back.
const NUMBERS_AT_ONCE: i64 = 2000;

/// Where what was missed of a conversation begins.
#[derive(Debug)]
pub struct MissedSince {
    /// The last number that was not missed.
    pub after: u64,
    /// All that was missed, if that is little.
    pub entries: Option<Vec<Arc<Entry>>>,
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

    /// Where those entries of `conversation` up to number `to` begin that mongod took in after `since`; `None` if there are more than `limit`. They come
    /// with it if they are few and have at most `max_bytes`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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
        // Within a conversation `ts` grows with the number, so the first older one ends the search.
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

    /// The first number of those before number `below` that mongod took in after `since`, or `below`; `None` if there are more than `limit`.
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

    /// Entries of `conversation` after number `after` up to number `to`, ascending, at most `limit` and about `max_bytes`, but at least one. Of a message
    /// whose time is over, no entry has its text.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// `entries` without the text of messages whose time is over. What was ended is erased; this is for the moments before.
    async fn without_gone(&self, mut entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>> {
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

    /// Entries of `conversation` after number `after`, up to number `to`, ascending, at most `limit` and `max_bytes`, but at least one. Of a message that
    /// was deleted by `to`, no entry has its text.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// Those messages that `entries` tell the text of, and that were deleted by number `to` or whose time is over.
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

    /// What became of those of the messages `ids` of which `filter` is true. Their texts are not read: a hundred of them may be large.
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

/// What says whether a message was deleted or its time is over.
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
    /// Milliseconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

/// Entries of `conversation` after number `after` up to `to`, ascending.
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

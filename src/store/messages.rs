//! Messages, read from the log.

use std::collections::{HashMap, HashSet};

use chat_sdk::{ConversationId, Message, MessageId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{
    Collection, Database, Store, bounded,
    documents::{LogDocument, moment, number},
    facets::{Facets, StoredMessage},
    log::Unavailable,
};
use crate::{
    domain::{
        DomainError, Result,
        audience::Audience,
        entry::{Body, Entry},
        fold::facet_of,
        messages::Version,
        page::{Page, PageRequest},
    },
    group::Group,
};

/// Starts the task that reads single messages, a group at a time; it ends with the handle.
pub(super) fn start_reading(
    database: &Database,
) -> Group<MessageId, Result<Option<StoredMessage>>> {
    let log = database.collection::<LogDocument>("log");
    Group::start(move |ids: Vec<MessageId>| {
        let log = log.clone();
        async move {
            let found = read_by_id(&log, &ids).await;
            let found = |id: &MessageId| match &found {
                Err(error) => Err((*error).into()),
                Ok(found) => found.get(id).cloned().transpose(),
            };
            ids.iter().map(found).collect()
        }
    })
}

/// The messages among `ids` that are there. One that cannot be read is the fault of no other.
pub(super) async fn read_by_id(
    log: &Collection<LogDocument>,
    ids: impl IntoIterator<Item = &MessageId>,
) -> std::result::Result<HashMap<MessageId, Result<StoredMessage>>, Unavailable> {
    let entries: HashSet<String> = ids
        .into_iter()
        .map(|id| id.to_event_id().to_string())
        .collect();
    if entries.is_empty() {
        return Ok(HashMap::new());
    }
    let entries: Vec<String> = entries.into_iter().collect();
    let filter = doc! { "_id": { "$in": entries }, "type": "message.created" };
    let found: Vec<LogDocument> = bounded(async {
        let find = log.find(filter).batch_size(2000);
        find.await?.try_collect().await
    })
    .await?;
    let by_id = found
        .into_iter()
        .map(|document| (document.id.to_message_id(), StoredMessage::new(document)));
    Ok(by_id.collect())
}

impl Store {
    /// One message, read together with those that others ask for.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_message(&self, id: &MessageId) -> Result<Option<StoredMessage>> {
        let found = self.one_message.ask(id.clone()).await;
        found.unwrap_or_else(|| Err(DomainError::store_unavailable()))
    }

    /// A piece of a conversation's messages, as far as `audience` sees them: newest first, with `after` oldest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for a cursor that is no message of the conversation.
    pub async fn find_message_page(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        request: &PageRequest,
    ) -> Result<Page<StoredMessage>> {
        let limit = request.limit;
        let cursor_of = |message: &StoredMessage| message.id.to_string();
        if let Some(cursor) = &request.around {
            let seq = self
                .message_position("around", cursor, conversation, audience)
                .await?;
            return self.find_around(conversation, audience, seq, limit).await;
        }
        let messages = if let Some(cursor) = &request.after {
            let seq = self
                .message_position("after", cursor, conversation, audience)
                .await?;
            self.read_messages(conversation, audience, seq + 1, u64::MAX, 1, limit + 1)
                .await?
        } else {
            let end = match &request.before {
                None => u64::MAX,
                Some(cursor) => {
                    self.message_position("before", cursor, conversation, audience)
                        .await?
                        - 1
                }
            };
            self.read_messages(conversation, audience, 1, end, -1, limit + 1)
                .await?
        };
        Ok(Page::cut(messages, limit, cursor_of))
    }

    /// Messages on both sides of number `seq`, and the one at it, newest first.
    async fn find_around(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        seq: u64,
        limit: u32,
    ) -> Result<Page<StoredMessage>> {
        let newer_limit = (limit - 1) / 2;
        let mut messages = if newer_limit > 0 {
            self.read_messages(conversation, audience, seq + 1, u64::MAX, 1, newer_limit)
                .await?
        } else {
            Vec::new()
        };
        messages.reverse();
        let older_limit = limit - messages.len() as u32;
        let older = self
            .read_messages(conversation, audience, 1, seq, -1, older_limit + 1)
            .await?;
        messages.extend(older);
        Ok(Page::cut(messages, limit, |message| message.id.to_string()))
    }

    async fn message_position(
        &self,
        field: &'static str,
        cursor: &str,
        conversation: &ConversationId,
        audience: &Audience,
    ) -> Result<u64> {
        let unknown = || DomainError::invalid(field, "is no message of this conversation");
        let id: MessageId = cursor.parse().map_err(|_| unknown())?;
        self.find_message(&id)
            .await?
            .filter(|message| {
                message.conversation_id == *conversation && audience.sees(message.seq)
            })
            .map(|message| message.seq)
            .ok_or_else(unknown)
    }

    /// Messages whose number is from `from` to `to`, as far as `audience` sees them; `direction` is 1 for oldest first, -1 for newest first.
    pub(super) async fn read_messages(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        from: u64,
        to: u64,
        direction: i32,
        limit: u32,
    ) -> Result<Vec<StoredMessage>> {
        let ranges: Vec<Document> = audience
            .ranges()
            .iter()
            .map(|(first, last)| (from.max(*first), to.min(*last)))
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| {
                if last == u64::MAX {
                    doc! { "seq": { "$gte": number(first) } }
                } else {
                    doc! { "seq": { "$gte": number(first), "$lte": number(last) } }
                }
            })
            .collect();
        let mut filter = doc! {
            "conversationId": conversation.as_str(),
            "type": "message.created",
            // Whose time is over is gone, whether the timer has come by or not.
            "deleted.isExpired": { "$ne": true },
            "data.expiresAt": { "$not": { "$lte": Timestamp::now().as_millis() } },
        };
        match ranges.len() {
            0 => return Ok(Vec::new()),
            1 => filter.extend(ranges.into_iter().flatten()),
            _ => {
                filter.insert("$or", ranges);
            }
        }
        let documents: Vec<LogDocument> = bounded(async {
            self.log
                .find(filter)
                .sort(doc! { "conversationId": 1, "seq": direction })
                .hint(mongodb::options::Hint::Name("messages".to_owned()))
                .limit(i64::from(limit))
                .await?
                .try_collect()
                .await
        })
        .await?;
        documents.into_iter().map(StoredMessage::new).collect()
    }

    /// The replies to `root`, as far as `audience` sees them: newest first, with `after` oldest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for a cursor that is no message of the conversation.
    pub async fn find_reply_page(
        &self,
        root: &StoredMessage,
        audience: &Audience,
        request: &PageRequest,
    ) -> Result<Page<StoredMessage>> {
        let conversation = &root.conversation_id;
        let (mut from, mut to, mut direction) = (root.seq + 1, u64::MAX, -1);
        if let Some(cursor) = &request.after {
            from = self
                .message_position("after", cursor, conversation, audience)
                .await?
                + 1;
            direction = 1;
        } else if let Some(cursor) = &request.before {
            to = self
                .message_position("before", cursor, conversation, audience)
                .await?
                - 1;
        }
        let of_thread = doc! { "data.threadId": root.id.as_str() };
        let range = (from, to);
        let found = self
            .find_listed(of_thread, "seq", audience, range, direction, request.limit)
            .await?;
        Ok(Page::cut(found, request.limit, |message| {
            message.id.to_string()
        }))
    }

    /// The pinned messages of `conversation` that `audience` sees, newest pin first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for a cursor that is no pinned message of the conversation.
    pub async fn find_pinned_page(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        request: &PageRequest,
    ) -> Result<Page<StoredMessage>> {
        let mut to = u64::MAX;
        // One direction only: whichever parameter carries it, a cursor goes on.
        let cursor = [("before", &request.before), ("after", &request.after)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
        if let Some((field, cursor)) = cursor {
            to = self
                .pin_position(field, cursor, conversation, audience)
                .await?
                - 1;
        }
        let pinned = doc! {
            "conversationId": conversation.as_str(),
            "pinned.isPinned": true,
            "$or": [{ "deleted": { "$exists": false } }, { "deleted.isRestored": true }],
        };
        let position = |message: &StoredMessage| {
            let pinned = message.facets.pinned.as_ref();
            pinned.map_or(0, |pinned| pinned.seq).to_string()
        };
        let found = self
            .find_listed(pinned, "pinned.seq", audience, (1, to), -1, request.limit)
            .await?;
        Ok(Page::cut(found, request.limit, position))
    }

    /// The number of the entry that pinned what `cursor` names: a message, or that number itself, which holds also when the pin is gone since.
    async fn pin_position(
        &self,
        field: &'static str,
        cursor: &str,
        conversation: &ConversationId,
        audience: &Audience,
    ) -> Result<u64> {
        let unknown = || DomainError::invalid(field, "is no pinned message of this conversation");
        if let Ok(seq) = cursor.parse::<u64>() {
            return Some(seq).filter(|seq| *seq > 0).ok_or_else(unknown);
        }
        let id: MessageId = cursor.parse().map_err(|_| unknown())?;
        let found = self.find_message(&id).await?;
        found
            .filter(|message| {
                message.conversation_id == *conversation && audience.sees(message.seq)
            })
            .and_then(|message| message.facets.pinned)
            .filter(|pinned| pinned.is_pinned)
            .map(|pinned| pinned.seq.unsigned_abs())
            .ok_or_else(unknown)
    }

    /// Messages of `filter` whose number `order` lies in `range`, by that number, less those that `audience` does not see or whose time is over;
    /// one more than `limit` if there are.
    async fn find_listed(
        &self,
        mut filter: Document,
        order: &str,
        audience: &Audience,
        range: (u64, u64),
        direction: i32,
        limit: u32,
    ) -> Result<Vec<StoredMessage>> {
        filter.insert(
            order,
            doc! { "$gte": number(range.0), "$lte": number(range.1) },
        );
        filter.insert("type", "message.created");
        filter.insert("deleted.isExpired", doc! { "$ne": true });
        filter.insert(
            "data.expiresAt",
            doc! { "$not": { "$lte": Timestamp::now().as_millis() } },
        );
        let seen: Vec<Document> = audience
            .ranges()
            .iter()
            .map(|(from, to)| doc! { "seq": { "$gte": number(*from), "$lte": number(*to) } })
            .collect();
        let documents: Vec<LogDocument> = bounded(async {
            self.log
                .find(doc! { "$and": [filter, { "$or": seen }] })
                .sort(doc! { order: direction })
                .limit(i64::from(limit) + 1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        documents.into_iter().map(StoredMessage::new).collect()
    }

    /// Messages as the contract shows them to `viewer`; with `as_of`, as they were at that number of their conversation's log.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn views(
        &self,
        messages: Vec<StoredMessage>,
        as_of: Option<u64>,
        viewer: Option<&UserId>,
    ) -> Result<Vec<Message>> {
        let mut views = Vec::with_capacity(messages.len());
        let mut roots = Vec::new();
        for mut message in messages {
            if let Some(seq) = as_of
                && message.changed_after(seq)
            {
                message.facets = self.read_facets(&message.id, seq).await?;
            }
            if message.has_expiring_replies() {
                roots.push(message.id.clone());
            }
            views.push(message.into_view());
        }
        if !roots.is_empty() {
            self.count_replies(&mut views, &roots, as_of).await?;
        }
        if let Some(viewer) = viewer {
            self.mark_own_reactions(&mut views, viewer).await?;
        }
        Ok(views)
    }

    /// Shows at `roots` the replies whose time is not over, as of number `as_of`.
    async fn count_replies(
        &self,
        views: &mut [Message],
        roots: &[MessageId],
        as_of: Option<u64>,
    ) -> Result<()> {
        #[derive(Deserialize)]
        struct Replies {
            #[serde(rename = "_id")]
            root: MessageId,
            count: i64,
            at: DateTime,
        }
        let ids: Vec<&str> = roots.iter().map(MessageId::as_str).collect();
        let left = doc! { "$match": {
            "data.threadId": { "$in": ids },
            "seq": { "$lte": number(as_of.unwrap_or(u64::MAX)) },
            "type": "message.created",
            "deleted.isExpired": { "$ne": true },
            "data.expiresAt": { "$not": { "$lte": Timestamp::now().as_millis() } },
        } };
        let counted = doc! { "$group": {
            "_id": "$data.threadId", "count": { "$sum": 1_i64 }, "at": { "$max": "$at" },
        } };
        let found: Vec<Replies> = bounded(async {
            self.log
                .aggregate([left, counted])
                .hint(mongodb::options::Hint::Name("threads".to_owned()))
                .with_type::<Replies>()
                .await?
                .try_collect()
                .await
        })
        .await?;
        let mut found: HashMap<MessageId, Replies> = found
            .into_iter()
            .map(|replies| (replies.root.clone(), replies))
            .collect();
        for view in views.iter_mut().filter(|view| roots.contains(&view.id)) {
            let left = found.remove(&view.id);
            view.reply_count = left.as_ref().map_or(0, |replies| {
                u32::try_from(replies.count).unwrap_or(u32::MAX)
            });
            view.last_reply_at = left.map(|replies| moment(replies.at));
        }
        Ok(())
    }

    async fn mark_own_reactions(&self, views: &mut [Message], viewer: &UserId) -> Result<()> {
        let mut asked = Vec::new();
        for message in views.iter_mut() {
            for reaction in &mut message.reactions {
                reaction.reacted_by_me = reaction.user_ids.contains(viewer);
                // Only where not all are shown, the others have to be asked for.
                if !reaction.reacted_by_me && (reaction.user_ids.len() as u32) < reaction.count {
                    asked.push((message.id.clone(), reaction.emoji.clone()));
                }
            }
        }
        let own = self.find_own_reactions(viewer, &asked).await?;
        if own.is_empty() {
            return Ok(());
        }
        for message in views.iter_mut() {
            for reaction in &mut message.reactions {
                reaction.reacted_by_me |=
                    own.contains(&(message.id.clone(), reaction.emoji.clone()));
            }
        }
        Ok(())
    }

    /// What became of a message up to number `as_of`, made anew from the entries that changed it.
    pub(super) async fn read_facets(&self, id: &MessageId, as_of: u64) -> Result<Facets> {
        let mut facets = Facets::default();
        for filter in [
            doc! { "data.messageId": id.as_str() },
            doc! { "data.threadId": id.as_str() },
        ] {
            for entry in self.read_newest_changes(filter, as_of).await? {
                if let Some((_, facet)) = facet_of(&entry) {
                    facets.apply(facet);
                }
            }
        }
        Ok(facets)
    }

    /// Of the entries of `filter` up to number `as_of` the newest of each kind and emoji, ascending: each says all that those before it said. A message may
    /// have been changed any number of times.
    async fn read_newest_changes(&self, mut filter: Document, as_of: u64) -> Result<Vec<Entry>> {
        filter.insert("seq", doc! { "$lte": number(as_of) });
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$sort": { "seq": 1 } },
            doc! { "$group": {
                "_id": {
                    "type": "$type",
                    "emoji": "$data.emoji",
                    // An edit that leaves the metadata alone does not stand for one that changes it.
                    "metadata": { "$type": "$data.metadata" },
                },
                "newest": { "$last": "$$ROOT" },
            } },
            doc! { "$replaceRoot": { "newRoot": "$newest" } },
            doc! { "$sort": { "seq": 1 } },
        ];
        let documents: Vec<LogDocument> = bounded(async {
            self.log
                .aggregate(pipeline)
                .with_type::<LogDocument>()
                .await?
                .try_collect()
                .await
        })
        .await?;
        documents.iter().map(LogDocument::entry).collect()
    }

    /// The entries of `filter` up to number `as_of`, ascending.
    pub(super) async fn read_changes(
        &self,
        mut filter: Document,
        as_of: Option<u64>,
    ) -> Result<Vec<Entry>> {
        if let Some(as_of) = as_of {
            filter.insert("seq", doc! { "$lte": number(as_of) });
        }
        let documents: Vec<LogDocument> = bounded(async {
            self.log
                .find(filter)
                .sort(doc! { "seq": 1 })
                .await?
                .try_collect()
                .await
        })
        .await?;
        documents.iter().map(LogDocument::entry).collect()
    }

    /// Every text of `message`, oldest first, as far as number `as_of` knows; none for one that is deleted by then.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_versions(
        &self,
        message: &StoredMessage,
        as_of: Option<u64>,
    ) -> Result<Vec<Version>> {
        let facets = match as_of {
            Some(as_of) if message.changed_after(as_of) => {
                self.read_facets(&message.id, as_of).await?
            }
            _ => message.facets.clone(),
        };
        if facets.deleted.is_some_and(|deleted| !deleted.is_restored) {
            return Ok(Vec::new());
        }
        let mut versions = vec![Version {
            content: message.created.content.clone(),
            at: message.created.created_at,
        }];
        let edits = doc! { "data.messageId": message.id.as_str(), "type": "message.updated" };
        for entry in self.read_changes(edits, as_of).await? {
            // An edit of the metadata alone made no new text.
            if let Body::MessageUpdated(edit) = entry.body
                && versions
                    .last()
                    .is_none_or(|newest| newest.content != edit.content)
            {
                versions.push(Version {
                    at: entry.at,
                    content: edit.content,
                });
            }
        }
        Ok(versions)
    }
}

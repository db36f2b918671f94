//! Reads of messages from the log.

use std::collections::HashMap;

use chat_sdk::{ConversationId, Message, MessageId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    documents::{LogDocument, moment, number},
    facets::{Facets, StoredMessage},
    pieces::Listing,
};
use crate::{
    model::{
        DomainError, Result,
        entry::Entry,
        fold::facet_of,
        page::{Page, PageRequest, Piece},
        visibility::Audience,
    },
    store::message_reader::Wanted,
};

/// Number of changes of a message that are held at a time while they are folded.
const CHANGES_AT_ONCE: u32 = 16;

impl Store {
    /// Finds one message, read together with those of other callers.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_message(&self, id: &MessageId) -> Result<Option<StoredMessage>> {
        let found = self.one_message.ask(id.clone()).await;
        found.unwrap_or_else(|| Err(DomainError::store_unavailable()))
    }

    /// Lists a conversation's messages that `audience` sees: newest first, with `after` oldest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is not a message of the conversation.
    pub async fn find_message_page(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        request: &PageRequest,
    ) -> Result<Page<StoredMessage>> {
        if let Some(cursor) = &request.around {
            let seq = self
                .message_position("around", cursor, conversation, audience)
                .await?;
            return self.find_around(conversation, audience, seq, request).await;
        }
        let (mut range, mut direction) = ((1, u64::MAX), -1);
        if let Some(cursor) = &request.after {
            let seq = self
                .message_position("after", cursor, conversation, audience)
                .await?;
            (range, direction) = ((seq + 1, u64::MAX), 1);
        } else if let Some(cursor) = &request.before {
            let seq = self
                .message_position("before", cursor, conversation, audience)
                .await?;
            range = (1, seq - 1);
        }
        let wanted = Wanted {
            range,
            direction,
            limit: request.limit,
            max_bytes: request.max_bytes,
        };
        let piece = self.read_messages(conversation, audience, wanted).await?;
        Ok(Page::of(piece, |message| message.id.to_string()))
    }

    /// Reads the message at `seq` and those on both sides, newest first.
    async fn find_around(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        seq: u64,
        request: &PageRequest,
    ) -> Result<Page<StoredMessage>> {
        let newer_limit = (request.limit - 1) / 2;
        let mut newer = Piece::empty();
        if newer_limit > 0 {
            let wanted = Wanted {
                range: (seq + 1, u64::MAX),
                direction: 1,
                limit: newer_limit,
                max_bytes: request.max_bytes / 2,
            };
            newer = self.read_messages(conversation, audience, wanted).await?;
            newer.items.reverse();
        }
        let wanted = Wanted {
            range: (1, seq),
            direction: -1,
            limit: request.limit - newer.items.len() as u32,
            max_bytes: request.max_bytes.saturating_sub(newer.bytes),
        };
        let mut piece = self.read_messages(conversation, audience, wanted).await?;
        piece.items.splice(..0, newer.items);
        Ok(Page::of(piece, |message| message.id.to_string()))
    }

    async fn message_position(
        &self,
        field: &'static str,
        cursor: &str,
        conversation: &ConversationId,
        audience: &Audience,
    ) -> Result<u64> {
        let unknown = || DomainError::invalid(field, "is not a message of this conversation");
        let id: MessageId = cursor.parse().map_err(|_| unknown())?;
        self.find_message(&id)
            .await?
            .filter(|message| {
                message.conversation_id == *conversation && audience.sees(message.seq)
            })
            .map(|message| message.seq)
            .ok_or_else(unknown)
    }

    /// Reads the selected messages that `audience` sees.
    pub(super) async fn read_messages(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        wanted: Wanted,
    ) -> Result<Piece<StoredMessage>> {
        let (from, to) = wanted.range;
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
            // An expired message is gone even before the timer removes it.
            "deleted.isExpired": { "$ne": true },
            "data.expiresAt": { "$not": { "$lte": Timestamp::now().as_millis() } },
        };
        match ranges.len() {
            0 => return Ok(Piece::empty()),
            1 => filter.extend(ranges.into_iter().flatten()),
            _ => {
                filter.insert("$or", ranges);
            }
        }
        let listing = Listing {
            filter,
            sort: doc! { "conversationId": 1, "seq": wanted.direction },
            hint: Some("messages"),
            limit: wanted.limit,
            max_bytes: wanted.max_bytes,
        };
        let piece = self.read_piece(&self.log, listing).await?;
        piece.try_map(StoredMessage::new)
    }

    /// Lists the replies to `root` that `audience` sees: newest first, with `after` oldest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is not a message of the conversation.
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
        let wanted = Wanted {
            range: (from, to),
            direction,
            limit: request.limit,
            max_bytes: request.max_bytes,
        };
        let piece = self.find_listed(of_thread, "seq", audience, wanted).await?;
        Ok(Page::of(piece, |message| message.id.to_string()))
    }

    /// Lists the pinned messages of `conversation` that `audience` sees, newest pin first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is not a pinned message of the conversation.
    pub async fn find_pinned_page(
        &self,
        conversation: &ConversationId,
        audience: &Audience,
        request: &PageRequest,
    ) -> Result<Page<StoredMessage>> {
        let mut to = u64::MAX;
        // The list has one direction: the cursor continues it, whichever parameter carries it.
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
        let wanted = Wanted {
            range: (1, to),
            direction: -1,
            limit: request.limit,
            max_bytes: request.max_bytes,
        };
        let piece = self
            .find_listed(pinned, "pinned.seq", audience, wanted)
            .await?;
        Ok(Page::of(piece, StoredMessage::pin_cursor))
    }

    /// Returns the seq of the entry that pinned what `cursor` names.
    ///
    /// A cursor is a message, or that seq itself, which stays valid after the message is unpinned.
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

    /// Lists messages of `filter` whose seq field `order` is in the wanted range, in that order.
    ///
    /// Messages that `audience` does not see and expired ones are left out.
    async fn find_listed(
        &self,
        mut filter: Document,
        order: &str,
        audience: &Audience,
        wanted: Wanted,
    ) -> Result<Piece<StoredMessage>> {
        let (from, to) = wanted.range;
        filter.insert(order, doc! { "$gte": number(from), "$lte": number(to) });
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
        let listing = Listing {
            filter: doc! { "$and": [filter, { "$or": seen }] },
            sort: doc! { order: wanted.direction },
            hint: None,
            limit: wanted.limit,
            max_bytes: wanted.max_bytes,
        };
        let piece = self.read_piece(&self.log, listing).await?;
        piece.try_map(StoredMessage::new)
    }

    /// Converts messages for `viewer`; with `as_of`, as they were at that seq of their conversation's log.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
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

    /// Sets on `roots` the counts of unexpired replies, as of the seq `as_of`.
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
                // Only a message with more reactions than are shown needs a query for the viewer's own.
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

    /// Rebuilds the facets of a message at the seq `as_of`.
    ///
    /// It applies the entries that changed the message one after the other.
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

    /// Reads the newest entry of each kind and emoji of `filter` up to the seq `as_of`, ascending.
    ///
    /// Each of them includes what earlier ones said. A message may have been changed any number of times.
    async fn read_newest_changes(&self, mut filter: Document, as_of: u64) -> Result<Vec<Entry>> {
        filter.insert("seq", doc! { "$lte": number(as_of) });
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$sort": { "seq": 1 } },
            doc! { "$group": {
                "_id": {
                    "type": "$type",
                    "emoji": "$data.emoji",
                    // An edit that leaves the metadata alone does not replace one that changes it.
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

    /// Passes the entries of `filter` up to the seq `as_of` to `each`, ascending.
    ///
    /// Only one batch is held at a time.
    pub(super) async fn each_change(
        &self,
        mut filter: Document,
        as_of: u64,
        mut each: impl FnMut(&Entry),
    ) -> Result<()> {
        filter.insert("seq", doc! { "$lte": number(as_of) });
        let find = self.log.find(filter).sort(doc! { "seq": 1 });
        let mut documents = bounded(find.batch_size(CHANGES_AT_ONCE).into_future()).await?;
        while let Some(document) = bounded(documents.try_next()).await? {
            each(&document.entry()?);
        }
        Ok(())
    }
}

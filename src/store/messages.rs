//! Messages, read from the log.

use chat_sdk::{ConversationId, Message, MessageId};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{
    Store, bounded,
    documents::{EditFacet, LogDocument, StoredMessage, date, number},
};
use crate::domain::{
    DomainError, Result,
    audience::Audience,
    entry::Body,
    messages::Version,
    page::{Page, PageRequest},
};

impl Store {
    /// One message.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_message(&self, id: &MessageId) -> Result<Option<StoredMessage>> {
        let found = bounded(
            self.log
                .find_one(doc! { "_id": id.to_event_id().as_str(), "type": "message.created" })
                .into_future(),
        )
        .await?;
        found.map(StoredMessage::new).transpose()
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

    async fn read_messages(
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
                .hint(mongodb::options::Hint::Name("history".to_owned()))
                .limit(i64::from(limit))
                .await?
                .try_collect()
                .await
        })
        .await?;
        documents.into_iter().map(StoredMessage::new).collect()
    }

    /// Messages as the contract shows them; with `as_of`, as they were at that number of their conversation's log.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn views_as_of(
        &self,
        messages: Vec<StoredMessage>,
        as_of: Option<u64>,
    ) -> Result<Vec<Message>> {
        let mut views = Vec::with_capacity(messages.len());
        for mut message in messages {
            if let Some(seq) = as_of
                && message.needs_older_text(seq)
            {
                message.edit = self.find_edit(&message.id, seq).await?;
            }
            views.push(message.into_view(as_of));
        }
        Ok(views)
    }

    async fn find_edit(&self, id: &MessageId, as_of: u64) -> Result<Option<EditFacet>> {
        Ok(self
            .read_edits(id, Some(as_of))
            .await?
            .into_iter()
            .next_back())
    }

    async fn read_edits(&self, id: &MessageId, as_of: Option<u64>) -> Result<Vec<EditFacet>> {
        let mut filter = doc! { "data.messageId": id.as_str(), "type": "message.updated" };
        if let Some(as_of) = as_of {
            filter.insert("seq", doc! { "$lte": number(as_of) });
        }
        let documents: Vec<LogDocument> = bounded(async {
            self.log
                .find(filter)
                .sort(doc! { "data.messageId": 1, "seq": 1 })
                .limit(1000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        documents
            .iter()
            .map(|document| {
                let entry = document.entry()?;
                match entry.body {
                    Body::MessageUpdated(edit) => Ok(EditFacet {
                        seq: number(entry.seq),
                        content: edit.content,
                        metadata: edit.metadata,
                        at: date(entry.at),
                    }),
                    _ => Err(super::documents::unreadable("edit")),
                }
            })
            .collect()
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
        let is_deleted = message
            .deleted
            .as_ref()
            .is_some_and(|deleted| as_of.is_none_or(|as_of| deleted.seq.unsigned_abs() <= as_of));
        if is_deleted {
            return Ok(Vec::new());
        }
        let mut versions = vec![Version {
            content: message.created.content.clone(),
            at: message.created.created_at,
        }];
        for edit in self.read_edits(&message.id, as_of).await? {
            versions.push(Version {
                at: chat_sdk::Timestamp::from_millis(edit.at.timestamp_millis()),
                content: edit.content,
            });
        }
        Ok(versions)
    }
}

//! Conversations, read.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{Conversation, ConversationId, Timestamp, UserId};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    documents::{ConversationDocument, ParticipantDocument, name_key, number},
    facets::StoredMessage,
};
use crate::domain::{
    DomainError, Result,
    audience::Audience,
    page::{Page, PageRequest},
    state::Member,
};

/// How many conversations are looked at at once.
const CONCURRENCY: usize = 8;

fn noun(document: &ConversationDocument) -> Conversation {
    let fields = document.fields();
    Conversation {
        id: document.id.clone(),
        kind: fields.kind,
        name: fields.settings.name,
        avatar_url: fields.settings.avatar_url,
        metadata: fields.settings.metadata,
        history_visibility: fields.settings.history_visibility,
        features: fields.settings.features,
        retention_seconds: fields.settings.retention_seconds,
        created_by: fields.created_by,
        created_at: fields.created_at,
        updated_at: fields.updated_at,
        last_activity_at: fields.last_activity_at,
        participant_count: fields.participant_count,
        participant_ids: fields.participant_ids,
        seq: document.applied.unsigned_abs(),
        last_message: None,
        my_role: None,
        preferences: None,
        unread_count: None,
        mention_count: None,
        draft: None,
    }
}

/// A place in a list that is sorted by latest activity.
fn activity_cursor(document: &ConversationDocument) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!(
        "{}:{}",
        document.last_activity_at.timestamp_millis(),
        document.id
    ))
}

fn parse_activity_cursor(text: &str) -> Option<(DateTime, ConversationId)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, id) = text.split_once(':')?;
    Some((DateTime::from_millis(at.parse().ok()?), id.parse().ok()?))
}

impl Store {
    /// One conversation, unless deleted, with nothing in it that depends on who asks.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_conversation(&self, id: &ConversationId) -> Result<Option<Conversation>> {
        let found = bounded(
            self.conversations
                .find_one(doc! { "_id": id.as_str(), "isDeleted": false })
                .into_future(),
        )
        .await?;
        Ok(found.as_ref().map(noun))
    }

    /// The conversations of `user`, latest activity first, each with its newest message that the user may see.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for an unknown cursor.
    pub async fn find_conversation_page(
        &self,
        user: &UserId,
        request: &PageRequest,
    ) -> Result<Page<Conversation>> {
        let memberships: Vec<ParticipantDocument> = bounded(async {
            self.participants
                .find(doc! { "userId": user.as_str(), "isActive": true })
                .batch_size(2000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let members: HashMap<ConversationId, Member> = memberships
            .into_iter()
            .map(|document| (document.conversation_id.clone(), document.member()))
            .collect();
        let ids: Vec<&str> = members.keys().map(ConversationId::as_str).collect();
        let mut filter = doc! { "_id": { "$in": ids }, "isDeleted": false };
        let mut direction = -1;
        if let Some((field, cursor)) = [("before", &request.before), ("after", &request.after)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)))
        {
            let (at, id) = self.activity_position(field, cursor).await?;
            let operator = if field == "before" { "$lt" } else { "$gt" };
            if field == "after" {
                direction = 1;
            }
            filter.insert(
                "$or",
                vec![
                    doc! { "lastActivityAt": { operator: at } },
                    doc! { "lastActivityAt": at, "_id": { operator: id.as_str() } },
                ],
            );
        }
        let documents: Vec<ConversationDocument> = bounded(async {
            self.conversations
                .find(filter)
                .sort(doc! { "lastActivityAt": direction, "_id": direction })
                .limit(i64::from(request.limit) + 1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let page = Page::cut(documents, request.limit, activity_cursor);
        Ok(Page {
            items: self.with_last_messages(page.items, &members).await?,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    async fn activity_position(
        &self,
        field: &'static str,
        cursor: &str,
    ) -> Result<(DateTime, ConversationId)> {
        if let Some(position) = parse_activity_cursor(cursor) {
            return Ok(position);
        }
        let unknown =
            || DomainError::invalid(field, "is no cursor or conversation id of this list");
        let id: ConversationId = cursor.parse().map_err(|_| unknown())?;
        let found = bounded(
            self.conversations
                .find_one(doc! { "_id": id.as_str() })
                .into_future(),
        )
        .await?;
        found
            .map(|document| (document.last_activity_at, id))
            .ok_or_else(unknown)
    }

    async fn with_last_messages(
        &self,
        documents: Vec<ConversationDocument>,
        members: &HashMap<ConversationId, Member>,
    ) -> Result<Vec<Conversation>> {
        let mut wanted: Vec<Document> = Vec::new();
        // The newest message may lie outside of what a member sees who left and joined again.
        let mut hidden: Vec<(ConversationId, Audience)> = Vec::new();
        for document in &documents {
            let fields = document.fields();
            let Some(member) = members.get(&document.id) else {
                continue;
            };
            let seq = fields.last_message_seq;
            let audience = Audience::of(&fields, member);
            if audience.sees(seq) {
                wanted.push(doc! { "conversationId": document.id.as_str(), "seq": number(seq) });
            } else if seq > 0 {
                hidden.push((document.id.clone(), audience));
            }
        }
        let mut messages = HashMap::new();
        if !wanted.is_empty() {
            let found: Vec<_> = bounded(async {
                self.log
                    .find(doc! { "$or": wanted })
                    .await?
                    .try_collect::<Vec<_>>()
                    .await
            })
            .await?;
            let now = Timestamp::now();
            for document in found {
                let mut message = Some(StoredMessage::new(document)?);
                if let Some(gone) = message.take_if(|message| message.is_gone(now)) {
                    message = self.find_before(&gone, &documents, members).await?;
                }
                if let Some(message) = message {
                    messages.insert(message.conversation_id.clone(), message.into_view());
                }
            }
        }
        let mut newest = stream::iter(hidden)
            .map(|(id, audience)| async move {
                self.read_messages(&id, &audience, 1, u64::MAX, -1, 1).await
            })
            .buffered(CONCURRENCY);
        while let Some(found) = newest.try_next().await? {
            for message in found {
                let message = message.into_view();
                messages.insert(message.conversation_id.clone(), message);
            }
        }
        Ok(documents
            .iter()
            .map(|document| Conversation {
                last_message: messages.remove(&document.id).map(Box::new),
                my_role: members.get(&document.id).map(|member| member.role),
                preferences: members
                    .get(&document.id)
                    .map(|member| member.shown_preferences(document.fields().last_message_seq)),
                ..noun(document)
            })
            .collect())
    }

    /// The newest message before `gone`, whose time is over, that the member sees.
    async fn find_before(
        &self,
        gone: &StoredMessage,
        documents: &[ConversationDocument],
        members: &HashMap<ConversationId, Member>,
    ) -> Result<Option<StoredMessage>> {
        let id = &gone.conversation_id;
        let document = documents.iter().find(|document| document.id == *id);
        let Some((document, member)) = document.zip(members.get(id)) else {
            return Ok(None);
        };
        let audience = Audience::of(&document.fields(), member);
        let found = self
            .read_messages(id, &audience, 1, gone.seq - 1, -1, 1)
            .await?;
        Ok(found.into_iter().next())
    }

    /// Public conversations whose name begins with `prefix`, regardless of case, by name.
    ///
    /// # Errors
    /// [`DomainError::Validation`] for an unknown cursor.
    pub async fn find_public_page(
        &self,
        prefix: &str,
        request: &PageRequest,
    ) -> Result<Page<Conversation>> {
        #[derive(Deserialize)]
        struct Position(String, String);
        let prefix = name_key(prefix);
        let mut filter = doc! {
            "type": "public",
            "isDeleted": false,
            "nameKey": { "$gte": prefix.as_str(), "$lt": format!("{prefix}\u{10ffff}") },
        };
        let cursor = [("after", &request.after), ("before", &request.before)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
        if let Some((field, cursor)) = cursor {
            let Position(name, id) = BASE64_URL_SAFE_NO_PAD
                .decode(cursor)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .ok_or_else(|| DomainError::invalid(field, "is no cursor of this list"))?;
            filter.insert(
                "$or",
                vec![
                    doc! { "nameKey": { "$gt": name.as_str() } },
                    doc! { "nameKey": name.as_str(), "_id": { "$gt": id } },
                ],
            );
        }
        let documents: Vec<ConversationDocument> = bounded(async {
            self.conversations
                .find(filter)
                .sort(doc! { "nameKey": 1, "_id": 1 })
                .limit(i64::from(request.limit) + 1)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let conversations: Vec<Conversation> = documents.iter().map(noun).collect();
        Ok(Page::cut(conversations, request.limit, |conversation| {
            let name = name_key(conversation.name.as_deref().unwrap_or_default());
            let position = serde_json::json!([name, conversation.id]);
            BASE64_URL_SAFE_NO_PAD.encode(position.to_string())
        }))
    }
}

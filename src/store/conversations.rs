//! Reads of conversations.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{
    Conversation, ConversationId, Message, Timestamp, UserId, json_len, text::search_key,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    conversation_order::cursor_at,
    documents::{ConversationDocument, LogDocument, ParticipantDocument, number},
    facets::StoredMessage,
    pieces::{Listing, SizedDocument},
};
use crate::model::{
    DomainError, Result,
    page::{Page, PageRequest},
    state::{ConversationFields, Member},
    visibility::Audience,
};

/// Number of single messages that are looked up concurrently.
const LOOKUPS_AT_ONCE: usize = 16;

fn noun(document: ConversationDocument) -> Conversation {
    let seq = document.applied.unsigned_abs();
    document.fields.into_resource(document.id, seq)
}

/// Filter of a user's conversations by their archived state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFilter {
    /// Conversations that are not archived.
    Open,
    /// Conversations that are archived.
    Archived,
}

impl From<bool> for ArchiveFilter {
    fn from(is_archived: bool) -> Self {
        if is_archived {
            Self::Archived
        } else {
            Self::Open
        }
    }
}

/// Conversation of a user.
#[derive(Debug, Clone)]
pub struct ConversationRow {
    /// The conversation, without the parts that are read elsewhere.
    pub conversation: Conversation,
    /// Fields of its document.
    pub fields: ConversationFields,
    /// Membership of the user.
    pub member: Member,
}

impl ConversationRow {
    pub(super) fn new(document: ConversationDocument, member: Member) -> Self {
        let fields = document.fields.clone();
        Self {
            conversation: Conversation {
                my_role: Some(member.role),
                preferences: Some(
                    member.shown_preferences(fields.last_message_seq, Timestamp::now()),
                ),
                ..noun(document)
            },
            fields,
            member,
        }
    }

    /// Returns the range of the log that the member may read.
    pub fn audience(&self) -> Audience {
        Audience::of(&self.fields, &self.member)
    }

    /// Returns the `before` cursor that continues after it in a list sorted by latest activity.
    pub fn cursor(&self) -> String {
        Self::cursor_of(&self.conversation)
    }

    /// Returns the `before` cursor that continues after `conversation` in a list sorted by latest activity.
    pub fn cursor_of(conversation: &Conversation) -> String {
        cursor_at(conversation.last_activity_at.as_millis(), &conversation.id)
    }

    /// Returns the cursor that continues after `conversation` in a list sorted by name.
    pub fn public_cursor_of(conversation: &Conversation) -> String {
        let name = search_key(conversation.settings.name.as_deref().unwrap_or_default());
        let position = serde_json::json!([name, conversation.id]);
        BASE64_URL_SAFE_NO_PAD.encode(position.to_string())
    }
}

/// Newest messages of the conversations of a list.
#[derive(Debug, Default)]
pub struct LastMessages {
    /// Messages by conversation.
    pub found: HashMap<ConversationId, Message>,
    /// Number of conversations, from the start of the list, whose messages were all read.
    pub count: usize,
}

impl Store {
    /// Finds one conversation, unless deleted, without the parts that depend on the caller.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_conversation(&self, id: &ConversationId) -> Result<Option<Conversation>> {
        self.read_barrier.wait(std::slice::from_ref(id)).await;
        let found = bounded(
            self.conversations
                .find_one(doc! { "_id": id.as_str(), "isDeleted": false })
                .into_future(),
        )
        .await?;
        Ok(found.map(noun))
    }

    /// Finds one conversation of `user`, who must be a current member.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the user is not a member.
    pub async fn find_conversation_of(
        &self,
        id: &ConversationId,
        user: &UserId,
    ) -> Result<ConversationRow> {
        self.read_barrier.wait(std::slice::from_ref(id)).await;
        let member_id = ParticipantDocument::id(id, user);
        let (document, member) = tokio::try_join!(
            bounded(
                self.conversations
                    .find_one(doc! { "_id": id.as_str(), "isDeleted": false })
                    .into_future()
            ),
            bounded(
                self.participants
                    .find_one(doc! { "_id": member_id, "isActive": true })
                    .into_future()
            ),
        )?;
        document
            .zip(member)
            .map(|(document, member)| ConversationRow::new(document, member.member()))
            .ok_or_else(DomainError::no_conversation)
    }

    /// Finds the newest visible, unexpired message of each of `listed`, as `viewer` sees it.
    ///
    /// It covers as many conversations, from the first on, as have messages of `max_bytes` together, but at least one.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_last_messages(
        &self,
        listed: &[ConversationRow],
        viewer: &UserId,
        max_bytes: usize,
    ) -> Result<LastMessages> {
        let mut sized = self.find_last_sized(listed).await?;
        let mut bytes = 0;
        let sizes = listed.iter().map(|one| {
            let sized = sized.get(&one.conversation.id);
            sized.map_or(0, SizedDocument::len)
        });
        let fits = sizes.take_while(|size| {
            bytes += size;
            bytes <= max_bytes
        });
        let mut count = fits.count().max(1).min(listed.len());
        let wanted = listed[..count]
            .iter()
            .filter_map(|one| sized.remove(&one.conversation.id))
            .collect();
        let now = Timestamp::now();
        let mut messages = HashMap::new();
        for document in self.load(&self.log, wanted, usize::MAX).await?.items {
            let message = StoredMessage::new(document)?;
            if !message.is_gone(now) {
                messages.insert(message.conversation_id.clone(), message);
            }
        }
        // If the newest message is gone or not visible, the one before it counts. Their sizes are not known before they are read.
        let missing: Vec<usize> = (0..count)
            .filter(|at| {
                let one = &listed[*at];
                one.fields.last_message_seq > 0 && !messages.contains_key(&one.conversation.id)
            })
            .collect();
        let lookups = missing.iter().map(|at| async move {
            let newest = self.find_newest_of(&listed[*at]).await?;
            Ok::<_, DomainError>((*at, newest))
        });
        let mut lookups = stream::iter(lookups.collect::<Vec<_>>()).buffered(LOOKUPS_AT_ONCE);
        let mut bytes = 0;
        while let Some((at, message)) = lookups.try_next().await? {
            let Some(message) = message else { continue };
            bytes = json_len(&message.created).saturating_add(bytes);
            messages.insert(message.conversation_id.clone(), message);
            if bytes > max_bytes {
                count = at + 1;
                break;
            }
        }
        drop(lookups);
        messages.retain(|id, _| listed[..count].iter().any(|one| one.conversation.id == *id));
        let views = self
            .views(messages.into_values().collect(), None, Some(viewer))
            .await?;
        let found = views
            .into_iter()
            .map(|message| (message.conversation_id.clone(), message))
            .collect();
        Ok(LastMessages { found, count })
    }

    /// Finds the entry at the seq of the newest message of each of `listed` whose member sees it.
    async fn find_last_sized(
        &self,
        listed: &[ConversationRow],
    ) -> Result<HashMap<ConversationId, SizedDocument<LogDocument>>> {
        let wanted: Vec<Document> = listed
            .iter()
            .filter(|one| one.audience().sees(one.fields.last_message_seq))
            .map(|one| {
                doc! {
                    "conversationId": one.conversation.id.as_str(),
                    "seq": number(one.fields.last_message_seq),
                }
            })
            .collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let listing = Listing {
            filter: doc! { "$or": wanted },
            hint: Some("owner_seq"),
            ..Listing::default()
        };
        let found = self.find_sized(&self.log, &listing).await?;
        let by_id = found
            .into_iter()
            .filter_map(|sized| Some((sized.conversation_id.parse().ok()?, sized)));
        Ok(by_id.collect())
    }

    async fn find_newest_of(&self, listed: &ConversationRow) -> Result<Option<StoredMessage>> {
        let to = listed.fields.last_message_seq;
        self.find_newest_message(&listed.conversation.id, &listed.audience(), to)
            .await
    }

    /// Lists public conversations whose name key begins with `prefix`, by key.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_public_page(
        &self,
        prefix: &str,
        request: &PageRequest,
    ) -> Result<Page<Conversation>> {
        #[derive(Deserialize)]
        struct Position(String, String);
        let mut filter = doc! {
            "type": "public",
            "isDeleted": false,
            "nameKey": { "$gte": prefix, "$lt": format!("{prefix}\u{10ffff}") },
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
        let conversations: Vec<Conversation> = documents.into_iter().map(noun).collect();
        Ok(Page::cut(
            conversations,
            request.limit,
            ConversationRow::public_cursor_of,
        ))
    }
}

//! Reads of conversations.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{Conversation, ConversationId, Message, Timestamp, UserId, text::search_key};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    documents::{ConversationDocument, LogDocument, ParticipantDocument, number},
    facets::StoredMessage,
    pieces::{Listing, SizedDocument},
};
use crate::domain::{
    DomainError, Result,
    audience::Audience,
    page::{Page, PageRequest, json_len},
    state::{ConversationFields, Member},
};

/// Number of single messages that are looked up concurrently.
const LOOKUPS_AT_ONCE: usize = 16;
/// Maximum number of conversations of one command.
const IDS_AT_ONCE: usize = 1000;

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
        read_seq: None,
        unread_count: None,
        mention_count: None,
        draft: None,
    }
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
        match is_archived {
            true => Self::Archived,
            false => Self::Open,
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
    fn new(document: &ConversationDocument, member: Member) -> Self {
        let fields = document.fields();
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
        let name = search_key(conversation.name.as_deref().unwrap_or_default());
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

fn listed_of(
    documents: Vec<ConversationDocument>,
    mut members: HashMap<ConversationId, Member>,
) -> Vec<ConversationRow> {
    documents
        .iter()
        .filter_map(|document| {
            let member = members.remove(&document.id)?;
            Some(ConversationRow::new(document, member))
        })
        .collect()
}

/// Returns the cursor of a position in a list sorted by latest activity.
fn activity_cursor(document: &ConversationDocument) -> String {
    cursor_at(document.last_activity_at.timestamp_millis(), &document.id)
}

fn cursor_at(millis: i64, id: &ConversationId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{millis}:{id}"))
}

fn parse_activity_cursor(text: &str) -> Option<(DateTime, ConversationId)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, id) = text.split_once(':')?;
    Some((DateTime::from_millis(at.parse().ok()?), id.parse().ok()?))
}

impl Store {
    /// Finds one conversation, unless deleted, without the parts that depend on the caller.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_conversation(&self, id: &ConversationId) -> Result<Option<Conversation>> {
        self.settled.wait(std::slice::from_ref(id)).await;
        let found = bounded(
            self.conversations
                .find_one(doc! { "_id": id.as_str(), "isDeleted": false })
                .into_future(),
        )
        .await?;
        Ok(found.as_ref().map(noun))
    }

    /// Lists the archived or the other conversations of `user`, latest activity first, without hidden ones.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_conversation_page(
        &self,
        user: &UserId,
        shelf: ArchiveFilter,
        request: &PageRequest,
    ) -> Result<Page<ConversationRow>> {
        let mut members = self.find_active_members(user).await?;
        self.settle_all(&members).await;
        members
            .retain(|_, member| member.preferences.archived == (shelf == ArchiveFilter::Archived));
        let shown = self.find_shown(&members).await?;
        let mut filter = doc! { "_id": { "$in": shown }, "isDeleted": false };
        let mut direction = -1;
        if let Some((field, cursor)) = [("before", &request.before), ("after", &request.after)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)))
        {
            let (at, id) = self.activity_position(field, cursor, user).await?;
            let operator = if field == "before" { "$lt" } else { "$gt" };
            if field == "after" {
                direction = 1;
            }
            let beyond = vec![
                doc! { "lastActivityAt": { operator: at } },
                doc! { "lastActivityAt": at, "_id": { operator: id.as_str() } },
            ];
            filter = doc! { "$and": [filter, { "$or": beyond }] };
        }
        let documents: Vec<ConversationDocument> = bounded(async {
            self.conversations
                .find(filter)
                .sort(doc! { "lastActivityAt": direction, "_id": direction })
                .limit(i64::from(request.limit) + 1)
                .batch_size(request.limit + 2)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let page = Page::cut(documents, request.limit, activity_cursor);
        Ok(Page {
            items: listed_of(page.items, members),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    /// Returns all conversations of `user`, latest activity first, after `cursor` if it is given.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_conversations_of(
        &self,
        user: &UserId,
        cursor: Option<(&'static str, &str)>,
    ) -> Result<Vec<ConversationRow>> {
        let members = self.find_active_members(user).await?;
        self.settle_all(&members).await;
        let ids: Vec<&str> = members.keys().map(ConversationId::as_str).collect();
        let mut filter = doc! { "_id": { "$in": ids }, "isDeleted": false };
        if let Some((field, cursor)) = cursor {
            let (at, id) = self.activity_position(field, cursor, user).await?;
            let beyond = vec![
                doc! { "lastActivityAt": { "$lt": at } },
                doc! { "lastActivityAt": at, "_id": { "$lt": id.as_str() } },
            ];
            filter.insert("$or", beyond);
        }
        let documents: Vec<ConversationDocument> = bounded(async {
            self.conversations
                .find(filter)
                .sort(doc! { "lastActivityAt": -1, "_id": -1 })
                .batch_size(2000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(listed_of(documents, members))
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
        self.settled.wait(std::slice::from_ref(id)).await;
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
            .map(|(document, member)| ConversationRow::new(&document, member.member()))
            .ok_or_else(DomainError::no_conversation)
    }

    /// Returns the ids of a member's conversations that are not hidden.
    ///
    /// A new message shows a hidden one again.
    async fn find_shown<'a>(
        &self,
        members: &'a HashMap<ConversationId, Member>,
    ) -> Result<Vec<&'a str>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Newest {
            #[serde(rename = "_id")]
            id: ConversationId,
            last_message_seq: i64,
        }
        let (hidden, shown): (Vec<_>, Vec<_>) = members
            .iter()
            .partition(|(_, member)| member.preferences.hidden);
        let mut shown: Vec<&str> = shown.iter().map(|(id, _)| id.as_str()).collect();
        // One read of their newest seqs: a filter with a branch for each would take mongod seconds for thousands.
        let hidden: Vec<&str> = hidden.iter().map(|(id, _)| id.as_str()).collect();
        for ids in hidden.chunks(IDS_AT_ONCE) {
            let found: Vec<Newest> = bounded(async {
                self.conversations
                    .clone_with_type::<Newest>()
                    .find(doc! { "_id": { "$in": ids } })
                    .projection(doc! { "lastMessageSeq": 1 })
                    .batch_size(IDS_AT_ONCE as u32)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            shown.extend(found.iter().filter_map(|newest| {
                let (id, member) = members.get_key_value(&newest.id)?;
                let is_shown = !member.hides(newest.last_message_seq.unsigned_abs());
                is_shown.then_some(id.as_str())
            }));
        }
        Ok(shown)
    }

    async fn settle_all(&self, members: &HashMap<ConversationId, Member>) {
        let conversations: Vec<ConversationId> = members.keys().cloned().collect();
        self.settled.wait(&conversations).await;
    }

    async fn find_active_members(&self, user: &UserId) -> Result<HashMap<ConversationId, Member>> {
        let memberships: Vec<ParticipantDocument> = bounded(async {
            self.participants
                .find(doc! { "userId": user.as_str(), "isActive": true })
                .batch_size(5000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(memberships
            .into_iter()
            .map(|document| (document.conversation_id.clone(), document.member()))
            .collect())
    }

    /// Returns the position in the list of `user` that `cursor` names.
    ///
    /// An id is valid only if `user` is a current member; for others it is unknown.
    async fn activity_position(
        &self,
        field: &'static str,
        cursor: &str,
        user: &UserId,
    ) -> Result<(DateTime, ConversationId)> {
        if let Some(position) = parse_activity_cursor(cursor) {
            return Ok(position);
        }
        let unknown =
            || DomainError::invalid(field, "is no cursor or conversation id of this list");
        let id: ConversationId = cursor.parse().map_err(|_| unknown())?;
        match self.find_conversation_of(&id, user).await {
            Ok(found) => Ok((
                DateTime::from_millis(found.fields.last_activity_at.as_millis()),
                id,
            )),
            Err(DomainError::NotFound(_)) => Err(unknown()),
            Err(error) => Err(error),
        }
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
            bytes += json_len(&message.created);
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
        let conversations: Vec<Conversation> = documents.iter().map(noun).collect();
        Ok(Page::cut(
            conversations,
            request.limit,
            ConversationRow::public_cursor_of,
        ))
    }
}

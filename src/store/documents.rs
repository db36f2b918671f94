//! What the collections hold, and how it becomes the domain's types. Field names are those of the contract.

use std::sync::Arc;

use chat_sdk::{
    ConversationId, ConversationType, EventId, EventType, HistoryVisibility, MessageId, Metadata,
    Role, Timestamp, UserId,
};
use mongodb::bson::{
    self, DateTime, RawDocument, RawDocumentBuf, Timestamp as ClusterTime, rawdoc,
};
use serde::{Deserialize, Serialize};

use crate::domain::{
    DomainError,
    entry::{Body, Entry, Owner, Profile, Settings},
    state::{ConversationFields, Member, UserFields},
};

/// A stored document that this version cannot read.
pub fn unreadable(what: &'static str) -> DomainError {
    tracing::error!(what, "a stored document cannot be read");
    DomainError::Internal("a stored document cannot be read".into())
}

/// A moment as MongoDB stores it.
pub fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

fn moment(at: DateTime) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis())
}

/// A number of the log as MongoDB stores it. Numbers stay below 2^63.
pub fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewLogDocument<'a> {
    #[serde(rename = "_id")]
    id: &'a EventId,
    conversation_id: &'a str,
    seq: i64,
    /// Zero: mongod puts its own cluster time there at the insert.
    ts: ClusterTime,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<&'a UserId>,
    at: DateTime,
    data: &'a RawDocument,
}

/// An entry of the log as it is inserted.
pub fn log_document(entry: &Entry) -> bson::error::Result<RawDocumentBuf> {
    let data = match &entry.body {
        Body::MessageCreated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::MessageUpdated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::MessageDeleted(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::ConversationCreated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::ConversationUpdated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::ParticipantAdded(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::ParticipantRemoved(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::ParticipantUpdated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::UserSynced(body) | Body::UserUpdated(body) => {
            bson::serialize_to_raw_document_buf(body)?
        }
        Body::ConversationDeleted | Body::UserDeleted | Body::Noop => rawdoc! {},
    };
    let key;
    bson::serialize_to_raw_document_buf(&NewLogDocument {
        id: &entry.id,
        conversation_id: match &entry.owner {
            Owner::Conversation(id) => id.as_str(),
            owner @ Owner::User(_) => {
                key = owner.key();
                &key
            }
        },
        seq: number(entry.seq),
        ts: ClusterTime {
            time: 0,
            increment: 0,
        },
        kind: entry.body.kind().as_str(),
        actor_id: entry.actor.as_ref(),
        at: date(entry.at),
        data: &data,
    })
}

/// An entry as it is stored, with what happened to its message since.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogDocument {
    #[serde(rename = "_id")]
    id: EventId,
    conversation_id: String,
    seq: i64,
    /// When mongod took it in, by cluster time.
    pub ts: ClusterTime,
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(default)]
    actor_id: Option<UserId>,
    at: DateTime,
    data: RawDocumentBuf,
    /// The text it has now.
    #[serde(default)]
    pub edit: Option<EditFacet>,
    /// Its deletion.
    #[serde(default)]
    pub deleted: Option<DeletedFacet>,
}

/// A message's changed text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditFacet {
    /// The entry that changed it.
    pub seq: i64,
    /// The text.
    pub content: String,
    /// The host's own data, where an edit changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// When.
    pub at: DateTime,
}

/// A message's deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletedFacet {
    /// The entry that deleted it.
    pub seq: i64,
    /// When.
    pub at: DateTime,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
}

impl LogDocument {
    /// The entry.
    ///
    /// # Errors
    /// [`DomainError::Internal`] for one that this version cannot read.
    pub fn entry(&self) -> Result<Entry, DomainError> {
        let owner =
            Owner::from_key(&self.conversation_id).ok_or_else(|| unreadable("log owner"))?;
        Ok(Entry {
            id: self.id.clone(),
            owner,
            seq: self.seq.unsigned_abs(),
            actor: self.actor_id.clone(),
            at: moment(self.at),
            body: body(self.kind, &self.data).map_err(|_| unreadable("log data"))?,
        })
    }

    /// The entry, shared.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn shared_entry(&self) -> Result<Arc<Entry>, DomainError> {
        self.entry().map(Arc::new)
    }
}

fn body(kind: EventType, data: &RawDocument) -> bson::error::Result<Body> {
    let data = data.as_bytes();
    Ok(match kind {
        EventType::MessageCreated => Body::MessageCreated(bson::deserialize_from_slice(data)?),
        EventType::MessageUpdated => Body::MessageUpdated(bson::deserialize_from_slice(data)?),
        EventType::MessageDeleted => Body::MessageDeleted(bson::deserialize_from_slice(data)?),
        EventType::ConversationCreated => {
            Body::ConversationCreated(bson::deserialize_from_slice(data)?)
        }
        EventType::ConversationUpdated => {
            Body::ConversationUpdated(bson::deserialize_from_slice(data)?)
        }
        EventType::ConversationDeleted => Body::ConversationDeleted,
        EventType::ParticipantAdded => Body::ParticipantAdded(bson::deserialize_from_slice(data)?),
        EventType::ParticipantRemoved => {
            Body::ParticipantRemoved(bson::deserialize_from_slice(data)?)
        }
        EventType::ParticipantUpdated => {
            Body::ParticipantUpdated(bson::deserialize_from_slice(data)?)
        }
        EventType::UserSynced => Body::UserSynced(bson::deserialize_from_slice(data)?),
        EventType::UserUpdated => Body::UserUpdated(bson::deserialize_from_slice(data)?),
        EventType::UserDeleted => Body::UserDeleted,
        EventType::Noop => Body::Noop,
    })
}

/// A name as it is searched and sorted by.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A conversation's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationDocument {
    /// The conversation's id.
    #[serde(rename = "_id", skip_serializing)]
    pub id: ConversationId,
    /// The number of the log that this is the fold of; written apart from the rest.
    #[serde(default, skip_serializing)]
    pub applied: i64,
    #[serde(rename = "type")]
    kind: ConversationType,
    name: Option<String>,
    /// The name in lower case, for finding public conversations by it.
    name_key: Option<String>,
    avatar_url: Option<String>,
    metadata: Option<Metadata>,
    history_visibility: HistoryVisibility,
    created_by: UserId,
    created_at: DateTime,
    updated_at: DateTime,
    is_deleted: bool,
    participant_count: i64,
    participant_ids: Vec<UserId>,
    /// When something last happened; conversations are listed by it.
    pub last_activity_at: DateTime,
    last_message_seq: i64,
}

impl ConversationDocument {
    /// The document of a state.
    pub fn new(id: ConversationId, fields: &ConversationFields) -> Self {
        Self {
            id,
            applied: 0,
            kind: fields.kind,
            name: fields.settings.name.clone(),
            name_key: fields.settings.name.as_ref().map(|name| name_key(name)),
            avatar_url: fields.settings.avatar_url.clone(),
            metadata: fields.settings.metadata.clone(),
            history_visibility: fields.settings.history_visibility,
            created_by: fields.created_by.clone(),
            created_at: date(fields.created_at),
            updated_at: date(fields.updated_at),
            is_deleted: fields.is_deleted,
            participant_count: i64::from(fields.participant_count),
            participant_ids: fields.participant_ids.clone(),
            last_activity_at: date(fields.last_activity_at),
            last_message_seq: number(fields.last_message_seq),
        }
    }

    /// The state that this says.
    pub fn fields(&self) -> ConversationFields {
        ConversationFields {
            kind: self.kind,
            settings: Settings {
                name: self.name.clone(),
                avatar_url: self.avatar_url.clone(),
                metadata: self.metadata.clone(),
                history_visibility: self.history_visibility,
            },
            created_by: self.created_by.clone(),
            created_at: moment(self.created_at),
            updated_at: moment(self.updated_at),
            is_deleted: self.is_deleted,
            participant_count: u32::try_from(self.participant_count).unwrap_or(u32::MAX),
            participant_ids: self.participant_ids.clone(),
            last_activity_at: moment(self.last_activity_at),
            last_message_seq: self.last_message_seq.unsigned_abs(),
        }
    }
}

/// A member's document, past members too.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantDocument {
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// Who.
    pub user_id: UserId,
    role: Role,
    /// `[joined, left]`, `left` null while a member.
    intervals: Vec<(i64, Option<i64>)>,
    is_active: bool,
    joined_at: DateTime,
    seq: i64,
}

impl ParticipantDocument {
    /// The document of a member.
    pub fn new(conversation: &ConversationId, user: &UserId, member: &Member) -> Self {
        Self {
            conversation_id: conversation.clone(),
            user_id: user.clone(),
            role: member.role,
            intervals: member
                .intervals
                .iter()
                .map(|(joined, left)| (number(*joined), left.map(number)))
                .collect(),
            is_active: member.is_active(),
            joined_at: date(member.joined_at),
            seq: number(member.seq),
        }
    }

    /// The `_id`: a conversation's id has a fixed length, so the two parts cannot be confused.
    pub fn id(conversation: &ConversationId, user: &UserId) -> String {
        format!("{conversation}:{user}")
    }

    /// The member that this says.
    pub fn member(&self) -> Member {
        Member {
            role: self.role,
            intervals: self
                .intervals
                .iter()
                .map(|(joined, left)| (joined.unsigned_abs(), left.map(i64::unsigned_abs)))
                .collect(),
            joined_at: moment(self.joined_at),
            seq: self.seq.unsigned_abs(),
        }
    }
}

/// A user's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDocument {
    /// The user's id.
    #[serde(rename = "_id", skip_serializing)]
    pub id: UserId,
    /// The number of the log that this is the fold of; written apart from the rest.
    #[serde(default, skip_serializing)]
    pub applied: i64,
    profile: Profile,
    /// Name, its words, and id in lower case, for finding users by their beginning.
    search_keys: Vec<String>,
    updated_at: DateTime,
    is_deleted: bool,
}

impl UserDocument {
    /// The document of a state.
    pub fn new(id: UserId, fields: &UserFields) -> Self {
        let mut search_keys = Vec::new();
        if !fields.is_deleted {
            search_keys.push(id.as_str().to_lowercase());
            if let Some(name) = &fields.profile.name {
                let name = name.to_lowercase();
                search_keys.extend(name.split_whitespace().map(str::to_owned));
                search_keys.push(name);
            }
            search_keys.sort();
            search_keys.dedup();
        }
        Self {
            id,
            applied: 0,
            profile: fields.profile.clone(),
            search_keys,
            updated_at: date(fields.updated_at),
            is_deleted: fields.is_deleted,
        }
    }

    /// The state that this says.
    pub fn fields(&self) -> UserFields {
        UserFields {
            profile: self.profile.clone(),
            updated_at: moment(self.updated_at),
            is_deleted: self.is_deleted,
        }
    }
}

/// A message with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMessage {
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: MessageId,
    pub(super) created: chat_sdk::Message,
    pub(super) edit: Option<EditFacet>,
    pub(super) deleted: Option<DeletedFacet>,
}

impl StoredMessage {
    /// The message of a log document.
    ///
    /// # Errors
    /// [`DomainError::Internal`] when it is none.
    pub fn new(document: LogDocument) -> Result<Self, DomainError> {
        let entry = document.entry()?;
        let Body::MessageCreated(body) = &entry.body else {
            return Err(unreadable("message"));
        };
        let created = crate::domain::catalogue::message(&entry, body);
        Ok(Self {
            conversation_id: created.conversation_id.clone(),
            seq: entry.seq,
            id: created.id.clone(),
            created,
            edit: document.edit,
            deleted: document.deleted,
        })
    }

    /// Who sent it.
    pub fn sender(&self) -> &UserId {
        &self.created.sender_id
    }

    /// The host's own data of its latest edit, if that named any.
    pub fn edited_metadata(&self) -> Option<Metadata> {
        self.edit.as_ref().and_then(|edit| edit.metadata.clone())
    }

    /// Whether it is deleted now.
    pub fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    /// Whether an edit later than number `as_of` hides the text that was there then.
    pub(super) fn needs_older_text(&self, as_of: u64) -> bool {
        self.edit
            .as_ref()
            .is_some_and(|edit| edit.seq.unsigned_abs() > as_of)
    }

    /// The message as the contract shows it; with `as_of`, as it was at that number of the log. The caller has replaced a later edit by then
    /// (see `needs_older_text`).
    pub fn into_view(self, as_of: Option<u64>) -> chat_sdk::Message {
        let is_known = |seq: i64| as_of.is_none_or(|as_of| seq.unsigned_abs() <= as_of);
        let mut message = self.created;
        if let Some(edit) = self.edit.filter(|edit| is_known(edit.seq)) {
            message.content = edit.content;
            if edit.metadata.is_some() {
                message.metadata = edit.metadata;
            }
            message.is_edited = true;
            message.updated_at = moment(edit.at);
        }
        if let Some(deleted) = self.deleted.filter(|deleted| is_known(deleted.seq)) {
            message.content = String::new();
            message.attachments = Vec::new();
            message.metadata = None;
            message.mentions = Vec::new();
            message.is_deleted = true;
            message.updated_at = moment(deleted.at);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::MessageCreated;

    #[test]
    fn an_entry_survives_storage_with_its_metadata_as_text() {
        let metadata: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(r#"{"$where":{"a.b":18446744073709551615},"x":[1.0,1]}"#)
                .expect("valid JSON");
        let entry = Entry {
            id: EventId::generate(),
            owner: ConversationId::generate().into(),
            seq: 7,
            actor: Some("alice".parse().expect("valid")),
            at: Timestamp::from_millis(1_700_000_000_123),
            body: Body::MessageCreated(Box::new(MessageCreated {
                content: "hello".to_owned(),
                kind: Default::default(),
                attachments: Vec::new(),
                reply_to: None,
                thread_id: None,
                mentions: Vec::new(),
                metadata: Some(metadata.into()),
                client_message_id: Some("c1".to_owned()),
                request_hash: None,
            })),
        };
        let raw = log_document(&entry).expect("encodes");
        let data = raw.get_document("data").expect("has data");
        assert!(
            data.get_str("metadata")
                .expect("is text")
                .contains("$where")
        );
        let stored: LogDocument = bson::deserialize_from_slice(raw.as_bytes()).expect("decodes");
        assert_eq!(stored.entry().expect("is readable"), entry);
    }
}

//! Documents of the collections and their conversion into domain types.
//!
//! Field names are those of the contract.

use std::{collections::BTreeMap, sync::Arc};

use chat_sdk::{
    ConversationId, ConversationType, EventId, EventType, Features, HistoryVisibility, Preferences,
    Role, Timestamp, UserId,
    text::{search_key, words},
};
use mongodb::bson::{
    self, DateTime, RawDocument, RawDocumentBuf, Timestamp as ClusterTime, cstr, rawdoc,
};
use serde::{Deserialize, Serialize};

use super::facets::{
    DeletedFacet, EditFacet, Facets, MetadataFacet, PinnedFacet, ReactionsFacet, RepliesFacet,
};
use crate::domain::{
    DomainError,
    audience::MAX_INTERVALS,
    entry::{Body, Entry, Owner, Profile, Settings},
    state::{ConversationFields, Member, UserFields},
};

/// Logs a stored document that this version cannot read, and returns the error.
pub fn unreadable(what: &'static str) -> DomainError {
    tracing::error!(what, "a stored document cannot be read");
    DomainError::Internal("a stored document cannot be read".into())
}

/// Converts a timestamp into MongoDB's date.
pub fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

/// Converts a stored date into a timestamp.
pub fn moment(at: DateTime) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis())
}

/// Converts a seq into MongoDB's integer. Seqs stay below 2^63.
pub fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// Encodes a log entry as it is inserted.
pub fn log_document(entry: &Entry) -> bson::error::Result<RawDocumentBuf> {
    let data = match &entry.body {
        Body::MessageCreated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::MessageUpdated(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::MessageDeleted(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::MessageRestored(body) => bson::serialize_to_raw_document_buf(body)?,
        Body::MessagePinned(body) | Body::MessageUnpinned(body) => {
            bson::serialize_to_raw_document_buf(body)?
        }
        Body::ReactionAdded(body) | Body::ReactionRemoved(body) => {
            bson::serialize_to_raw_document_buf(body)?
        }
        Body::UserBlocked(body) | Body::UserUnblocked(body) => {
            bson::serialize_to_raw_document_buf(body)?
        }
        Body::UserDisconnected(body) => bson::serialize_to_raw_document_buf(body)?,
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
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), entry.id.as_str());
    match &entry.owner {
        Owner::Conversation(id) => document.append(cstr!("conversationId"), id.as_str()),
        owner @ Owner::User(_) => document.append(cstr!("conversationId"), owner.key()),
    }
    document.append(cstr!("seq"), number(entry.seq));
    // Zero makes mongod set its own cluster time at the insert.
    let zero = ClusterTime {
        time: 0,
        increment: 0,
    };
    document.append(cstr!("ts"), zero);
    document.append(cstr!("type"), entry.body.kind().as_str());
    if let Some(actor) = &entry.actor {
        document.append(cstr!("actorId"), actor.as_str());
    }
    document.append(cstr!("at"), date(entry.at));
    document.append(cstr!("data"), &*data);
    Ok(document)
}

/// Stored entry, with the changes of its message since.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogDocument {
    /// Id of the entry.
    #[serde(rename = "_id")]
    pub id: EventId,
    conversation_id: String,
    seq: i64,
    /// Cluster time at which mongod accepted the entry.
    pub ts: ClusterTime,
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(default)]
    actor_id: Option<UserId>,
    at: DateTime,
    data: RawDocumentBuf,
    // Facets of a message, see [`Facets`]. They are listed one by one, because flattening would copy every document.
    #[serde(default)]
    edit: Option<EditFacet>,
    #[serde(default)]
    edit_metadata: Option<MetadataFacet>,
    #[serde(default)]
    deleted: Option<DeletedFacet>,
    #[serde(default)]
    pinned: Option<PinnedFacet>,
    #[serde(default)]
    replies: Option<RepliesFacet>,
    #[serde(default)]
    reactions: BTreeMap<String, ReactionsFacet>,
    #[serde(default)]
    is_erased: bool,
}

impl LogDocument {
    /// Converts the document into its entry.
    ///
    /// # Errors
    /// [`DomainError::Internal`] if this version cannot read the entry.
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
            trace: None,
        })
    }

    /// Returns the facets, if the entry is a message.
    pub fn into_facets(self) -> Facets {
        Facets {
            edit: self.edit,
            edit_metadata: self.edit_metadata,
            deleted: self.deleted,
            pinned: self.pinned,
            replies: self.replies,
            reactions: self.reactions,
            is_erased: self.is_erased,
        }
    }

    /// Converts the document into its shared entry.
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
        EventType::MessageRestored => Body::MessageRestored(bson::deserialize_from_slice(data)?),
        EventType::MessagePinned => Body::MessagePinned(bson::deserialize_from_slice(data)?),
        EventType::MessageUnpinned => Body::MessageUnpinned(bson::deserialize_from_slice(data)?),
        EventType::ReactionAdded => Body::ReactionAdded(bson::deserialize_from_slice(data)?),
        EventType::ReactionRemoved => Body::ReactionRemoved(bson::deserialize_from_slice(data)?),
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
        EventType::UserBlocked => Body::UserBlocked(bson::deserialize_from_slice(data)?),
        EventType::UserUnblocked => Body::UserUnblocked(bson::deserialize_from_slice(data)?),
        EventType::UserDisconnected => Body::UserDisconnected(bson::deserialize_from_slice(data)?),
        EventType::Noop => Body::Noop,
        EventType::MessageRead
        | EventType::MessageDelivered
        | EventType::ConversationRead
        | EventType::DraftUpdated
        | EventType::UserOnline
        | EventType::UserAway
        | EventType::UserOffline => {
            return Err(serde::de::Error::custom("latest values are in no log"));
        }
    })
}

/// Returns the keys by which a user is found: of the name, its words, and the id.
pub fn user_keys(id: &UserId, name: Option<&str>) -> Vec<String> {
    let mut keys = vec![search_key(id.as_str())];
    if let Some(name) = name {
        let name = search_key(name);
        keys.extend(words(&name).map(str::to_owned));
        keys.push(name);
    }
    keys.retain(|key| !key.is_empty());
    keys.sort();
    keys.dedup();
    keys
}

/// Document of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationDocument {
    /// Id of the conversation.
    #[serde(rename = "_id", skip_serializing)]
    pub id: ConversationId,
    /// Seq of the newest entry in this fold; written apart from the rest.
    #[serde(default, skip_serializing)]
    pub applied: i64,
    #[serde(rename = "type")]
    kind: ConversationType,
    name: Option<String>,
    /// Key of the name, to find public conversations by it.
    name_key: Option<String>,
    avatar_url: Option<String>,
    metadata: Option<chat_sdk::Metadata>,
    history_visibility: HistoryVisibility,
    #[serde(default)]
    features: Features,
    #[serde(default)]
    retention_seconds: Option<i64>,
    created_by: UserId,
    created_at: DateTime,
    updated_at: DateTime,
    is_deleted: bool,
    participant_count: i64,
    participant_ids: Vec<UserId>,
    /// Time of the last activity; conversations are listed by it.
    pub last_activity_at: DateTime,
    last_message_seq: i64,
    #[serde(default)]
    last_removal_seq: i64,
}

impl ConversationDocument {
    /// Creates the document of a state.
    pub fn new(id: ConversationId, fields: &ConversationFields) -> Self {
        Self {
            id,
            applied: 0,
            kind: fields.kind,
            name: fields.settings.name.clone(),
            name_key: fields.settings.name.as_deref().map(search_key),
            avatar_url: fields.settings.avatar_url.clone(),
            metadata: fields.settings.metadata.clone(),
            history_visibility: fields.settings.history_visibility,
            features: fields.settings.features,
            retention_seconds: fields.settings.retention_seconds.map(i64::from),
            created_by: fields.created_by.clone(),
            created_at: date(fields.created_at),
            updated_at: date(fields.updated_at),
            is_deleted: fields.is_deleted,
            participant_count: i64::from(fields.participant_count),
            participant_ids: fields.participant_ids.clone(),
            last_activity_at: date(fields.last_activity_at),
            last_message_seq: number(fields.last_message_seq),
            last_removal_seq: number(fields.last_removal_seq),
        }
    }

    /// Converts the document into the state.
    pub fn fields(&self) -> ConversationFields {
        ConversationFields {
            kind: self.kind,
            settings: Settings {
                name: self.name.clone(),
                avatar_url: self.avatar_url.clone(),
                metadata: self.metadata.clone(),
                history_visibility: self.history_visibility,
                features: self.features,
                retention_seconds: self
                    .retention_seconds
                    .and_then(|seconds| u32::try_from(seconds).ok()),
            },
            created_by: self.created_by.clone(),
            created_at: moment(self.created_at),
            updated_at: moment(self.updated_at),
            is_deleted: self.is_deleted,
            participant_count: u32::try_from(self.participant_count).unwrap_or(u32::MAX),
            participant_ids: self.participant_ids.clone(),
            last_activity_at: moment(self.last_activity_at),
            last_message_seq: self.last_message_seq.unsigned_abs(),
            last_removal_seq: self.last_removal_seq.unsigned_abs(),
        }
    }
}

/// Document of a member or former member.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantDocument {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the member.
    pub user_id: UserId,
    role: Role,
    /// Intervals `[joined, left]`; `left` is null for a current member.
    intervals: Vec<(i64, Option<i64>)>,
    #[serde(default)]
    left_under: Option<HistoryVisibility>,
    is_active: bool,
    joined_at: DateTime,
    #[serde(default)]
    preferences: Preferences,
    #[serde(default)]
    hidden_at: i64,
    #[serde(default)]
    is_blocking: bool,
    #[serde(default)]
    former_until: i64,
    seq: i64,
}

impl ParticipantDocument {
    /// Creates the document of a member.
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
            left_under: member.left_under,
            is_active: member.is_active(),
            joined_at: date(member.joined_at),
            preferences: member.preferences.clone(),
            hidden_at: number(member.hidden_at),
            is_blocking: member.is_blocking,
            former_until: number(member.former_until),
            seq: number(member.seq),
        }
    }

    /// Returns the `_id`. A conversation's id has a fixed length, so the two parts cannot be confused.
    pub fn id(conversation: &ConversationId, user: &UserId) -> String {
        format!("{conversation}:{user}")
    }

    /// Converts the document into the member.
    pub fn member(&self) -> Member {
        // An earlier version kept every interval.
        let excess = self.intervals.len().saturating_sub(MAX_INTERVALS);
        Member {
            role: self.role,
            intervals: self.intervals[excess..]
                .iter()
                .map(|(joined, left)| (joined.unsigned_abs(), left.map(i64::unsigned_abs)))
                .collect(),
            left_under: self.left_under,
            joined_at: moment(self.joined_at),
            preferences: self.preferences.clone(),
            hidden_at: self.hidden_at.unsigned_abs(),
            is_blocking: self.is_blocking,
            former_until: self.former_until.unsigned_abs(),
            seq: self.seq.unsigned_abs(),
        }
    }
}

/// Document of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDocument {
    /// Id of the user.
    #[serde(rename = "_id", skip_serializing)]
    pub id: UserId,
    /// Seq of the newest entry in this fold; written apart from the rest.
    #[serde(default, skip_serializing)]
    pub applied: i64,
    profile: Profile,
    /// Keys for user search, see [`user_keys`].
    search_keys: Vec<String>,
    updated_at: DateTime,
    is_deleted: bool,
    /// Time (milliseconds since 1970) before which issued tokens are refused.
    #[serde(default)]
    tokens_valid_from: i64,
    #[serde(default)]
    incarnation: i64,
}

impl UserDocument {
    /// Creates the document of a state.
    pub fn new(id: UserId, fields: &UserFields) -> Self {
        let search_keys = match fields.is_deleted {
            true => Vec::new(),
            false => user_keys(&id, fields.profile.name.as_deref()),
        };
        Self {
            id,
            applied: 0,
            profile: fields.profile.clone(),
            search_keys,
            updated_at: date(fields.updated_at),
            is_deleted: fields.is_deleted,
            tokens_valid_from: fields.tokens_valid_from,
            incarnation: number(fields.incarnation),
        }
    }

    /// Converts the document into the state.
    pub fn fields(&self) -> UserFields {
        UserFields {
            profile: self.profile.clone(),
            updated_at: moment(self.updated_at),
            is_deleted: self.is_deleted,
            tokens_valid_from: self.tokens_valid_from,
            incarnation: self.incarnation.unsigned_abs(),
        }
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
                thread_reply_count: None,
                is_thread_expiring: false,
                here: Vec::new(),
                silent: false,
                forwarded_from: None,
                expires_at: None,
                schedule: None,
            })),
            trace: None,
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

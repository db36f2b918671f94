//! Documents of the collections and their conversion into domain types.
//!
//! Field names are those of the contract.

pub mod blocks;
pub mod presence;
pub mod reactions;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use chat_sdk::{
    ConversationId, ConversationSettings, ConversationType, EventId, EventType, HistoryVisibility,
    Preferences, Role, Timestamp, UserId,
    text::{search_key, words},
};
use mongodb::bson::{
    self, Bson, DateTime, Document, RawDocument, RawDocumentBuf, Timestamp as ClusterTime, cstr,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};

use super::facets::{
    DeletedFacet, EditFacet, Facets, MetadataFacet, PinnedFacet, ReactionsFacet, RepliesFacet,
};
use crate::model::{
    DomainError,
    entry::{self, Body, Entry, Owner, Profile, ReadData},
    state::{ConversationFields, Member, UserFields},
    visibility::MAX_INTERVALS,
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

/// Encodes a value as it is stored.
///
/// It uses raw BSON, because only there serializers are not human-readable: metadata must become text.
pub fn stored(value: &impl Serialize) -> bson::error::Result<Document> {
    bson::serialize_to_raw_document_buf(value)?.try_into()
}

/// Encodes a log entry as it is inserted.
pub fn log_document(entry: &Entry) -> bson::error::Result<RawDocumentBuf> {
    let data = bson::serialize_to_raw_document_buf(&entry::Data(&entry.body))?;
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
            body: Body::read(self.kind, &*self.data).map_err(|_| unreadable("log data"))?,
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

impl ReadData for &RawDocument {
    type Error = bson::error::Error;

    fn read<T: DeserializeOwned>(self) -> Result<T, bson::error::Error> {
        bson::deserialize_from_slice(self.as_bytes())
    }
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

/// Document of a conversation, as it is read; [`conversation_document`] writes it.
#[derive(Debug, Clone)]
pub struct ConversationDocument {
    /// Id of the conversation.
    pub id: ConversationId,
    /// Seq of the newest entry in this fold; written apart from the rest.
    pub applied: i64,
    /// The state.
    pub fields: ConversationFields,
}

/// Fields of a conversation's document beside its settings.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConversationRecord {
    #[serde(rename = "type")]
    kind: ConversationType,
    /// Key of the name, to find public conversations by it.
    name_key: Option<String>,
    created_by: UserId,
    created_at: DateTime,
    updated_at: DateTime,
    is_deleted: bool,
    participant_count: i64,
    participant_ids: Vec<UserId>,
    last_activity_at: DateTime,
    last_message_seq: i64,
    #[serde(default)]
    last_removal_seq: i64,
}

/// Encodes a conversation as it is stored, without its id and seq.
pub fn conversation_document(fields: &ConversationFields) -> bson::error::Result<Document> {
    static SETTINGS: LazyLock<Vec<&str>> = LazyLock::new(ConversationSettings::names);
    let mut document = stored(&ConversationRecord {
        kind: fields.kind,
        name_key: fields.settings.name.as_deref().map(search_key),
        created_by: fields.created_by.clone(),
        created_at: date(fields.created_at),
        updated_at: date(fields.updated_at),
        is_deleted: fields.is_deleted,
        participant_count: i64::from(fields.participant_count),
        participant_ids: fields.participant_ids.clone(),
        last_activity_at: date(fields.last_activity_at),
        last_message_seq: number(fields.last_message_seq),
        last_removal_seq: number(fields.last_removal_seq),
    })?;
    // The document is written with `$set`, so a setting without a value is null in it.
    document.extend(SETTINGS.iter().map(|name| ((*name).to_owned(), Bson::Null)));
    document.extend(stored(&fields.settings)?);
    Ok(document)
}

impl<'de> Deserialize<'de> for ConversationDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Position {
            #[serde(rename = "_id")]
            id: ConversationId,
            #[serde(default)]
            applied: i64,
        }
        // Each part reads the whole document: with `#[serde(flatten)]` metadata could not know that the format is binary.
        let raw = RawDocumentBuf::deserialize(deserializer)?;
        let Position { id, applied } = part(&raw)?;
        let record: ConversationRecord = part(&raw)?;
        let fields = ConversationFields {
            kind: record.kind,
            settings: part(&raw)?,
            created_by: record.created_by,
            created_at: moment(record.created_at),
            updated_at: moment(record.updated_at),
            is_deleted: record.is_deleted,
            participant_count: u32::try_from(record.participant_count).unwrap_or(u32::MAX),
            participant_ids: record.participant_ids,
            last_activity_at: moment(record.last_activity_at),
            last_message_seq: record.last_message_seq.unsigned_abs(),
            last_removal_seq: record.last_removal_seq.unsigned_abs(),
        };
        Ok(Self {
            id,
            applied,
            fields,
        })
    }
}

fn part<T: DeserializeOwned, E: de::Error>(document: &RawDocument) -> Result<T, E> {
    document.read().map_err(E::custom)
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
    /// Ids of the sessions whose tokens are refused.
    #[serde(default)]
    ended_sessions: Vec<String>,
    #[serde(default)]
    incarnation: i64,
}

impl UserDocument {
    /// Creates the document of a state.
    pub fn new(id: UserId, fields: &UserFields) -> Self {
        let search_keys = if fields.is_deleted {
            Vec::new()
        } else {
            user_keys(&id, fields.profile.name.as_deref())
        };
        Self {
            id,
            applied: 0,
            profile: fields.profile.clone(),
            search_keys,
            updated_at: date(fields.updated_at),
            is_deleted: fields.is_deleted,
            tokens_valid_from: fields.tokens_valid_from,
            ended_sessions: fields.ended_sessions.clone(),
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
            ended_sessions: self.ended_sessions.clone(),
            incarnation: self.incarnation.unsigned_abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;
    use crate::model::{
        entry::MessageCreated,
        size::{
            stored_at_most,
            tests::{NASTY, entries},
        },
    };

    #[test]
    fn no_stored_entry_is_larger_than_its_bound() {
        for entry in NASTY.iter().flat_map(|unit| entries(unit)) {
            let real = log_document(&entry).expect("encodes").as_bytes().len();
            let (kind, bound) = (entry.body.kind(), stored_at_most(&entry));
            assert!(real <= bound, "{kind}: {real} stored, bound {bound}");
        }
    }

    #[test]
    fn a_stored_conversation_is_read_and_written_in_the_same_form() {
        let date = DateTime::from_millis(1_700_000_000_123);
        let stored = doc! {
            "_id": ConversationId::generate().as_str(), "applied": 7_i64, "type": "public", "name": null,
            "nameKey": null, "avatarUrl": "https://example.com/a.png", "metadata": r#"{"$where":{"a.b":1}}"#,
            "historyVisibility": "joined", "retentionSeconds": 60_i64,
            "features": { "typing": true, "reads": false, "reactions": true, "threads": true },
            "createdBy": "alice", "createdAt": date, "updatedAt": date, "isDeleted": false,
            "participantCount": 1_i64, "participantIds": ["alice"], "lastActivityAt": date,
            "lastMessageSeq": 5_i64, "lastRemovalSeq": 0_i64,
        };
        let raw = RawDocumentBuf::try_from(&stored).expect("encodes");
        let read: ConversationDocument =
            bson::deserialize_from_slice(raw.as_bytes()).expect("decodes");
        let settings = &read.fields.settings;
        assert_eq!(settings.retention_seconds, Some(60));
        let metadata = settings.metadata.as_ref().expect("metadata");
        assert!(metadata.as_map().contains_key("$where"));
        let mut written = conversation_document(&read.fields).expect("encodes");
        written.insert("_id", read.id.as_str());
        written.insert("applied", read.applied);
        assert_eq!(written, stored);
    }

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

//! Facets: changes of a message since it was sent.
//!
//! Each facet is stored beside the message in the log, with the seq of the entry that last wrote it.

use std::collections::BTreeMap;

use chat_sdk::{ConversationId, MessageId, Metadata, Patch, ReactionSummary, Timestamp, UserId};
use mongodb::bson::{self, DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::documents::{LogDocument, date, moment, number, unreadable};
use crate::model::{
    DomainError,
    entry::{Body, MessageRestored},
    fold::Facet,
    state::{MessageState, Reactors},
};

/// Facets of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facets {
    /// Current text, if an edit changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<EditFacet>,
    /// Current metadata of the host, if an edit changed it.
    #[serde(
        default,
        rename = "editMetadata",
        skip_serializing_if = "Option::is_none"
    )]
    pub edit_metadata: Option<MetadataFacet>,
    /// Deletion or restoration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<DeletedFacet>,
    /// Pin state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<PinnedFacet>,
    /// Thread state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<RepliesFacet>,
    /// Reactions by emoji.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<String, ReactionsFacet>,
    /// True if the content was erased, with the user's data or because the message expired.
    #[serde(
        default,
        rename = "isErased",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub is_erased: bool,
}

/// Edited text of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditFacet {
    /// Seq of the entry that edited it.
    pub seq: i64,
    /// Text after the edit.
    pub content: String,
    /// Metadata of the host, as an earlier version stored it; [`MetadataFacet`] is newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    /// Time of the edit.
    pub at: DateTime,
}

/// Metadata of a message since an edit changed it.
///
/// It is written separately from the text, so that neither of two concurrent edits undoes the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataFacet {
    /// Seq of the entry that changed it.
    pub seq: i64,
    /// Metadata; `None` if the edit removed it.
    #[serde(default)]
    pub metadata: Option<Metadata>,
}

/// Deletion or restoration of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedFacet {
    /// Seq of the entry that deleted or restored it.
    pub seq: i64,
    /// Time of that entry.
    pub at: DateTime,
    /// User who deleted or restored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// True if the message expired.
    #[serde(default)]
    pub is_expired: bool,
    /// True if the message is restored.
    #[serde(default)]
    pub is_restored: bool,
}

/// Pin state of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedFacet {
    /// Seq of the entry that pinned or unpinned it.
    pub seq: i64,
    /// Time of that entry.
    pub at: DateTime,
    /// User who pinned or unpinned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// True if the message is pinned.
    pub is_pinned: bool,
}

/// Thread of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepliesFacet {
    /// Seq of the newest reply.
    pub seq: i64,
    /// Time of the newest reply.
    pub at: DateTime,
    /// Number of replies, including expired ones.
    pub count: i64,
    /// True if some replies have an expiry.
    #[serde(
        default,
        rename = "hasExpiring",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub has_expiring: bool,
}

/// Reactions to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionsFacet {
    /// Seq of the entry that last changed them.
    pub seq: i64,
    /// Number of users who reacted.
    pub count: i64,
    /// First users who reacted.
    pub user_ids: Vec<UserId>,
}

impl Facets {
    /// Applies a change to the facets.
    pub fn apply(&mut self, facet: Facet) {
        match facet {
            Facet::Edited {
                seq,
                content,
                metadata,
                at,
            } => self.edit(seq, content, &metadata, at),
            Facet::Deleted {
                seq,
                at,
                by,
                is_expired,
            } => {
                self.deleted = Some(DeletedFacet {
                    seq: number(seq),
                    at: date(at),
                    by,
                    is_expired,
                    is_restored: false,
                });
            }
            Facet::Restored { seq, at } => {
                self.deleted = Some(DeletedFacet {
                    seq: number(seq),
                    at: date(at),
                    by: None,
                    is_expired: false,
                    is_restored: true,
                });
            }
            Facet::Pinned {
                seq,
                at,
                by,
                is_pinned,
            } => {
                self.pinned = Some(PinnedFacet {
                    seq: number(seq),
                    at: date(at),
                    by,
                    is_pinned,
                });
            }
            Facet::Replies {
                seq,
                at,
                count,
                has_expiring,
            } => {
                self.replies = Some(RepliesFacet {
                    seq: number(seq),
                    at: date(at),
                    count: i64::from(count),
                    has_expiring,
                });
            }
            Facet::Reactions {
                seq,
                emoji,
                count,
                user_ids,
            } => {
                let reactions = ReactionsFacet {
                    seq: number(seq),
                    count: i64::from(count),
                    user_ids,
                };
                self.reactions.insert(emoji, reactions);
            }
        }
    }

    fn edit(&mut self, seq: u64, content: String, metadata: &Patch<Metadata>, at: Timestamp) {
        self.edit = Some(EditFacet {
            seq: number(seq),
            content,
            metadata: None,
            at: date(at),
        });
        if !metadata.is_keep() {
            self.edit_metadata = Some(MetadataFacet {
                seq: number(seq),
                metadata: metadata.value().cloned(),
            });
        }
    }

    /// Returns the seq of the newest entry that changed the message; 0 if none did.
    fn newest_seq(&self) -> u64 {
        let single = [
            self.edit.as_ref().map(|facet| facet.seq),
            self.edit_metadata.as_ref().map(|facet| facet.seq),
            self.deleted.as_ref().map(|facet| facet.seq),
            self.pinned.as_ref().map(|facet| facet.seq),
            self.replies.as_ref().map(|facet| facet.seq),
        ];
        let reactions = self.reactions.values().map(|facet| facet.seq);
        single
            .into_iter()
            .flatten()
            .chain(reactions)
            .max()
            .unwrap_or(0)
            .unsigned_abs()
    }

    /// Returns the deletion, if the message is deleted.
    pub(super) fn deletion(&self) -> Option<&DeletedFacet> {
        self.deleted.as_ref().filter(|deleted| !deleted.is_restored)
    }
}

/// Builds the update that writes `facet`, unless a newer one is stored.
///
/// mongod finds a document by its id alone a third faster than by id and seq, so the update itself compares the seq. Values occur as literals, so
/// that no text can be taken for an expression.
///
/// # Errors
/// Fails if the facet cannot be encoded.
pub fn facet_update(id: &MessageId, facet: &Facet) -> bson::error::Result<Document> {
    let mut facets = Facets::default();
    facets.apply(facet.clone());
    // Raw BSON, because only there metadata becomes text.
    let written: Document = bson::serialize_to_raw_document_buf(&facets)?.try_into()?;
    let mut set = Document::new();
    for (name, value) in written {
        let (path, value) = match (name.as_str(), value) {
            ("reactions", bson::Bson::Document(by_emoji)) => {
                let Some((emoji, value)) = by_emoji.into_iter().next() else {
                    continue;
                };
                // No emoji and no shortcode contains a dot or begins with a dollar sign.
                (format!("reactions.{emoji}"), value)
            }
            (_, value) => (name, value),
        };
        let seq = value
            .as_document()
            .and_then(|value| value.get_i64("seq").ok())
            .unwrap_or_default();
        let is_older = doc! { "$lt": [{ "$ifNull": [format!("${path}.seq"), 0_i64] }, seq] };
        let (new, old) = (doc! { "$literal": value }, format!("${path}"));
        set.insert(path, doc! { "$cond": [is_older, new, old] });
    }
    Ok(doc! { "q": { "_id": id.to_event_id().as_str() }, "u": [{ "$set": set }] })
}

/// Message with its facets.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMessage {
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// Seq of the message.
    pub seq: u64,
    /// Id of the message.
    pub id: MessageId,
    sender: Option<UserId>,
    pub(super) created: chat_sdk::Message,
    pub(super) facets: Facets,
}

impl StoredMessage {
    /// Converts a log document into its message.
    ///
    /// # Errors
    /// [`DomainError::Internal`] if the document is not a message.
    pub fn new(document: LogDocument) -> Result<Self, DomainError> {
        let entry = document.entry()?;
        let Body::MessageCreated(body) = &entry.body else {
            return Err(unreadable("message"));
        };
        let created = crate::model::catalogue::message(&entry, body);
        Ok(Self {
            conversation_id: created.conversation_id.clone(),
            seq: entry.seq,
            id: created.id.clone(),
            sender: entry.actor,
            created,
            facets: document.into_facets(),
        })
    }

    /// Returns the message as it was sent, without later changes.
    pub fn as_sent(&self) -> &chat_sdk::Message {
        &self.created
    }

    /// Returns its sender; `None` if the host sent it in no user's name.
    pub fn sender(&self) -> Option<&UserId> {
        self.sender.as_ref()
    }

    /// Returns the type of the message.
    pub fn kind(&self) -> chat_sdk::MessageType {
        self.created.kind
    }

    /// Returns the root of its thread, if it is a reply.
    pub fn thread_id(&self) -> Option<&MessageId> {
        self.created.thread_id.as_ref()
    }

    /// True if replies in its thread have an expiry: then the remaining ones must be counted.
    pub(super) fn has_expiring_replies(&self) -> bool {
        let replies = self.facets.replies.as_ref();
        replies.is_some_and(|replies| replies.has_expiring)
    }

    /// Returns the seq of the newest reply in its thread, if there is one.
    pub fn last_reply_seq(&self) -> Option<u64> {
        let replies = self.facets.replies.as_ref();
        replies.map(|replies| replies.seq.unsigned_abs())
    }

    /// Returns the seq of the entry that last edited it; 0 if none did.
    pub fn edit_seq(&self) -> u64 {
        let edit = self.facets.edit.as_ref();
        edit.map_or(0, |edit| edit.seq.unsigned_abs())
    }

    /// Returns its current text, or the last text before its deletion.
    pub fn content(&self) -> &str {
        let edit = self.facets.edit.as_ref();
        edit.map_or(&self.created.content, |edit| &edit.content)
    }

    /// Returns its current metadata, or the last metadata before its deletion.
    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.facets.edit_metadata {
            Some(changed) => changed.metadata.as_ref(),
            None => self
                .earlier_edit_metadata()
                .or(self.created.metadata.as_ref()),
        }
    }

    /// Returns metadata that an earlier version stored with the text of an edit.
    ///
    /// The next edit would overwrite it.
    pub fn earlier_edit_metadata(&self) -> Option<&Metadata> {
        match (&self.facets.edit, &self.facets.edit_metadata) {
            (Some(edit), None) => edit.metadata.as_ref(),
            _ => None,
        }
    }

    /// True if it is deleted now.
    pub fn is_deleted(&self) -> bool {
        self.facets.deletion().is_some()
    }

    /// True if its content was erased.
    pub fn is_erased(&self) -> bool {
        self.facets.is_erased
    }

    /// True if it is expired at `now`: then it does not exist for readers, even if it is not removed yet.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.created.expires_at.is_some_and(|at| at <= now)
            || self
                .facets
                .deletion()
                .is_some_and(|deleted| deleted.is_expired)
    }

    /// True if it changed after the seq `as_of`.
    pub(super) fn changed_after(&self, as_of: u64) -> bool {
        self.facets.newest_seq() > as_of
    }

    /// Builds the event that restores it.
    pub fn into_restored(self) -> MessageRestored {
        let edit_seq = self.edit_seq();
        let message = Self {
            facets: Facets {
                edit: self.facets.edit,
                edit_metadata: self.facets.edit_metadata,
                ..Facets::default()
            },
            ..self
        }
        .into_view();
        MessageRestored {
            message_id: message.id,
            edit_seq,
            content: message.content,
            attachments: message.attachments,
            mentions: message.mentions,
            metadata: message.metadata,
            message_seq: None,
        }
    }

    /// Returns its cursor in the list of pins.
    pub fn pin_cursor(&self) -> String {
        let pinned = self.facets.pinned.as_ref();
        pinned.map_or(0, |pinned| pinned.seq).to_string()
    }

    /// Converts it into the state that checks need.
    pub fn into_state(self) -> MessageState {
        let facets = self.facets;
        let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        MessageState {
            is_deleted: facets.deletion().is_some(),
            is_expired: facets.deletion().is_some_and(|facet| facet.is_expired),
            expires_at: self.created.expires_at.map(Timestamp::as_millis),
            edit_seq: facets.edit.map_or(0, |edit| edit.seq.unsigned_abs()),
            has_expiring_replies: facets
                .replies
                .as_ref()
                .is_some_and(|replies| replies.has_expiring),
            reply_count: facets.replies.map_or(0, |replies| count(replies.count)),
            is_pinned: facets.pinned.is_some_and(|pinned| pinned.is_pinned),
            reactions: facets
                .reactions
                .into_iter()
                .map(|(emoji, facet)| {
                    let reactors = Reactors {
                        count: count(facet.count),
                        user_ids: facet.user_ids,
                    };
                    (emoji, reactors)
                })
                .collect(),
            thread_id: self.created.thread_id,
            id: self.id,
            sender: self.sender,
            conversation: self.conversation_id,
            seq: self.seq,
        }
    }

    /// Converts it into the message of the contract, without the viewer's own reactions.
    pub fn into_view(self) -> chat_sdk::Message {
        let metadata = self.metadata().cloned();
        let mut message = self.created;
        message.metadata = metadata;
        let facets = self.facets;
        let is_deleted = facets.deletion().is_some();
        if let Some(replies) = facets.replies {
            message.reply_count = u32::try_from(replies.count).unwrap_or(u32::MAX);
            message.last_reply_at = Some(moment(replies.at));
        }
        if let Some(pinned) = facets.pinned.filter(|pinned| pinned.is_pinned) {
            message.pinned_at = Some(moment(pinned.at));
            message.pinned_by = pinned.by;
        }
        let mut reactions: Vec<(i64, ReactionSummary)> = facets
            .reactions
            .into_iter()
            .filter(|(_, facet)| facet.count > 0)
            .map(|(emoji, facet)| {
                let summary = ReactionSummary {
                    emoji,
                    count: u32::try_from(facet.count).unwrap_or(u32::MAX),
                    user_ids: facet.user_ids,
                    reacted_by_me: false,
                };
                (facet.count, summary)
            })
            .collect();
        // The most used emoji first, equal ones in the order of the emoji.
        reactions.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        message.reactions = reactions.into_iter().map(|(_, summary)| summary).collect();
        if let Some(edit) = facets.edit {
            message.content = edit.content;
            message.is_edited = true;
            message.updated_at = moment(edit.at);
        }
        if let Some(deleted) = facets.deleted {
            message.updated_at = message.updated_at.max(moment(deleted.at));
            if is_deleted {
                message.make_tombstone();
            }
        }
        message
    }
}

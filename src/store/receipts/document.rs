//! Documents of the collections `markers` and `reads`.

use std::collections::HashMap;

use chat_sdk::{MessageId, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    model::{
        Result,
        receipts::{Counted, Counts, Marker, MarkerScope, ReceiptKind},
    },
    store::{
        Collection, bounded,
        documents::{ParticipantDocument, moment, number},
    },
};

/// Returns the `_id` of a marker.
///
/// It is the conversation's or the thread's id, which have a fixed length, and the user's id.
pub fn marker_id(place: &MarkerScope, user: &UserId) -> String {
    match place {
        MarkerScope::Conversation(conversation) => ParticipantDocument::id(conversation, user),
        MarkerScope::Thread(root) => thread_id(root, user),
    }
}

fn thread_id(root: &MessageId, user: &UserId) -> String {
    format!("{root}:{user}")
}

/// Read position of a member. The `_id` alone holds the user and the conversation or thread.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MarkerDocument {
    /// Id of the marker.
    #[serde(rename = "_id")]
    pub id: String,
    read_seq: i64,
    read_at: Option<DateTime>,
    delivered_seq: i64,
    delivered_at: Option<DateTime>,
    draft: Option<String>,
    counted: Option<CountedDocument>,
}

impl MarkerDocument {
    /// Converts the document into the marker.
    pub fn marker(self) -> Marker {
        Marker {
            read_seq: self.read_seq.unsigned_abs(),
            read_at: self.read_at.map(moment),
            delivered_seq: self.delivered_seq.unsigned_abs(),
            delivered_at: self.delivered_at.map(moment),
            draft: self.draft,
            counted: self.counted.map(CountedDocument::counted),
        }
    }
}

/// Unread count that was computed earlier.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountedDocument {
    read_seq: i64,
    to: i64,
    removal_seq: i64,
    audience: String,
    #[serde(default)]
    valid_until: Option<i64>,
    unread: i64,
    mentions: i64,
}

impl CountedDocument {
    fn counted(self) -> Counted {
        Counted {
            read_seq: self.read_seq.unsigned_abs(),
            to: self.to.unsigned_abs(),
            removal_seq: self.removal_seq.unsigned_abs(),
            audience: self.audience,
            valid_until: self.valid_until,
            counts: Counts {
                unread: self.unread.unsigned_abs(),
                mentions: self.mentions.unsigned_abs(),
            },
        }
    }
}

/// Encodes a count as it is stored.
pub fn counted_document(counted: &Counted) -> Document {
    doc! {
        "readSeq": number(counted.read_seq),
        "to": number(counted.to),
        "removalSeq": number(counted.removal_seq),
        "audience": &counted.audience,
        "validUntil": counted.valid_until,
        "unread": number(counted.counts.unread),
        "mentions": number(counted.counts.mentions),
    }
}

/// Time of one step forward of a marker.
///
/// The marker and the seq are in the `_id`, see [`advance_id`]: there is no other index, and in that one the steps of a marker are in order.
#[derive(Debug, Clone, Deserialize)]
pub struct AdvanceDocument {
    /// Time of the step.
    pub at: DateTime,
}

/// Returns the letter of a kind in a step's `_id`.
pub fn letter(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Read => "r",
        ReceiptKind::Delivered => "d",
    }
}

/// Returns the `_id` of the step of `marker` to `seq`.
pub fn advance_id(marker: &str, kind: ReceiptKind, seq: u64) -> Document {
    doc! { "m": marker, "k": letter(kind), "s": number(seq) }
}

/// Returns a filter for the `_id`s of the steps of `marker` to `seq` or beyond.
pub fn advances_from(marker: &str, kind: ReceiptKind, seq: u64) -> Document {
    doc! {
        "$gte": advance_id(marker, kind, seq),
        "$lte": { "m": marker, "k": letter(kind), "s": Bson::MaxKey },
    }
}

/// Returns the user of a marker's `_id` if it is the marker of a thread.
pub fn reader_of_thread(id: &str) -> Option<&str> {
    let (root, user) = id.split_once(':')?;
    root.starts_with(MessageId::PREFIX).then_some(user)
}

/// Finds the documents with these ids.
pub(super) async fn find_by_ids<T: DeserializeOwned + Send + Sync>(
    collection: &Collection<T>,
    ids: &[String],
) -> Result<Vec<T>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bounded(async {
        collection
            .find(doc! { "_id": { "$in": ids } })
            .batch_size(2000)
            .await?
            .try_collect()
            .await
    })
    .await?)
}

/// Finds the markers with these ids.
pub(super) async fn find_documents(
    collection: &Collection<MarkerDocument>,
    ids: &[String],
) -> Result<HashMap<String, Marker>> {
    Ok(find_by_ids(collection, ids)
        .await?
        .into_iter()
        .map(|document| (document.id.clone(), document.marker()))
        .collect())
}

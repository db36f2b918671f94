//! Data of a user outside any log.

use chat_sdk::{ConversationId, UserId};
use mongodb::bson::{Bson, Document, doc};

use super::super::{
    Collection, Store, bounded,
    documents::{ParticipantDocument, moment},
    pieces::Listing,
};
use crate::model::{Result, bounds};

/// Maximum number of conversations per query for markers or receipts.
pub const CONVERSATIONS_AT_ONCE: usize = 100;

/// Kind of a user's data outside any log.
///
/// Markers and receipts of conversations name their user only in the `_id`, after the conversation's id: they are found by the conversations that the
/// user is or was a member of, at most [`CONVERSATIONS_AT_ONCE`] at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateData<'a> {
    /// Read markers and drafts of these conversations.
    Markers(&'a [ConversationId]),
    /// Read markers of threads.
    ThreadMarkers,
    /// Receipts of single messages of these conversations.
    Reads(&'a [ConversationId]),
    /// Scheduled messages.
    Scheduled,
    /// Held messages.
    Held,
    /// Verdicts of hooks about recent sends.
    HookVerdicts,
    /// Last presence.
    Presence,
}

impl PrivateData<'_> {
    fn collection(self) -> &'static str {
        match self {
            Self::Markers(_) | Self::ThreadMarkers => "markers",
            Self::Reads(_) => "reads",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::HookVerdicts => "hook_verdicts",
            Self::Presence => "presence",
        }
    }

    fn filter(self, user: &UserId) -> Document {
        let markers = |conversations: &[ConversationId]| -> Vec<String> {
            conversations
                .iter()
                .map(|conversation| ParticipantDocument::id(conversation, user))
                .collect()
        };
        match self {
            Self::Markers(conversations) => doc! { "_id": { "$in": markers(conversations) } },
            Self::ThreadMarkers => doc! { "userId": user.as_str() },
            Self::Reads([]) => doc! { "_id": { "$in": [] } },
            Self::Reads(conversations) => {
                // The steps of one marker are in order after its id.
                let steps = markers(conversations).into_iter().map(|marker| {
                    let end = format!("{marker}\0");
                    doc! { "_id": { "$gte": { "m": marker }, "$lt": { "m": end } } }
                });
                doc! { "$or": steps.collect::<Vec<Document>>() }
            }
            Self::Scheduled | Self::Held | Self::HookVerdicts => doc! { "senderId": user.as_str() },
            Self::Presence => doc! { "_id": user.as_str() },
        }
    }
}

impl Store {
    fn private(&self, what: PrivateData<'_>, user: &UserId) -> (Collection<Document>, Document) {
        let collection = self.database.collection(what.collection());
        (collection, what.filter(user))
    }

    /// Counts the documents of a user's private data.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_private(&self, what: PrivateData<'_>, user: &UserId) -> Result<u64> {
        let (collection, filter) = self.private(what, user);
        Ok(bounded(collection.count_documents(filter).into_future()).await?)
    }

    /// Removes a user's private data.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_private(&self, what: PrivateData<'_>, user: &UserId) -> Result<()> {
        let (collection, filter) = self.private(what, user);
        bounded(collection.delete_many(filter).into_future()).await?;
        Ok(())
    }

    /// Lists a user's private data after the document `after`, as JSON.
    ///
    /// It returns at most `limit` documents, and where to continue.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_private(
        &self,
        what: PrivateData<'_>,
        user: &UserId,
        after: Option<Bson>,
        limit: u32,
    ) -> Result<(Vec<serde_json::Value>, Option<Bson>)> {
        let (collection, mut filter) = self.private(what, user);
        if let Some(after) = after {
            filter = doc! { "$and": [filter, { "_id": { "$gt": after } }] };
        }
        let listing = Listing {
            filter,
            sort: doc! { "_id": 1 },
            hint: None,
            limit,
            max_bytes: bounds::PAGE,
        };
        let found = self.read_piece(&collection, listing).await?.items;
        let last = found
            .last()
            .and_then(|document| document.get("_id"))
            .cloned();
        let values = found.into_iter().map(|document| plain(document.into()));
        Ok((values.collect(), last))
    }
}

/// Converts a stored value into JSON that needs no knowledge of the store.
fn plain(value: Bson) -> serde_json::Value {
    match value {
        Bson::Document(document) => document
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Bson::Array(values) => values.into_iter().map(plain).collect::<Vec<_>>().into(),
        Bson::DateTime(at) => moment(at).to_string().into(),
        Bson::String(text) => text.into(),
        Bson::Boolean(value) => value.into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Double(number) => number.into(),
        Bson::Null => serde_json::Value::Null,
        other => other.to_string().into(),
    }
}

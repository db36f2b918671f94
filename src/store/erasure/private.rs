//! What is kept of a user outside any log.

use chat_sdk::UserId;
use mongodb::bson::{Bson, Document, doc};

use super::super::{Collection, Store, bounded, documents::moment, pieces::Listing};
use crate::{bounds, domain::Result};

/// What is kept of a user outside any log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateData {
    /// Read markers and drafts.
    Markers,
    /// Receipts of single messages.
    Reads,
    /// Messages that are scheduled.
    Scheduled,
    /// The last presence.
    Presence,
}

impl PrivateData {
    /// The collection, and the field that says whose a document is.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Markers => ("markers", "userId"),
            Self::Reads => ("reads", "userId"),
            Self::Scheduled => ("scheduled", "senderId"),
            Self::Presence => ("presence", "_id"),
        }
    }
}

impl Store {
    fn private(&self, what: PrivateData, user: &UserId) -> (Collection<Document>, Document) {
        let (collection, field) = what.place();
        (
            self.database.collection(collection),
            doc! { field: user.as_str() },
        )
    }

    /// How many documents there are of a user's private data.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn count_private(&self, what: PrivateData, user: &UserId) -> Result<u64> {
        let (collection, filter) = self.private(what, user);
        Ok(bounded(collection.count_documents(filter).into_future()).await?)
    }

    /// Removes a user's private data.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn remove_private(&self, what: PrivateData, user: &UserId) -> Result<()> {
        let (collection, filter) = self.private(what, user);
        bounded(collection.delete_many(filter).into_future()).await?;
        Ok(())
    }

    /// A user's private data after the document `after`, as JSON, at most `limit` documents; and where to go on.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_private(
        &self,
        what: PrivateData,
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

/// A stored value as JSON that needs no knowledge of the store.
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

//! Messages that carry files. The messages themselves decide who reads a file; this list only tells where to look.

use chat_sdk::plugin::{Collection, Filter, HostError, Index, Order, Query, Update};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Maximum number of messages of a file that one question reads.
pub const MAX_ASKED: usize = 50;
/// Number of references that are read at once.
const PAGE: usize = 500;

/// A message that carries a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Ids of the message and of the file.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the file.
    pub file_id: String,
    /// Id of the message.
    pub message_id: String,
    /// Id of the conversation of the message.
    pub conversation_id: String,
}

/// Collection of the references.
pub struct References(Collection<Reference>);

impl References {
    /// Uses `collection` for the references.
    pub fn new(collection: Collection<Reference>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let file = [("fileId", Order::Ascending), ("_id", Order::Descending)];
        let message = [("messageId", Order::Ascending)];
        let conversation = [("conversationId", Order::Ascending)];
        let indexes = [
            Index::new("file", &file),
            Index::new("message", &message),
            Index::new("conversation", &conversation),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Notes that a message carries files; a repetition changes nothing.
    pub async fn add(
        &self,
        message: &str,
        conversation: &str,
        files: &[String],
    ) -> Result<(), HostError> {
        let updates = files.iter().map(|file| {
            let fields =
                json!({ "fileId": file, "messageId": message, "conversationId": conversation });
            Update::one(Filter::id(format!("{message}:{file}"))).or_insert(fields)
        });
        self.0.update_each(updates.collect()).await.map(|_| ())
    }

    /// Returns messages that carry a file, newest first: at most [`MAX_ASKED`].
    pub async fn of_file(&self, file: &str) -> Result<Vec<Reference>, HostError> {
        let query = Query::from(Filter::all().is("fileId", file))
            .sort("_id", Order::Descending)
            .limit(MAX_ASKED);
        Ok(self.0.find(query).await?.items)
    }

    /// Returns the ids of the files that a message carries.
    pub async fn of_message(&self, message: &str) -> Result<Vec<String>, HostError> {
        let found = self.0.find(Filter::all().is("messageId", message)).await?;
        Ok(found.items.into_iter().map(|one| one.file_id).collect())
    }

    /// Returns some references of a conversation.
    pub async fn of_conversation(&self, conversation: &str) -> Result<Vec<Reference>, HostError> {
        let query = Query::from(Filter::all().is("conversationId", conversation)).limit(PAGE);
        Ok(self.0.find(query).await?.items)
    }

    /// Removes references.
    pub async fn remove(&self, references: &[Reference]) -> Result<(), HostError> {
        if references.is_empty() {
            return Ok(());
        }
        let ids = references.iter().map(|one| one.id.clone());
        self.0
            .delete(Filter::all().any_of("_id", ids))
            .await
            .map(|_| ())
    }

    /// Removes all references of a file.
    pub async fn forget(&self, file: &str) -> Result<(), HostError> {
        let filter = Filter::all().is("fileId", file);
        self.0.delete(filter).await.map(|_| ())
    }
}

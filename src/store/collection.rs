//! MongoDB collection whose reads have a time limit.

use std::{borrow::Borrow, time::Duration};

use mongodb::{
    IndexModel,
    action::{
        Aggregate, CountDocuments, CreateIndex, Delete, DropIndex, EstimatedDocumentCount, Find,
        FindOne, FindOneAndUpdate, InsertOne, Multiple, ReplaceOne, Single, Update,
    },
    bson::Document,
    options::UpdateModifications,
};
use serde::{Serialize, de::DeserializeOwned};

/// Maximum time that mongod spends on a read. Callers wait longer, so that mongod never works on a read whose caller has given up.
pub const READ_MAX_TIME: Duration = Duration::from_millis(1500);

/// MongoDB collection. Reads see majority-committed data; writes are acknowledged by one member.
///
/// Every read has [`READ_MAX_TIME`] as its `maxTimeMS`; a read that may take longer sets `max_time`. The driver's own collection is private, so that no read
/// can omit the limit.
pub struct Collection<T: Send + Sync>(mongodb::Collection<T>);

impl<T: Send + Sync> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + Sync> From<mongodb::Collection<T>> for Collection<T> {
    fn from(collection: mongodb::Collection<T>) -> Self {
        Self(collection)
    }
}

impl<T: Send + Sync> Collection<T> {
    /// Returns the same collection with documents of another type.
    pub fn clone_with_type<U: Send + Sync>(&self) -> Collection<U> {
        Collection(self.0.clone_with_type())
    }

    /// Returns the full name of the collection.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Finds the documents that match a filter.
    pub fn find(&self, filter: Document) -> Find<'_, T> {
        self.0.find(filter).max_time(READ_MAX_TIME)
    }

    /// Runs an aggregation.
    pub fn aggregate(&self, pipeline: impl IntoIterator<Item = Document>) -> Aggregate<'_> {
        self.0.aggregate(pipeline).max_time(READ_MAX_TIME)
    }

    /// Counts the documents that match a filter.
    pub fn count_documents(&self, filter: Document) -> CountDocuments<'_> {
        self.0.count_documents(filter).max_time(READ_MAX_TIME)
    }

    /// Estimates the number of documents from metadata, without reading them.
    pub fn estimated_document_count(&self) -> EstimatedDocumentCount<'_> {
        self.0.estimated_document_count().max_time(READ_MAX_TIME)
    }

    /// Updates one document.
    pub fn update_one(
        &self,
        filter: Document,
        update: impl Into<UpdateModifications>,
    ) -> Update<'_> {
        self.0.update_one(filter, update)
    }

    /// Updates all documents that match a filter.
    pub fn update_many(
        &self,
        filter: Document,
        update: impl Into<UpdateModifications>,
    ) -> Update<'_> {
        self.0.update_many(filter, update)
    }

    /// Removes one document.
    pub fn delete_one(&self, filter: Document) -> Delete<'_> {
        self.0.delete_one(filter)
    }

    /// Removes all documents that match a filter.
    pub fn delete_many(&self, filter: Document) -> Delete<'_> {
        self.0.delete_many(filter)
    }

    /// Creates an index.
    pub fn create_index(&self, index: IndexModel) -> CreateIndex<'_, Single> {
        self.0.create_index(index)
    }

    /// Creates indexes.
    pub fn create_indexes(
        &self,
        indexes: impl IntoIterator<Item = IndexModel>,
    ) -> CreateIndex<'_, Multiple> {
        self.0.create_indexes(indexes)
    }

    /// Drops an index.
    pub fn drop_index(&self, name: impl AsRef<str>) -> DropIndex<'_> {
        self.0.drop_index(name)
    }

    /// Runs a command on the collection's database, with the same time limit unless it sets another one.
    ///
    /// # Errors
    /// The error of the driver.
    pub async fn run_command(&self, command: Document) -> mongodb::error::Result<Document> {
        let database = self.0.client().database(&self.0.namespace().db);
        database.run_command(within_time(command)).await
    }
}

impl<T: DeserializeOwned + Send + Sync> Collection<T> {
    /// Finds one document.
    pub fn find_one(&self, filter: Document) -> FindOne<'_, T> {
        self.0.find_one(filter).max_time(READ_MAX_TIME)
    }

    /// Updates one document and returns it.
    pub fn find_one_and_update(
        &self,
        filter: Document,
        update: impl Into<UpdateModifications>,
    ) -> FindOneAndUpdate<'_, T> {
        self.0
            .find_one_and_update(filter, update)
            .max_time(READ_MAX_TIME)
    }
}

impl<T: Serialize + Send + Sync> Collection<T> {
    /// Inserts one document.
    pub fn insert_one(&self, document: impl Borrow<T>) -> InsertOne<'_> {
        self.0.insert_one(document)
    }

    /// Replaces one document.
    pub fn replace_one(&self, filter: Document, replacement: impl Borrow<T>) -> ReplaceOne<'_> {
        self.0.replace_one(filter, replacement)
    }
}

/// Adds [`READ_MAX_TIME`] to `command` unless it has a time limit.
pub fn within_time(mut command: Document) -> Document {
    if !command.contains_key("maxTimeMS") {
        command.insert("maxTimeMS", READ_MAX_TIME.as_millis() as i64);
    }
    command
}

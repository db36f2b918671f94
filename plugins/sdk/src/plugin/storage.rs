//! Storage of a plugin: collections of JSON documents, with filters and updates that name no database.
//!
//! Each document has its id in `_id`. Keys of documents must not begin with `$`. A time is stored as milliseconds since 1970, or as a [`StoredDate`] if
//! documents expire by it. Reads see data that a majority of the database has; a write is acknowledged by one member. A read has a time limit of 1.5 s
//! unless it sets another one, so that no read continues without a caller.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{BoxFuture, HostError};
use crate::Timestamp;

/// The collections of one plugin.
pub trait Storage: Send + Sync {
    /// Returns the documents of the collection `name`; its full name is `<plugin>_<name>`.
    fn documents(&self, name: &str) -> Arc<dyn Documents>;
}

/// The documents of a collection. [`Collection`] adds their type.
pub trait Documents: Send + Sync {
    /// Creates an index, or changes the expiry time of an existing one.
    fn create_index(&self, index: Index) -> BoxFuture<'_, Result<(), HostError>>;

    /// Inserts a document. Returns false if its id or a unique key exists already.
    fn insert(&self, document: Value) -> BoxFuture<'_, Result<bool, HostError>>;

    /// Returns the documents that a query selects.
    fn find(&self, query: Query) -> BoxFuture<'_, Result<Found, HostError>>;

    /// Returns the first document for each value of `field` among those that match `filter`, in the order of `field` and the id.
    ///
    /// Only the fields `kept` of it are read, because the values may be many. It seeks once per value if an index has the fields of the filter, `field` and the id. The time limit is 30 s.
    fn first_of_each(
        &self,
        field: &str,
        kept: &[&str],
        filter: Filter,
    ) -> BoxFuture<'_, Result<Vec<Value>, HostError>>;

    /// Counts the documents that match `filter`. Without conditions the number is an estimate from metadata, which costs nothing.
    fn count(&self, filter: Filter) -> BoxFuture<'_, Result<u64, HostError>>;

    /// Applies updates in order, in one request. Returns the number of documents that matched or were inserted.
    ///
    /// If two processes insert the same document at once, one of them changes nothing.
    fn update(&self, updates: Vec<Update>) -> BoxFuture<'_, Result<u64, HostError>>;

    /// Updates one document and returns it as it is then; `None` if none matches, or if an insertion would repeat an id or a unique key.
    fn find_and_update(&self, update: Update) -> BoxFuture<'_, Result<Option<Value>, HostError>>;

    /// Removes the documents that match `filter`, and returns their number.
    fn delete(&self, filter: Filter) -> BoxFuture<'_, Result<u64, HostError>>;
}

/// Order of a field in an index or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest value first.
    Ascending,
    /// Highest value first.
    Descending,
}

/// An index of a collection.
#[derive(Debug, Clone)]
pub struct Index {
    /// Name of the index.
    pub name: &'static str,
    /// Fields in order.
    pub fields: Vec<(&'static str, Order)>,
    /// True if no two documents may have the same values.
    pub is_unique: bool,
    /// Time after the [`StoredDate`] in the only field at which a document is removed; `None` for never.
    pub expire_after: Option<Duration>,
}

impl Index {
    /// Returns an index that is neither unique nor expires documents.
    pub fn new(name: &'static str, fields: &[(&'static str, Order)]) -> Self {
        Self {
            name,
            fields: fields.to_vec(),
            is_unique: false,
            expire_after: None,
        }
    }

    /// Returns the index as a unique one.
    pub fn unique(self) -> Self {
        Self {
            is_unique: true,
            ..self
        }
    }

    /// Returns an index of `field` that removes each document some time after its date.
    pub fn expiry(name: &'static str, field: &'static str, after: Duration) -> Self {
        Self {
            expire_after: Some(after),
            ..Self::new(name, &[(field, Order::Ascending)])
        }
    }
}

/// Condition on a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The field has this value.
    Is(Value),
    /// The field is lower than this value.
    Below(Value),
    /// The field is this value or higher.
    AtLeast(Value),
    /// The field has one of these values.
    AnyOf(Vec<Value>),
}

/// Conditions that a document must all meet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(pub Vec<(&'static str, Condition)>);

impl Filter {
    /// Returns the filter that all documents match.
    pub fn all() -> Self {
        Self::default()
    }

    /// Returns the filter for the document with this id.
    pub fn id(id: impl Into<Value>) -> Self {
        Self::all().is("_id", id)
    }

    /// Adds the condition that `field` has a value.
    pub fn is(self, field: &'static str, value: impl Into<Value>) -> Self {
        self.with(field, Condition::Is(value.into()))
    }

    /// Adds the condition that `field` is lower than a value.
    pub fn below(self, field: &'static str, value: impl Into<Value>) -> Self {
        self.with(field, Condition::Below(value.into()))
    }

    /// Adds the condition that `field` is a value or higher.
    pub fn at_least(self, field: &'static str, value: impl Into<Value>) -> Self {
        self.with(field, Condition::AtLeast(value.into()))
    }

    /// Adds the condition that `field` has one of some values.
    pub fn any_of<T: Into<Value>>(
        self,
        field: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.with(field, Condition::AnyOf(values))
    }

    fn with(mut self, field: &'static str, condition: Condition) -> Self {
        self.0.push((field, condition));
        self
    }
}

/// Selection of documents, in an order.
#[derive(Debug, Clone)]
pub struct Query {
    /// Conditions.
    pub filter: Filter,
    /// Fields by which the documents are sorted.
    pub sort: Vec<(&'static str, Order)>,
    /// Maximum number of documents; `None` for all.
    pub limit: Option<usize>,
    /// Stored size in bytes after which no further document is read; the first one is always read. `None` for no limit.
    pub max_bytes: Option<usize>,
}

impl From<Filter> for Query {
    fn from(filter: Filter) -> Self {
        Self {
            filter,
            sort: Vec::new(),
            limit: None,
            max_bytes: None,
        }
    }
}

impl Query {
    /// Sorts by `field`, after the fields that were given before.
    pub fn sort(mut self, field: &'static str, order: Order) -> Self {
        self.sort.push((field, order));
        self
    }

    /// Limits the number of documents.
    pub fn limit(self, limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Limits the stored size of all documents together.
    pub fn max_bytes(self, max_bytes: usize) -> Self {
        Self {
            max_bytes: Some(max_bytes),
            ..self
        }
    }
}

/// Documents that a query has found.
#[derive(Debug, Clone)]
pub struct Found<T = Value> {
    /// The documents.
    pub items: Vec<T>,
    /// True if more documents match than the limits of the query allow.
    pub has_more: bool,
}

/// Change of one or more documents.
#[derive(Debug, Clone)]
pub struct Update {
    /// Documents to change.
    pub filter: Filter,
    /// Fields that get a value.
    pub set: Map<String, Value>,
    /// Fields that get a value only if the document is inserted.
    pub set_on_insert: Map<String, Value>,
    /// Fields to which a number is added.
    pub increment: Vec<(&'static str, i64)>,
    /// Array that gets a last item, and the number of its last items that it keeps.
    pub append: Option<(&'static str, Value, usize)>,
    /// True if a document is inserted if none matches.
    pub is_upsert: bool,
    /// True if all matching documents are changed, not one.
    pub is_for_all: bool,
}

impl Update {
    /// Returns a change of one document that matches `filter`.
    pub fn one(filter: Filter) -> Self {
        Self {
            filter,
            set: Map::new(),
            set_on_insert: Map::new(),
            increment: Vec::new(),
            append: None,
            is_upsert: false,
            is_for_all: false,
        }
    }

    /// Returns a change of all documents that match `filter`.
    pub fn all(filter: Filter) -> Self {
        Self {
            is_for_all: true,
            ..Self::one(filter)
        }
    }

    /// Sets the fields of `fields`, an object.
    pub fn set(mut self, fields: Value) -> Self {
        if let Value::Object(fields) = fields {
            self.set.extend(fields);
        }
        self
    }

    /// Inserts a document with the set fields and `fields`, an object, if none matches.
    pub fn or_insert(mut self, fields: Value) -> Self {
        self.is_upsert = true;
        if let Value::Object(fields) = fields {
            self.set_on_insert.extend(fields);
        }
        self
    }

    /// Adds `number` to `field`.
    pub fn increment(mut self, field: &'static str, number: i64) -> Self {
        self.increment.push((field, number));
        self
    }

    /// Appends `item` to the array `field`, which keeps its last `kept` items.
    pub fn append(mut self, field: &'static str, item: impl Serialize, kept: usize) -> Self {
        // Items of plugins are structs of plain values, which always become JSON.
        let item = serde_json::to_value(item).unwrap_or_default();
        self.append = Some((field, item, kept));
        self
    }
}

/// Time in the form by which documents expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredDate(pub Timestamp);

/// Key of a [`StoredDate`] in JSON: `{ "$date": <milliseconds since 1970> }`.
pub const DATE_KEY: &str = "$date";

impl StoredDate {
    /// Returns the current time.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }
}

impl From<StoredDate> for Value {
    fn from(date: StoredDate) -> Self {
        json!({ DATE_KEY: date.0.as_millis() })
    }
}

impl Serialize for StoredDate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let millis = value[DATE_KEY].as_i64();
        let millis = millis.ok_or_else(|| serde::de::Error::custom("not a stored date"))?;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

/// Collection of documents of the type `T`.
pub struct Collection<T> {
    documents: Arc<dyn Documents>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Collection<T> {
    /// Returns `documents` as documents of the type `T`.
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self {
            documents,
            kind: PhantomData,
        }
    }

    /// Creates indexes, see [`Documents::create_index`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn create_indexes(
        &self,
        indexes: impl IntoIterator<Item = Index>,
    ) -> Result<(), HostError> {
        for index in indexes {
            self.documents.create_index(index).await?;
        }
        Ok(())
    }

    /// Counts documents, see [`Documents::count`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn count(&self, filter: Filter) -> Result<u64, HostError> {
        self.documents.count(filter).await
    }

    /// Applies an update, see [`Documents::update`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn update(&self, update: Update) -> Result<u64, HostError> {
        self.documents.update(vec![update]).await
    }

    /// Applies updates in one request, see [`Documents::update`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn update_each(&self, updates: Vec<Update>) -> Result<u64, HostError> {
        self.documents.update(updates).await
    }

    /// Removes documents, see [`Documents::delete`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn delete(&self, filter: Filter) -> Result<u64, HostError> {
        self.documents.delete(filter).await
    }
}

impl<T: Serialize> Collection<T> {
    /// Inserts a document, see [`Documents::insert`].
    ///
    /// # Errors
    /// Fails if the database is unavailable.
    pub async fn insert(&self, document: &T) -> Result<bool, HostError> {
        let document = serde_json::to_value(document)
            .map_err(|_| HostError::Unavailable("a document cannot be encoded".to_owned()))?;
        self.documents.insert(document).await
    }
}

impl<T: DeserializeOwned> Collection<T> {
    /// Returns the first document that a query selects.
    ///
    /// # Errors
    /// Fails if the database is unavailable, or if the document has another type.
    pub async fn first(&self, query: impl Into<Query>) -> Result<Option<T>, HostError> {
        let found = self.find(query.into().limit(1)).await?;
        Ok(found.items.into_iter().next())
    }

    /// Returns the documents that a query selects.
    ///
    /// # Errors
    /// Fails if the database is unavailable, or if a document has another type.
    pub async fn find(&self, query: impl Into<Query>) -> Result<Found<T>, HostError> {
        let found = self.documents.find(query.into()).await?;
        let items: Result<_, HostError> = found.items.into_iter().map(decode).collect();
        Ok(Found {
            items: items?,
            has_more: found.has_more,
        })
    }

    /// Returns the fields `kept` of the first document for each value of `field`, see [`Documents::first_of_each`].
    ///
    /// # Errors
    /// Fails if the database is unavailable, or if the fields have other types.
    pub async fn first_of_each<P: DeserializeOwned>(
        &self,
        field: &str,
        kept: &[&str],
        filter: Filter,
    ) -> Result<Vec<P>, HostError> {
        let found = self.documents.first_of_each(field, kept, filter).await?;
        found.into_iter().map(decode).collect()
    }

    /// Updates one document and returns it as it is then.
    ///
    /// # Errors
    /// Fails if the database is unavailable, or if the document has another type.
    pub async fn find_and_update(&self, update: Update) -> Result<Option<T>, HostError> {
        let found = self.documents.find_and_update(update).await?;
        found.map(decode).transpose()
    }
}

/// The error of serde may quote the document, so it is not returned.
fn decode<T: DeserializeOwned>(document: Value) -> Result<T, HostError> {
    serde_json::from_value(document)
        .map_err(|_| HostError::Unavailable("a stored document has another form".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_dates_survive_json() {
        let date = StoredDate(Timestamp::from_millis(1_768_473_000_007));
        let json = serde_json::to_value(date).expect("JSON");
        assert_eq!(json, json!({ "$date": 1_768_473_000_007_i64 }));
        let read: StoredDate = serde_json::from_value(json).expect("a date");
        assert_eq!(read, date);
    }
}

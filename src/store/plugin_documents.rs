//! Collections of plugins: the JSON, filters and updates of `chat_sdk` in the terms of MongoDB.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    Timestamp,
    plugin::{
        BoxFuture, Condition, DATE_KEY, Documents, Filter, Found, HostError, Index, Order, Query,
        StoredDate, Update,
    },
};
use futures_util::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{Bson, DateTime, Document, doc},
    error::{Error, ErrorKind, WriteFailure},
    options::{IndexOptions, ReturnDocument},
};
use serde_json::{Map, Value};

use super::{DUPLICATE_KEY, Store, collection::Collection};

/// Number of documents per batch of a page. It is small because a document may be as large as an event.
const PAGE_BATCH: u32 = 8;
/// Time limit of updates. It is longer than that of a read, because an update that ends early has an unknown outcome.
const WRITE_MAX_TIME: Duration = Duration::from_secs(10);
/// Time limit of a read that seeks once per value.
const LONG_READ: Duration = Duration::from_secs(30);

impl Store {
    /// Returns the documents of the collection `name` of the plugin `plugin`.
    pub fn plugin_documents(&self, plugin: &str, name: &str) -> Arc<dyn Documents> {
        let name = format!("{plugin}_{name}");
        Arc::new(PluginDocuments(self.database.collection(&name)))
    }
}

/// One collection of a plugin.
struct PluginDocuments(Collection<Document>);

/// Uses the kind of the error, which names codes and addresses but never content.
fn unavailable(error: Error) -> HostError {
    HostError::Unavailable(format!("MongoDB failed: {}", error.kind))
}

impl Documents for PluginDocuments {
    fn create_index(&self, index: Index) -> BoxFuture<'_, Result<(), HostError>> {
        let fields = index.fields.iter();
        let keys = fields.map(|(field, order)| ((*field).to_owned(), direction(*order)));
        let options = IndexOptions::builder()
            .name(index.name.to_owned())
            .unique(index.is_unique)
            .expire_after(index.expire_after)
            .build();
        let model = IndexModel::builder()
            .keys(keys.collect::<Document>())
            .options(options)
            .build();
        Box::pin(async move {
            let created = self.0.create_index(model).await;
            match (created, index.expire_after) {
                (Err(_), Some(after)) => {
                    // The index exists with another expiry time.
                    let change = doc! {
                        "collMod": self.0.name(),
                        "index": { "name": index.name, "expireAfterSeconds": after.as_secs() as i64 },
                    };
                    self.0.run_command(change).await.map(drop)
                }
                (created, _) => created.map(drop),
            }
            .map_err(unavailable)
        })
    }

    fn insert(&self, document: Value) -> BoxFuture<'_, Result<bool, HostError>> {
        Box::pin(async move {
            match self.0.insert_one(document_of(document)).await {
                Ok(_) => Ok(true),
                Err(error) if is_duplicate(&error) => Ok(false),
                Err(error) => Err(unavailable(error)),
            }
        })
    }

    fn find(&self, query: Query) -> BoxFuture<'_, Result<Found, HostError>> {
        Box::pin(async move { self.page(query).await.map_err(unavailable) })
    }

    fn first_of_each(
        &self,
        field: &str,
        kept: &[&str],
        filter: Filter,
    ) -> BoxFuture<'_, Result<Vec<Value>, HostError>> {
        let first: Document = kept
            .iter()
            .map(|name| ((*name).to_owned(), Bson::String(format!("${name}"))))
            .collect();
        let mut sort: Document = filter
            .0
            .iter()
            .map(|(field, _)| ((*field).to_owned(), Bson::Int32(1)))
            .collect();
        sort.insert(field, 1);
        sort.insert("_id", 1);
        let pipeline = [
            doc! { "$match": filter_of(filter) },
            doc! { "$sort": sort },
            doc! { "$group": { "_id": format!("${field}"), "first": { "$first": first } } },
            doc! { "$replaceRoot": { "newRoot": "$first" } },
        ];
        Box::pin(async move {
            let found = self.0.aggregate(pipeline).max_time(LONG_READ).await;
            let found = found.map_err(unavailable)?.map_ok(value_of_document);
            found.try_collect().await.map_err(unavailable)
        })
    }

    fn count(&self, filter: Filter) -> BoxFuture<'_, Result<u64, HostError>> {
        Box::pin(async move {
            let count = if filter.0.is_empty() {
                self.0.estimated_document_count().await
            } else {
                self.0.count_documents(filter_of(filter)).await
            };
            count.map_err(unavailable)
        })
    }

    fn update(&self, updates: Vec<Update>) -> BoxFuture<'_, Result<u64, HostError>> {
        let updates = updates.into_iter().map(|update| {
            let (is_upsert, is_for_all) = (update.is_upsert, update.is_for_all);
            let (filter, change) = update_of(update);
            doc! { "q": filter, "u": change, "upsert": is_upsert, "multi": is_for_all }
        });
        let command = doc! {
            "update": self.0.name(),
            "updates": updates.collect::<Vec<_>>(),
            "ordered": true,
            // As all other writes of plugins: reads see only what a majority has, and a plugin reads what it wrote.
            "writeConcern": { "w": "majority", "j": true },
            "maxTimeMS": WRITE_MAX_TIME.as_millis() as i64,
        };
        Box::pin(async move {
            let outcome = self.0.run_command(command).await.map_err(unavailable)?;
            let failed = outcome.get_array("writeErrors").into_iter().flatten();
            for error in failed.filter_map(Bson::as_document) {
                // Two processes inserted the same document.
                let code = error.get_i32("code").unwrap_or_default();
                if code != DUPLICATE_KEY {
                    let text = format!("MongoDB rejected an update with the code {code}");
                    return Err(HostError::Unavailable(text));
                }
            }
            let count = outcome.get_i32("n").unwrap_or_default();
            Ok(u64::try_from(count).unwrap_or_default())
        })
    }

    fn find_and_update(&self, update: Update) -> BoxFuture<'_, Result<Option<Value>, HostError>> {
        let is_upsert = update.is_upsert;
        let (filter, change) = update_of(update);
        Box::pin(async move {
            // After a duplicate key the document of another process may match; if it does not, the update changes nothing.
            for _ in 0..2 {
                let found = self
                    .0
                    .find_one_and_update(filter.clone(), change.clone())
                    .upsert(is_upsert)
                    .return_document(ReturnDocument::After)
                    .await;
                match found {
                    Ok(found) => return Ok(found.map(value_of_document)),
                    Err(error) if is_duplicate(&error) => {}
                    Err(error) => return Err(unavailable(error)),
                }
            }
            Ok(None)
        })
    }

    fn delete(&self, filter: Filter) -> BoxFuture<'_, Result<u64, HostError>> {
        Box::pin(async move {
            let removed = self.0.delete_many(filter_of(filter)).await;
            Ok(removed.map_err(unavailable)?.deleted_count)
        })
    }
}

impl PluginDocuments {
    async fn page(&self, query: Query) -> mongodb::error::Result<Found> {
        let sort = query.sort.iter();
        let sort = sort.map(|(field, order)| ((*field).to_owned(), direction(*order)));
        let mut find = self
            .0
            .find(filter_of(query.filter))
            .sort(sort.collect::<Document>());
        if let Some(limit) = query.limit {
            // One beyond the limit tells whether there are more.
            find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        }
        if query.max_bytes.is_some() {
            find = find.batch_size(PAGE_BATCH);
        }
        let mut found = find.await?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        while found.advance().await? {
            bytes += found.current().as_bytes().len();
            let is_large = query.max_bytes.is_some_and(|most| bytes > most);
            if query.limit == Some(items.len()) || is_large && !items.is_empty() {
                return Ok(Found {
                    items,
                    has_more: true,
                });
            }
            items.push(value_of_document(found.deserialize_current()?));
        }
        Ok(Found {
            items,
            has_more: false,
        })
    }
}

fn direction(order: Order) -> Bson {
    Bson::Int32(match order {
        Order::Ascending => 1,
        Order::Descending => -1,
    })
}

fn filter_of(filter: Filter) -> Document {
    let mut document = Document::new();
    for (field, condition) in filter.0 {
        let condition = match condition {
            Condition::Is(value) => doc! { "$eq": bson_of(value) },
            Condition::Below(value) => doc! { "$lt": bson_of(value) },
            Condition::AtLeast(value) => doc! { "$gte": bson_of(value) },
            Condition::AnyOf(values) => {
                let values: Vec<Bson> = values.into_iter().map(bson_of).collect();
                doc! { "$in": values }
            }
        };
        match document.get_document_mut(field) {
            Ok(known) => known.extend(condition),
            Err(_) => {
                document.insert(field, condition);
            }
        }
    }
    document
}

/// Returns the filter and the change of an update.
fn update_of(update: Update) -> (Document, Document) {
    let mut change = Document::new();
    let mut add = |operator: &str, fields: Document| {
        if !fields.is_empty() {
            change.insert(operator, fields);
        }
    };
    add("$set", fields_of(update.set));
    add("$setOnInsert", fields_of(update.set_on_insert));
    let increments = update.increment.into_iter();
    let increments = increments.map(|(field, number)| (field.to_owned(), Bson::Int64(number)));
    add("$inc", increments.collect());
    if let Some((field, item, kept)) = update.append {
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        add(
            "$push",
            doc! { field: { "$each": [bson_of(item)], "$slice": -kept } },
        );
    }
    (filter_of(update.filter), change)
}

fn fields_of(fields: Map<String, Value>) -> Document {
    let fields = fields.into_iter();
    fields.map(|(name, value)| (name, bson_of(value))).collect()
}

fn document_of(value: Value) -> Document {
    match value {
        Value::Object(fields) => fields_of(fields),
        _ => Document::new(),
    }
}

fn bson_of(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Bson::Int64(number),
            None => Bson::Double(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => Bson::String(text),
        Value::Array(items) => Bson::Array(items.into_iter().map(bson_of).collect()),
        Value::Object(fields) => match fields.get(DATE_KEY).and_then(Value::as_i64) {
            Some(millis) => Bson::DateTime(DateTime::from_millis(millis)),
            None => Bson::Document(fields_of(fields)),
        },
    }
}

fn value_of_document(document: Document) -> Value {
    let fields = document.into_iter();
    Value::Object(
        fields
            .map(|(name, value)| (name, value_of(value)))
            .collect(),
    )
}

fn value_of(value: Bson) -> Value {
    match value {
        Bson::Boolean(value) => value.into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Double(number) => number.into(),
        Bson::String(text) => text.into(),
        Bson::Array(items) => items.into_iter().map(value_of).collect(),
        Bson::Document(document) => value_of_document(document),
        Bson::DateTime(date) => StoredDate(Timestamp::from_millis(date.timestamp_millis())).into(),
        // A plugin stores no other types.
        _ => Value::Null,
    }
}

fn is_duplicate(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_survive_the_database() {
        let document = json!({
            "_id": "a", "count": 3, "ratio": 0.5, "none": null, "is": true,
            "at": StoredDate(Timestamp::from_millis(1_768_473_000_007)),
            "items": [{ "n": 1 }, "text"],
        });
        let stored = document_of(document.clone());
        assert!(stored.get_datetime("at").is_ok());
        assert_eq!(value_of_document(stored), document);
    }

    #[test]
    fn conditions_on_one_field_are_joined() {
        let filter = Filter::id("b").at_least("at", 3).below("at", 9);
        let expected = doc! { "_id": { "$eq": "b" }, "at": { "$gte": 3_i64, "$lt": 9_i64 } };
        assert_eq!(filter_of(filter), expected);
    }

    #[test]
    fn an_update_has_only_the_operators_that_it_needs() {
        let update = Update::one(Filter::id("a"))
            .set(json!({ "x": 1 }))
            .append("items", 7, 30);
        let (_, change) = update_of(update);
        let push = doc! { "items": { "$each": [7_i64], "$slice": -30_i64 } };
        assert_eq!(change, doc! { "$set": { "x": 1_i64 }, "$push": push });
    }
}

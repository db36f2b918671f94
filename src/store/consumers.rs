//! Hosts' durables in the broker.

use futures_util::TryStreamExt;
use mongodb::{
    bson::{DateTime, Document, doc},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use super::{
    Collection, Store, bounded,
    documents::{date, moment},
};
use crate::model::{
    Result,
    consumers::HostConsumer,
    page::{Page, PageRequest},
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerDocument {
    #[serde(rename = "_id")]
    name: String,
    events: Vec<String>,
    description: Option<String>,
    ack_wait_seconds: u32,
    max_pending: u32,
    created_at: DateTime,
    updated_at: DateTime,
}

impl From<ConsumerDocument> for HostConsumer {
    fn from(document: ConsumerDocument) -> Self {
        Self {
            name: document.name,
            events: document.events,
            description: document.description,
            ack_wait_seconds: document.ack_wait_seconds,
            max_pending: document.max_pending,
            created_at: moment(document.created_at),
            updated_at: moment(document.updated_at),
        }
    }
}

impl Store {
    fn consumers(&self) -> Collection<ConsumerDocument> {
        self.database.collection("consumers")
    }

    /// Stores a host's durable or its changes. Returns it as it is now, and true if it is new.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn put_consumer(&self, wanted: &HostConsumer) -> Result<(HostConsumer, bool)> {
        let now = date(wanted.updated_at);
        let change = doc! {
            "$set": {
                "events": &wanted.events,
                "description": &wanted.description,
                "ackWaitSeconds": i64::from(wanted.ack_wait_seconds),
                "maxPending": i64::from(wanted.max_pending),
                "updatedAt": now,
            },
            "$setOnInsert": { "createdAt": now },
        };
        let before = bounded(
            self.consumers()
                .find_one_and_update(doc! { "_id": &wanted.name }, change)
                .upsert(true)
                .return_document(ReturnDocument::Before)
                .into_future(),
        )
        .await?;
        let created_at = before
            .as_ref()
            .map_or(wanted.created_at, |known| moment(known.created_at));
        let consumer = HostConsumer {
            created_at,
            ..wanted.clone()
        };
        Ok((consumer, before.is_none()))
    }

    /// Finds one durable of a host.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_consumer(&self, name: &str) -> Result<Option<HostConsumer>> {
        let found = bounded(
            self.consumers()
                .find_one(doc! { "_id": name })
                .into_future(),
        )
        .await?;
        Ok(found.map(HostConsumer::from))
    }

    /// Returns all durables of hosts, by name.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn all_consumers(&self) -> Result<Vec<HostConsumer>> {
        self.find_consumers(doc! {}, 0).await
    }

    /// Lists durables by name; a cursor is a name and continues after it, whichever parameter carries it.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_consumer_page(&self, request: &PageRequest) -> Result<Page<HostConsumer>> {
        let filter = match request.before.as_ref().or(request.after.as_ref()) {
            Some(name) => doc! { "_id": { "$gt": name } },
            None => doc! {},
        };
        let found = self
            .find_consumers(filter, i64::from(request.limit) + 1)
            .await?;
        Ok(Page::cut(found, request.limit, |one| one.name.clone()))
    }

    async fn find_consumers(&self, filter: Document, limit: i64) -> Result<Vec<HostConsumer>> {
        let found: Vec<ConsumerDocument> = bounded(async {
            self.consumers()
                .find(filter)
                .sort(doc! { "_id": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(found.into_iter().map(HostConsumer::from).collect())
    }

    /// Removes a durable of a host.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_consumer(&self, name: &str) -> Result<()> {
        bounded(
            self.consumers()
                .delete_one(doc! { "_id": name })
                .into_future(),
        )
        .await?;
        Ok(())
    }
}

//! Indexes and migrations that the service requires in the database.
//!
//! Everything here is idempotent, and safe to run from many processes at once.

use std::time::Duration;

use mongodb::{
    IndexModel,
    bson::{Binary, Bson, Document, doc, spec::BinarySubtype},
    error::ErrorKind,
    options::IndexOptions,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Collection, Store};
use crate::model::bounds;

/// Version of the stored data that this code writes.
const SCHEMA_VERSION: i32 = 1;

/// Stored facts about the database itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(rename = "_id")]
    id: String,
    schema_version: i32,
    log_epoch: String,
}

/// Database that this version must not touch, or could not prepare.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It was written by a newer version.
    #[error(
        "the database has schema version {found}, newer than the {SCHEMA_VERSION} of this program; start a newer version"
    )]
    TooNew {
        /// Version found in the database.
        found: i32,
    },
    /// A limit of MongoDB is smaller than what this program sends.
    #[error("the server's {name} is {found} bytes, and at least {needed} are needed")]
    Limit {
        /// Name of the limit in the server's answer to `hello`.
        name: &'static str,
        /// Value that the server allows.
        found: usize,
        /// Value that is needed.
        needed: usize,
    },
    /// MongoDB refused or was unreachable.
    #[error("{}", .0.kind)]
    Mongo(#[from] mongodb::error::Error),
}

fn index(keys: Document, name: &str) -> IndexModel {
    IndexModel::builder()
        .keys(keys)
        .options(IndexOptions::builder().name(name.to_owned()).build())
        .build()
}

fn unique(keys: Document, name: &str, partial: Option<Document>) -> IndexModel {
    let options = IndexOptions::builder()
        .name(name.to_owned())
        .unique(true)
        .partial_filter_expression(partial)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn partial(keys: Document, name: &str, filter: Document) -> IndexModel {
    let options = IndexOptions::builder()
        .name(name.to_owned())
        .partial_filter_expression(filter)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// Builds an index by which mongod removes each document at the time of `field`; one without the field stays.
fn removal_at(field: &str, name: &str) -> IndexModel {
    let options = IndexOptions::builder()
        .name(name.to_owned())
        .expire_after(Duration::ZERO)
        .build();
    IndexModel::builder()
        .keys(doc! { field: 1 })
        .options(options)
        .build()
}

/// Returns the indexes of the log.
fn log_indexes() -> Vec<IndexModel> {
    vec![
        // Allocates seqs: the second writer of a seq gets a duplicate key.
        unique(doc! { "conversationId": 1, "seq": 1 }, "owner_seq", None),
        // Makes sending idempotent.
        unique(
            doc! { "conversationId": 1, "actorId": 1, "data.clientMessageId": 1 },
            "client_message_id",
            Some(doc! { "data.clientMessageId": { "$type": "string" } }),
        ),
        // The sweep reads by cluster time and needs only these fields.
        index(doc! { "ts": 1, "conversationId": 1, "seq": 1 }, "sweep"),
        // History: messages alone, however many other entries lie between. It includes every field that decides whether a message counts as
        // unread, so that many are counted without being read.
        partial(
            doc! {
                "conversationId": 1, "seq": -1, "type": 1, "actorId": 1, "data.type": 1, "data.silent": 1,
                "deleted.isRestored": 1, "data.expiresAt": 1,
            },
            "messages",
            doc! { "type": "message.created" },
        ),
        // Messages with mentions.
        partial(
            doc! { "conversationId": 1, "data.mentions": 1, "seq": 1 },
            "mentions",
            doc! { "type": "message.created", "data.mentions": { "$exists": true } },
        ),
        // Expiry of messages, to find the next one.
        partial(
            doc! { "conversationId": 1, "data.expiresAt": 1 },
            "expiring_of_conversation",
            doc! { "type": "message.created", "data.expiresAt": { "$exists": true } },
        ),
        // Entries that changed a message.
        partial(
            doc! { "data.messageId": 1, "seq": 1 },
            "changes",
            doc! { "data.messageId": { "$exists": true } },
        ),
        // Replies of a thread.
        partial(
            doc! { "data.threadId": 1, "seq": 1 },
            "threads",
            doc! { "data.threadId": { "$exists": true } },
        ),
        // Pinned messages.
        partial(
            doc! { "conversationId": 1, "pinned.seq": -1 },
            "pins",
            doc! { "pinned.isPinned": true },
        ),
        // Messages with an own expiry that have not been ended yet.
        partial(
            doc! { "data.expiresAt": 1 },
            "expiring",
            doc! { "data.expiresAt": { "$exists": true } },
        ),
    ]
}

/// Returns the indexes of the documents that are folded from logs, by collection.
fn resource_indexes() -> Vec<(&'static str, Vec<IndexModel>)> {
    vec![
        (
            "conversations",
            vec![
                partial(
                    doc! { "nameKey": 1, "_id": 1 },
                    "public_names",
                    doc! { "type": "public", "isDeleted": false },
                ),
                // Conversations with a retention time, read from the index alone.
                partial(
                    doc! { "retentionSeconds": 1, "_id": 1 },
                    "retention",
                    doc! { "retentionSeconds": { "$gt": 0 } },
                ),
            ],
        ),
        (
            "participants",
            vec![
                index(
                    doc! { "conversationId": 1, "isActive": 1, "userId": 1 },
                    "members",
                ),
                index(
                    doc! { "userId": 1, "isActive": 1, "conversationId": 1 },
                    "memberships",
                ),
            ],
        ),
        (
            "users",
            vec![index(doc! { "searchKeys": 1, "_id": 1 }, "search")],
        ),
        (
            "reactions",
            vec![
                index(doc! { "messageId": 1, "isActive": 1, "seq": 1 }, "reactors"),
                // No field of this index changes when a reaction is removed.
                index(doc! { "userId": 1, "_id": 1 }, "of_user_in_order"),
            ],
        ),
        (
            "blocks",
            vec![
                index(
                    doc! { "userId": 1, "isActive": 1, "blockedUserId": 1 },
                    "blocked",
                ),
                index(doc! { "blockedUserId": 1, "isActive": 1 }, "blockers"),
            ],
        ),
    ]
}

/// Returns the indexes of state outside the logs, by collection.
fn state_indexes() -> Vec<(&'static str, Vec<IndexModel>)> {
    vec![
        (
            "set_aside",
            vec![
                index(doc! { "what": 1, "at": 1 }, "in_order"),
                removal_at("endsAt", "end"),
            ],
        ),
        (
            "retention",
            vec![partial(
                doc! { "nextAt": 1 },
                "due",
                doc! { "nextAt": { "$exists": true } },
            )],
        ),
        (
            "scheduled",
            vec![
                partial(
                    doc! { "dueAt": 1 },
                    "due",
                    doc! { "dueAt": { "$exists": true } },
                ),
                index(doc! { "senderId": 1, "sendAt": 1, "_id": 1 }, "of_sender"),
                // Makes scheduling idempotent.
                unique(
                    doc! { "conversationId": 1, "senderId": 1, "draft.clientMessageId": 1 },
                    "client_message_id",
                    Some(doc! { "draft.clientMessageId": { "$type": "string" } }),
                ),
                removal_at("endsAt", "end"),
            ],
        ),
        (
            "timers",
            vec![index(doc! { "plugin": 1, "dueAt": 1 }, "due")],
        ),
        (
            "presence",
            vec![
                // Presence choices since a node's last check.
                index(doc! { "chosenAt": 1 }, "choices"),
                // Users who were last published as online.
                partial(
                    doc! { "_id": 1, "isOnline": 1 },
                    "online",
                    doc! { "isOnline": true },
                ),
            ],
        ),
        (
            "erasures",
            vec![index(
                doc! { "finishedAt": 1, "startedAt": 1 },
                "unfinished",
            )],
        ),
        (
            "markers",
            vec![
                // A user's markers of threads; those of conversations are found by their `_id`.
                partial(
                    doc! { "userId": 1, "_id": 1 },
                    "of_reader",
                    doc! { "userId": { "$exists": true } },
                ),
            ],
        ),
    ]
}

/// Returns the indexes of held messages and of the answers of hooks, by collection.
fn hook_indexes() -> Vec<(&'static str, Vec<IndexModel>)> {
    vec![
        (
            "held",
            vec![
                index(doc! { "heldAt": 1, "_id": 1 }, "oldest"),
                index(doc! { "senderId": 1, "heldAt": 1, "_id": 1 }, "of_sender"),
                // Makes holding idempotent.
                unique(
                    doc! { "conversationId": 1, "senderId": 1, "draft.clientMessageId": 1 },
                    "client_message_id",
                    Some(doc! { "draft.clientMessageId": { "$type": "string" } }),
                ),
            ],
        ),
        (
            "hook_verdicts",
            vec![
                index(doc! { "senderId": 1 }, "of_sender"),
                partial(
                    doc! { "verdict.messageId": 1 },
                    "holds",
                    doc! { "verdict.messageId": { "$exists": true } },
                ),
                removal_at("endsAt", "end"),
            ],
        ),
    ]
}

/// Compares the server's answer to `hello` with what this program sends.
fn check_limits(hello: &Document) -> Result<(), PrepareError> {
    for (name, needed) in [
        ("maxBsonObjectSize", bounds::MONGODB_DOCUMENT),
        ("maxMessageSizeBytes", bounds::MONGODB_MESSAGE),
    ] {
        let found = match hello.get(name) {
            Some(Bson::Int32(bytes)) => i64::from(*bytes),
            Some(Bson::Int64(bytes)) => *bytes,
            // The driver does not observe a limit that the server does not report.
            _ => continue,
        };
        let found = usize::try_from(found).unwrap_or_default();
        if found < needed {
            return Err(PrepareError::Limit {
                name,
                found,
                needed,
            });
        }
    }
    Ok(())
}

impl Store {
    /// Creates what is missing and returns the log's epoch.
    ///
    /// The epoch changes when the database is restored to an earlier point, and cursors carry it.
    ///
    /// # Errors
    /// [`PrepareError`] if this version must not touch the database or could not prepare it.
    pub async fn prepare(&self) -> Result<String, PrepareError> {
        check_limits(&self.database.run_command(doc! { "hello": 1 }).await?)?;
        self.drop_index("log", "history").await?;
        self.drop_index("reactions", "of_user").await?;
        for (collection, indexes) in std::iter::once(("log", log_indexes()))
            .chain(resource_indexes())
            .chain(state_indexes())
            .chain(hook_indexes())
        {
            self.database
                .collection::<Document>(collection)
                .create_indexes(indexes)
                .await?;
        }
        let epoch = self.epoch().await?;
        self.renew_search_keys().await?;
        self.name_thread_readers().await?;
        Ok(epoch)
    }

    /// Drops an index that an earlier version created, if it exists.
    async fn drop_index(&self, collection: &str, name: &str) -> Result<(), PrepareError> {
        /// Error codes for a missing collection and for a missing index.
        const NOTHING_THERE: [i32; 2] = [26, 27];
        let dropped = self
            .database
            .collection::<Document>(collection)
            .drop_index(name)
            .await;
        match dropped {
            Err(error) => match *error.kind {
                ErrorKind::Command(ref refusal) if NOTHING_THERE.contains(&refusal.code) => Ok(()),
                _ => Err(error.into()),
            },
            Ok(()) => Ok(()),
        }
    }

    /// Begins a new epoch of the log. No process may be running, because it would keep the old epoch.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn begin_epoch(&self) -> crate::model::Result<()> {
        let epoch = new_epoch();
        let meta = self.database.collection::<Document>("meta");
        let update = doc! { "$set": { "logEpoch": epoch } };
        super::bounded(meta.update_one(doc! { "_id": "log" }, update).into_future()).await?;
        Ok(())
    }

    async fn epoch(&self) -> Result<String, PrepareError> {
        let meta = self.database.collection::<Meta>("meta");
        let initial = doc! { "$setOnInsert": {
            "schemaVersion": SCHEMA_VERSION,
            "logEpoch": new_epoch(),
        } };
        let found = upserted(&meta, "log", initial).await?;
        let Some(found) = found else {
            return Err(mongodb::error::Error::custom("the meta document vanished").into());
        };
        if found.schema_version > SCHEMA_VERSION {
            return Err(PrepareError::TooNew {
                found: found.schema_version,
            });
        }
        Ok(found.log_epoch)
    }
}

impl Store {
    /// Returns the secret from which the ids of direct conversations are derived.
    ///
    /// The first caller creates it. It is the same for every process and never changes. A restored copy of the database must have it.
    ///
    /// # Errors
    /// [`PrepareError`] if the database is unavailable.
    pub async fn pair_key(&self) -> Result<[u8; 32], PrepareError> {
        let meta = self.database.collection::<Document>("meta");
        let new = Binary {
            subtype: BinarySubtype::Generic,
            bytes: rand::random::<[u8; 32]>().to_vec(),
        };
        let update = doc! { "$setOnInsert": { "key": new } };
        let found = upserted(&meta, "direct", update).await?;
        found
            .as_ref()
            .and_then(|found| found.get_binary_generic("key").ok())
            .and_then(|key| key.as_slice().try_into().ok())
            .ok_or_else(|| {
                mongodb::error::Error::custom("the key in the meta document is not readable").into()
            })
    }
}

/// Returns the document `id` of `meta`, which the first caller inserts with `initial`.
async fn upserted<T: DeserializeOwned + Send + Sync>(
    meta: &Collection<T>,
    id: &str,
    initial: Document,
) -> mongodb::error::Result<Option<T>> {
    let mut attempts = 0;
    loop {
        let upsert = meta
            .find_one_and_update(doc! { "_id": id }, initial.clone())
            .upsert(true)
            .return_document(mongodb::options::ReturnDocument::After)
            .await;
        match upsert {
            // Two processes that start at once may both try to insert; the retry finds the document.
            Err(_) if attempts < 3 => attempts += 1,
            other => return other,
        }
    }
}

fn new_epoch() -> String {
    ulid::Ulid::generate().to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_smaller_limits_is_refused_by_name() {
        let hello = doc! { "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000_i64 };
        assert!(check_limits(&hello).is_ok());
        let small = doc! { "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 1_000_000 };
        let error = check_limits(&small).expect_err("it is too small");
        assert_eq!(
            error.to_string(),
            "the server's maxMessageSizeBytes is 1000000 bytes, and at least 48000000 are needed"
        );
    }
}

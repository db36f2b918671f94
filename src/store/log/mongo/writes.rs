//! Writes of the log: inserts of entries, and updates of documents.
//!
//! They use `run_command`, because the driver's `insert_many` has no `maxTimeMS` and drops the key pattern that identifies the index of a
//! conflict. A reply is a success if it has `ok` and neither `writeErrors` nor `writeConcernError`.

use std::{sync::Arc, time::Duration};

use chat_sdk::{ConversationId, UserId};
use mongodb::bson::{self, Document, RawArrayBuf, RawDocumentBuf, cstr, doc, rawdoc};
use serde::Deserialize;

use super::{INSERT_MAX_TIME, MongoBackend};
use crate::{
    model::{
        bounds,
        entry::{Entry, Owner},
        state::Member,
    },
    store::{
        DUPLICATE_KEY, bounded,
        documents::{
            ParticipantDocument, blocks::block_update, log_document, number,
            reactions::reaction_update, stored,
        },
        facets::facet_update,
        log::{
            backend::{Backend, Conflict, InsertOutcome, Run, Unavailable},
            owners::{collection_of, owner_updates},
            statement::{MAX_UPDATES, Statement},
        },
    },
};

/// Time to wait for the answer to an insert before its outcome counts as unknown.
const INSERT_ANSWER_TIME: Duration = Duration::from_millis(3000);

/// Updates that are encoded while they are written.
type Updates<'a> = Box<dyn Iterator<Item = bson::error::Result<Document>> + Send + 'a>;

impl MongoBackend {
    /// Inserts entries; see [`Backend::insert`].
    pub(super) async fn insert_entries(
        &self,
        entries: &[Arc<Entry>],
        ordered: bool,
    ) -> InsertOutcome {
        let command = match insert_command(entries, ordered) {
            Ok(command) => command,
            Err(error) => {
                tracing::error!(%error, "entries of the log cannot be encoded");
                return InsertOutcome::Unknown;
            }
        };
        let insert = self.database().run_raw_write(command).into_future();
        let reply = match tokio::time::timeout(INSERT_ANSWER_TIME, insert).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                tracing::warn!(error = %error.kind, "an insert into the log failed; its outcome is unknown");
                return InsertOutcome::Unknown;
            }
            Err(_) => {
                tracing::warn!("an insert into the log was not answered; its outcome is unknown");
                return InsertOutcome::Unknown;
            }
        };
        let Ok(reply) = bson::deserialize_from_document::<WriteReply>(reply) else {
            return InsertOutcome::Unknown;
        };
        if reply.write_concern_error.is_some() {
            return InsertOutcome::Unknown;
        }
        let mut conflicts = Vec::with_capacity(reply.write_errors.len());
        for error in &reply.write_errors {
            match error.conflict() {
                Some(conflict) => conflicts.push((error.index.unsigned_abs() as usize, conflict)),
                None => {
                    tracing::warn!(code = error.code, "an insert into the log failed");
                    return InsertOutcome::Unknown;
                }
            }
        }
        let not_tried_from = match conflicts.first() {
            Some((index, _)) if ordered => index + 1,
            _ => entries.len(),
        };
        InsertOutcome::Decided {
            conflicts,
            not_tried_from,
        }
    }

    /// Writes the documents of `runs`; see [`Backend::write`].
    pub(super) async fn write_runs(&self, runs: &[Run]) -> Result<Vec<bool>, Unavailable> {
        self.update_guarded("participants", member_updates(runs))
            .await?;
        self.update_guarded("log", facet_updates(runs)).await?;
        self.update_guarded("reactions", reaction_updates(runs))
            .await?;
        self.update_guarded("blocks", block_updates(runs)).await?;
        self.write_owners(runs).await
    }

    async fn update(
        &self,
        collection: &str,
        updates: RawArrayBuf,
    ) -> Result<WriteReply, Unavailable> {
        let command = rawdoc! {
            "update": collection,
            "updates": updates,
            "ordered": false,
            "maxTimeMS": INSERT_MAX_TIME.as_millis() as i64,
            "writeConcern": { "w": "majority", "j": true },
        };
        let reply = bounded(self.database().run_raw_write(command).into_future()).await?;
        let reply: WriteReply = bson::deserialize_from_document(reply).map_err(|_| Unavailable)?;
        match reply.write_concern_error {
            Some(_) => Err(Unavailable),
            None => Ok(reply),
        }
    }

    /// Writes updates whose documents are guarded by their seq.
    ///
    /// A rejected upsert means that a newer version is stored.
    ///
    /// The updates are encoded piece by piece: encoding all of a large change at once would block this thread.
    async fn update_guarded(
        &self,
        collection: &str,
        mut updates: Updates<'_>,
    ) -> Result<(), Unavailable> {
        loop {
            let mut piece = RawArrayBuf::new();
            let (mut count, mut bytes) = (0, 0);
            while count < MAX_UPDATES
                && bytes < bounds::LOG_BATCH
                && let Some(update) = updates.next()
            {
                let update = update.and_then(|update| RawDocumentBuf::try_from(&update));
                let update = update.map_err(|_| Unavailable)?;
                bytes += update.as_bytes().len();
                piece.push(update);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            let reply = self.update(collection, piece).await?;
            if reply
                .write_errors
                .iter()
                .any(|error| error.code != DUPLICATE_KEY)
            {
                return Err(Unavailable);
            }
        }
    }

    async fn write_owners(&self, runs: &[Run]) -> Result<Vec<bool>, Unavailable> {
        let mut matched = vec![false; runs.len()];
        for collection in ["conversations", "users"] {
            let of_collection: Vec<usize> = (0..runs.len())
                .filter(|index| collection_of(&runs[*index].owner) == collection)
                .collect();
            let of_collection: Vec<(usize, &Run)> = of_collection
                .into_iter()
                .map(|index| (index, &runs[index]))
                .collect();
            let updates = owner_updates(&of_collection).map_err(|_| Unavailable)?;
            for Statement { updates, about } in Statement::cut(updates) {
                let indexes: Vec<usize> = about.into_iter().flatten().collect();
                let reply = self.update(collection, updates).await?;
                let are_all_matched =
                    reply.n_modified as usize + reply.upserted.len() == indexes.len();
                let applied = if are_all_matched {
                    None
                } else {
                    // The reply does not say which of them did not match.
                    let owners = indexes.iter().map(|index| runs[*index].owner.clone());
                    Some(self.read_applied(&owners.collect::<Vec<_>>()).await?)
                };
                for (position, index) in indexes.iter().enumerate() {
                    matched[*index] = applied
                        .as_ref()
                        .is_none_or(|applied| applied[position] >= runs[*index].to);
                }
            }
        }
        Ok(matched)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteReply {
    #[serde(default)]
    n_modified: i64,
    #[serde(default)]
    upserted: Vec<Document>,
    #[serde(default)]
    write_errors: Vec<WriteError>,
    #[serde(default)]
    write_concern_error: Option<Document>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteError {
    index: i64,
    code: i32,
    #[serde(default)]
    key_pattern: Option<Document>,
}

impl WriteError {
    fn conflict(&self) -> Option<Conflict> {
        if self.code != DUPLICATE_KEY {
            return None;
        }
        let pattern = self.key_pattern.as_ref()?;
        if pattern.contains_key("_id") {
            Some(Conflict::Id)
        } else if pattern.contains_key("data.clientMessageId") {
            Some(Conflict::ClientMessageId)
        } else if pattern.contains_key("seq") {
            Some(Conflict::Seq)
        } else {
            None
        }
    }
}

fn insert_command(entries: &[Arc<Entry>], ordered: bool) -> bson::error::Result<RawDocumentBuf> {
    let mut documents = RawArrayBuf::new();
    for entry in entries {
        documents.push(log_document(entry)?);
    }
    let mut command = rawdoc! { "insert": "log" };
    command.append(cstr!("documents"), documents);
    command.append(cstr!("ordered"), ordered);
    command.append(cstr!("maxTimeMS"), INSERT_MAX_TIME.as_millis() as i64);
    command.append(
        cstr!("writeConcern"),
        rawdoc! { "w": "majority", "j": true },
    );
    Ok(command)
}

fn member_update(
    conversation: &ConversationId,
    user: &UserId,
    member: &Member,
) -> bson::error::Result<Document> {
    let document = ParticipantDocument::new(conversation, user, member);
    Ok(doc! {
        "q": {
            "_id": ParticipantDocument::id(conversation, user),
            "seq": { "$lt": number(member.seq) },
        },
        "u": { "$set": stored(&document)? },
        "upsert": true,
    })
}

fn conversations(runs: &[Run]) -> impl Iterator<Item = (&ConversationId, &Run)> {
    runs.iter().filter_map(|run| match &run.owner {
        Owner::Conversation(conversation) => Some((conversation, run)),
        Owner::User(_) => None,
    })
}

fn member_updates(runs: &[Run]) -> Updates<'_> {
    Box::new(conversations(runs).flat_map(|(conversation, run)| {
        let members = run.members.iter();
        members.map(move |(user, member)| member_update(conversation, user, member))
    }))
}

fn facet_updates(runs: &[Run]) -> Updates<'_> {
    let facets = runs.iter().flat_map(Run::facets_in_order);
    Box::new(facets.map(|(id, facet)| facet_update(id, facet)))
}

fn reaction_updates(runs: &[Run]) -> Updates<'_> {
    Box::new(conversations(runs).flat_map(|(conversation, run)| {
        let changes = run.reactions.iter();
        changes.map(move |change| Ok(reaction_update(conversation, change)))
    }))
}

fn block_updates(runs: &[Run]) -> Updates<'_> {
    let changes = runs.iter().flat_map(|run| &run.blocks);
    Box::new(changes.map(|change| Ok(block_update(change))))
}

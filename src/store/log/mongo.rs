//! The log on MongoDB.
//!
//! Inserts use `run_command`, because the driver's `insert_many` has no `maxTimeMS` and drops the key pattern that identifies the index of a
//! conflict. A reply is a success if it has `ok` and neither `writeErrors` nor `writeConcernError`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chat_sdk::{ConversationId, EventId, MessageId, UserId};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{self, Document, RawArrayBuf, RawDocumentBuf, cstr, doc, rawdoc},
    options::{Hint, ReadConcern},
};
use serde::Deserialize;

use super::{
    backend::{Backend, Conflict, InsertOutcome, LogPage, Run, Unavailable},
    owners::{collection_of, id_of, owner_updates, stored},
    statement::{MAX_UPDATES, Statement},
};
use crate::{
    bounds,
    domain::{
        DomainError,
        entry::{Entry, Owner},
        size,
        state::{ConversationState, Member, MessageState, State, Target, TargetState, UserState},
    },
    store::{
        Database, Store,
        blocks::block_update,
        bounded,
        documents::{ParticipantDocument, log_document, number},
        facets::facet_update,
        messages::read_by_id,
        reactions::reaction_update,
    },
};

/// Maximum time that mongod may work on an insert.
///
/// The relay's watermark stays at least twice this behind, because an entry's `ts` may precede its commit by as long as the insert waits.
pub const INSERT_MAX_TIME: Duration = Duration::from_millis(1000);
/// Time to wait for the answer to an insert before its outcome counts as unknown.
const INSERT_ANSWER_TIME: Duration = Duration::from_millis(3000);
/// Number of members per read.
///
/// It is small enough for a slow machine to answer in time, so that a conversation of any size can be loaded.
const MEMBER_PAGE: i64 = 2000;
/// Maximum number of document ids of one command.
const MAX_IDS: usize = 1000;

/// Maximum number of conversations in one comparison of documents and log.
const MAX_COMPARED: usize = 1000;

/// mongod's error code of a duplicate key.
const DUPLICATE_KEY: i32 = 11000;

/// Updates that are encoded while they are written.
type Updates<'a> = Box<dyn Iterator<Item = bson::error::Result<Document>> + Send + 'a>;

/// Log in a MongoDB database.
pub struct MongoBackend {
    store: Arc<Store>,
}

impl MongoBackend {
    /// Creates the log of `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    fn database(&self) -> &Database {
        &self.store.database
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

    /// Reads the current members of `conversation` page by page.
    ///
    /// So no read is too long, whatever number of members a deployment allows.
    async fn read_active_members(
        &self,
        conversation: &ConversationId,
    ) -> Result<BTreeMap<UserId, Member>, Unavailable> {
        let mut members = BTreeMap::new();
        let mut filter = doc! { "conversationId": conversation.as_str(), "isActive": true };
        loop {
            let page: Vec<ParticipantDocument> = bounded(async {
                self.store
                    .participants
                    .find(filter.clone())
                    .sort(doc! { "userId": 1 })
                    .hint(Hint::Name("members".to_owned()))
                    .limit(MEMBER_PAGE)
                    .batch_size(MEMBER_PAGE as u32)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            let is_last = (page.len() as i64) < MEMBER_PAGE;
            if let Some(last) = page.last() {
                filter.insert("userId", doc! { "$gt": last.user_id.as_str() });
            }
            let page = page.into_iter();
            members.extend(page.map(|found| (found.user_id.clone(), found.member())));
            if is_last {
                return Ok(members);
            }
        }
    }

    async fn read_participants(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<ParticipantDocument>, Unavailable> {
        let mut found = Vec::new();
        for ids in ids.chunks(MAX_IDS) {
            let some: Vec<ParticipantDocument> = bounded(async {
                self.store
                    .participants
                    .find(doc! { "_id": { "$in": ids } })
                    .batch_size(MAX_IDS as u32)
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            found.extend(some);
        }
        Ok(found)
    }

    /// Returns those `conversations` whose document lacks an entry that the log has.
    ///
    /// It costs one seek in the log's index for each.
    pub(in crate::store) async fn find_behind(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationId>, Unavailable> {
        #[derive(Deserialize)]
        struct Unapplied {
            #[serde(rename = "_id")]
            id: ConversationId,
        }
        let mut behind = Vec::new();
        for chunk in conversations.chunks(MAX_COMPARED) {
            let ids: Vec<&str> = chunk.iter().map(ConversationId::as_str).collect();
            let later = doc! { "$expr": { "$and": [
                { "$eq": ["$conversationId", "$$id"] },
                { "$gt": ["$seq", "$$applied"] },
            ] } };
            let pipeline = [
                doc! { "$match": { "_id": { "$in": ids } } },
                doc! { "$project": { "applied": 1 } },
                doc! { "$lookup": {
                    "from": "log",
                    "let": { "id": "$_id", "applied": "$applied" },
                    "pipeline": [
                        { "$match": later },
                        { "$limit": 1 },
                        { "$project": { "_id": 0, "seq": 1 } },
                    ],
                    "as": "later",
                } },
                doc! { "$match": { "later.seq": { "$exists": true } } },
                doc! { "$project": { "_id": 1 } },
            ];
            let found: Vec<Unapplied> = bounded(async {
                self.store
                    .conversations
                    .aggregate(pipeline)
                    .with_type::<Unapplied>()
                    .await?
                    .try_collect()
                    .await
            })
            .await?;
            behind.extend(found.into_iter().map(|found| found.id));
        }
        Ok(behind)
    }

    async fn find_entry(&self, filter: Document) -> Result<Option<Arc<Entry>>, Unavailable> {
        let found = bounded(self.store.log.find_one(filter).into_future()).await?;
        found
            .map(|document| document.shared_entry().map_err(|_| Unavailable))
            .transpose()
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

impl Backend for MongoBackend {
    async fn insert(&self, entries: &[Arc<Entry>], ordered: bool) -> InsertOutcome {
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

    async fn read_documents(&self, owner: &Owner) -> Result<State, Unavailable> {
        match owner {
            Owner::User(id) => {
                let found = bounded(
                    self.store
                        .users
                        .find_one(doc! { "_id": id.as_str() })
                        .into_future(),
                )
                .await?;
                Ok(State::User(match found {
                    None => UserState::empty(id.clone()),
                    Some(document) => UserState {
                        id: id.clone(),
                        seq: document.applied.unsigned_abs(),
                        fields: Some(document.fields()),
                    },
                }))
            }
            Owner::Conversation(id) => {
                let found = bounded(
                    self.store
                        .conversations
                        .find_one(doc! { "_id": id.as_str() })
                        .into_future(),
                )
                .await?;
                let mut state = ConversationState::empty(id.clone());
                if let Some(document) = found {
                    state.seq = document.applied.unsigned_abs();
                    state.fields = Some(document.fields());
                }
                // Members are read second: they may be ahead of the conversation's document, never behind.
                state.members = self.read_active_members(id).await?;
                Ok(State::Conversation(state))
            }
        }
    }

    async fn find_members(
        &self,
        conversation: &ConversationId,
        users: &[UserId],
    ) -> Result<Vec<(UserId, Member)>, Unavailable> {
        let ids = users
            .iter()
            .map(|user| ParticipantDocument::id(conversation, user));
        let found = self.read_participants(ids.collect()).await?;
        let members = found
            .into_iter()
            .map(|found| (found.user_id.clone(), found.member()));
        Ok(members.collect())
    }

    async fn read_applied(&self, owners: &[Owner]) -> Result<Vec<u64>, Unavailable> {
        #[derive(Deserialize)]
        struct Applied {
            #[serde(rename = "_id")]
            id: String,
            applied: i64,
        }
        let mut applied: HashMap<(&'static str, String), u64> = HashMap::new();
        for collection in ["conversations", "users"] {
            let ids: Vec<&str> = owners
                .iter()
                .filter(|owner| collection_of(owner) == collection)
                .map(id_of)
                .collect();
            if ids.is_empty() {
                continue;
            }
            let found = bounded(async {
                self.database()
                    .collection::<Applied>(collection)
                    .find(doc! { "_id": { "$in": ids } })
                    .projection(doc! { "applied": 1 })
                    .read_concern(ReadConcern::majority())
                    .await?
                    .try_collect::<Vec<Applied>>()
                    .await
            })
            .await?;
            for document in found {
                applied.insert((collection, document.id), document.applied.unsigned_abs());
            }
        }
        Ok(owners
            .iter()
            .map(|owner| {
                let key = (collection_of(owner), id_of(owner).to_owned());
                applied.get(&key).copied().unwrap_or(0)
            })
            .collect())
    }

    async fn read_log(
        &self,
        owner: &Owner,
        after: u64,
        limit: usize,
    ) -> Result<LogPage, Unavailable> {
        let filter = doc! { "conversationId": owner.key(), "seq": { "$gt": number(after) } };
        let read = async {
            let mut documents = self
                .store
                .log
                .find(filter)
                .sort(doc! { "conversationId": 1, "seq": 1 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .await?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            while bytes < bounds::LOG_BATCH
                && let Some(document) = documents.try_next().await?
            {
                let entry = document.shared_entry();
                bytes += entry.as_deref().map_or(0, size::stored_at_most);
                entries.push(entry);
            }
            Ok((entries, bytes))
        };
        let (entries, bytes) = bounded(read).await?;
        Ok(LogPage {
            has_more: entries.len() >= limit || bytes >= bounds::LOG_BATCH,
            entries: entries
                .into_iter()
                .map(|entry| entry.map_err(|_| Unavailable))
                .collect::<Result<_, _>>()?,
        })
    }

    async fn find_by_id(&self, id: &EventId) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.find_entry(doc! { "_id": id.as_str() }).await
    }

    async fn find_by_client_message_id(
        &self,
        owner: &Owner,
        actor: Option<&UserId>,
        client_message_id: &str,
    ) -> Result<Option<Arc<Entry>>, Unavailable> {
        self.find_entry(doc! {
            "conversationId": owner.key(),
            // Null matches entries without an actor: the host's.
            "actorId": actor.map(UserId::as_str),
            "data.clientMessageId": client_message_id,
        })
        .await
    }

    async fn find_targets(&self, targets: &[Target]) -> Result<Vec<TargetState>, Unavailable> {
        let messages = async {
            let ids = targets.iter().filter_map(|target| match target {
                Target::Message { message, .. } => Some(message),
                Target::Members { .. } => None,
            });
            let found = read_by_id(&self.store.log, ids).await?.into_iter();
            let states = found.map(|(id, message)| Ok((id, message?.into_state())));
            let states: Result<HashMap<MessageId, MessageState>, DomainError> = states.collect();
            states.map_err(|_| Unavailable)
        };
        let reactions = async {
            let asked = targets.iter().filter_map(|target| match target {
                Target::Message {
                    message,
                    reaction: Some((emoji, user)),
                } => Some((message, emoji.as_str(), user)),
                _ => None,
            });
            let found = self.store.find_reactions_at(asked).await;
            found.map_err(|_| Unavailable)
        };
        let members = async {
            let mut ids = HashSet::new();
            for target in targets {
                if let Target::Members {
                    conversation,
                    users,
                } = target
                {
                    ids.extend(
                        users
                            .iter()
                            .map(|user| ParticipantDocument::id(conversation, user)),
                    );
                }
            }
            let found = self.read_participants(ids.into_iter().collect()).await?;
            let members = found.into_iter().map(|document| {
                let key = (document.conversation_id.clone(), document.user_id.clone());
                (key, document.member())
            });
            Ok(members.collect::<HashMap<(ConversationId, UserId), Member>>())
        };
        let (messages, reactions, members) = tokio::try_join!(messages, reactions, members)?;
        let states = targets.iter().map(|target| match target {
            Target::Message { message, reaction } => TargetState::Message {
                message: messages.get(message).cloned().map(Box::new),
                has_reacted: reaction.as_ref().is_some_and(|(emoji, user)| {
                    reactions.contains(&(message.clone(), emoji.clone(), user.clone()))
                }),
            },
            Target::Members {
                conversation,
                users,
            } => {
                let known = users.iter().filter_map(|user| {
                    let member = members.get(&(conversation.clone(), user.clone()))?;
                    Some((user.clone(), member.clone()))
                });
                TargetState::Members(known.collect())
            }
        });
        Ok(states.collect())
    }

    async fn write(&self, runs: &[Run]) -> Result<Vec<bool>, Unavailable> {
        self.update_guarded("participants", member_updates(runs))
            .await?;
        self.update_guarded("log", facet_updates(runs)).await?;
        self.update_guarded("reactions", reaction_updates(runs))
            .await?;
        self.update_guarded("blocks", block_updates(runs)).await?;
        self.write_owners(runs).await
    }
}

//! The log on MongoDB.
//!
//! This file reads; `writes` inserts entries and updates documents.

mod writes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chat_sdk::{ConversationId, EventId, UserId};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    options::{Hint, ReadConcern},
};
use serde::Deserialize;

use super::{
    backend::{Backend, InsertOutcome, LogPage, Run, Unavailable},
    owners::{collection_of, id_of},
};
use crate::{
    model::{
        bounds,
        entry::{Entry, Owner},
        size,
        state::{ConversationState, Member, State, Target, TargetState, UserState},
    },
    store::{
        Database, Store, bounded,
        documents::{ParticipantDocument, number},
        message_reader::read_states_by_id,
    },
};

/// Maximum time that mongod may work on an insert.
///
/// The relay's watermark stays at least twice this behind, because an entry's `ts` may precede its commit by as long as the insert waits.
pub const INSERT_MAX_TIME: Duration = Duration::from_millis(1000);
/// Number of members per read.
///
/// It is small enough for a slow machine to answer in time, so that a conversation of any size can be loaded.
const MEMBER_PAGE: i64 = 2000;
/// Maximum number of document ids of one command.
const MAX_IDS: usize = 1000;

/// Maximum number of conversations in one comparison of documents and log.
const MAX_COMPARED: usize = 1000;

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
}

impl Backend for MongoBackend {
    async fn insert(&self, entries: &[Arc<Entry>], ordered: bool) -> InsertOutcome {
        self.insert_entries(entries, ordered).await
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
                    state.fields = Some(document.fields);
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
            read_states_by_id(&self.store.log, ids).await
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
        self.write_runs(runs).await
    }
}

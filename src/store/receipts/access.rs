//! Reads what a change is checked against: message, conversation, membership and marker.
//!
//! The marker is read only for a mark.
//!
//! Queries of many callers are read together.

use std::collections::{HashMap, HashSet};

use chat_sdk::{ConversationId, MessageId, UserId};

use super::document::{MarkerDocument, find_by_ids, find_documents};
use crate::{
    model::{DomainError, Result, receipts::Marker},
    store::{
        Collection, Database,
        documents::{ConversationDocument, LogDocument, ParticipantDocument},
        facets::StoredMessage,
        membership::Membership,
        message_reader::read_by_id,
        read_barrier::ReadBarrier,
    },
};

/// Query for what a change is checked against.
#[derive(Debug, Clone)]
pub enum AccessQuery {
    /// A message, its conversation, and a user's membership in it.
    Message(MessageId, UserId),
    /// The same, with the user's marker in the conversation.
    Reading(MessageId, UserId),
    /// A conversation and a user's membership in it.
    Conversation(ConversationId, UserId),
}

/// Result of an access query.
#[derive(Debug, Clone)]
pub struct MessageAccess {
    /// Id of the conversation.
    pub conversation: ConversationId,
    /// The message, if the query was for one.
    pub message: Option<StoredMessage>,
    /// The user's membership.
    pub membership: Membership,
    /// The user's marker, if it was asked for and exists.
    pub marker: Marker,
}

impl AccessQuery {
    fn message(&self) -> Option<&MessageId> {
        match self {
            Self::Message(message, _) | Self::Reading(message, _) => Some(message),
            Self::Conversation(..) => None,
        }
    }
}

/// Reader of message accesses.
#[derive(Clone)]
pub struct AccessReader {
    log: Collection<LogDocument>,
    conversations: Collection<ConversationDocument>,
    participants: Collection<ParticipantDocument>,
    markers: Collection<MarkerDocument>,
    read_barrier: ReadBarrier,
}

impl AccessReader {
    /// Creates a reader of `database`.
    pub fn new(database: &Database, read_barrier: &ReadBarrier) -> Self {
        Self {
            log: database.collection("log"),
            conversations: database.collection("conversations"),
            participants: database.collection("participants"),
            markers: database.collection("markers"),
            read_barrier: read_barrier.clone(),
        }
    }

    /// Reads a group and answers each query.
    pub async fn read(&self, queries: Vec<AccessQuery>) -> Vec<Result<MessageAccess>> {
        match self.try_read(&queries).await {
            Ok(answers) => answers,
            Err(error) => queries.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn try_read(&self, queries: &[AccessQuery]) -> Result<Vec<Result<MessageAccess>>> {
        let messages =
            read_by_id(&self.log, queries.iter().filter_map(AccessQuery::message)).await?;
        let places: Vec<Result<(&ConversationId, &UserId)>> = queries
            .iter()
            .map(|query| match query {
                AccessQuery::Message(id, user) | AccessQuery::Reading(id, user) => {
                    match messages.get(id) {
                        Some(Ok(message)) => Ok((&message.conversation_id, user)),
                        Some(Err(error)) => Err(error.clone()),
                        None => Err(DomainError::no_message()),
                    }
                }
                AccessQuery::Conversation(conversation, user) => Ok((conversation, user)),
            })
            .collect();
        let rooms: HashSet<&ConversationId> = places.iter().flatten().map(|(id, _)| *id).collect();
        let rooms: Vec<ConversationId> = rooms.into_iter().cloned().collect();
        self.read_barrier.wait(&rooms).await;
        let conversations: Vec<String> = rooms.iter().map(ConversationId::to_string).collect();
        let members = unique(
            places
                .iter()
                .flatten()
                .map(|(conversation, user)| ParticipantDocument::id(conversation, user)),
        );
        // A marker has the same id as its membership.
        let readers = unique(queries.iter().zip(&places).filter_map(|(query, place)| {
            let (conversation, user) = place.as_ref().ok()?;
            let is_reading = matches!(query, AccessQuery::Reading(..));
            is_reading.then(|| ParticipantDocument::id(conversation, user))
        }));
        let (conversations, members, markers) = tokio::try_join!(
            find_by_ids(&self.conversations, &conversations),
            find_by_ids(&self.participants, &members),
            find_documents(&self.markers, &readers),
        )?;
        let conversations: HashMap<ConversationId, ConversationDocument> = conversations
            .into_iter()
            .map(|document| (document.id.clone(), document))
            .collect();
        let members: HashMap<(ConversationId, UserId), ParticipantDocument> = members
            .into_iter()
            .map(|document| {
                let key = (document.conversation_id.clone(), document.user_id.clone());
                (key, document)
            })
            .collect();
        Ok(queries
            .iter()
            .zip(&places)
            .map(|(query, place)| {
                let (conversation, user) = place.clone()?;
                let fields = conversations
                    .get(conversation)
                    .map(|found| found.fields.clone());
                let member = members.get(&(conversation.clone(), user.clone()));
                Ok(MessageAccess {
                    conversation: conversation.clone(),
                    message: query
                        .message()
                        .and_then(|id| messages.get(id).cloned())
                        .transpose()?,
                    marker: markers
                        .get(&ParticipantDocument::id(conversation, user))
                        .cloned()
                        .unwrap_or_default(),
                    membership: Membership::new(fields, member.map(ParticipantDocument::member)),
                })
            })
            .collect())
    }
}

fn unique(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids.dedup();
    ids
}

//! Reads what a change is checked against: message, conversation, membership and marker.
//!
//! The marker is read only for a mark.
//!
//! Queries of many callers are read together.

use std::collections::{HashMap, HashSet};

use chat_sdk::{ConversationId, MessageId, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::doc;
use serde::de::DeserializeOwned;

use super::super::{
    Collection, Database, bounded,
    documents::{ConversationDocument, LogDocument, ParticipantDocument},
    facets::StoredMessage,
    messages::read_by_id,
    participants::Membership,
    settled::ReadBarrier,
};
use super::{document::MarkerDocument, find_documents};
use crate::domain::{DomainError, Result, markers::Marker};

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
pub struct Seats {
    log: Collection<LogDocument>,
    conversations: Collection<ConversationDocument>,
    participants: Collection<ParticipantDocument>,
    markers: Collection<MarkerDocument>,
    settled: ReadBarrier,
}

impl Seats {
    /// Creates a reader of `database`.
    pub fn new(database: &Database, settled: &ReadBarrier) -> Self {
        Self {
            log: database.collection("log"),
            conversations: database.collection("conversations"),
            participants: database.collection("participants"),
            markers: database.collection("markers"),
            settled: settled.clone(),
        }
    }

    /// Reads a group and answers each query.
    pub async fn read(&self, seeks: Vec<AccessQuery>) -> Vec<Result<MessageAccess>> {
        match self.try_read(&seeks).await {
            Ok(answers) => answers,
            Err(error) => seeks.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn try_read(&self, seeks: &[AccessQuery]) -> Result<Vec<Result<MessageAccess>>> {
        let messages = read_by_id(&self.log, seeks.iter().filter_map(AccessQuery::message)).await?;
        let places: Vec<Result<(&ConversationId, &UserId)>> = seeks
            .iter()
            .map(|seek| match seek {
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
        self.settled.wait(&rooms).await;
        let conversations: Vec<String> = rooms.iter().map(ConversationId::to_string).collect();
        let members = unique(
            places
                .iter()
                .flatten()
                .map(|(conversation, user)| ParticipantDocument::id(conversation, user)),
        );
        // A marker has the same id as its membership.
        let readers = unique(seeks.iter().zip(&places).filter_map(|(seek, place)| {
            let (conversation, user) = place.as_ref().ok()?;
            let is_reading = matches!(seek, AccessQuery::Reading(..));
            is_reading.then(|| ParticipantDocument::id(conversation, user))
        }));
        let (conversations, members, markers) = tokio::try_join!(
            find(&self.conversations, &conversations),
            find(&self.participants, &members),
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
        Ok(seeks
            .iter()
            .zip(&places)
            .map(|(seek, place)| {
                let (conversation, user) = place.clone()?;
                let fields = conversations.get(conversation).map(|found| found.fields());
                let member = members.get(&(conversation.clone(), user.clone()));
                Ok(MessageAccess {
                    conversation: conversation.clone(),
                    message: seek
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

async fn find<T: DeserializeOwned + Send + Sync>(
    collection: &Collection<T>,
    ids: &[String],
) -> Result<Vec<T>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bounded(async {
        collection
            .find(doc! { "_id": { "$in": ids } })
            .batch_size(2000)
            .await?
            .try_collect()
            .await
    })
    .await?)
}

//! Polls, in the plugin's own collection.
//!
//! `version` orders everything that happens to a poll. A vote first takes a version while the poll is open, which decides between two votes of one member and
//! between a vote and the closing. After the vote is stored, the results take another version: so the highest version that members see includes every vote.

use chat_sdk::{
    ConversationId, Message, MessageId, Timestamp, UserId,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::definition::Definition;

/// Value of `openUntil` for a poll that does not close by itself: the end of the year 9999.
const NEVER: i64 = 253_402_300_799_999;

/// A poll. Its id is that of its message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// Id of the message.
    #[serde(rename = "_id")]
    pub id: MessageId,
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// Sender of the message.
    pub created_by: UserId,
    /// Id that the sender gave the message.
    pub client_id: Option<String>,
    /// Time of the message.
    pub created_at: Timestamp,
    /// Question.
    pub question: String,
    /// Texts of the options.
    pub options: Vec<String>,
    /// Number of votes per option, as the last published version has them.
    pub counts: Vec<u64>,
    /// True until it is closed. After `openUntil` it takes no votes, also if it is not closed yet.
    pub is_open: bool,
    /// Time at which it closes by itself, in milliseconds since 1970.
    pub open_until: i64,
    /// Time at which it was closed, in milliseconds since 1970.
    pub closed_at: Option<i64>,
    /// Number of the newest change.
    pub version: i64,
    /// Time of the newest change that is not published yet, in milliseconds since 1970.
    pub stale_since: Option<i64>,
    /// Time at which it is removed because its message is deleted, in milliseconds since 1970.
    pub remove_at: Option<i64>,
    /// Seq of the newest deletion or restoration of its message.
    pub removal_seq: u64,
}

impl Poll {
    /// Returns the new poll of `message`.
    pub fn new(message: &Message, definition: Definition) -> Self {
        Self {
            id: message.id.clone(),
            conversation_id: message.conversation_id.clone(),
            created_by: message.sender_id.clone(),
            client_id: message.client_message_id.clone(),
            created_at: message.created_at,
            question: definition.question,
            counts: vec![0; definition.options.len()],
            options: definition.options,
            is_open: true,
            open_until: definition.closes_at.map_or(NEVER, Timestamp::as_millis),
            closed_at: None,
            version: 0,
            stale_since: None,
            remove_at: None,
            removal_seq: 0,
        }
    }

    /// Returns the time at which it closes by itself, if there is one.
    pub fn closes_at(&self) -> Option<Timestamp> {
        (self.open_until != NEVER).then(|| Timestamp::from_millis(self.open_until))
    }

    /// Returns the time at which it was closed, by a member or by itself; `None` if it takes votes at the time `now`.
    pub fn closed_at(&self, now: Timestamp) -> Option<Timestamp> {
        let by_itself = (self.open_until <= now.as_millis()).then_some(self.open_until);
        self.closed_at.or(by_itself).map(Timestamp::from_millis)
    }
}

/// Collection of polls.
pub struct Polls(Collection<Poll>);

fn of(conversation: &ConversationId) -> Filter {
    Filter::all().is("conversationId", conversation.as_str())
}

fn id(poll: &MessageId) -> Filter {
    Filter::id(poll.as_str())
}

impl Polls {
    /// Uses `collection` for the polls.
    pub fn new(collection: Collection<Poll>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        use Order::{Ascending, Descending};
        let newest = [("conversationId", Ascending), ("_id", Descending)];
        let open = [("conversationId", Ascending), ("isOpen", Ascending)];
        let due = [("isOpen", Ascending), ("openUntil", Ascending)];
        let indexes = [
            Index::new("newest", &newest),
            Index::new("open", &open),
            Index::new("due", &due),
            Index::new("stale", &[("staleSince", Ascending)]),
            Index::new("gone", &[("removeAt", Ascending)]),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores a poll. Returns false if its message has one already.
    pub async fn insert(&self, poll: &Poll) -> Result<bool, HostError> {
        self.0.insert(poll).await
    }

    /// Returns the poll of a message.
    pub async fn get(&self, poll: &MessageId) -> Result<Option<Poll>, HostError> {
        self.0.first(id(poll)).await
    }

    /// Returns the poll that `user` created with a client's id.
    pub async fn of_client(
        &self,
        conversation: &ConversationId,
        user: &UserId,
        client_id: &str,
    ) -> Result<Option<Poll>, HostError> {
        let filter = of(conversation)
            .is("createdBy", user.as_str())
            .is("clientId", client_id);
        self.0.first(filter).await
    }

    /// Returns at most `limit` polls of a conversation, newest first, after the poll `before`.
    pub async fn page(
        &self,
        conversation: &ConversationId,
        before: Option<&MessageId>,
        limit: usize,
    ) -> Result<Found<Poll>, HostError> {
        let mut filter = of(conversation);
        if let Some(before) = before {
            filter = filter.below("_id", before.as_str());
        }
        // Ids of messages begin with their time, so this order is newest first.
        let query = Query::from(filter).sort("_id", Order::Descending);
        self.0.find(query.limit(limit)).await
    }

    /// Counts the open polls of a conversation.
    pub async fn count_open(&self, conversation: &ConversationId) -> Result<u64, HostError> {
        self.0.count(of(conversation).is("isOpen", true)).await
    }

    /// Takes a version for a vote; `None` if the poll is closed.
    pub async fn take_version(
        &self,
        poll: &MessageId,
        now: Timestamp,
    ) -> Result<Option<Poll>, HostError> {
        let is_open = id(poll)
            .is("isOpen", true)
            .at_least("openUntil", now.as_millis() + 1);
        self.change(is_open, now).await
    }

    /// Takes a version for new results, which are to be published.
    pub async fn mark(&self, poll: &MessageId) -> Result<Option<Poll>, HostError> {
        self.change(id(poll), Timestamp::now()).await
    }

    async fn change(&self, filter: Filter, now: Timestamp) -> Result<Option<Poll>, HostError> {
        let update = Update::one(filter)
            .set(json!({ "staleSince": now.as_millis() }))
            .increment("version", 1);
        self.0.find_and_update(update).await
    }

    /// Closes a poll at the time `at`. Returns the poll, or `None` if it was closed before.
    pub async fn close(&self, poll: &MessageId, at: i64) -> Result<Option<Poll>, HostError> {
        let closed = json!({
            "isOpen": false, "closedAt": at, "staleSince": Timestamp::now().as_millis(),
        });
        let update = Update::one(id(poll).is("isOpen", true));
        let update = update.set(closed).increment("version", 1);
        self.0.find_and_update(update).await
    }

    /// Records that the results `counts` of this version are published.
    pub async fn set_published(&self, poll: &Poll, counts: &[u64]) -> Result<(), HostError> {
        let same = id(&poll.id).is("version", poll.version);
        let update = Update::one(same).set(json!({ "counts": counts, "staleSince": null }));
        self.0.update(update).await.map(drop)
    }

    /// Returns at most `limit` open polls whose time is over.
    pub async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Poll>, HostError> {
        let filter = Filter::all().is("isOpen", true);
        let filter = filter.below("openUntil", now.as_millis() + 1);
        self.first(filter, "openUntil", limit).await
    }

    /// Returns at most `limit` polls whose newest change was not published since `before`, in milliseconds since 1970.
    pub async fn stale(&self, before: i64, limit: usize) -> Result<Vec<Poll>, HostError> {
        let filter = Filter::all().below("staleSince", before);
        self.first(filter, "staleSince", limit).await
    }

    /// Returns at most `limit` polls that are to be removed.
    pub async fn gone(&self, now: Timestamp, limit: usize) -> Result<Vec<Poll>, HostError> {
        let filter = Filter::all().below("removeAt", now.as_millis());
        self.first(filter, "removeAt", limit).await
    }

    async fn first(
        &self,
        filter: Filter,
        by: &'static str,
        limit: usize,
    ) -> Result<Vec<Poll>, HostError> {
        let query = Query::from(filter).sort(by, Order::Ascending);
        Ok(self.0.find(query.limit(limit)).await?.items)
    }

    /// Sets the time at which a poll is removed, or takes it back, because of the entry `seq` of the log. Events may be delivered again and late.
    pub async fn set_removal(
        &self,
        poll: &MessageId,
        at: Option<i64>,
        seq: u64,
    ) -> Result<(), HostError> {
        let older = id(poll).below("removalSeq", seq);
        let update = Update::one(older).set(json!({ "removeAt": at, "removalSeq": seq }));
        self.0.update(update).await.map(drop)
    }

    /// Removes a poll.
    pub async fn remove(&self, poll: &MessageId) -> Result<(), HostError> {
        self.0.delete(id(poll)).await.map(drop)
    }

    /// Removes the polls of a conversation.
    pub async fn remove_all(&self, conversation: &ConversationId) -> Result<(), HostError> {
        self.0.delete(of(conversation)).await.map(drop)
    }
}

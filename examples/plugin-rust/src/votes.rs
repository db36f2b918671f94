//! Votes, in the plugin's own collection: at most one document per poll and member, by a unique index.

use chat_sdk::{
    ConversationId, MessageId, Timestamp, UserId,
    plugin::{Collection, Filter, HostError, Index, Order, Query, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::polls::Poll;

/// Vote of a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    /// Poll.
    pub poll_id: MessageId,
    /// Conversation of the poll.
    pub conversation_id: ConversationId,
    /// Member.
    pub user_id: UserId,
    /// Number of the option, from 0; `None` if the vote was withdrawn.
    pub option: Option<u32>,
    /// Version of the poll that the vote took: of two votes of a member the one with the higher version counts.
    pub version: i64,
    /// Time of the vote, in milliseconds since 1970.
    pub at: i64,
}

/// Collection of votes.
pub struct Votes(Collection<Vote>);

fn of(poll: &MessageId) -> Filter {
    Filter::all().is("pollId", poll.as_str())
}

impl Votes {
    /// Uses `collection` for the votes.
    pub fn new(collection: Collection<Vote>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        use Order::Ascending;
        let member = [("pollId", Ascending), ("userId", Ascending)];
        let counts = [("pollId", Ascending), ("option", Ascending)];
        let indexes = [
            Index::new("one_per_member", &member).unique(),
            Index::new("counts", &counts),
            Index::new("user", &[("userId", Ascending)]),
            Index::new("conversation", &[("conversationId", Ascending)]),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores the vote of `user`, unless there is one with a higher version.
    pub async fn put(
        &self,
        poll: &Poll,
        user: &UserId,
        option: Option<u32>,
    ) -> Result<(), HostError> {
        let key = format!("{}/{user}", poll.id);
        let older = of(&poll.id)
            .is("userId", user.as_str())
            .below("version", poll.version);
        let vote = json!({
            "option": option, "version": poll.version, "at": Timestamp::now().as_millis(),
        });
        let first = json!({ "_id": key, "conversationId": poll.conversation_id });
        let update = Update::one(older).set(vote).or_insert(first);
        // If the vote with a higher version is there already, the index rejects a second document, and nothing changes.
        self.0.find_and_update(update).await.map(drop)
    }

    /// Returns the number of the option that `user` voted for.
    pub async fn of_member(
        &self,
        poll: &MessageId,
        user: &UserId,
    ) -> Result<Option<u32>, HostError> {
        let vote = self.0.first(of(poll).is("userId", user.as_str())).await?;
        Ok(vote.and_then(|vote| vote.option))
    }

    /// Counts the votes for each option.
    pub async fn count(&self, poll: &Poll) -> Result<Vec<u64>, HostError> {
        let mut counts = Vec::with_capacity(poll.options.len());
        for option in 0..poll.options.len() {
            counts.push(self.0.count(of(&poll.id).is("option", option)).await?);
        }
        Ok(counts)
    }

    /// Returns at most `limit` votes that `user` gave up to `until`.
    pub async fn of_user(
        &self,
        user: &UserId,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Vote>, HostError> {
        let filter = Filter::all().is("userId", user.as_str());
        let filter = filter.below("at", until.as_millis() + 1);
        Ok(self.0.find(Query::from(filter).limit(limit)).await?.items)
    }

    /// Removes a vote.
    pub async fn remove(&self, vote: &Vote) -> Result<(), HostError> {
        let filter = of(&vote.poll_id).is("userId", vote.user_id.as_str());
        self.0.delete(filter).await.map(drop)
    }

    /// Removes the votes of a poll.
    pub async fn remove_of(&self, poll: &MessageId) -> Result<(), HostError> {
        self.0.delete(of(poll)).await.map(drop)
    }

    /// Removes the votes of all polls of a conversation.
    pub async fn remove_all(&self, conversation: &ConversationId) -> Result<(), HostError> {
        let filter = Filter::all().is("conversationId", conversation.as_str());
        self.0.delete(filter).await.map(drop)
    }
}

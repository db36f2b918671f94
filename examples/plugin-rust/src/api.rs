//! Operations on polls over REST.

use std::sync::Arc;

use chat_sdk::{
    ConversationId, MessageId,
    commands::messages::SendMessage,
    http::{AsUser, Fails, Json, Query, Status, Upserted, ValidJson},
    plugin::RoutesDocument,
};
use poem_openapi::{OpenApi, Tags, param::Path};

use crate::{
    PollsPlugin,
    shapes::{CreatePoll, Poll, PollPage, PollVote, example},
};

#[derive(Tags)]
enum Tag {
    /// Polls in conversations.
    Polls,
}

/// Operations of the plugin.
pub(crate) struct PollsApi(pub Arc<PollsPlugin>);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<PollsApi>().examples(example)
}

#[OpenApi(tag = "Tag::Polls")]
impl PollsApi {
    /// Create a poll
    ///
    /// Sends a message of the type `custom` as the caller, whose first line is the question and each further line an option. The rules, limits and hooks of
    /// messages apply. A poll whose message is held for review is known to its author only, with `isHeld`, and takes no votes.
    ///
    /// A repetition with the same `clientMessageId` and content returns 200 with the same poll. Fails with 404 unless the caller is a member, and with 409 if
    /// the conversation has too many open polls.
    #[oai(path = "/api/polls", method = "post", operation_id = "createPoll")]
    async fn create(
        &self,
        user: AsUser,
        body: ValidJson<CreatePoll>,
    ) -> Result<Upserted<Poll>, Fails<SendMessage>> {
        let definition = body.0.definition()?;
        let body = body.0;
        let (is_new, seen) = self
            .0
            .create(
                &user.0,
                &body.conversation_id,
                definition,
                body.client_message_id,
            )
            .await?;
        Ok(Upserted {
            is_new,
            body: seen.into(),
        })
    }

    /// List polls of a conversation
    ///
    /// Returns the polls whose messages the caller can read, newest first. A page may have fewer items than `limit`.
    #[oai(path = "/api/polls", method = "get", operation_id = "listPolls")]
    async fn list(
        &self,
        user: AsUser,
        /// Id of the conversation.
        #[oai(name = "conversationId")]
        conversation_id: Query<ConversationId>,
        /// Maximum number of polls, 1 to 20. Default: 10.
        #[oai(validator(minimum(value = "1"), maximum(value = "20")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the polls after it.
        before: Query<Option<MessageId>>,
    ) -> Result<Json<PollPage>, Fails<Status<404>>> {
        let limit = usize::try_from(limit.0.unwrap_or(10)).unwrap_or(10);
        let before = before.0.as_ref();
        let page = self.0.list(&user.0, &conversation_id.0, before, limit);
        let (polls, next) = page.await?;
        Ok(Json(PollPage {
            polls: polls.into_iter().map(Poll::from).collect(),
            has_more: next.is_some(),
            next_cursor: next.map(|id| id.to_string()),
        }))
    }

    /// Get a poll
    ///
    /// Fails with 404 unless the caller is a member who can read the poll's message.
    #[oai(path = "/api/polls/:id", method = "get", operation_id = "getPoll")]
    async fn get(
        &self,
        user: AsUser,
        /// Id of the poll.
        id: Path<MessageId>,
    ) -> Result<Json<Poll>, Fails<Status<404>>> {
        Ok(Json(self.0.get(&user.0, &id.0).await?.into()))
    }

    /// Vote on a poll
    ///
    /// Sets the caller's only vote, or changes it. Fails with 409 if the poll is closed.
    #[oai(
        path = "/api/polls/:id/vote",
        method = "put",
        operation_id = "votePoll"
    )]
    async fn vote(
        &self,
        user: AsUser,
        /// Id of the poll.
        id: Path<MessageId>,
        body: ValidJson<PollVote>,
    ) -> Result<Json<Poll>, Fails<Status<404, 409>>> {
        let seen = self.0.vote(&user.0, &id.0, Some(body.0.option)).await?;
        Ok(Json(seen.into()))
    }

    /// Withdraw a vote
    ///
    /// Removes the caller's vote, if there is one. Fails with 409 if the poll is closed.
    #[oai(
        path = "/api/polls/:id/vote",
        method = "delete",
        operation_id = "withdrawPollVote"
    )]
    async fn withdraw(
        &self,
        user: AsUser,
        /// Id of the poll.
        id: Path<MessageId>,
    ) -> Result<Json<Poll>, Fails<Status<404, 409>>> {
        Ok(Json(self.0.vote(&user.0, &id.0, None).await?.into()))
    }

    /// Close a poll
    ///
    /// Ends the voting for ever. A closed poll is returned as it is. Fails with 403 unless the caller created the poll or is an admin or owner.
    #[oai(
        path = "/api/polls/:id/close",
        method = "post",
        operation_id = "closePoll"
    )]
    async fn close(
        &self,
        user: AsUser,
        /// Id of the poll.
        id: Path<MessageId>,
    ) -> Result<Json<Poll>, Fails<Status<403, 404>>> {
        Ok(Json(self.0.close(&user.0, &id.0).await?.into()))
    }
}

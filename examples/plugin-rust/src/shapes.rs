//! Bodies of the operations and data of the event, with their examples.

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId, http::ApiError};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{definition::Definition, polls::Poll as StoredPoll, service::Seen};

/// Poll to create.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreatePoll {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Question, one line of 1 to 300 characters.
    #[oai(validator(min_length = 1, max_length = 300))]
    pub question: String,
    /// Texts of 2 to 10 different options, each one line of 1 to 100 characters; at most 4,096 bytes together with the question.
    #[oai(validator(min_items = 2, max_items = 10))]
    pub options: Vec<String>,
    /// Time at which the poll closes by itself, at most 366 days ahead. Default: it does not.
    pub closes_at: Option<Timestamp>,
    /// Client's id of the message, 1 to 128 characters, which makes the request safe to repeat. Default: none.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub client_message_id: Option<String>,
}

impl CreatePoll {
    /// Checks the fields and returns the definition.
    pub fn definition(&self) -> Result<Definition, ApiError> {
        let definition = Definition {
            question: self.question.clone(),
            options: self.options.clone(),
            closes_at: self.closes_at,
        };
        let faults = definition.faults(Timestamp::now());
        if faults.is_empty() {
            return Ok(definition);
        }
        let faults = faults.into_iter();
        let faults = faults.map(|(field, problem)| (field, problem.into()));
        Err(ApiError::Invalid(faults.collect()))
    }
}

/// Vote on a poll.
#[derive(Debug, Deserialize, Object)]
pub struct PollVote {
    /// Number of the option, from 0 in the order of `options`.
    #[oai(validator(minimum(value = "0"), maximum(value = "9")))]
    pub option: u32,
}

/// Option of a poll.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PollOption {
    /// Text of the option, 1 to 100 characters.
    pub text: String,
    /// Number of members who vote for it.
    pub vote_count: u64,
}

/// A poll, as the caller sees it. Votes are secret: nobody but the voter learns who voted for what.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct Poll {
    /// Id of the message that carries the poll.
    pub id: MessageId,
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Id of the user who created the poll.
    pub created_by: UserId,
    /// Time at which the poll was created.
    pub created_at: Timestamp,
    /// Question of the poll.
    pub question: String,
    /// Options with their votes, 2 to 10.
    pub options: Vec<PollOption>,
    /// Number of the option that the caller votes for, from 0; absent without a vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub my_option: Option<u32>,
    /// True if the poll takes no votes any more.
    pub is_closed: bool,
    /// Time at which the poll was closed; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Time at which the poll closes by itself; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// Number of the newest change. A client ignores results with a lower one.
    pub version: i64,
    /// True while the message is held for review, so that only its author knows the poll; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_held: Option<bool>,
}

impl From<Seen> for Poll {
    fn from(seen: Seen) -> Self {
        let (closes_at, poll) = (seen.poll.closes_at(), seen.poll);
        let closed_at = poll.closed_at(Timestamp::now());
        let options = poll.options.into_iter().zip(seen.counts);
        Self {
            id: poll.id,
            conversation_id: poll.conversation_id,
            created_by: poll.created_by,
            created_at: poll.created_at,
            question: poll.question,
            options: options
                .map(|(text, vote_count)| PollOption { text, vote_count })
                .collect(),
            my_option: seen.my_option,
            is_closed: closed_at.is_some(),
            closed_at,
            closes_at,
            version: poll.version,
            is_held: seen.is_held.then_some(true),
        }
    }
}

/// Page of polls, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct PollPage {
    /// Polls of this page that the caller may see.
    pub polls: Vec<Poll>,
    /// Value of `before` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more polls.
    pub has_more: bool,
}

/// Results of a poll.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct PollState {
    /// Id of the poll, which is that of its message.
    pub poll_id: MessageId,
    /// Number of votes for each option, in the order of `options`.
    pub vote_counts: Vec<u64>,
    /// True if the poll takes no votes any more.
    pub is_closed: bool,
    /// Time at which the poll was closed; absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Number of the change. Two changes at once may arrive in any order: the results with the highest number hold.
    pub version: i64,
}

impl PollState {
    /// Returns the results of `poll` at the time `now`.
    pub fn new(poll: &StoredPoll, counts: &[u64], now: Timestamp) -> Self {
        let closed_at = poll.closed_at(now);
        Self {
            poll_id: poll.id.clone(),
            vote_counts: counts.to_vec(),
            is_closed: closed_at.is_some(),
            closed_at,
            version: poll.version,
        }
    }
}

/// Returns the example of a body.
pub fn example(schema: &str) -> Option<Value> {
    let poll = json!({
        "id": "msg_01hzx3v7k9q2m4n6p8r0s2t4v6", "conversationId": "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6",
        "createdBy": "alice", "createdAt": "2026-01-15T10:30:00.000Z", "question": "Lunch on Friday?",
        "options": [{ "text": "Yes", "voteCount": 3 }, { "text": "No", "voteCount": 1 }],
        "myOption": 0, "isClosed": false, "version": 8,
    });
    Some(match schema {
        "CreatePoll" => json!({
            "conversationId": "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6", "question": "Lunch on Friday?",
            "options": ["Yes", "No"], "clientMessageId": "poll-1",
        }),
        "PollVote" => json!({ "option": 0 }),
        "Poll" => poll,
        "PollPage" => json!({ "polls": [poll], "hasMore": false }),
        _ => return None,
    })
}

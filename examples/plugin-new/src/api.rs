//! Operation by which members read the entries of a conversation.

use std::sync::Arc;

use chat_sdk::{
    ConversationId, MessageId, Timestamp, UserId,
    http::{AsUser, Fails, Json, Query, Status},
    plugin::{Caller, RoutesDocument},
};
use poem_openapi::{Object, OpenApi, Tags, param::Path};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{WordGamePlugin, entries::Entry};

#[derive(Tags)]
enum Tag {
    /// Messages that members listed with the command of the plugin.
    #[oai(rename = "WordGame")]
    Entries,
}

/// Operations of the plugin. Paths, tags and names of schemas contain the plugin's name, so that they do not collide with others.
pub(crate) struct WordGameApi(pub Arc<WordGamePlugin>);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<WordGameApi>().examples(example)
}

#[OpenApi(tag = "Tag::Entries")]
impl WordGameApi {
    /// List the entries of a conversation
    ///
    /// Returns the messages that begin with `!wordgame`, newest first. Fails with 404 unless the caller can read the conversation.
    #[oai(
        path = "/api/wordgame/conversations/:id/entries",
        method = "get",
        operation_id = "listWordGame"
    )]
    async fn list(
        &self,
        // Guard: rejects every caller except a user, and the host for a user.
        user: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        /// Maximum number of entries, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
    ) -> Result<Json<WordGamePage>, Fails<Status<404>>> {
        // The core decides who can read the conversation; its error reaches the caller.
        let place = ["api", "conversations", id.0.as_str()];
        let caller = Caller::User(user.0);
        self.0.host.chat.get(caller, &place, &[]).await?;
        let limit = usize::try_from(limit.0.unwrap_or(50)).unwrap_or(50);
        let found = self.0.entries.newest(&id.0, limit).await?;
        Ok(Json(WordGamePage {
            entries: found.items.into_iter().map(Into::into).collect(),
            has_more: found.has_more,
        }))
    }
}

/// Entry of the list of a conversation.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct WordGameEntry {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of the author; absent if the host sent the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_id: Option<UserId>,
    /// Time of the message.
    pub at: Timestamp,
}

impl From<Entry> for WordGameEntry {
    fn from(entry: Entry) -> Self {
        Self {
            at: entry.time(),
            message_id: entry.message_id,
            author_id: entry.author_id,
        }
    }
}

/// Entries of a conversation, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct WordGamePage {
    /// Entries, at most `limit`.
    pub entries: Vec<WordGameEntry>,
    /// True if there are more entries than `limit`.
    pub has_more: bool,
}

/// Returns the example of a response.
fn example(schema: &str) -> Option<Value> {
    (schema == "WordGamePage").then(|| {
        json!({
            "entries": [{
                "messageId": "msg_01hzx3v7k9q2m4n6p8r0s2t4v6",
                "authorId": "alice",
                "at": "2026-01-15T10:30:00.000Z",
            }],
            "hasMore": false,
        })
    })
}

//! A conversation's log over HTTP, for who wants to prove that nothing is missing.

use chat_sdk::{ConversationId, EventId, Metadata, Timestamp, UserId};
use poem_openapi::{Object, OpenApi, param::Query};
use serde::Serialize;
use serde_json::Value;

use super::{Tag, auth::AsUser, error::ApiError, path::Path, reply::Json};
use crate::domain::{
    Context,
    log::{self, Line, Lines},
    page::PageRequest,
};

/// The type of an entry that the caller may not see.
const SKIP: &str = "skip";

/// One number of a conversation's log: an event, or `skip` with nothing but its number.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct LogEntry {
    /// The number, dense, from 1.
    pub seq: u64,
    /// The type of the event, for example `message.created`; `skip` for an entry that the caller may not see.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// The event's id, the same wherever it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// The version of the event's shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Who did it; absent when the host did it in no user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<UserId>,
    /// What exactly: the data of the event, as everywhere. What was deleted since has no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Metadata>,
}

impl From<Line> for LogEntry {
    fn from(line: Line) -> Self {
        match line {
            Line::Skipped(seq) => Self {
                seq,
                kind: SKIP.to_owned(),
                id: None,
                version: None,
                timestamp: None,
                conversation_id: None,
                actor_id: None,
                data: None,
            },
            Line::Seen(event) => Self {
                seq: event.seq.unwrap_or_default(),
                kind: event.kind.to_string(),
                id: Some(event.id),
                version: Some(event.version),
                timestamp: Some(event.timestamp),
                conversation_id: event.conversation_id,
                actor_id: event.actor_id,
                data: match serde_json::to_value(&event.data) {
                    Ok(Value::Object(data)) => Some(data.into()),
                    // The data of every event is an object.
                    _ => None,
                },
            },
        }
    }
}

/// A piece of a conversation's log, ascending.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct LogPage {
    /// The entries, every number once.
    pub entries: Vec<LogEntry>,
    /// What to give as `after` to go on; absent when this piece is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<u64>,
    /// Whether the log goes on after this piece.
    pub has_more: bool,
}

impl From<Lines> for LogPage {
    fn from(lines: Lines) -> Self {
        let entries: Vec<LogEntry> = lines.lines.into_iter().map(LogEntry::from).collect();
        Self {
            next_after: entries.last().map(|entry| entry.seq),
            entries,
            has_more: lines.has_more,
        }
    }
}

/// The operations on logs.
pub struct LogApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl LogApi {
    /// Read the log
    ///
    /// Every change to the conversation in the order of its numbers, which are dense: who holds all of them has missed nothing.
    #[oai(
        path = "/conversations/:id/log",
        method = "get",
        operation_id = "listLog"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
        /// The number after which to begin; 0 where it is left out.
        after: Query<Option<u64>>,
        /// How many entries, 1 to 100; 50 where it is left out.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
    ) -> Result<Json<LogPage>, ApiError> {
        let limit = PageRequest::new(limit.0, None, None, None)?.limit;
        let after = after.0.unwrap_or_default();
        let lines = log::list(&self.0, &caller.0, &id.0, after, limit).await?;
        Ok(Json(lines.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_entry_shows_its_number_only() {
        let json = serde_json::to_value(LogEntry::from(Line::Skipped(7))).expect("serialises");
        assert_eq!(json, serde_json::json!({ "seq": 7, "type": "skip" }));
    }
}

//! HTTP operation on a conversation's log, for clients that verify that they have every entry.

use std::borrow::Cow;

use chat_sdk::{
    ConversationId, Envelope,
    events::{EVENTS_OF_A_LOG, EventData, any_event},
    http::Query,
};
use poem_openapi::{
    Object, OpenApi,
    registry::{MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    auth::AsUser,
    error::ApiError,
    parts::{path::Path, reply::Json},
    state::Tag,
};
use crate::{
    domain::{
        Context,
        log::{self, Line, Lines},
    },
    model::page::PageRequest,
};

/// Type of an entry that is not visible to the caller.
const SKIP: &str = "skip";

/// Entry of a conversation's log: an event, or `skip` with only its seq.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum LogEntry {
    /// Entry that is not visible to the caller.
    Skipped(SkippedEntry),
    /// Event as in the catalogue. The event of a deleted message has no content.
    Event(Box<Envelope<EventData>>),
}

/// Entry that is not visible to the caller.
#[derive(Debug, Serialize, Object)]
pub struct SkippedEntry {
    /// Seq of the entry in the log of the conversation, dense, from 1.
    pub seq: u64,
    /// Always `skip`: the entry is not visible to the caller.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
}

impl LogEntry {
    fn seq(&self) -> u64 {
        match self {
            Self::Skipped(entry) => entry.seq,
            Self::Event(event) => event.seq.unwrap_or_default(),
        }
    }
}

impl From<Line> for LogEntry {
    fn from(line: Line) -> Self {
        match line {
            Line::Skipped(seq) => Self::Skipped(SkippedEntry {
                seq,
                kind: SKIP.to_owned(),
            }),
            Line::Seen(event) => Self::Event(event),
        }
    }
}

impl Type for LogEntry {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "LogEntry".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        SkippedEntry::register(registry);
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_| {
            any_event(
                EVENTS_OF_A_LOG,
                "An event of a conversation's log, or `skip` for an entry that is not visible to the caller.",
                vec![(SKIP, SkippedEntry::name().into_owned())],
            )
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for LogEntry {
    /// Required by poem-openapi for every field type, but never part of a request.
    fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("is never part of a request"))
    }
}

impl ToJSON for LogEntry {
    fn to_json(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}

/// Page of a conversation's log, in ascending order of seq.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct LogPage {
    /// Entries, one for every seq.
    pub entries: Vec<LogEntry>,
    /// Value of `after` for the next page; absent if this page is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<u64>,
    /// True if the log has entries after this page.
    pub has_more: bool,
}

impl From<Lines> for LogPage {
    fn from(lines: Lines) -> Self {
        let entries: Vec<LogEntry> = lines.lines.into_iter().map(LogEntry::from).collect();
        Self {
            next_after: entries.last().map(LogEntry::seq),
            entries,
            has_more: lines.has_more,
        }
    }
}

/// Operations on logs.
pub struct LogApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl LogApi {
    /// List log entries of a conversation
    ///
    /// Returns every change to the conversation in the order of its seq. Seqs are dense, so a client that has all of them has missed nothing. The log
    /// ends for a former member at the end of the membership.
    ///
    /// Fails with 404 if the caller was never a member.
    #[oai(
        path = "/conversations/:id/log",
        method = "get",
        operation_id = "listLogEntries"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        /// Seq after which the page begins. Default: 0.
        #[oai(validator(minimum(value = "0")))]
        after: Query<Option<i64>>,
        /// Maximum number of entries, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
    ) -> Result<Json<LogPage>, ApiError> {
        let limit = PageRequest::new(limit.0, None, None, None)?.limit;
        let after = after.0.unwrap_or_default().unsigned_abs();
        let lines = log::list(&self.0, &caller.0, &id.0, after, limit).await?;
        Ok(Json(lines.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_entry_has_only_its_seq() {
        let json = serde_json::to_value(LogEntry::from(Line::Skipped(7))).expect("serialises");
        assert_eq!(json, serde_json::json!({ "seq": 7, "type": "skip" }));
    }
}

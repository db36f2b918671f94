//! What the host can ask.

use std::sync::Arc;

use chat_sdk::{
    EventId, Timestamp,
    http::{AsHost, Json, Query, Refusal},
};
use poem_openapi::{Object, OpenApi, Tags};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Trail, entries::Entry};

#[derive(Tags)]
enum Tag {
    /// Who did what.
    #[oai(rename = "Admin/Trail")]
    Trail,
}

/// The operations. Paths, tags and names of schemas carry the plugin's name, so that they meet no others.
pub struct TrailApi(pub Arc<Trail>);

#[OpenApi(tag = "Tag::Trail")]
impl TrailApi {
    /// Who did what, the newest first
    #[oai(path = "/api/admin/trail", method = "get", operation_id = "listTrail")]
    async fn list(
        &self,
        // The guard: only the host's backend passes.
        _host: AsHost,
        /// Of this user only.
        #[oai(name = "actorId")]
        actor_id: Query<Option<String>>,
        /// How many.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// Those after this `nextCursor`.
        before: Query<Option<String>>,
    ) -> Result<Json<TrailPage>, Refusal> {
        let limit = usize::try_from(limit.0.unwrap_or(50)).unwrap_or(50);
        let (actor, before) = (actor_id.0.as_deref(), before.0.as_deref());
        // One more than asked for tells whether there is more.
        let mut found = self.0.entries.page(actor, before, limit as i64 + 1).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok(Json(TrailPage {
            next_cursor: found
                .last()
                .filter(|_| has_more)
                .map(|last| last.id.to_string()),
            entries: found.into_iter().map(Into::into).collect(),
            has_more,
        }))
    }
}

/// An entry of the trail.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct TrailEntry {
    /// The event's id.
    pub event_id: EventId,
    /// The event's type.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// The conversation in whose log it stands, or `user:` and a user.
    pub owner: String,
    /// Who did it; absent when the host did it in no user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl From<Entry> for TrailEntry {
    fn from(entry: Entry) -> Self {
        Self {
            event_id: entry.id,
            kind: entry.kind,
            owner: entry.owner,
            actor_id: entry.actor_id,
            at: Timestamp::from_millis(entry.at.timestamp_millis()),
        }
    }
}

/// A piece of the trail.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct TrailPage {
    /// The entries.
    pub entries: Vec<TrailEntry>,
    /// What to give as `before` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
}

/// The example of an answer, for the document.
pub fn example(schema: &str) -> Option<Value> {
    (schema == "TrailPage").then(|| {
        json!({
            "entries": [{
                "eventId": "evt_01hzx3v7k9q2m4n6p8r0s2t4v6", "type": "message.deleted",
                "owner": "cnv_01hzx3v7k9q2m4n6p8r0s2t4v6", "actorId": "alice", "at": "2026-01-15T10:30:00.000Z",
            }],
            "hasMore": false,
        })
    })
}

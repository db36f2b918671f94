//! Operations by which the host reads the trail.

use std::sync::Arc;

use chat_sdk::{
    EventId, Timestamp,
    http::{ApiError, AsHost, Json, Query},
    plugin::RoutesDocument,
};
use poem_openapi::{Object, OpenApi, Tags};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Trail, entries::Entry};

#[derive(Tags)]
enum Tag {
    /// Audit trail of the changes that users and the host made.
    #[oai(rename = "Admin/Trail")]
    Trail,
}

/// Operations of the plugin. Paths, tags and names of schemas contain the plugin's name, so that they do not collide with others.
pub(crate) struct TrailApi(pub Arc<Trail>);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<TrailApi>().examples(example)
}

#[OpenApi(tag = "Tag::Trail")]
impl TrailApi {
    /// List the entries of the audit trail
    ///
    /// Returns the recorded events, newest first. Entries are kept for `keep_days` (90 by default).
    #[oai(path = "/api/admin/trail", method = "get", operation_id = "listTrail")]
    async fn list(
        &self,
        // Guard: rejects every caller except the host's backend.
        _host: AsHost,
        /// Id of the user whose actions are returned. Default: all users and the host.
        #[oai(name = "actorId")]
        actor_id: Query<Option<String>>,
        /// Maximum number of entries, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the entries after it.
        before: Query<Option<String>>,
    ) -> Result<Json<TrailPage>, ApiError> {
        let limit = usize::try_from(limit.0.unwrap_or(50)).unwrap_or(50);
        let (actor, before) = (actor_id.0.as_deref(), before.0.as_deref());
        let found = self.0.entries.page(actor, before, limit).await?;
        let last = found.items.last().filter(|_| found.has_more);
        Ok(Json(TrailPage {
            next_cursor: last.map(|last| last.id.to_string()),
            entries: found.items.into_iter().map(Into::into).collect(),
            has_more: found.has_more,
        }))
    }
}

/// Entry of the audit trail.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct TrailEntry {
    /// Id of the event.
    pub event_id: EventId,
    /// Type of the event.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// Id of the conversation whose log holds the event, or `user:` and the id of a user.
    pub owner: String,
    /// Id of the user who acted; absent if the host acted without an acting user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// Time of the event.
    pub at: Timestamp,
}

impl From<Entry> for TrailEntry {
    fn from(entry: Entry) -> Self {
        Self {
            event_id: entry.id,
            kind: entry.kind,
            owner: entry.owner,
            actor_id: entry.actor_id,
            at: entry.at.0,
        }
    }
}

/// Page of entries of the audit trail, newest first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct TrailPage {
    /// Entries of this page.
    pub entries: Vec<TrailEntry>,
    /// Value of `before` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more entries.
    pub has_more: bool,
}

/// Returns the example of a response.
fn example(schema: &str) -> Option<Value> {
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

//! HTTP operations on a person's data: end sessions, export the data and report an erasure.

use bytes::Bytes;
use chat_sdk::{Timestamp, UserId, http::Query};
use futures_util::stream;
use poem::{Body, IntoResponse, Response, http::header};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    auth::AsHost,
    error::ApiError,
    parts::{
        path::Path,
        reply::{Json, NoContent},
    },
    state::Tag,
};
use crate::{
    domain::{Context, erasure, export, users},
    model::{
        Result,
        erasure::{Erasure, OwnMessages, Removed},
    },
};

/// Number of lines of an export that wait for their reader. One line may have as many bytes as an event.
const LINES_AHEAD: usize = 8;
/// Media type of an export. Generated clients read it as a stream of bytes; most do not support `application/x-ndjson`.
const BINARY: &str = "application/octet-stream";

/// Treatment of a deleted user's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ErasureMode {
    /// Every message is deleted, and its content, attachments, metadata, mentions and edits are erased.
    Erase,
    /// The messages stay under the id of the deleted user, who has no profile.
    Anonymise,
}

/// Progress of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum ErasureStatus {
    /// The erasure is in progress.
    Running,
    /// The erasure is complete.
    Done,
}

/// Numbers of removed items by kind; while the erasure is in progress, of the kinds that it has processed.
#[derive(Debug, Default, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct RemovedCounts {
    /// Number of log entries whose profile was erased.
    pub profile_entries: u64,
    /// Number of blocks, of the user and of others.
    pub blocks: u64,
    /// Number of read markers and drafts.
    pub markers: u64,
    /// Number of receipts of single messages.
    pub reads: u64,
    /// Number of scheduled messages.
    pub scheduled: u64,
    /// Number of held messages, and of stored verdicts of hooks about recent sends.
    pub held: u64,
    /// Number of presence records.
    pub presence: u64,
    /// Number of reactions.
    pub reactions: u64,
    /// Number of memberships, without those of direct conversations.
    pub memberships: u64,
    /// Number of messages whose content was erased.
    pub messages: u64,
    /// Number of edits of those messages.
    pub edits: u64,
}

/// Report of an erasure.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ErasureReport {
    /// Host's id of the user.
    pub external_user_id: UserId,
    /// Treatment of the user's messages.
    pub messages: ErasureMode,
    /// Progress of the erasure.
    pub status: ErasureStatus,
    /// Time of the request to delete the user.
    pub started_at: Timestamp,
    /// Time at which the erasure was complete; absent while it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Numbers of removed items by kind.
    pub removed: RemovedCounts,
}

impl From<Option<ErasureMode>> for OwnMessages {
    fn from(chosen: Option<ErasureMode>) -> Self {
        match chosen {
            Some(ErasureMode::Erase) => Self::Erase,
            Some(ErasureMode::Anonymise) | None => Self::Anonymise,
        }
    }
}

impl From<Erasure> for ErasureReport {
    fn from(erasure: Erasure) -> Self {
        let count = |kind: Removed| erasure.removed.get(kind.name()).copied().unwrap_or(0);
        Self {
            messages: match erasure.messages {
                OwnMessages::Erase => ErasureMode::Erase,
                OwnMessages::Anonymise => ErasureMode::Anonymise,
            },
            status: match erasure.finished_at {
                Some(_) => ErasureStatus::Done,
                None => ErasureStatus::Running,
            },
            started_at: erasure.started_at,
            finished_at: erasure.finished_at,
            removed: RemovedCounts {
                profile_entries: count(Removed::ProfileEntries),
                blocks: count(Removed::Blocks),
                markers: count(Removed::Markers),
                reads: count(Removed::Reads),
                scheduled: count(Removed::Scheduled),
                held: count(Removed::Held),
                presence: count(Removed::Presence),
                reactions: count(Removed::Reactions),
                memberships: count(Removed::Memberships),
                messages: count(Removed::Messages),
                edits: count(Removed::Edits),
            },
            external_user_id: erasure.user,
        }
    }
}

/// Response 200 with one JSON object per line.
pub struct Ndjson(mpsc::Receiver<Result<Value>>);

impl IntoResponse for Ndjson {
    fn into_response(self) -> Response {
        let lines = stream::unfold(self.0, async |mut lines| {
            let line = lines.recv().await?.map_err(std::io::Error::other);
            let bytes = line.map(|line| Bytes::from(format!("{line}\n")));
            Some((bytes, lines))
        });
        Response::builder()
            .content_type(BINARY)
            .header(
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"export.ndjson\"",
            )
            .body(Body::from_bytes_stream(lines))
    }
}

impl ApiResponse for Ndjson {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "NDJSON: one JSON object per line, each with its `kind`; the last line has the kind `end`.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: BINARY,
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format(
                        "string", "binary",
                    ))),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Operations on a person's data.
pub struct ErasureApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::UsersInternal")]
impl ErasureApi {
    /// Get the report of a user's deletion
    ///
    /// Returns the progress of the last deletion of the user and the numbers of removed items.
    ///
    /// Fails with 404 if the user was never deleted.
    #[oai(
        path = "/users/:id/erasure",
        method = "get",
        operation_id = "getUserErasure"
    )]
    async fn report(
        &self,
        _host: AsHost,
        /// Host's id of the user, percent-encoded.
        id: Path<UserId>,
    ) -> std::result::Result<Json<ErasureReport>, ApiError> {
        Ok(Json(erasure::get(&self.0, &id.0).await?.into()))
    }

    /// Disconnect a user
    ///
    /// Closes every socket and event stream of the user on every node, and rejects tokens that were issued before (by `iat`; a token without it, or
    /// of the same second, counts as issued before).
    ///
    /// With `sessionId` only the sockets, streams and tokens of that session end: those whose token has this `sid`. The service keeps the ids of 64 ended
    /// sessions of a user; the next one ends all sessions of the user instead. An id must not be used again for another session.
    #[oai(
        path = "/users/:id/disconnect",
        method = "post",
        operation_id = "disconnectUser"
    )]
    async fn disconnect(
        &self,
        _host: AsHost,
        /// Host's id of the user, percent-encoded.
        id: Path<UserId>,
        /// Id of the session to end (claim `sid` of its tokens), 1 to 128 characters of visible ASCII. Default: all sessions.
        #[oai(name = "sessionId")]
        session_id: Query<Option<String>>,
    ) -> std::result::Result<NoContent, ApiError> {
        users::disconnect(&self.0, &id.0, session_id.0).await?;
        Ok(NoContent)
    }

    /// Export a user's data
    ///
    /// Streams all stored data of the user, one JSON object per line: `profile`, `membership`, `message`
    /// (each followed by its `edit`s), `reaction`, `block`, `marker`, `read`, `scheduled`, `held`, `presence`,
    /// and finally `end` with the number of lines before it. An export without that line is incomplete.
    ///
    /// Fails with 404 if the user does not exist.
    #[oai(
        path = "/users/:id/export",
        method = "get",
        operation_id = "exportUser"
    )]
    async fn export(
        &self,
        _host: AsHost,
        /// Host's id of the user, percent-encoded.
        id: Path<UserId>,
    ) -> std::result::Result<Ndjson, ApiError> {
        export::check(&self.0, &id.0).await?;
        let (lines, reader) = mpsc::channel(LINES_AHEAD);
        tokio::spawn(export::write(self.0.clone(), id.0, lines));
        Ok(Ndjson(reader))
    }
}

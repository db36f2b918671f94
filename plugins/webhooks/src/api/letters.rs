//! Operations on dead letters: events that an endpoint did not accept.

use std::collections::BTreeMap;

use chat_sdk::{
    Timestamp,
    http::{ApiError, AsHost, Json, NoContent, Query, ValidJson},
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    PIECE, Shared, Tag, limit_of, most_replayed,
    shapes::{DeadLetter, DeadLetterPage, ReplayDeadLetters, ReplayResult},
};
use crate::{letters::Which, pages};

/// Operations on dead letters.
pub struct LettersApi(pub Shared);

#[OpenApi(tag = "Tag::Webhooks")]
impl LettersApi {
    /// List dead letters
    ///
    /// Returns the events that an endpoint did not accept at the last attempt, newest first. A page has at most about 1 MiB.
    #[oai(
        path = "/api/admin/webhooks/dead-letters",
        method = "get",
        operation_id = "listDeadLetters"
    )]
    async fn dead_letters(
        &self,
        _host: AsHost,
        /// Id of the endpoint whose dead letters are returned. Default: all endpoints.
        #[oai(name = "endpointId")]
        endpoint_id: Query<Option<String>>,
        /// Event type of the dead letters to return. Default: all types.
        #[oai(name = "type")]
        kind: Query<Option<String>>,
        /// Earliest time at which the event was given up. Default: no limit.
        since: Query<Option<Timestamp>>,
        /// Maximum number of dead letters, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the dead letters after it.
        before: Query<Option<String>>,
    ) -> Result<Json<DeadLetterPage>, ApiError> {
        let limit = limit_of(limit.0);
        let which = Which {
            endpoint_id: endpoint_id.0,
            kind: kind.0,
            since: since.0,
            before: before.0,
        };
        let piece = self.0.plugin.letters.page(&which, limit).await?;
        let (dead_letters, next_cursor) =
            pages::show(piece, DeadLetter::from, |letter| letter.id.clone());
        Ok(Json(DeadLetterPage {
            dead_letters,
            has_more: next_cursor.is_some(),
            next_cursor,
        }))
    }

    /// Replay many dead letters
    ///
    /// Delivers the selected dead letters again, at most 10,000 per request; continue with `nextCursor` as `before`. Each is delivered like a new event, with
    /// its own id, and leaves the list when the endpoint accepts it.
    #[oai(
        path = "/api/admin/webhooks/dead-letters/replay",
        method = "post",
        operation_id = "replayDeadLetters"
    )]
    async fn replay_all(
        &self,
        _host: AsHost,
        body: ValidJson<ReplayDeadLetters>,
    ) -> Result<Json<ReplayResult>, ApiError> {
        let mut which = Which {
            endpoint_id: body.0.endpoint_id,
            kind: body.0.kind,
            since: body.0.since,
            before: body.0.before,
        };
        let most = most_replayed(body.0.limit);
        let mut replayed = 0;
        while replayed < most {
            let piece = PIECE.min(most - replayed);
            let page = self.0.plugin.letters.page(&which, piece).await?;
            let letters = page.items;
            let Some(last) = letters.last() else {
                which.before = None;
                break;
            };
            which.before = Some(last.id.clone());
            replayed += letters.len();
            let mut by_endpoint: BTreeMap<&str, Vec<_>> = BTreeMap::new();
            for letter in &letters {
                by_endpoint
                    .entry(&letter.endpoint_id)
                    .or_default()
                    .push(letter.clone());
            }
            for (endpoint_id, letters) in by_endpoint {
                let events = self.0.plugin.letters.replay(&letters).await?;
                self.0.put(endpoint_id, events).await?;
            }
            if !page.has_more {
                which.before = None;
                break;
            }
        }
        let remaining = match which.before {
            Some(_) => self.0.plugin.letters.count(&which).await?,
            None => 0,
        };
        let next_cursor = which.before.filter(|_| remaining > 0);
        Ok(Json(ReplayResult {
            replayed: replayed as u64,
            has_more: next_cursor.is_some(),
            remaining: next_cursor.is_some().then_some(remaining),
            next_cursor,
            up_to: None,
        }))
    }

    /// Get a dead letter
    ///
    /// Returns one dead letter with its event.
    ///
    /// Fails with 404 if there is no such dead letter.
    #[oai(
        path = "/api/admin/webhooks/dead-letters/:letterId",
        method = "get",
        operation_id = "getDeadLetter"
    )]
    async fn dead_letter(
        &self,
        _host: AsHost,
        /// Id of the dead letter.
        #[oai(name = "letterId")]
        letter_id: Path<String>,
    ) -> Result<Json<DeadLetter>, ApiError> {
        let letter = self.0.plugin.letters.find(&letter_id.0).await?;
        letter
            .map(|letter| Json(letter.into()))
            .ok_or_else(|| ApiError::NotFound("There is no such dead letter.".into()))
    }

    /// Replay a dead letter
    ///
    /// Delivers the dead letter again, like a new event, with its own id. It leaves the list when the endpoint accepts it.
    ///
    /// Fails with 404 if there is no such dead letter.
    #[oai(
        path = "/api/admin/webhooks/dead-letters/:letterId/replay",
        method = "post",
        operation_id = "replayDeadLetter"
    )]
    async fn replay_one(
        &self,
        _host: AsHost,
        /// Id of the dead letter.
        #[oai(name = "letterId")]
        letter_id: Path<String>,
    ) -> Result<NoContent, ApiError> {
        let letter = self
            .0
            .plugin
            .letters
            .find(&letter_id.0)
            .await?
            .ok_or_else(|| ApiError::NotFound("There is no such dead letter.".into()))?;
        let events = self
            .0
            .plugin
            .letters
            .replay(std::slice::from_ref(&letter))
            .await?;
        self.0.put(&letter.endpoint_id, events).await?;
        Ok(NoContent)
    }
}

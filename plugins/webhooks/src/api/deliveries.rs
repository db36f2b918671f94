//! Operations on deliveries: test events, backfills, and the records of deliveries.

use bytes::Bytes;
use chat_sdk::{
    EventId, Timestamp,
    events::ENVELOPE_VERSION,
    http::{ApiError, AsHost, Conflicting, Json, Query, ValidJson},
    plugin::{LogPosition, ReplayedEvent},
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    PIECE, Shared, Tag, limit_of, most_replayed,
    shapes::{
        BackfillWebhook, DeliveryAttempts, DeliveryStatus, ReplayResult, TEST, WebhookDelivery,
        WebhookDeliveryPage, WebhookTest, WebhookTestData, WebhookTestEvent,
    },
};
use crate::pages;

/// Operations on the deliveries to an endpoint.
pub struct DeliveriesApi(pub Shared);

#[OpenApi(tag = "Tag::Webhooks")]
impl DeliveriesApi {
    /// Send a test event to an endpoint
    ///
    /// Puts an event of type `webhook.test` into the endpoint's queue and returns its id. The result of the delivery is listed under this id in the endpoint's
    /// deliveries.
    ///
    /// Fails with 404 if there is no such endpoint and with 409 if it is disabled.
    #[oai(
        path = "/api/admin/webhooks/:id/test",
        method = "post",
        operation_id = "testWebhook"
    )]
    async fn test(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
    ) -> Result<Json<WebhookTest>, Conflicting> {
        let endpoint = self.0.find(&id.0).await?;
        if !endpoint.is_enabled {
            return Err(
                ApiError::Conflict("The endpoint is disabled; enable it first.".into()).into(),
            );
        }
        let event_id = EventId::generate();
        let envelope = WebhookTestEvent {
            id: event_id.clone(),
            kind: TEST.to_owned(),
            version: ENVELOPE_VERSION,
            timestamp: Timestamp::now(),
            data: WebhookTestData {
                webhook_id: endpoint.id.clone(),
            },
        };
        let payload = serde_json::to_vec(&envelope).map_err(|error| {
            ApiError::internal(format!("test event could not be encoded: {error}"))
        })?;
        let event = ReplayedEvent {
            event_id: event_id.clone(),
            kind: TEST.to_owned(),
            // The event is in no log. With this owner, all test events of an ordered endpoint have one lane.
            owner: format!("user:{TEST}"),
            seq: None,
            payload: Bytes::from(payload),
        };
        self.0.put(&endpoint.id, vec![event]).await?;
        Ok(Json(WebhookTest { event_id }))
    }

    /// Deliver past events to an endpoint
    ///
    /// Reads the events since a given time from the log and delivers those of the endpoint's types, also if they were delivered before. One request puts at
    /// most 10,000 events into the endpoint's queue, in the order of the log; continue with `nextCursor` as `after`.
    ///
    /// Fails with 400 if `after` is not a cursor of a backfill and with 404 if there is no such endpoint.
    #[oai(
        path = "/api/admin/webhooks/:id/backfill",
        method = "post",
        operation_id = "backfillWebhook"
    )]
    async fn backfill(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
        body: ValidJson<BackfillWebhook>,
    ) -> Result<Json<ReplayResult>, ApiError> {
        let endpoint = self.0.find(&id.0).await?;
        let kinds = endpoint.kinds();
        let most = most_replayed(body.0.limit);
        let mut position = match &body.0.after {
            Some(cursor) => read_position(cursor)?,
            None => LogPosition::before(body.0.since),
        };
        let mut replayed = 0;
        let mut up_to = body.0.since;
        let mut is_end = false;
        while replayed < most && !is_end {
            let piece = PIECE.min(most - replayed);
            let page = self.0.host().events.read_log(position, None, piece).await?;
            (position, is_end) = (page.next, page.is_end);
            if let Some(last) = page.events.last() {
                up_to = up_to.max(last.at);
            }
            let events: Vec<ReplayedEvent> = page
                .events
                .into_iter()
                .filter(|event| event.at >= body.0.since)
                .filter(|event| {
                    kinds
                        .as_ref()
                        .is_none_or(|kinds| kinds.contains(&event.kind))
                })
                .map(|event| ReplayedEvent {
                    event_id: event.id,
                    kind: event.kind.as_str().to_owned(),
                    owner: event.owner,
                    seq: Some(event.seq),
                    payload: event.payload,
                })
                .collect();
            replayed += events.len();
            self.0.put(&endpoint.id, events).await?;
        }
        Ok(Json(ReplayResult {
            replayed: replayed as u64,
            has_more: !is_end,
            // The cursor is a position and not a time, because the database may insert an event shortly after a newer one.
            next_cursor: (!is_end).then(|| position.0.to_string()),
            remaining: None,
            up_to: (!is_end).then_some(up_to),
        }))
    }

    /// List the deliveries to an endpoint
    ///
    /// Returns the events that were delivered or tried, newest event first, each with its newest attempt. Records are kept for `keep_days` (7 by default).
    ///
    /// Fails with 404 if there is no such endpoint.
    #[oai(
        path = "/api/admin/webhooks/:id/deliveries",
        method = "get",
        operation_id = "listWebhookDeliveries"
    )]
    async fn deliveries(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
        /// Status of the deliveries to return. Default: all.
        status: Query<Option<DeliveryStatus>>,
        /// Maximum number of deliveries, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the deliveries after it.
        before: Query<Option<String>>,
    ) -> Result<Json<WebhookDeliveryPage>, ApiError> {
        self.0.find(&id.0).await?;
        let limit = limit_of(limit.0);
        let outcome = status.0.map(|status| status.outcome().as_str());
        let records = &self.0.plugin.records;
        let piece = records
            .page(&id.0, outcome, before.0.as_deref(), limit)
            .await?;
        let shown = pages::show(piece, WebhookDelivery::from, |delivery| {
            delivery.event_id.to_string()
        });
        let (deliveries, next_cursor) = shown;
        Ok(Json(WebhookDeliveryPage {
            deliveries,
            has_more: next_cursor.is_some(),
            next_cursor,
        }))
    }

    /// List the attempts of a delivery
    ///
    /// Returns the newest 30 attempts to deliver one event to the endpoint, oldest first.
    ///
    /// Fails with 404 if no delivery of this event is recorded.
    #[oai(
        path = "/api/admin/webhooks/:id/deliveries/:eventId/attempts",
        method = "get",
        operation_id = "listWebhookDeliveryAttempts"
    )]
    async fn attempts(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
        /// Id of the event.
        #[oai(name = "eventId")]
        event_id: Path<String>,
    ) -> Result<Json<DeliveryAttempts>, ApiError> {
        let record = self.0.plugin.records.find(&id.0, &event_id.0).await?;
        let record =
            record.ok_or_else(|| ApiError::NotFound("There is no such delivery.".into()))?;
        Ok(Json(DeliveryAttempts {
            attempts: record.attempts.into_iter().map(Into::into).collect(),
        }))
    }
}

/// Parses the `nextCursor` of a backfill as a position in the log.
fn read_position(cursor: &str) -> Result<LogPosition, ApiError> {
    cursor
        .parse()
        .map(LogPosition)
        .map_err(|_| ApiError::invalid("after", "must be the nextCursor of a backfill"))
}

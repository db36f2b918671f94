//! Operations by which the host pulls the events of endpoints without a URL.

use std::time::Duration;

use chat_sdk::http::{AsHost, Conflicting, Json, Query, ValidJson};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Shared, Tag, limit_of,
    shapes::{AcknowledgeEvents, AcknowledgedEvents, PulledEvents},
};

/// Operations that pull and acknowledge events.
pub struct PullApi(pub Shared);

#[OpenApi(tag = "Tag::Webhooks")]
impl PullApi {
    /// Pull events from an endpoint without a URL
    ///
    /// Returns pending events in the order of the stream. Each is delivered again after 60 seconds unless it is acknowledged.
    ///
    /// Fails with 404 if there is no such endpoint and with 409 if it is disabled or has a URL.
    #[oai(
        path = "/api/admin/webhooks/:id/events",
        method = "get",
        operation_id = "pullWebhookEvents"
    )]
    async fn pull(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
        /// Maximum number of events, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// Time to wait for the first event, in seconds, 0 to 25. Default: 0.
        #[oai(
            name = "waitSeconds",
            validator(minimum(value = "0"), maximum(value = "25"))
        )]
        wait_seconds: Query<Option<i64>>,
    ) -> Result<Json<PulledEvents>, Conflicting> {
        let endpoint = self.0.find_pulling(&id.0).await?;
        let spec = endpoint.spec(&self.0.plugin.settings);
        let wait = Duration::from_secs(wait_seconds.0.unwrap_or(0).unsigned_abs());
        let pulled = self
            .0
            .host()
            .events
            .pull(spec, limit_of(limit.0), wait)
            .await?;
        Ok(Json(PulledEvents {
            events: pulled.into_iter().map(Into::into).collect(),
        }))
    }

    /// Acknowledge pulled events
    ///
    /// Acknowledges events by their `ackId` and returns the number of those that were accepted. Acknowledged events are not delivered again.
    ///
    /// Fails with 404 if there is no such endpoint and with 409 if it is disabled or has a URL.
    #[oai(
        path = "/api/admin/webhooks/:id/events/ack",
        method = "post",
        operation_id = "acknowledgeWebhookEvents"
    )]
    async fn acknowledge(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
        body: ValidJson<AcknowledgeEvents>,
    ) -> Result<Json<AcknowledgedEvents>, Conflicting> {
        let endpoint = self.0.find_pulling(&id.0).await?;
        let spec = endpoint.spec(&self.0.plugin.settings);
        let acknowledged = self
            .0
            .host()
            .events
            .acknowledge(spec, body.0.ack_ids)
            .await?;
        Ok(Json(AcknowledgedEvents {
            acknowledged: acknowledged as u64,
        }))
    }
}

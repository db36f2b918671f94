//! Events of endpoints without a URL, which the host takes.

use std::time::Duration;

use chat_sdk::http::{AsHost, Json, Query, Refusal, ValidJson};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Shared, Tag, limit_of,
    shapes::{AcknowledgeEvents, AcknowledgedEvents, PulledEvents},
};

/// Events of endpoints without a URL, which the host takes.
pub struct PullApi(pub Shared);

#[OpenApi(tag = "Tag::Webhooks")]
impl PullApi {
    /// Take events from an endpoint without a URL
    ///
    /// Each comes again after a minute unless it is acknowledged.
    #[oai(
        path = "/api/admin/webhooks/:id/events",
        method = "get",
        operation_id = "pullWebhookEvents"
    )]
    async fn pull(
        &self,
        _host: AsHost,
        id: Path<String>,
        /// How many.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// How long to wait for the first, in seconds.
        #[oai(
            name = "waitSeconds",
            validator(minimum(value = "0"), maximum(value = "25"))
        )]
        wait_seconds: Query<Option<i64>>,
    ) -> Result<Json<PulledEvents>, Refusal> {
        let endpoint = self.0.find_pulling(&id.0).await?;
        let spec = endpoint.spec(&self.0.plugin.settings);
        let wait = Duration::from_secs(wait_seconds.0.unwrap_or(0).unsigned_abs());
        let pulled = self
            .0
            .host()
            .durables()
            .pull(spec, limit_of(limit.0), wait)
            .await?;
        Ok(Json(PulledEvents {
            events: pulled.into_iter().map(Into::into).collect(),
        }))
    }

    /// AcknowledgeEvents events that were taken
    #[oai(
        path = "/api/admin/webhooks/:id/events/ack",
        method = "post",
        operation_id = "acknowledgeWebhookEvents"
    )]
    async fn acknowledge(
        &self,
        _host: AsHost,
        id: Path<String>,
        body: ValidJson<AcknowledgeEvents>,
    ) -> Result<Json<AcknowledgedEvents>, Refusal> {
        let endpoint = self.0.find_pulling(&id.0).await?;
        let spec = endpoint.spec(&self.0.plugin.settings);
        let acknowledged = self
            .0
            .host()
            .durables()
            .acknowledge(spec, body.0.ack_ids)
            .await?;
        Ok(Json(AcknowledgedEvents {
            acknowledged: acknowledged as u64,
        }))
    }
}

//! Operations that create, list, change and delete endpoints.

use chat_sdk::http::{ApiError, AsHost, Conflicting, Created, Json, NoContent, Query, ValidJson};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Shared, Tag, limit_of, missing,
    shapes::{CreateWebhook, UpdateWebhook, Webhook, WebhookPage, WebhookWithSecret},
};
use crate::{endpoints::Draft, ordered};

/// Operations on endpoints.
pub struct ManageApi(pub Shared);

#[OpenApi(tag = "Tag::Webhooks")]
impl ManageApi {
    /// Create a webhook endpoint
    ///
    /// Creates an endpoint and returns it with its secret, which no other response contains again, except after a rotation. From this moment every event of its
    /// types is delivered to it at least once.
    ///
    /// Fails with 400 for an invalid field and with 409 if the service has no `SECRETS_KEY`.
    #[oai(
        path = "/api/admin/webhooks",
        method = "post",
        operation_id = "createWebhook"
    )]
    async fn create(
        &self,
        _host: AsHost,
        body: ValidJson<CreateWebhook>,
    ) -> Result<Created<WebhookWithSecret>, Conflicting> {
        let draft = body.0.into_draft()?;
        self.0.check(&draft, &[])?;
        let (endpoint, secret) = self.0.plugin.endpoints.make(draft).await?;
        let spec = endpoint.spec(&self.0.plugin.settings);
        // Without its durable the endpoint would miss the events until a worker creates the durable.
        if let Err(error) = self.0.host().events.declare(spec).await {
            self.0.plugin.endpoints.remove(&endpoint.id).await?;
            return Err(error.into());
        }
        Ok(Created(WebhookWithSecret::new(
            self.0.show(endpoint).await,
            secret,
        )))
    }

    /// List webhook endpoints
    ///
    /// Returns the endpoints, newest first, each with its lag.
    #[oai(
        path = "/api/admin/webhooks",
        method = "get",
        operation_id = "listWebhooks"
    )]
    async fn list(
        &self,
        _host: AsHost,
        /// Maximum number of endpoints, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the endpoints after it.
        before: Query<Option<String>>,
    ) -> Result<Json<WebhookPage>, ApiError> {
        let limit = limit_of(limit.0);
        let endpoints = &self.0.plugin.endpoints;
        let stored = endpoints.page(before.0.as_deref(), limit).await?;
        let last = stored.items.last().filter(|_| stored.has_more);
        let next_cursor = last.map(|endpoint| endpoint.id.clone());
        let mut webhooks = Vec::with_capacity(stored.items.len());
        for endpoint in stored.items {
            webhooks.push(self.0.show(endpoint).await);
        }
        Ok(Json(WebhookPage {
            webhooks,
            has_more: stored.has_more,
            next_cursor,
        }))
    }

    /// Get a webhook endpoint
    ///
    /// Returns one endpoint with its lag.
    ///
    /// Fails with 404 if there is no such endpoint.
    #[oai(
        path = "/api/admin/webhooks/:id",
        method = "get",
        operation_id = "getWebhook"
    )]
    async fn get(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
    ) -> Result<Json<Webhook>, ApiError> {
        let endpoint = self.0.find(&id.0).await?;
        Ok(Json(self.0.show(endpoint).await))
    }

    /// Change a webhook endpoint
    ///
    /// Changes the given fields and returns the endpoint; omitted fields keep their values.
    ///
    /// Fails with 400 for an invalid field, with 404 if there is no such endpoint, and with 409 if it is set by the environment or if a URL is given for an
    /// endpoint without one.
    #[oai(
        path = "/api/admin/webhooks/:id",
        method = "patch",
        operation_id = "updateWebhook"
    )]
    async fn change(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
        body: ValidJson<UpdateWebhook>,
    ) -> Result<Json<Webhook>, Conflicting> {
        let known = self.0.find_own(&id.0).await?;
        if known.url.is_none() && body.0.url.is_some() {
            return Err(ApiError::Conflict(
                "This endpoint has no URL, because its events are pulled; create another endpoint for the URL.".into(),
            ).into());
        }
        let (mut description, mut retry_schedule) = (known.description, known.retry_schedule);
        body.0.description.apply(&mut description);
        body.0.retry_schedule.apply(&mut retry_schedule);
        let draft = Draft {
            url: body.0.url.or(known.url),
            events: body.0.events.unwrap_or_else(|| known.events.clone()),
            description,
            ordered: body.0.ordered.unwrap_or(known.ordered),
            retry_schedule,
        };
        self.0.check(&draft, &known.events)?;
        let mut changed = self
            .0
            .plugin
            .endpoints
            .update(&id.0, draft)
            .await?
            .ok_or_else(missing)?;
        if let Some(is_enabled) = body.0.is_enabled
            && is_enabled != changed.is_enabled
        {
            let enabled = self
                .0
                .plugin
                .endpoints
                .enable(&id.0, None, is_enabled)
                .await?;
            changed = enabled.ok_or_else(missing)?;
        }
        let spec = changed.spec(&self.0.plugin.settings);
        self.0.host().events.declare(spec).await?;
        Ok(Json(self.0.show(changed).await))
    }

    /// Delete a webhook endpoint
    ///
    /// Deletes the endpoint, its dead letters and its pending events.
    ///
    /// Fails with 404 if there is no such endpoint and with 409 if it is set by the environment.
    #[oai(
        path = "/api/admin/webhooks/:id",
        method = "delete",
        operation_id = "deleteWebhook"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
    ) -> Result<NoContent, Conflicting> {
        self.0.find_own(&id.0).await?;
        self.0.plugin.endpoints.remove(&id.0).await?;
        self.0.plugin.letters.forget(&id.0).await?;
        ordered::forget(self.0.host(), &id.0).await?;
        self.0.host().events.remove(&id.0).await?;
        Ok(NoContent)
    }

    /// Rotate the secret of an endpoint
    ///
    /// Creates a new secret and returns it with the endpoint. For 24 hours the previous secret signs too: `webhook-signature` has two signatures then.
    /// `X-Webhook-Signature` is made with the new secret at once.
    ///
    /// Fails with 404 if there is no such endpoint and with 409 if it is set by the environment or if the service has no `SECRETS_KEY`.
    #[oai(
        path = "/api/admin/webhooks/:id/rotate-secret",
        method = "post",
        operation_id = "rotateWebhookSecret"
    )]
    async fn rotate(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
    ) -> Result<Json<WebhookWithSecret>, Conflicting> {
        let endpoint = self.0.find_own(&id.0).await?;
        let rotated = self.0.plugin.endpoints.rotate(&endpoint).await?;
        let (endpoint, secret) = rotated.ok_or_else(missing)?;
        Ok(Json(WebhookWithSecret::new(
            self.0.show(endpoint).await,
            secret,
        )))
    }

    /// Enable a disabled endpoint
    ///
    /// Enables the endpoint and returns it. The events of the time in which it was disabled are delivered then. A pause after failures ends.
    ///
    /// Fails with 404 if there is no such endpoint.
    #[oai(
        path = "/api/admin/webhooks/:id/enable",
        method = "post",
        operation_id = "enableWebhook"
    )]
    async fn enable(
        &self,
        _host: AsHost,
        /// Id of the endpoint.
        id: Path<String>,
    ) -> Result<Json<Webhook>, ApiError> {
        self.0.find(&id.0).await?;
        let enabled = self.0.plugin.endpoints.enable(&id.0, None, true).await?;
        let endpoint = enabled.ok_or_else(missing)?;
        // The caller wants it tried now, so a pause of the circuit ends. If this fails, the pause ends by itself.
        let _ = self.0.host().events.resume(&endpoint.id).await;
        Ok(Json(self.0.show(endpoint).await))
    }
}

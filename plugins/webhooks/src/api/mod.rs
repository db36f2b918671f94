//! How the host manages its endpoints: all internal, none for users.

mod examples;
mod shapes;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chat_sdk::{
    EventId, Timestamp,
    http::{AsHost, Created, Json, NoContent, Refusal, ValidJson},
    plugin::{Host, LogPosition, ReplayedEvent},
};
use poem_openapi::{
    OpenApi, Tags,
    param::{Path, Query},
};
use serde_json::json;

use crate::{
    Webhooks,
    endpoints::{Draft, Endpoint as Stored},
    events,
    letters::Which,
    ordered,
};
pub use examples::example;
use shapes::{
    Acknowledge, Acknowledged, AttemptList, Backfill, CreateWebhook, DeadLetter, DeadLetterPage,
    DeliveryPage, DeliveryStatus, PulledEvents, Replay, Replayed, TestSent, Webhook, WebhookChange,
    WebhookPage, WebhookWithSecret,
};

/// Operations that the state of the thing can forbid.
pub const CONFLICTING: &[&str] = &[
    "acknowledgeWebhookEvents",
    "changeWebhook",
    "createWebhook",
    "deleteWebhook",
    "pullWebhookEvents",
    "rotateWebhookSecret",
    "testWebhook",
];

/// How many events one request puts in again at most.
const MOST_REPLAYED: usize = 10_000;
/// How many are read and put in at once.
const PIECE: usize = 200;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;
/// The most patterns of one endpoint.
const MAX_PATTERNS: usize = 100;

#[derive(Tags)]
enum Tag {
    /// Where events go.
    #[oai(rename = "Admin/Webhooks")]
    Webhooks,
}

/// The operations.
pub struct WebhooksApi(pub Arc<Webhooks>);

impl WebhooksApi {
    fn host(&self) -> &dyn Host {
        &*self.0.host
    }

    async fn find(&self, id: &str) -> Result<Stored, Refusal> {
        self.0.endpoints.find(id).await?.ok_or_else(missing)
    }

    /// The endpoint, if it is one of the API's own.
    async fn find_own(&self, id: &str) -> Result<Stored, Refusal> {
        let endpoint = self.find(id).await?;
        if endpoint.is_of_environment() {
            return Err(Refusal::Conflict(
                "This endpoint comes from the environment (WEBHOOK_URL); change it there.".into(),
            ));
        }
        Ok(endpoint)
    }

    async fn find_pulling(&self, id: &str) -> Result<Stored, Refusal> {
        let endpoint = self.find(id).await?;
        match (&endpoint.url, endpoint.is_enabled) {
            (None, true) => Ok(endpoint),
            (None, false) => Err(Refusal::Conflict(
                "The endpoint is disabled; enable it first.".into(),
            )),
            (Some(_), _) => Err(Refusal::Conflict(
                "This endpoint has a URL, to which its events are delivered.".into(),
            )),
        }
    }

    async fn show(&self, endpoint: Stored) -> Webhook {
        // An endpoint whose durable cannot be asked is shown without it.
        let lag = self.host().durables().lag(&endpoint.id).await.ok();
        Webhook::new(endpoint, lag)
    }

    fn check(&self, draft: &Draft) -> Result<(), Refusal> {
        let mut faults = Vec::new();
        if let Some(url) = &draft.url
            && let Err(problem) = self.0.settings.reach.check_url(url)
        {
            faults.push(("url".to_owned(), problem.into()));
        }
        if draft.events.len() > MAX_PATTERNS {
            faults.push(("events".to_owned(), "must have at most 100 items".into()));
        } else if let Err((index, problem)) = events::expand(&draft.events) {
            faults.push((format!("events[{index}]"), problem.into()));
        }
        let is_long = |text: &String| text.chars().count() > MAX_DESCRIPTION;
        if draft.description.as_ref().is_some_and(is_long) {
            faults.push((
                "description".to_owned(),
                "must have at most 500 characters".into(),
            ));
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Invalid(faults)),
        }
    }

    async fn put(&self, endpoint_id: &str, events: Vec<ReplayedEvent>) -> Result<(), Refusal> {
        Ok(self.host().durables().put(endpoint_id, events).await?)
    }
}

fn missing() -> Refusal {
    Refusal::NotFound("There is no such webhook endpoint.".into())
}

fn limit_of(limit: Option<i64>) -> usize {
    usize::try_from(limit.unwrap_or(50)).unwrap_or(50)
}

/// One more than asked for was read: whether there is more, and where to go on.
fn cut<T>(items: &mut Vec<T>, limit: usize, id: impl Fn(&T) -> String) -> Option<String> {
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(id)
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhooksApi {
    /// Make an endpoint
    ///
    /// From this moment on every event that it asks for is delivered to it at least once. The answer is the only one that ever holds the secret.
    #[oai(
        path = "/api/admin/webhooks",
        method = "post",
        operation_id = "createWebhook"
    )]
    async fn create(
        &self,
        _host: AsHost,
        body: ValidJson<CreateWebhook>,
    ) -> Result<Created<WebhookWithSecret>, Refusal> {
        let draft = body.0.into_draft()?;
        self.check(&draft)?;
        let (endpoint, secret) = self.0.endpoints.make(draft).await?;
        let spec = endpoint.spec(&self.0.settings);
        // Without its durable it would miss what happens until a worker makes it.
        if let Err(error) = self.host().durables().declare(spec).await {
            self.0.endpoints.remove(&endpoint.id).await?;
            return Err(error.into());
        }
        Ok(Created(WebhookWithSecret::new(
            self.show(endpoint).await,
            secret,
        )))
    }

    /// All endpoints, the newest first
    #[oai(
        path = "/api/admin/webhooks",
        method = "get",
        operation_id = "listWebhooks"
    )]
    async fn list(
        &self,
        _host: AsHost,
        /// How many.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// Those after this `nextCursor`.
        before: Query<Option<String>>,
    ) -> Result<Json<WebhookPage>, Refusal> {
        let limit = limit_of(limit.0);
        let mut stored = self
            .0
            .endpoints
            .page(before.0.as_deref(), limit as i64 + 1)
            .await?;
        let next_cursor = cut(&mut stored, limit, |endpoint| endpoint.id.clone());
        let mut webhooks = Vec::with_capacity(stored.len());
        for endpoint in stored {
            webhooks.push(self.show(endpoint).await);
        }
        Ok(Json(WebhookPage {
            webhooks,
            has_more: next_cursor.is_some(),
            next_cursor,
        }))
    }

    /// Dead letters: events that an endpoint did not take, the newest first
    #[oai(
        path = "/api/admin/webhooks/dead-letters",
        method = "get",
        operation_id = "listDeadLetters"
    )]
    async fn dead_letters(
        &self,
        _host: AsHost,
        /// Of this endpoint only.
        #[oai(name = "endpointId")]
        endpoint_id: Query<Option<String>>,
        /// Of this type of event only.
        #[oai(name = "type")]
        kind: Query<Option<String>>,
        /// Given up at this moment or later.
        since: Query<Option<Timestamp>>,
        /// How many.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// Those after this `nextCursor`.
        before: Query<Option<String>>,
    ) -> Result<Json<DeadLetterPage>, Refusal> {
        let limit = limit_of(limit.0);
        let which = Which {
            endpoint_id: endpoint_id.0,
            kind: kind.0,
            since: since.0,
            before: before.0,
        };
        let mut letters = self.0.letters.page(&which, limit as i64 + 1).await?;
        let next_cursor = cut(&mut letters, limit, |letter| letter.id.clone());
        Ok(Json(DeadLetterPage {
            dead_letters: letters.into_iter().map(DeadLetter::from).collect(),
            has_more: next_cursor.is_some(),
            next_cursor,
        }))
    }

    /// Replay dead letters: all that are meant, at most 10,000 at once
    ///
    /// Each is delivered like a new event, under its own id, and leaves the list when it was taken.
    #[oai(
        path = "/api/admin/webhooks/dead-letters/replay",
        method = "post",
        operation_id = "replayDeadLetters"
    )]
    async fn replay_all(
        &self,
        _host: AsHost,
        body: ValidJson<Replay>,
    ) -> Result<Json<Replayed>, Refusal> {
        let mut which = Which {
            endpoint_id: body.0.endpoint_id,
            kind: body.0.kind,
            since: body.0.since,
            before: body.0.before,
        };
        let mut replayed = 0;
        while replayed < MOST_REPLAYED {
            let letters = self.0.letters.page(&which, PIECE as i64).await?;
            let Some(last) = letters.last() else {
                which.before = None;
                break;
            };
            which.before = Some(last.id.clone());
            replayed += letters.len();
            let mut by_endpoint: std::collections::BTreeMap<&str, Vec<_>> = Default::default();
            for letter in &letters {
                by_endpoint
                    .entry(&letter.endpoint_id)
                    .or_default()
                    .push(letter.clone());
            }
            for (endpoint_id, letters) in by_endpoint {
                let events = self.0.letters.replay(&letters).await?;
                self.put(endpoint_id, events).await?;
            }
            if letters.len() < PIECE {
                which.before = None;
                break;
            }
        }
        Ok(Json(Replayed {
            replayed: replayed as u64,
            has_more: which.before.is_some(),
            next_cursor: which.before,
            next_since: None,
        }))
    }

    /// A dead letter
    #[oai(
        path = "/api/admin/webhooks/dead-letters/:letterId",
        method = "get",
        operation_id = "getDeadLetter"
    )]
    async fn dead_letter(
        &self,
        _host: AsHost,
        #[oai(name = "letterId")] letter_id: Path<String>,
    ) -> Result<Json<DeadLetter>, Refusal> {
        let letter = self.0.letters.find(&letter_id.0).await?;
        letter
            .map(|letter| Json(letter.into()))
            .ok_or_else(|| Refusal::NotFound("There is no such dead letter.".into()))
    }

    /// Replay one dead letter
    #[oai(
        path = "/api/admin/webhooks/dead-letters/:letterId/replay",
        method = "post",
        operation_id = "replayDeadLetter"
    )]
    async fn replay_one(
        &self,
        _host: AsHost,
        #[oai(name = "letterId")] letter_id: Path<String>,
    ) -> Result<NoContent, Refusal> {
        let letter = self
            .0
            .letters
            .find(&letter_id.0)
            .await?
            .ok_or_else(|| Refusal::NotFound("There is no such dead letter.".into()))?;
        let events = self.0.letters.replay(std::slice::from_ref(&letter)).await?;
        self.put(&letter.endpoint_id, events).await?;
        Ok(NoContent)
    }

    /// An endpoint, with its lag
    #[oai(
        path = "/api/admin/webhooks/:id",
        method = "get",
        operation_id = "getWebhook"
    )]
    async fn get(&self, _host: AsHost, id: Path<String>) -> Result<Json<Webhook>, Refusal> {
        let endpoint = self.find(&id.0).await?;
        Ok(Json(self.show(endpoint).await))
    }

    /// Change an endpoint
    #[oai(
        path = "/api/admin/webhooks/:id",
        method = "patch",
        operation_id = "changeWebhook"
    )]
    async fn change(
        &self,
        _host: AsHost,
        id: Path<String>,
        body: ValidJson<WebhookChange>,
    ) -> Result<Json<Webhook>, Refusal> {
        let known = self.find_own(&id.0).await?;
        if known.url.is_none() && body.0.url.is_some() {
            return Err(Refusal::Conflict(
                "This endpoint pulls; make another one for a URL.".into(),
            ));
        }
        let draft = Draft {
            url: body.0.url.or(known.url),
            events: body.0.events.unwrap_or(known.events),
            description: body.0.description.or(known.description),
            ordered: body.0.ordered.unwrap_or(known.ordered),
        };
        self.check(&draft)?;
        let mut changed = self
            .0
            .endpoints
            .update(&id.0, draft)
            .await?
            .ok_or_else(missing)?;
        if let Some(is_enabled) = body.0.is_enabled
            && is_enabled != changed.is_enabled
        {
            let enabled = self.0.endpoints.enable(&id.0, None, is_enabled).await?;
            changed = enabled.ok_or_else(missing)?;
        }
        let spec = changed.spec(&self.0.settings);
        self.host().durables().declare(spec).await?;
        Ok(Json(self.show(changed).await))
    }

    /// Remove an endpoint, with its dead letters and what waits for it
    #[oai(
        path = "/api/admin/webhooks/:id",
        method = "delete",
        operation_id = "deleteWebhook"
    )]
    async fn delete(&self, _host: AsHost, id: Path<String>) -> Result<NoContent, Refusal> {
        self.find_own(&id.0).await?;
        self.0.endpoints.remove(&id.0).await?;
        self.0.letters.forget(&id.0).await?;
        ordered::forget(self.host(), &id.0).await?;
        self.host().durables().remove(&id.0).await?;
        Ok(NoContent)
    }

    /// Give an endpoint a new secret
    ///
    /// For 24 hours the secret before signs too: `webhook-signature` has two signatures. `X-Webhook-Signature` is by the new one at once.
    #[oai(
        path = "/api/admin/webhooks/:id/rotate-secret",
        method = "post",
        operation_id = "rotateWebhookSecret"
    )]
    async fn rotate(
        &self,
        _host: AsHost,
        id: Path<String>,
    ) -> Result<Json<WebhookWithSecret>, Refusal> {
        let endpoint = self.find_own(&id.0).await?;
        let rotated = self.0.endpoints.rotate(&endpoint).await?;
        let (endpoint, secret) = rotated.ok_or_else(missing)?;
        Ok(Json(WebhookWithSecret::new(
            self.show(endpoint).await,
            secret,
        )))
    }

    /// Send a test event (`webhook.test`) to an endpoint
    ///
    /// What came of it is at the endpoint's deliveries under the id that is answered.
    #[oai(
        path = "/api/admin/webhooks/:id/test",
        method = "post",
        operation_id = "testWebhook"
    )]
    async fn test(&self, _host: AsHost, id: Path<String>) -> Result<Json<TestSent>, Refusal> {
        const KIND: &str = "webhook.test";
        let endpoint = self.find(&id.0).await?;
        if !endpoint.is_enabled {
            return Err(Refusal::Conflict(
                "The endpoint is disabled; enable it first.".into(),
            ));
        }
        let event_id = EventId::generate();
        let envelope = json!({
            "id": event_id, "type": KIND, "version": 1, "timestamp": Timestamp::now(),
            "data": { "webhookId": endpoint.id },
        });
        let event = ReplayedEvent {
            event_id: event_id.clone(),
            kind: KIND.to_owned(),
            // It stands in no log; a user of this name has one lane of the endpoint for it.
            owner: format!("user:{KIND}"),
            seq: None,
            payload: Bytes::from(envelope.to_string()),
        };
        self.put(&endpoint.id, vec![event]).await?;
        Ok(Json(TestSent { event_id }))
    }

    /// Enable an endpoint that is disabled
    ///
    /// It gets everything that happened meanwhile.
    #[oai(
        path = "/api/admin/webhooks/:id/enable",
        method = "post",
        operation_id = "enableWebhook"
    )]
    async fn enable(&self, _host: AsHost, id: Path<String>) -> Result<Json<Webhook>, Refusal> {
        self.find(&id.0).await?;
        let enabled = self.0.endpoints.enable(&id.0, None, true).await?;
        let endpoint = enabled.ok_or_else(missing)?;
        // Whoever enables it wants it tried now.
        let _ = self.host().durables().resume(&endpoint.id).await;
        Ok(Json(self.show(endpoint).await))
    }

    /// Deliver what happened since a moment to an endpoint (again), at most 10,000 events at once
    #[oai(
        path = "/api/admin/webhooks/:id/backfill",
        method = "post",
        operation_id = "backfillWebhook"
    )]
    async fn backfill(
        &self,
        _host: AsHost,
        id: Path<String>,
        body: ValidJson<Backfill>,
    ) -> Result<Json<Replayed>, Refusal> {
        let endpoint = self.find(&id.0).await?;
        let kinds = endpoint.kinds();
        let mut position = LogPosition::before(body.0.since);
        let mut replayed = 0;
        let mut newest = body.0.since;
        let mut is_end = false;
        while replayed < MOST_REPLAYED && !is_end {
            let page = self.host().read_log(position, None, PIECE).await?;
            (position, is_end) = (page.next, page.is_end);
            if let Some(last) = page.events.last() {
                newest = newest.max(last.at);
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
            self.put(&endpoint.id, events).await?;
        }
        Ok(Json(Replayed {
            replayed: replayed as u64,
            has_more: !is_end,
            next_cursor: None,
            next_since: (!is_end).then_some(newest),
        }))
    }

    /// What was delivered to an endpoint, and what was not, the newest events first
    #[oai(
        path = "/api/admin/webhooks/:id/deliveries",
        method = "get",
        operation_id = "listDeliveries"
    )]
    async fn deliveries(
        &self,
        _host: AsHost,
        id: Path<String>,
        /// Only those with this outcome.
        status: Query<Option<DeliveryStatus>>,
        /// How many.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// Those after this `nextCursor`.
        before: Query<Option<String>>,
    ) -> Result<Json<DeliveryPage>, Refusal> {
        self.find(&id.0).await?;
        let limit = limit_of(limit.0);
        let outcome = status.0.map(|status| status.outcome().as_str());
        let mut records = self
            .0
            .records
            .page(&id.0, outcome, before.0.as_deref(), limit as i64 + 1)
            .await?;
        let next_cursor = cut(&mut records, limit, |record| record.event_id.to_string());
        Ok(Json(DeliveryPage {
            deliveries: records.into_iter().map(Into::into).collect(),
            has_more: next_cursor.is_some(),
            next_cursor,
        }))
    }

    /// The attempts to deliver one event
    #[oai(
        path = "/api/admin/webhooks/:id/deliveries/:eventId/attempts",
        method = "get",
        operation_id = "listAttempts"
    )]
    async fn attempts(
        &self,
        _host: AsHost,
        id: Path<String>,
        #[oai(name = "eventId")] event_id: Path<String>,
    ) -> Result<Json<AttemptList>, Refusal> {
        let record = self.0.records.find(&id.0, &event_id.0).await?;
        let record =
            record.ok_or_else(|| Refusal::NotFound("There is no such delivery.".into()))?;
        Ok(Json(AttemptList {
            attempts: record.attempts.into_iter().map(Into::into).collect(),
        }))
    }

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
        let endpoint = self.find_pulling(&id.0).await?;
        let spec = endpoint.spec(&self.0.settings);
        let wait = Duration::from_secs(wait_seconds.0.unwrap_or(0).unsigned_abs());
        let pulled = self
            .host()
            .durables()
            .pull(spec, limit_of(limit.0), wait)
            .await?;
        Ok(Json(PulledEvents {
            events: pulled.into_iter().map(Into::into).collect(),
        }))
    }

    /// Acknowledge events that were taken
    #[oai(
        path = "/api/admin/webhooks/:id/events/ack",
        method = "post",
        operation_id = "acknowledgeWebhookEvents"
    )]
    async fn acknowledge(
        &self,
        _host: AsHost,
        id: Path<String>,
        body: ValidJson<Acknowledge>,
    ) -> Result<Json<Acknowledged>, Refusal> {
        let endpoint = self.find_pulling(&id.0).await?;
        let spec = endpoint.spec(&self.0.settings);
        let acknowledged = self
            .host()
            .durables()
            .acknowledge(spec, body.0.ack_ids)
            .await?;
        Ok(Json(Acknowledged {
            acknowledged: acknowledged as u64,
        }))
    }
}

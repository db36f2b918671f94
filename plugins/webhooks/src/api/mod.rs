//! Operations by which the host manages its endpoints. All are internal; none is for users.

mod deliveries;
mod examples;
mod letters;
mod manage;
mod pull;
mod shapes;

use std::sync::Arc;

use chat_sdk::{
    http::ApiError,
    patterns,
    plugin::{Host, ReplayedEvent, RoutesDocument},
    text::{Shape, fault},
};
use poem_openapi::Tags;

use crate::{
    Webhooks,
    endpoints::{Draft, Endpoint as Stored},
};
use deliveries::DeliveriesApi;
use letters::LettersApi;
use manage::ManageApi;
use pull::PullApi;
use shapes::Webhook;

/// Maximum number of events that one request replays.
const MOST_REPLAYED: usize = 10_000;
/// Number of events that are read and published at once.
const PIECE: usize = 200;
/// Maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 500;
/// Range of the pauses of a schedule, in seconds: up to a day.
const PAUSES: std::ops::RangeInclusive<u32> = 1..=86_400;
/// Maximum number of event patterns of an endpoint.
const MAX_PATTERNS: usize = 100;

#[derive(Tags)]
enum Tag {
    /// Endpoints to which events are delivered, their deliveries and dead letters.
    #[oai(rename = "Admin/Webhooks")]
    Webhooks,
}

/// All operations of the plugin.
type WebhooksApi = (ManageApi, DeliveriesApi, LettersApi, PullApi);

/// Returns the OpenAPI part of the operations.
pub fn document() -> RoutesDocument {
    RoutesDocument::of::<WebhooksApi>().examples(examples::example)
}

/// Returns the operations of `plugin`.
pub fn operations(plugin: Arc<Webhooks>) -> WebhooksApi {
    let shared = Shared { plugin };
    (
        ManageApi(shared.clone()),
        DeliveriesApi(shared.clone()),
        LettersApi(shared.clone()),
        PullApi(shared),
    )
}

/// State that the operations share.
#[derive(Clone)]
pub struct Shared {
    plugin: Arc<Webhooks>,
}

impl Shared {
    fn host(&self) -> &Host {
        &self.plugin.host
    }

    async fn find(&self, id: &str) -> Result<Stored, ApiError> {
        self.plugin.endpoints.find(id).await?.ok_or_else(missing)
    }

    /// Returns the endpoint, unless it is set by the environment.
    async fn find_own(&self, id: &str) -> Result<Stored, ApiError> {
        let endpoint = self.find(id).await?;
        if endpoint.is_of_environment() {
            return Err(ApiError::Conflict(
                "This endpoint comes from the environment (WEBHOOK_URL); change it there.".into(),
            ));
        }
        Ok(endpoint)
    }

    async fn find_pulling(&self, id: &str) -> Result<Stored, ApiError> {
        let endpoint = self.find(id).await?;
        match (&endpoint.url, endpoint.is_enabled) {
            (None, true) => Ok(endpoint),
            (None, false) => Err(ApiError::Conflict(
                "The endpoint is disabled; enable it first.".into(),
            )),
            (Some(_), _) => Err(ApiError::Conflict(
                "This endpoint has a URL, to which its events are delivered.".into(),
            )),
        }
    }

    async fn show(&self, endpoint: Stored) -> Webhook {
        // If the state of the durable cannot be read, the endpoint is returned without its lag.
        let lag = self.host().events.lag(&endpoint.id).await.ok();
        Webhook::new(endpoint, lag)
    }

    /// Checks the fields of `draft`; `stored` are the patterns that the endpoint has already, which may have left the catalogue since.
    fn check(&self, draft: &Draft, stored: &[String]) -> Result<(), ApiError> {
        let mut faults = Vec::new();
        if let Some(url) = &draft.url
            && let Err(problem) = self.plugin.settings.reach.check_url(url)
        {
            faults.push(("url".to_owned(), problem.into()));
        }
        if draft.events.len() > MAX_PATTERNS {
            faults.push(("events".to_owned(), "must have at most 100 items".into()));
        } else if draft.events != stored
            && let Err((index, problem)) = patterns::expand(&draft.events)
        {
            faults.push((format!("events[{index}]"), problem.into()));
        }
        let description = draft.description.as_ref();
        let fault = description.and_then(|text| fault(text, Shape::Lines, MAX_DESCRIPTION));
        if let Some(fault) = fault {
            faults.push(("description".to_owned(), fault.into()));
        }
        for (index, seconds) in draft.retry_schedule.iter().flatten().enumerate() {
            if !PAUSES.contains(seconds) {
                faults.push((
                    format!("retrySchedule[{index}]"),
                    "must be from 1 to 86400 seconds".into(),
                ));
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::Invalid(faults))
        }
    }

    async fn put(&self, endpoint_id: &str, events: Vec<ReplayedEvent>) -> Result<(), ApiError> {
        Ok(self.host().events.put(endpoint_id, events).await?)
    }
}

fn missing() -> ApiError {
    ApiError::NotFound("There is no such webhook endpoint.".into())
}

/// Returns the maximum number of events that a request with `limit` replays.
fn most_replayed(limit: Option<i64>) -> usize {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(MOST_REPLAYED).min(MOST_REPLAYED)
}

fn limit_of(limit: Option<i64>) -> usize {
    usize::try_from(limit.unwrap_or(50)).unwrap_or(50)
}

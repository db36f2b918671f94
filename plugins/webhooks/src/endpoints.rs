//! Endpoints and their storage. Secrets are stored encrypted; only this file decrypts them, to sign deliveries.

use std::time::Duration;

use chat_sdk::{
    EventType, Timestamp,
    outbound::sign::{self, Key, Keys},
    patterns,
    plugin::{
        Collection, ConsumerSpec, Filter, Found, Host, HostError, Order, Query, Secrets, Update,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::settings::Settings;

/// Id of the endpoint that the environment sets.
pub const ENVIRONMENT: &str = "environment";
/// Time for which the previous secret signs too after a rotation.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Id of the endpoint.
    #[serde(rename = "_id")]
    pub id: String,
    /// URL of the endpoint; absent if its events are pulled.
    pub url: Option<String>,
    /// Patterns of event types as the host wrote them; empty for all.
    pub events: Vec<String>,
    /// Purpose of the endpoint, as the host described it.
    pub description: Option<String>,
    /// True if the events of a conversation are delivered strictly one after the other.
    pub ordered: bool,
    /// Pauses between attempts, in seconds; `None` for those of the service.
    #[serde(default)]
    pub retry_schedule: Option<Vec<u32>>,
    /// True if events are delivered to it.
    pub is_enabled: bool,
    /// Reason why the service disabled it.
    pub disabled_reason: Option<String>,
    /// Encrypted secret. The secret of the environment's endpoint is not stored.
    secret: Option<String>,
    previous_secret: Option<String>,
    /// Time until which the previous secret signs too, in milliseconds since 1970.
    previous_until: Option<i64>,
    /// Revision, incremented by every change.
    pub revision: i64,
    /// Time of the creation, in milliseconds since 1970.
    pub created_at: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated_at: i64,
}

impl Endpoint {
    /// Returns true if the environment sets it.
    pub fn is_of_environment(&self) -> bool {
        self.id == ENVIRONMENT
    }

    /// Returns its event types; `None` for all.
    ///
    /// A stored pattern that left the catalogue selects nothing.
    pub fn kinds(&self) -> Option<Vec<EventType>> {
        patterns::expand_known(&self.events)
    }

    /// Returns the pauses between attempts: its own, or those of the service.
    pub fn schedule(&self, settings: &Settings) -> Vec<Duration> {
        match &self.retry_schedule {
            Some(seconds) => seconds
                .iter()
                .map(|seconds| Duration::from_secs(u64::from(*seconds)))
                .collect(),
            None => settings.schedule.clone(),
        }
    }

    /// Returns the number of retries after the first attempt: one per pause, except for the environment's endpoint.
    pub fn retries(&self, settings: &Settings) -> u32 {
        match &settings.own {
            Some(own) if self.is_of_environment() => own.retries,
            _ => u32::try_from(self.schedule(settings).len()).unwrap_or(u32::MAX),
        }
    }

    /// Returns the configuration of its durable.
    pub fn spec(&self, settings: &Settings) -> ConsumerSpec {
        ConsumerSpec {
            name: self.id.clone(),
            events: self.kinds(),
            concurrency: settings.table.concurrency,
            max_pending: match (self.ordered, &self.url) {
                // Few events are then redelivered after a change of the worker.
                (true, Some(_)) => settings.table.concurrency,
                _ => 1000.max(settings.table.concurrency),
            },
            ack_wait: match &self.url {
                Some(_) => settings.timeout + Duration::from_secs(15),
                // A client that pulls needs time to handle the events.
                None => Duration::from_secs(60),
            },
        }
    }

    /// Returns the keys that sign its deliveries now.
    ///
    /// # Errors
    /// [`HostError`] if its secret cannot be decrypted.
    pub fn keys(&self, secrets: &dyn Secrets, settings: &Settings) -> Result<Keys, HostError> {
        if self.is_of_environment()
            && let Some(own) = &settings.own
        {
            return Ok(Keys {
                newest: own.key.clone(),
                previous: None,
            });
        }
        let open = |sealed: &str| -> Result<Key, HostError> {
            let secret = secrets.unseal(sealed)?;
            Ok(Key::new(&String::from_utf8_lossy(&secret)))
        };
        let is_overlap = self
            .previous_until
            .is_some_and(|until| Timestamp::now().as_millis() < until);
        Ok(Keys {
            newest: open(self.secret.as_deref().ok_or(HostError::Sealed)?)?,
            previous: match &self.previous_secret {
                Some(sealed) if is_overlap => Some(open(sealed)?),
                _ => None,
            },
        })
    }

    /// Returns the time until which two secrets sign; `None` if only one does.
    pub fn overlap_until(&self) -> Option<Timestamp> {
        self.previous_until
            .filter(|until| Timestamp::now().as_millis() < *until)
            .map(Timestamp::from_millis)
    }
}

/// Fields of an endpoint that the host sets.
pub struct Draft {
    /// URL of the endpoint; `None` if its events are pulled.
    pub url: Option<String>,
    /// Patterns of event types; empty for all.
    pub events: Vec<String>,
    /// Purpose of the endpoint.
    pub description: Option<String>,
    /// True if the events of a conversation are delivered strictly one after the other.
    pub ordered: bool,
    /// Pauses between attempts, in seconds; `None` for those of the service.
    pub retry_schedule: Option<Vec<u32>>,
}

/// Collection of endpoints.
pub struct Endpoints {
    host: Host,
    stored: Collection<Endpoint>,
}

impl Endpoints {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            stored: host.collection("endpoints"),
            host,
        }
    }

    /// Stores the endpoint of the environment, or disables it if it is no longer set. A new URL enables it again.
    pub async fn prepare(&self, settings: &Settings) -> Result<(), HostError> {
        let now = Timestamp::now().as_millis();
        let Some(own) = &settings.own else {
            let update = Update::one(Filter::id(ENVIRONMENT).is("isEnabled", true))
                .set(json!({ "isEnabled": false, "disabledReason": NOT_IN_ENVIRONMENT, "updatedAt": now }))
                .increment("revision", 1);
            return self.stored.update(update).await.map(drop);
        };
        let events = own.patterns.clone().unwrap_or_default();
        let found = self.find(ENVIRONMENT).await?;
        let is_same = found.as_ref().is_some_and(|known| {
            known.url.as_ref() == Some(&own.url)
                && known.events == events
                && known.disabled_reason.as_deref() != Some(NOT_IN_ENVIRONMENT)
        });
        if is_same {
            return Ok(());
        }
        // If another process stores it first, it has the same settings.
        let update = Update::one(Filter::id(ENVIRONMENT))
            .set(json!({
                "url": &own.url, "events": events, "isEnabled": true, "disabledReason": null, "updatedAt": now,
            }))
            .or_insert(json!({
                "description": "The endpoint of the environment", "ordered": false, "secret": null,
                "previousSecret": null, "previousUntil": null, "createdAt": now,
            }))
            .increment("revision", 1);
        self.stored.update(update).await.map(drop)
    }

    /// Creates an endpoint and returns it with its secret, which is not returned again.
    pub async fn make(&self, draft: Draft) -> Result<(Endpoint, String), HostError> {
        let secret = sign::new_secret();
        let now = Timestamp::now().as_millis();
        let endpoint = Endpoint {
            id: format!(
                "whk_{}",
                ulid::Ulid::generate().to_string().to_ascii_lowercase()
            ),
            url: draft.url,
            events: draft.events,
            description: draft.description,
            ordered: draft.ordered,
            retry_schedule: draft.retry_schedule,
            is_enabled: true,
            disabled_reason: None,
            secret: Some(self.host.secrets.seal(secret.as_bytes())?),
            previous_secret: None,
            previous_until: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        self.stored.insert(&endpoint).await?;
        Ok((endpoint, secret))
    }

    /// Finds an endpoint by its id.
    pub async fn find(&self, id: &str) -> Result<Option<Endpoint>, HostError> {
        self.stored.first(Filter::id(id)).await
    }

    /// Returns all endpoints, newest first.
    pub async fn all(&self) -> Result<Vec<Endpoint>, HostError> {
        let newest = Query::from(Filter::all()).sort("_id", Order::Descending);
        Ok(self.stored.find(newest).await?.items)
    }

    /// Returns at most `limit` endpoints, newest first, after the one with the id `before`.
    pub async fn page(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Found<Endpoint>, HostError> {
        let filter = match before {
            Some(id) => Filter::all().below("_id", id),
            None => Filter::all(),
        };
        let newest = Query::from(filter).sort("_id", Order::Descending);
        self.stored.find(newest.limit(limit)).await
    }

    async fn change(&self, id: &str, set: Value) -> Result<Option<Endpoint>, HostError> {
        let update = Update::one(Filter::id(id))
            .set(set)
            .set(json!({ "updatedAt": Timestamp::now().as_millis() }))
            .increment("revision", 1);
        self.stored.find_and_update(update).await
    }

    /// Changes the fields of an endpoint that the host sets.
    pub async fn update(&self, id: &str, draft: Draft) -> Result<Option<Endpoint>, HostError> {
        let set = json!({
            "url": draft.url, "events": draft.events, "description": draft.description, "ordered": draft.ordered,
            "retrySchedule": draft.retry_schedule,
        });
        self.change(id, set).await
    }

    /// Enables or disables an endpoint.
    pub async fn enable(
        &self,
        id: &str,
        refusal: Option<&str>,
        is_enabled: bool,
    ) -> Result<Option<Endpoint>, HostError> {
        let set = json!({ "isEnabled": is_enabled, "disabledReason": refusal });
        self.change(id, set).await
    }

    /// Gives an endpoint a new secret; the previous one signs too for [`OVERLAP`].
    pub async fn rotate(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Option<(Endpoint, String)>, HostError> {
        let secret = sign::new_secret();
        let until = Timestamp::now().as_millis() + OVERLAP.as_millis() as i64;
        let set = json!({
            "secret": self.host.secrets.seal(secret.as_bytes())?,
            "previousSecret": &endpoint.secret,
            "previousUntil": until,
        });
        let changed = self.change(&endpoint.id, set).await?;
        Ok(changed.map(|endpoint| (endpoint, secret)))
    }

    /// Removes an endpoint. Returns true if it existed.
    pub async fn remove(&self, id: &str) -> Result<bool, HostError> {
        Ok(self.stored.delete(Filter::id(id)).await? == 1)
    }
}

const NOT_IN_ENVIRONMENT: &str = "it is not in the environment any more";

//! The endpoints: who they are, what they asked for, and how they are stored. Secrets are stored sealed, and leave this file only to sign.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    EventType, Timestamp, patterns,
    plugin::{Collection, ConsumerSpec, Host, HostError},
};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use crate::{
    settings::Settings,
    sign::{self, Key, Keys},
};

/// The id of the environment's endpoint.
pub const ENVIRONMENT: &str = "environment";
/// How long the secret before signs too.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Where it is; absent for one that pulls.
    pub url: Option<String>,
    /// As they were written; empty for all.
    pub events: Vec<String>,
    /// What the host says about it.
    pub description: Option<String>,
    /// Whether a conversation's events come strictly one after the other.
    pub ordered: bool,
    /// Pauses between attempts, in seconds; `None` for the service's own.
    #[serde(default)]
    pub retry_schedule: Option<Vec<u32>>,
    /// Whether it gets events.
    pub is_enabled: bool,
    /// Why it gets none, where the service decided that.
    pub disabled_reason: Option<String>,
    /// Sealed. The environment's is not stored.
    secret: Option<String>,
    previous_secret: Option<String>,
    /// Until when the secret before signs too (milliseconds since 1970).
    previous_until: Option<i64>,
    /// Raised with every change.
    pub revision: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl Endpoint {
    /// Whether it comes from the environment.
    pub fn is_of_environment(&self) -> bool {
        self.id == ENVIRONMENT
    }

    /// Its types of events; `None` for all.
    pub fn kinds(&self) -> Option<Vec<EventType>> {
        // What is stored was checked; after a change of the catalogue, what is left of it counts.
        patterns::expand(&self.events).ok().flatten()
    }

    /// The pauses between attempts: its own, or the service's.
    pub fn schedule(&self, settings: &Settings) -> Vec<Duration> {
        match &self.retry_schedule {
            Some(seconds) => seconds
                .iter()
                .map(|seconds| Duration::from_secs(u64::from(*seconds)))
                .collect(),
            None => settings.schedule.clone(),
        }
    }

    /// How many retries follow the first attempt: one per pause, except for the environment's endpoint.
    pub fn retries(&self, settings: &Settings) -> u32 {
        match &settings.own {
            Some(own) if self.is_of_environment() => own.retries,
            _ => u32::try_from(self.schedule(settings).len()).unwrap_or(u32::MAX),
        }
    }

    /// What its durable is to be.
    pub fn spec(&self, settings: &Settings) -> ConsumerSpec {
        ConsumerSpec {
            name: self.id.clone(),
            events: self.kinds(),
            concurrency: settings.table.concurrency,
            max_pending: match (self.ordered, &self.url) {
                // What is given out again after a change of worker is small.
                (true, Some(_)) => settings.table.concurrency,
                _ => 1000.max(settings.table.concurrency),
            },
            ack_wait: match &self.url {
                Some(_) => settings.timeout + Duration::from_secs(15),
                // Who pulls needs time to work.
                None => Duration::from_secs(60),
            },
        }
    }

    /// What signs its deliveries now.
    ///
    /// # Errors
    /// When its secret cannot be opened.
    pub fn keys(&self, host: &dyn Host, settings: &Settings) -> Result<Keys, HostError> {
        if self.is_of_environment()
            && let Some(own) = &settings.own
        {
            return Ok(Keys {
                newest: own.key.clone(),
                previous: None,
            });
        }
        let open = |sealed: &str| -> Result<Key, HostError> {
            let secret = host.unseal(sealed)?;
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

    /// Until when two secrets sign.
    pub fn overlap_until(&self) -> Option<Timestamp> {
        self.previous_until
            .filter(|until| Timestamp::now().as_millis() < *until)
            .map(Timestamp::from_millis)
    }
}

/// What the host says of an endpoint.
pub struct Draft {
    /// Where it is; `None` for one that pulls.
    pub url: Option<String>,
    /// Which events; empty for all.
    pub events: Vec<String>,
    /// What the host says about it.
    pub description: Option<String>,
    /// Whether a conversation's events come strictly one after the other.
    pub ordered: bool,
    /// Pauses between attempts, in seconds; `None` for the service's own.
    pub retry_schedule: Option<Vec<u32>>,
}

/// Where the endpoints are stored.
pub struct Endpoints {
    host: Arc<dyn Host>,
    stored: Collection<Endpoint>,
}

impl Endpoints {
    pub(crate) fn new(host: Arc<dyn Host>) -> Self {
        Self {
            stored: host.collection("endpoints").clone_with_type(),
            host,
        }
    }

    /// Stores what the environment says of its endpoint. A new URL enables it again.
    pub async fn prepare(&self, settings: &Settings) -> Result<(), HostError> {
        let now = Timestamp::now().as_millis();
        let Some(own) = &settings.own else {
            self.stored
                .update_one(
                    doc! { "_id": ENVIRONMENT, "isEnabled": true },
                    doc! {
                        "$set": { "isEnabled": false, "disabledReason": NOT_IN_ENVIRONMENT, "updatedAt": now },
                        "$inc": { "revision": 1_i64 },
                    },
                )
                .await?;
            return Ok(());
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
        let made = self
            .stored
            .update_one(
                doc! { "_id": ENVIRONMENT },
                doc! {
                    "$set": {
                        "url": &own.url, "events": events, "isEnabled": true, "disabledReason": null, "updatedAt": now,
                    },
                    "$setOnInsert": {
                        "description": "The endpoint of the environment", "ordered": false, "secret": null,
                        "previousSecret": null, "previousUntil": null, "createdAt": now,
                    },
                    "$inc": { "revision": 1_i64 },
                },
            )
            .upsert(true)
            .await;
        match made {
            // Another process was first, with the same settings.
            Err(error) if is_duplicate(&error) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Makes an endpoint. Answers it with its secret, which nobody sees again.
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
            secret: Some(self.host.seal(secret.as_bytes())?),
            previous_secret: None,
            previous_until: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        self.stored.insert_one(&endpoint).await?;
        Ok((endpoint, secret))
    }

    /// One endpoint.
    pub async fn find(&self, id: &str) -> Result<Option<Endpoint>, HostError> {
        Ok(self.stored.find_one(doc! { "_id": id }).await?)
    }

    /// All of them, the newest first.
    pub async fn all(&self) -> Result<Vec<Endpoint>, HostError> {
        Ok(self
            .stored
            .find(doc! {})
            .sort(doc! { "_id": -1 })
            .await?
            .try_collect()
            .await?)
    }

    /// At most `limit` of them, the newest first, after the one named.
    pub async fn page(&self, before: Option<&str>, limit: i64) -> Result<Vec<Endpoint>, HostError> {
        let filter = match before {
            Some(id) => doc! { "_id": { "$lt": id } },
            None => doc! {},
        };
        Ok(self
            .stored
            .find(filter)
            .sort(doc! { "_id": -1 })
            .limit(limit)
            .await?
            .try_collect()
            .await?)
    }

    async fn change(&self, id: &str, mut set: Document) -> Result<Option<Endpoint>, HostError> {
        set.insert("updatedAt", Timestamp::now().as_millis());
        Ok(self
            .stored
            .find_one_and_update(
                doc! { "_id": id },
                doc! { "$set": set, "$inc": { "revision": 1_i64 } },
            )
            .return_document(ReturnDocument::After)
            .await?)
    }

    /// Changes what the host says of an endpoint.
    pub async fn update(&self, id: &str, draft: Draft) -> Result<Option<Endpoint>, HostError> {
        let set = doc! {
            "url": draft.url, "events": draft.events, "description": draft.description, "ordered": draft.ordered,
            "retrySchedule": draft.retry_schedule.map(|pauses| pauses.into_iter().map(i64::from).collect::<Vec<_>>()),
        };
        self.change(id, set).await
    }

    /// Lets an endpoint have events, or not.
    pub async fn enable(
        &self,
        id: &str,
        refusal: Option<&str>,
        is_enabled: bool,
    ) -> Result<Option<Endpoint>, HostError> {
        self.change(
            id,
            doc! { "isEnabled": is_enabled, "disabledReason": refusal },
        )
        .await
    }

    /// Gives an endpoint a new secret; the one before signs too for a while.
    pub async fn rotate(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Option<(Endpoint, String)>, HostError> {
        let secret = sign::new_secret();
        let until = Timestamp::now().as_millis() + OVERLAP.as_millis() as i64;
        let set = doc! {
            "secret": self.host.seal(secret.as_bytes())?,
            "previousSecret": &endpoint.secret,
            "previousUntil": until,
        };
        let changed = self.change(&endpoint.id, set).await?;
        Ok(changed.map(|endpoint| (endpoint, secret)))
    }

    /// Removes an endpoint. Answers whether it was there.
    pub async fn remove(&self, id: &str) -> Result<bool, HostError> {
        let removed = self.stored.delete_one(doc! { "_id": id }).await?;
        Ok(removed.deleted_count == 1)
    }
}

const NOT_IN_ENVIRONMENT: &str = "it is not in the environment any more";

/// Whether something was there already.
pub fn is_duplicate(error: &mongodb::error::Error) -> bool {
    use mongodb::error::{ErrorKind, WriteFailure};
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == 11000,
        ErrorKind::Command(error) => error.code == 11000,
        _ => false,
    }
}

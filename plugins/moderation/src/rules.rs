//! Rules as they are stored, and the compiled rules of this process.
//!
//! A process compares the stored version with its own at most once a second, when an operation asks for the rules. A change of a rule raises the version, so
//! it reaches every process within about a second. This module knows no request and no restriction.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_sdk::{
    ConversationId, ConversationType, Timestamp,
    plugin::{Collection, Filter, Found, HostError, Order, Query, Update},
};
use parking_lot::RwLock;
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::matcher::CompiledRule;

/// Time after which a process looks for a new version.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Age of a check from which operations wait for the next one instead of using the rules that are there.
const MAX_AGE: Duration = Duration::from_secs(3);
/// Time after which all rules are read again, also if no version tells of a change: a process may die between a change and its version.
const RELOAD_PERIOD: Duration = Duration::from_secs(60);
/// Maximum number of rules.
pub const MAX_RULES: u64 = 50;
/// Maximum size of all entries of a rule, in bytes.
pub const MAX_ENTRY_BYTES: usize = 256 << 10;
/// Id of the document with the version.
const VERSION: &str = "rules";

/// Kind of the entries of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum RuleKind {
    /// Words and phrases.
    Words,
    /// Regular expressions.
    Patterns,
    /// Domains of links.
    Links,
}

/// Meaning of the domains of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum LinkMode {
    /// Links to these domains match.
    #[default]
    Deny,
    /// Links to all other domains match.
    Allow,
}

/// Action on a text that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum Action {
    /// The operation fails.
    Refuse,
    /// The message is held for review; an edit or a new conversation fails.
    Hold,
    /// The message is sent, and a report of it is made.
    Report,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name of the rule.
    #[serde(rename = "_id")]
    pub name: String,
    /// Kind of the entries.
    pub kind: RuleKind,
    /// Meaning of domains.
    #[serde(default)]
    pub mode: LinkMode,
    /// Words, patterns or domains.
    pub entries: Vec<String>,
    /// Action on a match.
    pub action: Action,
    /// Types of conversations in which it applies.
    #[serde(default)]
    pub conversation_types: Vec<ConversationType>,
    /// Conversations in which it applies. Without types and conversations it applies everywhere.
    #[serde(default)]
    pub conversation_ids: Vec<ConversationId>,
    /// Reason for the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time of the creation, in milliseconds since 1970.
    pub created_at: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated_at: i64,
}

/// Version of the rules.
#[derive(Debug, Deserialize, Serialize)]
pub struct Version {
    #[serde(rename = "_id")]
    id: String,
    version: i64,
}

#[derive(Clone)]
struct Snapshot {
    rules: Arc<Vec<CompiledRule>>,
    version: i64,
    checked: Instant,
    loaded: Instant,
}

/// The rules.
pub struct Rules {
    /// Not typed, so that one document that this version cannot read leaves the others active.
    stored: Collection<Value>,
    versions: Collection<Version>,
    current: RwLock<Option<Snapshot>>,
    loading: tokio::sync::Mutex<()>,
}

impl Rules {
    /// Uses `stored` for the rules and `versions` for their version.
    pub fn new(stored: Collection<Value>, versions: Collection<Version>) -> Self {
        Self {
            stored,
            versions,
            current: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the compiled rules, at most about a second old.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] if this process has none yet and cannot read them.
    pub async fn current(&self) -> Result<Arc<Vec<CompiledRule>>, HostError> {
        let known = self.current.read().clone();
        if let Some(known) = known {
            let age = known.checked.elapsed();
            if age < CHECK_PERIOD {
                return Ok(known.rules);
            }
            let Some(_turn) = self.turn(age).await else {
                return Ok(known.rules);
            };
            return self.check(Some(known)).await;
        }
        let _turn = self.loading.lock().await;
        let known = self.current.read().clone();
        self.check(known).await
    }

    /// Returns the right to look for a new version; `None` if another operation does so and the rules are young.
    async fn turn(&self, age: Duration) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if age < MAX_AGE {
            self.loading.try_lock().ok()
        } else {
            Some(self.loading.lock().await)
        }
    }

    /// Looks for a new version. The caller has the right to do so.
    async fn check(&self, known: Option<Snapshot>) -> Result<Arc<Vec<CompiledRule>>, HostError> {
        // Another operation may have looked while this one waited.
        let newest = self.current.read().clone().or(known);
        if let Some(newest) = &newest
            && newest.checked.elapsed() < CHECK_PERIOD
        {
            return Ok(Arc::clone(&newest.rules));
        }
        let found = match newest {
            None => self.load().await,
            Some(newest) => match self.version().await {
                Ok(version)
                    if version == newest.version && newest.loaded.elapsed() < RELOAD_PERIOD =>
                {
                    Ok(Snapshot {
                        checked: Instant::now(),
                        ..newest
                    })
                }
                Ok(_) | Err(_) => match self.load().await {
                    Ok(loaded) => Ok(loaded),
                    Err(error) => {
                        tracing::warn!(%error, "rules could not be read; the previous ones stay active");
                        Ok(Snapshot {
                            checked: Instant::now(),
                            ..newest
                        })
                    }
                },
            },
        }?;
        let rules = Arc::clone(&found.rules);
        *self.current.write() = Some(found);
        Ok(rules)
    }

    async fn version(&self) -> Result<i64, HostError> {
        let found = self.versions.first(Filter::id(VERSION)).await?;
        Ok(found.map_or(0, |found| found.version))
    }

    /// Reads and compiles all rules. The version is read first, so that a change meanwhile is noticed at the next check.
    async fn load(&self) -> Result<Snapshot, HostError> {
        let version = self.version().await?;
        let query = Query::from(Filter::all()).sort("_id", Order::Ascending);
        let documents = self.stored.find(query).await?.items;
        let compiled = tokio::task::spawn_blocking(move || {
            let rules = documents.into_iter().filter_map(|document| {
                let name = document["_id"].as_str().unwrap_or_default().to_owned();
                let rule = serde_json::from_value::<Rule>(document).ok();
                if rule.is_none() {
                    tracing::warn!(name, "stored rule could not be read; the others are active");
                }
                let compiled = CompiledRule::of(&rule?);
                for fault in &compiled.faults {
                    let (index, problem) = (fault.index, fault.problem);
                    tracing::warn!(name, index, problem, "entry of a stored rule is not active");
                }
                Some(compiled)
            });
            rules.collect::<Vec<_>>()
        });
        let rules = compiled
            .await
            .map_err(|_| HostError::Unavailable("the rules could not be compiled".to_owned()))?;
        let now = Instant::now();
        Ok(Snapshot {
            rules: Arc::new(rules),
            version,
            checked: now,
            loaded: now,
        })
    }

    /// Tells all processes of a change, and reads the rules in this one.
    async fn announce(&self) -> Result<(), HostError> {
        let update = Update::one(Filter::id(VERSION))
            .or_insert(json!({}))
            .increment("version", 1);
        // Unlike a plain update, this is confirmed by a majority, so the next read sees it.
        self.versions.find_and_update(update).await?;
        let _turn = self.loading.lock().await;
        let loaded = self.load().await?;
        *self.current.write() = Some(loaded);
        Ok(())
    }

    /// Returns a stored rule.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn get(&self, name: &str) -> Result<Option<Rule>, HostError> {
        let found = self.stored.first(Filter::id(name)).await?;
        Ok(found.and_then(|document| serde_json::from_value(document).ok()))
    }

    /// Returns the stored rules after the one with the name `after`, by name.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn page(&self, after: Option<&str>, limit: usize) -> Result<Found<Rule>, HostError> {
        // The condition selects names above `after`: U+0000 is in no name.
        let filter = match after {
            Some(after) => Filter::all().at_least("_id", format!("{after}\u{1}")),
            None => Filter::all(),
        };
        let query = Query::from(filter).sort("_id", Order::Ascending);
        let found = self
            .stored
            .find(query.limit(limit).max_bytes(4 << 20))
            .await?;
        let rules = found.items.into_iter();
        Ok(Found {
            items: rules
                .filter_map(|document| serde_json::from_value(document).ok())
                .collect(),
            has_more: found.has_more,
        })
    }

    /// Returns the number of rules.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn count(&self) -> Result<u64, HostError> {
        self.stored.count(Filter::all().at_least("_id", "")).await
    }

    /// Stores a rule, or replaces the one of this name. Returns the rule as it is stored.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn put(&self, rule: Rule) -> Result<Rule, HostError> {
        let mut fields = serde_json::to_value(&rule).unwrap_or_default();
        let mut inserted = json!({ "createdAt": rule.created_at });
        if let (Some(fields), Some(inserted)) = (fields.as_object_mut(), inserted.as_object_mut()) {
            fields.remove("_id");
            fields.remove("createdAt");
            fields.insert("reason".to_owned(), json!(rule.reason));
            inserted.remove("_id");
        }
        let update = Update::one(Filter::id(rule.name.as_str()))
            .set(fields)
            .or_insert(inserted);
        let stored = self.stored.find_and_update(update).await?;
        self.announce().await?;
        let stored = stored.and_then(|document| serde_json::from_value(document).ok());
        Ok(stored.unwrap_or(rule))
    }

    /// Removes a rule. Returns true if it existed.
    ///
    /// # Errors
    /// [`HostError::Unavailable`]; a repetition is safe.
    pub async fn remove(&self, name: &str) -> Result<bool, HostError> {
        let removed = self.stored.delete(Filter::id(name)).await?;
        self.announce().await?;
        Ok(removed > 0)
    }
}

/// Returns the current time in milliseconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_millis()
}

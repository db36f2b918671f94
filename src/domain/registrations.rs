//! Plugins in other processes: registration, list and removal, and their hooks in this process.
//!
//! How a hook is reached is the business of [`Reach`]; this module decides which hooks there are.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    ConversationType, Role, Timestamp, UserId,
    hosts::is_host_name,
    plugin::{
        BoxFuture, FailurePolicy, Hook, HookFault, HookFilter, HookPoint, HookRequest, HookSpec,
        HookVerdict,
    },
    text::Shape,
};
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::hooks::{Hooks, Registered};
use crate::{
    model::{
        error::{DomainError, Faults, Result},
        plugins::{RegisteredPlugin, SigningSecret},
    },
    store::Store,
};

/// Source of these hooks.
const SOURCE: &str = "registered";
/// Maximum number of registered plugins.
pub const MAX_PLUGINS: usize = 32;
/// Maximum number of bots of a plugin.
const MAX_BOTS: usize = 20;
/// Maximum length of a description in characters.
const MAX_DESCRIPTION: usize = 500;
/// Default time limit of a hook in milliseconds.
const TIMEOUT_MS: u32 = 1000;
/// Allowed range of the time limit in milliseconds.
const TIMEOUTS_MS: std::ops::RangeInclusive<u32> = 1..=5000;
/// Time between two looks at the registrations.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two probes of a plugin.
const PROBE_PERIOD: Duration = Duration::from_secs(5);

/// Requested registration of a plugin.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Name of the plugin, and of its account in the broker.
    pub name: String,
    /// Purpose, for operators.
    pub description: Option<String>,
    /// URL of a hook over HTTP; `None` for one over NATS.
    pub url: Option<String>,
    /// Points at which the hook is asked.
    pub points: Vec<HookPoint>,
    /// Time limit in milliseconds; default 1000.
    pub timeout_ms: Option<u32>,
    /// Consequence of a failure; default open.
    pub failure: Option<FailurePolicy>,
    /// Position among the hooks; default 0.
    pub order: i32,
    /// Types of conversations; empty for all.
    pub conversation_types: Vec<ConversationType>,
    /// Roles; empty for all.
    pub roles: Vec<Role>,
    /// True if the verdict is only counted and logged.
    pub is_shadow: bool,
    /// Users whose operations the hook is not asked about.
    pub bots: Vec<UserId>,
}

impl Draft {
    /// Checks the registration.
    ///
    /// # Errors
    /// [`DomainError::Validation`] with every fault.
    pub fn check(self, reach: &dyn Reach) -> Result<RegisteredPlugin> {
        let mut faults = Faults::default();
        faults.when(
            !is_host_name(&self.name),
            "name",
            "must have 1 to 32 characters of a-z, 0-9 and _, and begin with a letter",
        );
        let description = self.description.as_ref();
        faults.text("description", description, Shape::Lines, MAX_DESCRIPTION);
        if let Some(problem) = self.url.as_ref().and_then(|url| reach.fault_of_url(url)) {
            faults.add("url", problem);
        }
        faults.when(
            self.points.is_empty(),
            "points",
            "must name at least one point",
        );
        let timeout_ms = self.timeout_ms.unwrap_or(TIMEOUT_MS);
        faults.when(
            !TIMEOUTS_MS.contains(&timeout_ms),
            "timeoutMs",
            "must be between 1 and 5000",
        );
        faults.when(
            self.bots.len() > MAX_BOTS,
            "bots",
            "must have at most 20 items",
        );
        faults.into_result()?;
        let now = Timestamp::now();
        let mut points = self.points;
        points.dedup();
        Ok(RegisteredPlugin {
            spec: HookSpec {
                points,
                name: self.name.clone(),
                timeout: Duration::from_millis(u64::from(timeout_ms)),
                failure: self.failure.unwrap_or(FailurePolicy::Open),
                order: self.order,
                filter: HookFilter {
                    conversation_types: self.conversation_types,
                    roles: self.roles,
                },
                is_shadow: self.is_shadow,
                bots: self.bots,
            },
            name: self.name,
            description: self.description,
            url: self.url,
            secret: None,
            created_at: now,
            updated_at: now,
        })
    }
}

/// Ways to hooks in other processes.
pub trait Reach: Send + Sync {
    /// Returns the fault of the URL of a hook, if it has one.
    fn fault_of_url(&self, url: &str) -> Option<String>;

    /// Returns a new secret, plain and encrypted.
    ///
    /// # Errors
    /// [`DomainError::Conflict`] if the deployment has no key to encrypt it.
    fn new_secret(&self) -> Result<(String, String)>;

    /// Returns the hook of a plugin.
    ///
    /// # Errors
    /// [`DomainError::Internal`] if its secret cannot be decrypted.
    fn hook(&self, plugin: &RegisteredPlugin) -> Result<Arc<dyn Hook>>;

    /// Sends a probe to the plugin.
    ///
    /// # Errors
    /// The reason why no instance answered within the time limit.
    fn probe(&self, plugin: RegisteredPlugin) -> BoxFuture<'_, std::result::Result<(), HookFault>>;
}

/// A registration and the hook that this process made of it.
type Current = (RegisteredPlugin, Arc<Registered>);

/// Operations on registered plugins.
#[derive(Clone)]
pub struct Registrations {
    /// Store with the registrations.
    pub store: Arc<Store>,
    /// Ways to their hooks.
    pub reach: Arc<dyn Reach>,
    /// Plugins of the configuration, which cannot be changed at run time.
    pub configured: Arc<Vec<RegisteredPlugin>>,
    /// Hooks of this process.
    pub hooks: Arc<Hooks>,
    /// Registrations whose hooks this process has.
    pub current: Arc<Mutex<Vec<Current>>>,
}

impl Registrations {
    /// Registers a plugin or changes its registration. Returns it, true if it is new, and then the secret of a hook over HTTP.
    ///
    /// # Errors
    /// [`DomainError::Validation`]; [`DomainError::Conflict`] if the configuration declares the plugin, if there are [`MAX_PLUGINS`], or if a hook over HTTP
    /// would need a secret that cannot be encrypted.
    pub async fn put(&self, draft: Draft) -> Result<(RegisteredPlugin, bool, Option<String>)> {
        let mut wanted = draft.check(&*self.reach)?;
        if self.is_configured(&wanted.name) {
            return Err(DomainError::Conflict(
                "The configuration declares this plugin; change it there.".into(),
            ));
        }
        let known = self.store.find_plugin(&wanted.name).await?;
        if let Some(known) = &known
            && known.url.is_some() != wanted.url.is_some()
        {
            return Err(DomainError::Conflict(
                "A plugin cannot change between HTTP and NATS; delete it first.".into(),
            ));
        }
        let limit = i64::try_from(MAX_PLUGINS).unwrap_or(i64::MAX);
        if known.is_none() && self.store.find_plugins(limit).await?.len() >= MAX_PLUGINS {
            return Err(DomainError::Conflict(
                format!("There are {MAX_PLUGINS} plugins, the maximum; delete one first.").into(),
            ));
        }
        let mut secret = None;
        if known.is_none() && wanted.url.is_some() {
            let (plain, sealed) = self.reach.new_secret()?;
            wanted.secret = Some(SigningSecret::Sealed(sealed));
            secret = Some(plain);
        }
        let before = self.store.put_plugin(&wanted).await?;
        let is_new = before.is_none();
        if let Some(before) = before {
            // Another request may have registered it in the meantime; its secret stays.
            secret = None;
            wanted.secret = before.secret;
            wanted.created_at = before.created_at;
        }
        Ok((wanted, is_new, secret))
    }

    /// Returns all plugins in other processes, those of the configuration first.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn list(&self) -> Result<Vec<RegisteredPlugin>> {
        let mut all = (*self.configured).clone();
        let limit = i64::try_from(MAX_PLUGINS).unwrap_or(i64::MAX);
        let stored = self.store.find_plugins(limit).await?;
        all.extend(
            stored
                .into_iter()
                .filter(|plugin| !self.is_configured(&plugin.name)),
        );
        Ok(all)
    }

    /// Returns one plugin.
    ///
    /// # Errors
    /// [`DomainError::NotFound`], [`DomainError::Unavailable`].
    pub async fn get(&self, name: &str) -> Result<RegisteredPlugin> {
        let mut configured = self.configured.iter();
        if let Some(plugin) = configured.find(|plugin| plugin.name == name) {
            return Ok(plugin.clone());
        }
        self.store.find_plugin(name).await?.ok_or_else(missing)
    }

    /// Removes a plugin. Its hook is asked no more once every process has noticed, within seconds.
    ///
    /// # Errors
    /// [`DomainError::NotFound`]; [`DomainError::Conflict`] if the configuration declares it.
    pub async fn remove(&self, name: &str) -> Result<()> {
        if self.is_configured(name) {
            return Err(DomainError::Conflict(
                "The configuration declares this plugin; remove it there.".into(),
            ));
        }
        if self.store.remove_plugin(name).await? {
            Ok(())
        } else {
            Err(missing())
        }
    }

    fn is_configured(&self, name: &str) -> bool {
        self.configured.iter().any(|plugin| plugin.name == name)
    }

    /// Keeps the hooks of this process in step with the registrations, until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let mut last_probe = None;
        let mut probes = JoinSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.refresh().await {
                // The last known hooks stay.
                tracing::warn!(%error, "registered plugins could not be read");
            }
            let is_due = last_probe.is_none_or(|at: Instant| at.elapsed() >= PROBE_PERIOD);
            while probes.try_join_next().is_some() {}
            // A probe ends within the time limit of its hook, which is shorter than the period.
            if is_due && probes.is_empty() {
                last_probe = Some(Instant::now());
                self.probe_all(&mut probes);
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
        }
    }

    /// Probes every plugin, so that the status names one that does not answer also while no operation reaches its hook.
    fn probe_all(&self, probes: &mut JoinSet<()>) {
        for (plugin, registered) in self.current.lock().iter() {
            let (reach, plugin) = (Arc::clone(&self.reach), plugin.clone());
            let registered = Arc::clone(registered);
            probes.spawn(async move { registered.probed(reach.probe(plugin).await) });
        }
    }

    /// Reads the registrations and replaces the hooks that changed.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn refresh(&self) -> Result<()> {
        let wanted = self.list().await?;
        let mut current = self.current.lock();
        let is_same = current.len() == wanted.len()
            && current
                .iter()
                .zip(&wanted)
                .all(|((known, _), plugin)| known == plugin);
        if is_same {
            return Ok(());
        }
        let mut next = Vec::with_capacity(wanted.len());
        for plugin in wanted {
            let known = current.iter().find(|(known, _)| *known == plugin);
            // An unchanged hook keeps its circuit.
            if let Some((plugin, registered)) = known {
                next.push((plugin.clone(), Arc::clone(registered)));
                continue;
            }
            let hook = self.reach.hook(&plugin).unwrap_or_else(|error| {
                tracing::error!(plugin = plugin.name, %error, "the hook of a plugin cannot be used");
                // Its policy applies: a hook that fails closed must not become open.
                Arc::new(Unusable(plugin.spec.clone()))
            });
            let registered = Arc::new(Registered::new(plugin.name.clone(), hook));
            next.push((plugin, registered));
        }
        let hooks = next.iter().map(|(_, registered)| Arc::clone(registered));
        self.hooks.replace(SOURCE, hooks.collect());
        *current = next;
        Ok(())
    }
}

/// Hook that cannot be asked.
struct Unusable(HookSpec);

impl Hook for Unusable {
    fn spec(&self) -> HookSpec {
        self.0.clone()
    }

    fn ask(
        self: Arc<Self>,
        _: HookRequest,
    ) -> BoxFuture<'static, std::result::Result<HookVerdict, HookFault>> {
        let fault = HookFault::new("its registration cannot be used");
        Box::pin(std::future::ready(Err(fault)))
    }
}

fn missing() -> DomainError {
    DomainError::NotFound("There is no such plugin.".into())
}

//! Services that the core offers plugins, built from the store, the bus and the deployment's key.
//!
//! Everything is scoped by the plugin's name.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use chat_sdk::{
    EventId,
    plugin::{
        BoxFuture, CancellationToken, Consumer, ConsumerSpec, Documents, DurableError, Events,
        Host, HostError, Lag, Leases, LogEvent, LogPage, LogPosition, PluginFactory, Pulled,
        ReplayedEvent, Secrets, Storage,
    },
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use super::{
    audience::PluginAudience,
    chat::{Operations, PluginChat, PluginTokens},
    publisher::PluginPublisher,
    timers::PluginTimers,
};
use crate::{
    auth::Issuer,
    bus::{Bus, BusError, durables},
    config::Auth,
    domain::{Context, consumers::HostDurables},
    model::{DomainError, catalogue, entry::Entry},
    store::{ClusterTime, Store},
};

/// Shared parts of all plugin hosts.
pub struct Core {
    store: Arc<Store>,
    /// Durables of this process; `None` without a broker.
    durables: Option<Arc<durables::Durables<Store>>>,
    bus: Option<Bus>,
    key: Option<Arc<LessSafeKey>>,
    tokens: Arc<PluginTokens>,
    operations: Operations,
    audience: Arc<PluginAudience>,
    /// Name of this process in leases.
    holder: String,
}

impl Core {
    /// Creates the core of this process with the secrets of `auth`. Without `broker` it can only prepare plugins.
    pub fn new(
        store: Arc<Store>,
        broker: Option<(&Bus, &Arc<durables::Durables<Store>>)>,
        auth: &Auth,
        holder: String,
    ) -> Self {
        let secret = auth.secrets_key.as_ref();
        Self {
            durables: broker.map(|(_, durables)| Arc::clone(durables)),
            bus: broker.map(|(bus, _)| bus.clone()),
            store,
            key: secret.map(|secret| Arc::new(sealing_key(secret.expose()))),
            tokens: Arc::new(PluginTokens::new(Issuer::from_config(auth))),
            operations: Operations::default(),
            audience: Arc::default(),
            holder,
        }
    }

    /// Sets the domain's context, which is built after the plugins.
    pub fn set_context(&self, ctx: &Context) {
        self.audience.set(ctx);
    }

    /// Returns the place for the operations of the API, which is built after the plugins.
    pub fn operations(&self) -> Operations {
        Arc::clone(&self.operations)
    }

    /// Returns the encryption of secrets of the core's part `name`, which is no plugin.
    pub fn secrets(&self, name: &'static str) -> Arc<dyn Secrets> {
        self.part(name)
    }

    fn part(&self, name: &'static str) -> Arc<PluginHost> {
        Arc::new(PluginHost {
            name,
            store: Arc::clone(&self.store),
            durables: self.durables.clone(),
            key: self.key.clone(),
            holder: self.holder.clone(),
        })
    }

    /// Creates the host of the plugin of `factory`.
    pub fn host(&self, factory: &PluginFactory) -> Host {
        let name = factory.name;
        let host = self.part(name);
        Host {
            chat: Arc::new(PluginChat::new(name, self.operations())),
            tokens: Arc::clone(&self.tokens) as _,
            publisher: PluginPublisher::new(
                name,
                factory.events,
                self.operations(),
                self.bus.as_ref(),
            ),
            storage: Arc::clone(&host) as _,
            events: Arc::clone(&host) as _,
            audience: Arc::clone(&self.audience) as _,
            leases: Arc::clone(&host) as _,
            timers: PluginTimers::new(name, Arc::clone(&self.store)),
            secrets: host,
        }
    }
}

/// Returns the durables of this process.
pub fn durables(bus: &Bus, store: &Arc<Store>) -> Arc<durables::Durables<Store>> {
    let backfill = Arc::new(FromLog(Arc::clone(store)));
    durables::Durables::new(bus.clone(), Arc::clone(store), backfill)
}

/// Returns the durables of hosts.
pub fn host_durables(durables: &Arc<durables::Durables<Store>>) -> Arc<dyn HostDurables> {
    Arc::new(OfHosts(Arc::clone(durables)))
}

fn sealing_key(secret: &[u8]) -> LessSafeKey {
    let mut digest = Sha256::new();
    digest.update(b"chat stored secrets key");
    digest.update([0]);
    digest.update(secret);
    let key = UnboundKey::new(&AES_256_GCM, &digest.finalize())
        .expect("a digest of 32 bytes is a key of AES-256");
    LessSafeKey::new(key)
}

struct PluginHost {
    name: &'static str,
    store: Arc<Store>,
    durables: Option<Arc<durables::Durables<Store>>>,
    key: Option<Arc<LessSafeKey>>,
    holder: String,
}

/// Implements what the core offers one plugin. [`Host`] shows it as separate traits.
impl PluginHost {
    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    fn spec(&self, mut spec: ConsumerSpec) -> ConsumerSpec {
        spec.name = self.full(&spec.name);
        spec
    }

    fn on_broker(&self) -> Result<&Arc<durables::Durables<Store>>, DurableError> {
        let durables = self.durables.as_ref();
        durables.ok_or_else(|| {
            DurableError("there is no broker while the database is prepared".to_owned())
        })
    }

    fn key(&self) -> Result<&LessSafeKey, HostError> {
        self.key.as_deref().ok_or(HostError::NoKey)
    }
}

fn unavailable(error: impl std::fmt::Display) -> HostError {
    HostError::Unavailable(error.to_string())
}

impl Storage for PluginHost {
    fn documents(&self, name: &str) -> Arc<dyn Documents> {
        self.store.plugin_documents(self.name, name)
    }
}

impl Secrets for PluginHost {
    fn seal(&self, plain: &[u8]) -> Result<String, HostError> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(plain);
        // The plugin's name is part of the seal: another plugin cannot decrypt its secrets.
        let tag = self
            .key()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.name.as_bytes()),
                &mut bytes[NONCE_LEN..],
            )
            .map_err(|_| HostError::Sealed)?;
        bytes.extend_from_slice(tag.as_ref());
        Ok(BASE64_STANDARD_NO_PAD.encode(bytes))
    }

    fn unseal(&self, sealed: &str) -> Result<Vec<u8>, HostError> {
        let key = self.key()?;
        let bytes = BASE64_STANDARD_NO_PAD
            .decode(sealed)
            .map_err(|_| HostError::Sealed)?;
        let (nonce, text) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(HostError::Sealed)?;
        let mut text = text.to_vec();
        let plain = key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(self.name.as_bytes()),
                &mut text,
            )
            .map_err(|_| HostError::Sealed)?;
        Ok(plain.to_vec())
    }
}

impl Leases for PluginHost {
    fn take(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<bool, HostError>> {
        let lease = format!("{}:{name}", self.name);
        Box::pin(async move {
            self.store
                .take_lease(&lease, &self.holder, ttl)
                .await
                .map_err(unavailable)
        })
    }

    fn release(&self, name: &str) -> BoxFuture<'_, ()> {
        let lease = format!("{}:{name}", self.name);
        Box::pin(async move {
            // A lease that is not released expires by itself.
            let _ = self.store.drop_lease(&lease, &self.holder).await;
        })
    }
}

/// Reads events of all logs, up to the time before which no later insert can still appear.
async fn read_log(
    store: &Store,
    after: LogPosition,
    until: Option<LogPosition>,
    limit: u32,
) -> Result<(Vec<LogEvent>, Option<LogPosition>), DomainError> {
    let horizon = store.horizon().await?;
    let until = until.map_or(horizon, |until| cluster_time(until).min(horizon));
    let (entries, next) = store
        .read_all_logs(cluster_time(after), until, limit)
        .await?;
    let events = entries.iter().filter_map(log_event).collect();
    let next = next.map(|time| LogPosition(u64::from(time.time) << 32 | u64::from(time.increment)));
    Ok((events, next))
}

fn cluster_time(position: LogPosition) -> ClusterTime {
    ClusterTime {
        time: (position.0 >> 32) as u32,
        increment: (position.0 & u64::from(u32::MAX)) as u32,
    }
}

fn log_event(entry: &Entry) -> Option<LogEvent> {
    let payload = serde_json::to_vec(&catalogue::envelope(entry)).ok()?;
    Some(LogEvent {
        id: entry.id.clone(),
        kind: entry.body.kind(),
        owner: entry.owner.key(),
        seq: entry.seq,
        at: entry.at,
        payload: Bytes::from(payload),
    })
}

/// Source of events that a durable missed: the log.
struct FromLog(Arc<Store>);

/// Maximum number of entries that a plugin reads at once.
const MAX_LOG_PAGE: u32 = 1000;
/// Number of events per read.
const BACKFILL_PAGE: u32 = 500;

impl durables::Backfill for FromLog {
    fn read(
        &self,
        from: LogPosition,
        until: LogPosition,
    ) -> BoxFuture<'_, Result<(Vec<ReplayedEvent>, Option<LogPosition>), DomainError>> {
        Box::pin(async move {
            let (events, next) = read_log(&self.0, from, Some(until), BACKFILL_PAGE).await?;
            Ok((events.into_iter().map(replayed).collect(), next))
        })
    }

    fn find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<ReplayedEvent>, DomainError>> {
        Box::pin(async move {
            let entry = self.0.find_entry(id).await?;
            Ok(entry.as_ref().and_then(durables::replay_of))
        })
    }
}

fn replayed(event: LogEvent) -> ReplayedEvent {
    ReplayedEvent {
        event_id: event.id,
        kind: event.kind.as_str().to_owned(),
        owner: event.owner,
        seq: Some(event.seq),
        payload: event.payload,
    }
}

fn failed(error: BusError) -> DurableError {
    DurableError(error.to_string())
}

impl Events for PluginHost {
    fn read_log(
        &self,
        after: LogPosition,
        until: Option<LogPosition>,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogPage, HostError>> {
        Box::pin(async move {
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let limit = limit.clamp(1, MAX_LOG_PAGE);
            let (events, next) = read_log(&self.store, after, until, limit)
                .await
                .map_err(unavailable)?;
            Ok(LogPage {
                events,
                next: next.unwrap_or(after),
                is_end: next.is_none(),
            })
        })
    }

    fn declare(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DurableError>> {
        let spec = self.spec(spec);
        Box::pin(async move { self.on_broker()?.declare(&spec).await.map_err(failed) })
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), DurableError>> {
        let name = self.full(name);
        Box::pin(async move { self.on_broker()?.remove(&name).await.map_err(failed) })
    }

    fn run(
        &self,
        spec: ConsumerSpec,
        consumer: Arc<dyn Consumer>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let spec = self.spec(spec);
        match self.durables.clone() {
            Some(durables) => Box::pin(durables.run(spec, consumer, stop)),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn rewind(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DurableError>> {
        let spec = self.spec(spec);
        Box::pin(async move { self.on_broker()?.rewind(&spec).await.map_err(failed) })
    }

    fn pause(&self, name: &str, pause: Duration) -> BoxFuture<'_, Result<(), DurableError>> {
        let name = self.full(name);
        Box::pin(async move { self.on_broker()?.pause(&name, pause).await.map_err(failed) })
    }

    fn resume(&self, name: &str) -> BoxFuture<'_, Result<(), DurableError>> {
        let name = self.full(name);
        Box::pin(async move { self.on_broker()?.resume(&name).await.map_err(failed) })
    }

    fn lag(&self, name: &str) -> BoxFuture<'_, Result<Lag, DurableError>> {
        let name = self.full(name);
        Box::pin(async move { self.on_broker()?.lag(&name).await.map_err(failed) })
    }

    fn put(
        &self,
        name: &str,
        events: Vec<ReplayedEvent>,
    ) -> BoxFuture<'_, Result<(), DurableError>> {
        let name = self.full(name);
        Box::pin(async move {
            let put = self.on_broker()?.put(&name, &events).await;
            put.map(drop).map_err(failed)
        })
    }

    fn pull(
        &self,
        spec: ConsumerSpec,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Pulled>, DurableError>> {
        let spec = self.spec(spec);
        Box::pin(async move {
            let durables = self.on_broker()?;
            durables.pull(&spec, limit, wait).await.map_err(failed)
        })
    }

    fn acknowledge(
        &self,
        spec: ConsumerSpec,
        tokens: Vec<String>,
    ) -> BoxFuture<'_, Result<usize, DurableError>> {
        let spec = self.spec(spec);
        Box::pin(async move {
            let durables = self.on_broker()?;
            durables.acknowledge(&spec, &tokens).await.map_err(failed)
        })
    }
}

/// Durables of hosts, under the hosts' own names.
struct OfHosts(Arc<durables::Durables<Store>>);

fn away(error: BusError) -> DomainError {
    tracing::warn!(%error, "a host's durable could not be reached");
    DomainError::Unavailable("The broker did not answer in time; repeat the request.".into())
}

impl HostDurables for OfHosts {
    fn declare(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DomainError>> {
        Box::pin(async move { self.0.declare(&spec).await.map_err(away) })
    }

    fn keep(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<(), DomainError>> {
        Box::pin(async move { self.0.keep(&spec).await.map_err(away) })
    }

    fn remove(&self, name: String) -> BoxFuture<'_, Result<(), DomainError>> {
        Box::pin(async move { self.0.remove(&name).await.map_err(away) })
    }

    fn lag(&self, name: String) -> BoxFuture<'_, Result<Lag, DomainError>> {
        Box::pin(async move { self.0.lag(&name).await.map_err(away) })
    }

    fn stream(&self) -> String {
        self.0.stream_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &LessSafeKey, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key([0; NONCE_LEN]),
                Aad::from(b"x"),
                &mut bytes,
            )
            .expect("seals");
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    #[test]
    fn another_key_seals_otherwise() {
        let one = sealing_key(b"0d4a1be1c60c6bb2a1f3d95b6e7c8f90");
        let other = sealing_key(b"f3b5c7d9e1a2047685949ab0c1d2e3f4");
        assert_eq!(seal(&one, b"secret"), seal(&one, b"secret"));
        assert_ne!(seal(&one, b"secret"), seal(&other, b"secret"));
        assert!(
            !seal(&one, b"secret")
                .windows(6)
                .any(|part| part == b"secret")
        );
    }

    #[test]
    fn positions_are_cluster_times() {
        let position = LogPosition::before(chat_sdk::Timestamp::from_millis(1_768_473_000_007));
        let time = cluster_time(position);
        assert_eq!((time.time, time.increment), (1_768_472_999, u32::MAX));
    }
}

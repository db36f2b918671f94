//! Fetches the host's published keys and refreshes them.
//!
//! The first use fetches, and a task of the process fetches again every 10 minutes. A token with an unknown `kid` also requests a fetch, at most one in
//! 10 seconds. There is one fetch at a time; other callers wait for it. A failed fetch keeps the existing keys.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::{Host, Url};

use super::error::{AuthError, SetupError};
use super::keyset::KeySet;

/// Maximum size of the document in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Pauses and time limits of fetches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Time between two fetches of the background task.
    pub(super) refresh: Duration,
    /// Minimum time between two fetches for unknown keys.
    pub(super) unknown: Duration,
    /// Minimum time between two fetches while there is no key at all.
    pub(super) empty: Duration,
    /// Maximum time of one fetch, from connecting to the last byte.
    pub(super) timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(600),
            unknown: Duration::from_secs(10),
            empty: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
        }
    }
}

/// Published keys of the host.
pub(super) struct Jwks {
    shared: Arc<Shared>,
}

struct Shared {
    url: Url,
    client: reqwest::Client,
    timing: Timing,
    keys: RwLock<Option<Arc<KeySet>>>,
    fetches: Mutex<Fetches>,
}

/// Guarded by the lock that a fetch holds, so that there is one at a time.
#[derive(Default)]
struct Fetches {
    last: Option<Instant>,
    failed: bool,
}

impl Jwks {
    pub(super) fn new(url: &str) -> Result<Self, SetupError> {
        Self::with_timing(url, Timing::default())
    }

    pub(super) fn with_timing(url: &str, timing: Timing) -> Result<Self, SetupError> {
        let url = Url::parse(url).map_err(|_| SetupError::JwksUrl)?;
        // reqwest panics without a provider. The second call's error only says that one is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        let mut client = reqwest::Client::builder()
            .timeout(timing.timeout)
            // A redirect could lead to plain HTTP or to another server.
            .redirect(reqwest::redirect::Policy::none())
            .https_only(url.scheme() == "https")
            .user_agent("chat-service");
        if loopback {
            client = client.no_proxy();
        }
        let client = client.build().map_err(SetupError::Client)?;
        let shared = Shared {
            url,
            client,
            timing,
            keys: RwLock::new(None),
            fetches: Mutex::new(Fetches::default()),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Returns the current keys, after a first fetch if there are none.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, AuthError> {
        if let Some(keys) = self.shared.snapshot() {
            return Ok(keys);
        }
        self.fetch_unless_newer(None).await?;
        self.shared.snapshot().ok_or(AuthError::KeysUnavailable)
    }

    /// Returns the keys after another fetch.
    ///
    /// It does not fetch if a fetch has just been made or another caller's fetch brought newer keys.
    ///
    /// If the last fetch failed, it is unknown whether an unknown key is a valid one, hence the error.
    pub(super) async fn newer_than(&self, seen: &Arc<KeySet>) -> Result<Arc<KeySet>, AuthError> {
        self.fetch_unless_newer(Some(seen)).await?;
        self.shared.snapshot().ok_or(AuthError::KeysUnavailable)
    }

    /// Fetches the keys again and again, until `stop`.
    pub(super) async fn keep_fresh(&self, stop: CancellationToken) {
        let pause = || tokio::time::sleep(self.shared.timing.refresh);
        while stop.run_until_cancelled(pause()).await.is_some() {
            let mut fetches = self.shared.fetches.lock().await;
            self.shared.fetch(&mut fetches).await;
        }
    }

    /// Runs in its own task: a caller that is dropped must not cancel a fetch that others wait for.
    async fn fetch_unless_newer(&self, seen: Option<&Arc<KeySet>>) -> Result<(), AuthError> {
        let (shared, seen) = (Arc::clone(&self.shared), seen.cloned());
        let task = tokio::spawn(async move { shared.fetch_unless_newer(seen).await });
        task.await.unwrap_or(Err(AuthError::KeysUnavailable))
    }
}

impl Shared {
    fn snapshot(&self) -> Option<Arc<KeySet>> {
        self.keys.read().clone()
    }

    async fn fetch_unless_newer(&self, seen: Option<Arc<KeySet>>) -> Result<(), AuthError> {
        let mut fetches = self.fetches.lock().await;
        let current = self.snapshot();
        let newer = match (&current, &seen) {
            (Some(current), Some(seen)) => !Arc::ptr_eq(current, seen),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if newer {
            return Ok(());
        }
        let pause = if current.is_some() {
            self.timing.unknown
        } else {
            self.timing.empty
        };
        // The pause before the first fetch for an unknown key counts from the last fetch, whatever caused it.
        if fetches.last.is_none_or(|last| last.elapsed() >= pause) {
            self.fetch(&mut fetches).await;
        }
        if fetches.failed {
            Err(AuthError::KeysUnavailable)
        } else {
            Ok(())
        }
    }

    async fn fetch(&self, fetches: &mut Fetches) {
        let result = self.download().await;
        fetches.last = Some(Instant::now());
        fetches.failed = result.is_err();
        match result {
            Ok(keys) => {
                if keys.is_empty() {
                    warn!(
                        "the key set holds no key that can check a token: every token is refused"
                    );
                } else {
                    info!(keys = keys.len(), "fetched the key set");
                }
                *self.keys.write() = Some(Arc::new(keys));
            }
            Err(reason) => {
                let kept = self.snapshot().is_some();
                warn!(
                    reason,
                    kept,
                    "the key set (AUTH_JWKS_URL) cannot be fetched; keys fetched before stay in use"
                );
            }
        }
    }

    async fn download(&self) -> Result<KeySet, &'static str> {
        let request = self
            .client
            .get(self.url.clone())
            .header("accept", "application/json");
        let mut response = request.send().await.map_err(|error| reason(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err("the answer is not 200");
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err("the answer is larger than 256 KiB");
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body).ok_or("the answer is not a JWKS document")
    }
}

/// Returns the reason without the address, which may have a token in its query.
fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

//! A service in this process, on its own runtime: it stops when its handle is dropped, and can be dropped abruptly like after a crash.

use std::{ops::Deref, path::Path, sync::Arc, sync::mpsc, time::Duration};

use chat_sdk::plugin::PluginFactory;
use chat_service::{
    app::{self, Listeners, Roles},
    config::{Config, Sources},
    plugins,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{
    isolation::Sandbox,
    node::Node,
    process::Process,
    servers::{Mongod, Nats},
};

/// Secret for links of the plugin `attachments`.
pub const LINK_SECRET: &str = "b3a6d1f0c9e84725a1f7d2c4e6b80913";

/// Settings of a service before its start.
pub struct Builder {
    roles: String,
    settings: Vec<(String, String)>,
    place: Option<Arc<Sandbox>>,
    mongodb_uri: Option<String>,
    nats_url: Option<String>,
    toml: Option<String>,
}

/// A running service.
pub struct Service {
    node: Node,
    stop: CancellationToken,
    runtime: Option<Runtime>,
    ended: Mutex<mpsc::Receiver<String>>,
}

impl Deref for Service {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Service {
    /// A service with all roles, a database and a prefix of its own, ready.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts to build a service with other settings.
    pub fn builder() -> Builder {
        Builder {
            roles: "all".to_owned(),
            settings: Vec::new(),
            place: None,
            mongodb_uri: None,
            nats_url: None,
            toml: None,
        }
    }

    /// Stops it as SIGTERM does, and waits for its end.
    pub fn stop(mut self) {
        self.end();
    }

    /// Tells it to stop, as SIGTERM does, without waiting.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Ends it abruptly, in the middle of its work.
    pub fn crash(mut self) {
        if let Some(runtime) = self.runtime.take() {
            shut_down(runtime, Duration::from_millis(100));
        }
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.stop.cancel();
            let _ = self.ended.lock().recv_timeout(Duration::from_secs(6));
            shut_down(runtime, Duration::from_secs(1));
        }
    }
}

/// Ends everything on `runtime`. In a thread of its own, because a runtime may not be waited for inside another.
fn shut_down(runtime: Runtime, patience: Duration) {
    let _ = std::thread::spawn(move || runtime.shutdown_timeout(patience)).join();
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

impl Builder {
    /// Only some roles, comma-separated.
    pub fn roles(mut self, roles: &str) -> Self {
        self.roles = roles.to_owned();
        self
    }

    /// With a variable of the configuration.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With every bundled plugin.
    pub fn all_plugins(self) -> Self {
        self.env(
            "PLUGINS",
            "accounts,attachments,moderation,notifications,webhooks",
        )
        .env("PUSH_SUBJECT", "mailto:operator@chat.example")
        .env("ATTACHMENTS_LINK_SECRET", LINK_SECRET)
        .env(
            "ATTACHMENTS_DIR",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/attachments"),
        )
    }

    /// With a `chat.toml`.
    pub fn toml(mut self, text: &str) -> Self {
        self.toml = Some(text.to_owned());
        self
    }

    /// With the database and prefix of another service: one deployment, several nodes.
    pub fn database(mut self, other: &Node) -> Self {
        self.place = Some(Arc::clone(other.sandbox()));
        self
    }

    /// On a storage whose services have all ended.
    pub fn place_of(mut self, place: &Arc<Sandbox>) -> Self {
        self.place = Some(Arc::clone(place));
        self
    }

    /// With a MongoDB that the test may damage.
    pub fn mongod(mut self, mongod: &Mongod) -> Self {
        self.mongodb_uri = Some(mongod.uri());
        self
    }

    /// With a NATS that the test may damage.
    pub fn nats(mut self, nats: &Nats) -> Self {
        self.nats_url = Some(nats.url());
        self
    }

    fn sandbox(&self) -> Arc<Sandbox> {
        match &self.place {
            Some(place) => Arc::clone(place),
            None if self.mongodb_uri.is_none() && self.nats_url.is_none() => Sandbox::new(),
            None => Sandbox::on_own(self.mongodb_uri.clone(), self.nats_url.clone()),
        }
    }

    fn settings(&self, place: &Sandbox) -> Vec<(String, String)> {
        let mut settings = place.settings();
        settings.retain(|(name, _)| !self.settings.iter().any(|(own, _)| own == name));
        settings.extend(self.settings.iter().cloned());
        settings
    }

    /// The real binary as a process of its own, ready.
    pub async fn spawn(self) -> Process {
        let place = self.sandbox();
        let settings = self.settings(&place);
        Process::start(place, &self.roles, settings).await
    }

    /// A service in this process, ready.
    pub async fn start(self) -> Service {
        self.start_with([]).await
    }

    /// The same with further plugins.
    pub async fn start_with(self, added: impl IntoIterator<Item = PluginFactory>) -> Service {
        let plugins = plugins::of_program(added);
        let place = self.sandbox();
        start_logging();
        let folder = tempfile::tempdir().expect("a folder");
        let toml_path = self.toml.as_ref().map(|text| {
            let path = folder.path().join("chat.toml");
            std::fs::write(&path, text).expect("a file");
            path
        });
        let sources = Sources {
            toml_path,
            dir: Path::new("/nonexistent").to_owned(),
            env: self.settings(&place),
            plugins: plugins::variables(&plugins),
        };
        let config = Config::load(&sources)
            .unwrap_or_else(|faults| panic!("{faults}"))
            .config;
        let roles = Roles::parse(&self.roles).unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("service")
            .enable_all()
            .build()
            .expect("a runtime");
        let listeners = {
            let _inside = runtime.enter();
            Listeners::open(&config, roles).expect("ports")
        };
        let port = |listener: &Option<tokio::net::TcpListener>| {
            let listener = listener.as_ref()?;
            Some(listener.local_addr().expect("an address").port())
        };
        let node = Node::new(place, port(&listeners.api), port(&listeners.ws));
        let stop = CancellationToken::new();
        let (end, ended) = mpsc::channel();
        let own_stop = stop.clone();
        runtime.spawn(async move {
            let outcome = app::run(config, roles, listeners, own_stop, &plugins).await;
            let _ = end.send(format!("{outcome:?}"));
        });
        let service = Service {
            node,
            stop,
            runtime: Some(runtime),
            ended: Mutex::new(ended),
        };
        service
            .node
            .wait_ready(|| service.ended.lock().try_recv().ok())
            .await;
        service
    }
}

/// With `TEST_LOG=debug`, the services log to standard error.
fn start_logging() {
    if let Ok(filter) = std::env::var("TEST_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    }
}

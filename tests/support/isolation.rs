//! A database and a subject prefix of one test's own, removed at its end.

use std::{sync::Arc, time::Duration};

use mongodb::{
    Client, Collection,
    bson::{Document, doc},
    options::{ClientOptions, ReadConcern},
};

use super::{catalogue, check::eventually_within};

/// The secret that the hosts of all tests sign tokens with.
pub const JWT_SECRET: &str = "0d4a1be1c60c6bb2a1f3d95b6e7c8f90a1b2c3d4e5f60718";
/// The secret that the backends of all hosts present.
pub const INTERNAL_SECRET: &str = "f3b5c7d9e1a2047685949ab0c1d2e3f4a5b6c7d8e9f00112";

/// The key that encrypts stored secrets.
pub const SECRETS_KEY: &str = "b7e1c2d3f4a5968778695a4b3c2d1e0f99887766554433aa";

/// The storage of one deployment. Several services may share it; the last one cleans up.
pub struct Sandbox {
    /// The address of MongoDB.
    pub mongodb_uri: String,
    /// The address of NATS, with its login.
    pub nats_url: String,
    /// The database.
    pub database: String,
    /// Prefix of the NATS subjects.
    pub prefix: String,
    /// True if the servers outlive this test.
    is_shared: bool,
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need a MongoDB and a NATS. Run them with ./dev test")
    })
}

/// The path of a program that `./dev test` found.
pub fn program(name: &str) -> String {
    setting(name)
}

impl Sandbox {
    /// A new one on the servers of `./dev test`.
    pub fn new() -> Arc<Self> {
        Self::on(
            &setting("TEST_MONGODB_URI"),
            &setting("TEST_NATS_URL"),
            true,
        )
    }

    /// A new one on the given servers, a missing one taken from `./dev test`.
    pub fn on_own(mongodb_uri: Option<String>, nats_url: Option<String>) -> Arc<Self> {
        let is_shared = mongodb_uri.is_none() || nats_url.is_none();
        let mongodb_uri = mongodb_uri.unwrap_or_else(|| setting("TEST_MONGODB_URI"));
        let nats_url = nats_url.unwrap_or_else(|| setting("TEST_NATS_URL"));
        Self::on(&mongodb_uri, &nats_url, is_shared)
    }

    fn on(mongodb_uri: &str, nats_url: &str, is_shared: bool) -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let name = format!("t{}", ulid::Ulid::generate().to_string().to_lowercase());
        Arc::new(Self {
            mongodb_uri: mongodb_uri.to_owned(),
            nats_url: nats_url.to_owned(),
            database: name.clone(),
            prefix: name,
            is_shared,
        })
    }

    /// The name of the event stream.
    pub fn stream(&self) -> String {
        format!("{}_EVENTS", self.prefix.to_uppercase())
    }

    /// Direct access to the database, without the service.
    pub async fn collection(&self, name: &str) -> Collection<Document> {
        let mut options = ClientOptions::parse(&self.mongodb_uri)
            .await
            .expect("an address");
        options.server_selection_timeout = Some(Duration::from_secs(5));
        options.read_concern = Some(ReadConcern::majority());
        let client = Client::with_options(options).expect("a client");
        client.database(&self.database).collection(name)
    }

    /// Everything that a collection holds, as one text.
    pub async fn text(&self, name: &str) -> String {
        use futures_util::TryStreamExt;
        let found = self.collection(name).await.find(doc! {}).await;
        let found: Vec<Document> = found
            .expect("the collection can be read")
            .try_collect()
            .await
            .expect("the collection can be read");
        format!("{found:?}")
    }

    /// Direct access to the broker, without the service.
    pub async fn jetstream(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(self.nats().await)
    }

    /// Waits until the durable `name` exists. It starts at the end of the stream, so what it is to receive must come after it.
    pub async fn wait_for_durable(&self, name: &str) {
        let jetstream = self.jetstream().await;
        eventually_within(Duration::from_secs(30), name, || async {
            let stream = jetstream.get_stream(self.stream()).await.ok()?;
            stream.consumer_info(name).await.ok().map(drop)
        })
        .await;
    }

    /// A connection to the broker, without the service.
    pub async fn nats(&self) -> async_nats::Client {
        connect_nats(&self.nats_url).await.expect("NATS answers")
    }

    /// The envelopes in the stream whose type begins with `kind`, in order.
    pub async fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let jetstream = self.jetstream().await;
        let stream = jetstream.get_stream(self.stream()).await;
        let mut stream = stream.expect("the stream is there");
        let last = stream.info().await.expect("it answers").state.last_sequence;
        let mut events = Vec::new();
        for sequence in 1..=last {
            let message = stream.get_raw_message(sequence).await.expect("a message");
            let envelope: serde_json::Value =
                serde_json::from_slice(&message.payload).unwrap_or_default();
            let is_wanted = |found: &str| found.starts_with(kind);
            if envelope["type"].as_str().is_some_and(is_wanted) {
                events.push(envelope);
            }
        }
        events
    }

    /// The numbers and types of a conversation's entries, in order.
    pub async fn log(&self, conversation: &str) -> Vec<(u64, String)> {
        use futures_util::TryStreamExt;
        let log = self.collection("log").await;
        let found: Vec<Document> = log
            .find(doc! { "conversationId": conversation })
            .sort(doc! { "seq": 1 })
            .await
            .expect("the log can be read")
            .try_collect()
            .await
            .expect("the log can be read");
        found
            .iter()
            .map(|entry| {
                let seq = entry.get_i64("seq").expect("a number").unsigned_abs();
                (seq, entry.get_str("type").expect("a type").to_owned())
            })
            .collect()
    }

    /// Counts reads of `collection` from now on.
    pub async fn count_reads(&self, collection: &str) -> Reads {
        let found = self.collection(collection).await;
        let database = found.client().database(&self.database);
        for level in [0, 2] {
            let profile = doc! { "profile": level };
            database.run_command(profile).await.expect("can profile");
            if level == 0 {
                let past = database.collection::<Document>("system.profile");
                past.drop().await.expect("can forget the past");
            }
        }
        Reads {
            database,
            namespace: format!("{}.{collection}", self.database),
        }
    }

    /// The settings of a service at this place.
    pub fn settings(&self) -> Vec<(String, String)> {
        [
            ("MONGODB_URI", self.mongodb_uri.as_str()),
            ("MONGODB_DATABASE", &self.database),
            ("NATS_URL", &self.nats_url),
            ("NATS_SUBJECT_PREFIX", &self.prefix),
            ("AUTH_JWT_SECRET", JWT_SECRET),
            ("INTERNAL_API_SECRET", INTERNAL_SECRET),
            ("SECRETS_KEY", SECRETS_KEY),
            ("PLUGINS", "accounts,webhooks"),
            ("ACCOUNTS_PUBLIC_URL", "https://shop.example/chat"),
            ("WEBHOOK_RETRY_SCHEDULE", "50ms,100ms,200ms"),
            // Many services share a server, which reserves the bytes.
            ("EVENT_STREAM_MAX_MB", "64"),
            ("RELAY_SECOND_SWEEP_SECONDS", "5"),
            ("PORT", "0"),
            ("WS_PORT", "0"),
            ("SHUTDOWN_GRACE_SECONDS", "3"),
            ("RATE_LIMIT_API", "off"),
            ("RATE_LIMIT_AUTH", "off"),
            ("RATE_LIMIT_MESSAGES", "off"),
            ("RATE_LIMIT_TYPING", "off"),
            ("RATE_LIMIT_HEALTH", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// Reads of one collection, as the database noted them.
pub struct Reads {
    database: mongodb::Database,
    namespace: String,
}

impl Reads {
    /// Returns the number of reads. Ends the counting.
    pub async fn count(self) -> usize {
        self.examined().await.len()
    }

    /// Returns the number of documents that each read examined. Ends the counting.
    pub async fn examined(self) -> Vec<i64> {
        use futures_util::TryStreamExt;
        let profile = self.database.collection::<Document>("system.profile");
        let reads = doc! {
            "ns": self.namespace, "op": { "$in": ["query", "command", "getmore"] },
        };
        let found = profile.find(reads).await.expect("can be read");
        let found: Vec<Document> = found.try_collect().await.expect("can be read");
        let end = doc! { "profile": 0 };
        self.database.run_command(end).await.expect("can end");
        let examined = |read: &Document| match read.get("docsExamined") {
            Some(mongodb::bson::Bson::Int32(count)) => i64::from(*count),
            Some(mongodb::bson::Bson::Int64(count)) => *count,
            _ => 0,
        };
        found.iter().map(examined).collect()
    }
}

/// Connects with the login of the address, which the crate does not read itself.
async fn connect_nats(url: &str) -> Result<async_nats::Client, async_nats::ConnectError> {
    let address: async_nats::ServerAddr = url.parse().expect("an address");
    let options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => {
            async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        _ => async_nats::ConnectOptions::new(),
    };
    options.connect(address).await
}

/// Removes a database and a stream.
async fn remove(mongodb_uri: String, nats_url: String, database: String, stream: String) {
    if let Ok(options) = ClientOptions::parse(&mongodb_uri).await
        && let Ok(client) = Client::with_options(options)
    {
        let _ = client.database(&database).drop().await;
    }
    if let Ok(client) = connect_nats(&nats_url).await {
        let _ = async_nats::jetstream::new(client)
            .delete_stream(stream)
            .await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let (stream, prefix) = (self.stream(), self.prefix.clone());
        let nats_url = self.nats_url.clone();
        // Servers of the test may have ended by now, and their data with them.
        let check = async move {
            match connect_nats(&nats_url).await {
                Ok(client) => catalogue::faults(client, &stream, &prefix).await,
                Err(_) => Vec::new(),
            }
        };
        let removal = self.is_shared.then(|| {
            remove(
                self.mongodb_uri.clone(),
                self.nats_url.clone(),
                self.database.clone(),
                self.stream(),
            )
        });
        // A runtime of its own, because the test's may be ending or may be the one that waits here.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let limit = Duration::from_secs(10);
                let faults = tokio::time::timeout(limit, check).await;
                if let Some(removal) = removal {
                    let _ = tokio::time::timeout(limit, removal).await;
                }
                faults.ok()
            })
        });
        let faults = thread.join().ok().flatten().unwrap_or_default();
        catalogue::complain(&faults);
    }
}

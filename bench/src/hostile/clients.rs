//! The hostile clients: each repeats what it does as fast as it is answered, and slows down only when a rate limit refuses it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fixture::{Fixture, User, large_message};
use super::{HostileArgs, Kind};
use crate::client::Host;
use crate::socket::{Dial, Stream, connect};

/// Pause after a refusal: a client that waits for `Retry-After` would be less hostile.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Priority of the threads of the hostile clients (`nice`).
const LOW_PRIORITY: i32 = 19;
/// Number of sockets that resume and do not read.
const SILENT_SOCKETS: usize = 12;
/// Time for which such a socket is held; the service closes it after 10 s.
const SILENT_TIME: Duration = Duration::from_secs(12);
/// Number of connections with a slow body.
const SLOW_CONNECTIONS: usize = 20;
/// Length that the head of a slow request announces, in bytes.
const SLOW_LENGTH: usize = 1_000_000;
/// Time limit for all rooms of a user after the handshake.
const ROOMS_LIMIT: Duration = Duration::from_secs(30);

/// Work of the clients of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    /// Number of successful requests or connections.
    pub done: u64,
    /// Number of requests or handshakes that a rate limit refused.
    pub refused: u64,
    /// Number of other errors.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn read(&self) -> Tally {
        Tally {
            done: self.done.load(Relaxed),
            refused: self.refused.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Counts a response by its status, and pauses after a refusal or an error.
    async fn count(&self, status: Option<u16>) {
        let counter = match status {
            Some(200..300) => &self.done,
            Some(429) => &self.refused,
            _ => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
        if !matches!(status, Some(200..300)) {
            sleep(REFUSED_PAUSE).await;
        }
    }
}

/// The hostile clients, and the threads on which they run.
pub(super) struct HostileClients {
    /// Taken when it is dropped: a runtime must not wait for its threads inside another one.
    runtime: Option<Runtime>,
    attack: Attack,
    kinds: Vec<Kind>,
}

/// Service and fixture, for every hostile client.
#[derive(Clone)]
struct Attack {
    host: Arc<Host>,
    fixture: Arc<Fixture>,
}

/// Hostile clients at work.
pub(super) struct Running {
    tasks: TaskTracker,
    end: CancellationToken,
    counters: BTreeMap<Kind, Arc<Counters>>,
}

impl HostileClients {
    /// Prepares the threads.
    ///
    /// # Errors
    /// If no threads can be started.
    pub fn new(args: &HostileArgs, fixture: Arc<Fixture>) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(|| {
                // On Linux this is the priority of the thread, not of the process. Without it the figures are only worse.
                let _ = rustix::process::nice(LOW_PRIORITY);
            })
            .build()
            .context("the threads of the hostile clients")?;
        Ok(Self {
            runtime: Some(runtime),
            attack: Attack {
                // A client of its own: a connection is served by the threads that opened it.
                host: Arc::new(Host::new(&args.target)?),
                fixture,
            },
            kinds: args.kinds.clone(),
        })
    }

    /// Starts all clients.
    pub fn start(&self) -> Running {
        let mut running = Running {
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            counters: BTreeMap::new(),
        };
        for kind in &self.kinds {
            let counters: &Arc<Counters> = running.counters.entry(*kind).or_default();
            for client in self.attack.clients(*kind, counters) {
                let client = running.end.clone().run_until_cancelled_owned(client);
                if let Some(runtime) = &self.runtime {
                    running.tasks.spawn_on(client, runtime.handle());
                }
            }
        }
        running
    }
}

impl Drop for HostileClients {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    /// Stops all clients, and returns the work of each kind.
    pub async fn stop(self) -> Vec<(Kind, Tally)> {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let counters = self.counters.iter();
        counters
            .map(|(kind, counters)| (*kind, counters.read()))
            .collect()
    }
}

type Client = futures_util::future::BoxFuture<'static, ()>;

impl Attack {
    /// Returns the clients of one kind, none of which ends by itself.
    fn clients(&self, kind: Kind, counters: &Arc<Counters>) -> Vec<Client> {
        let fixture = &self.fixture;
        let one = |user: &User| (self.clone(), user.clone(), Arc::clone(counters));
        match kind {
            Kind::LargeMessages => fixture
                .senders
                .iter()
                .map(|user| boxed(send_large(one(user))))
                .collect(),
            Kind::SilentReaders => fixture
                .readers
                .iter()
                .cycle()
                .take(SILENT_SOCKETS)
                .map(|user| boxed(resume_silently(one(user))))
                .collect(),
            Kind::LargePages => fixture
                .listers
                .iter()
                .map(|user| boxed(list_pages(one(user))))
                .collect(),
            Kind::SlowBodies => (0..SLOW_CONNECTIONS)
                .map(|_| boxed(send_slowly(one(&fixture.slow))))
                .collect(),
            Kind::ManyRooms => vec![boxed(reconnect(one(&fixture.crowd)))],
            Kind::PastMembers => {
                let guests = fixture.guests.iter();
                let mut clients: Vec<Client> =
                    guests.map(|guest| boxed(come_and_go(one(guest)))).collect();
                clients.push(boxed(send_to_square(one(&fixture.owner))));
                clients
            }
        }
    }

    fn dial(&self, n: usize, user: &User, query: &str) -> Dial {
        Dial {
            url: format!("{}{query}", self.host.ws_url(n)),
            token: user.token.clone(),
            internal_secret: None,
            conversation: None,
        }
    }
}

fn boxed(client: impl Future<Output = ()> + Send + 'static) -> Client {
    Box::pin(client)
}

/// Parameters of a client: what it attacks, as which user, and where it counts.
type Parameters = (Attack, User, Arc<Counters>);

/// Sends a request and reads the response to its end. Returns the status, or `None` without a response.
async fn status_of(request: RequestBuilder) -> Option<u16> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    response.bytes().await.ok()?;
    Some(status)
}

async fn post_messages((attack, user, counters): Parameters, conversation: &str, message: &Value) {
    let path = format!("/api/conversations/{conversation}/messages");
    loop {
        let request = attack.host.user_request(Method::POST, &path, &user.token);
        counters.count(status_of(request.json(message)).await).await;
    }
}

async fn send_large(parameters: Parameters) {
    let target = parameters.0.fixture.target.clone();
    post_messages(parameters, &target, &large_message()).await;
}

async fn send_to_square(parameters: Parameters) {
    let square = parameters.0.fixture.square.clone();
    post_messages(
        parameters,
        &square,
        &serde_json::json!({ "content": "hello" }),
    )
    .await;
}

async fn list_pages((attack, user, counters): Parameters) {
    let path = format!(
        "/api/conversations/{}/messages?limit=100",
        attack.fixture.archive
    );
    loop {
        let request = attack.host.user_request(Method::GET, &path, &user.token);
        counters.count(status_of(request).await).await;
    }
}

async fn come_and_go((attack, user, counters): Parameters) {
    let path = format!("/api/conversations/{}", attack.fixture.square);
    for operation in ["join", "leave"].into_iter().cycle() {
        let path = format!("{path}/{operation}");
        loop {
            let request = attack.host.user_request(Method::POST, &path, &user.token);
            let status = status_of(request).await;
            counters.count(status).await;
            // Refused, it is repeated; any other response means that the other operation is next.
            if status != Some(429) {
                break;
            }
        }
    }
}

/// Connects; counts and returns `None` if the service refuses.
async fn dial(dial: &Dial, counters: &Counters) -> Option<Stream> {
    match connect(dial).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            let is_refused = error.to_string().contains("429");
            counters.count(is_refused.then_some(429)).await;
            None
        }
    }
}

async fn resume_silently((attack, user, counters): Parameters) {
    let query = format!("?resume={}", attack.fixture.cursor);
    let parameters = attack.dial(0, &user, &query);
    loop {
        if let Some(_socket) = dial(&parameters, &counters).await {
            sleep(SILENT_TIME).await;
            counters.count(Some(200)).await;
        }
    }
}

async fn reconnect((attack, user, counters): Parameters) {
    let parameters = attack.dial(0, &user, "");
    loop {
        let Some(mut socket) = dial(&parameters, &counters).await else {
            continue;
        };
        let all_rooms = async {
            while let Some(Ok(frame)) = socket.next().await {
                let Message::Text(text) = frame else {
                    continue;
                };
                // The flag of `connected`, or of the last frame of rooms.
                if text.contains(r#""hasMoreRooms":false"#) || text.contains(r#""hasMore":false"#) {
                    return true;
                }
            }
            false
        };
        let has_all = timeout(ROOMS_LIMIT, all_rooms).await == Ok(true);
        counters.count(has_all.then_some(200)).await;
    }
}

async fn send_slowly((attack, user, counters): Parameters) {
    let address = attack.host.address();
    let head = format!(
        "POST /api/conversations HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {SLOW_LENGTH}\r\n\r\n",
        user.token
    );
    loop {
        let status = send_one_slowly(&address, &head).await;
        // A connection that the service ends is the best that such a client achieves.
        let is_refused = status.is_ok_and(|status| status == "429");
        counters
            .count(Some(if is_refused { 429 } else { 200 }))
            .await;
    }
}

/// Sends a head and then a byte per second, until the service responds or closes the connection. Returns the status of the response.
async fn send_one_slowly(address: &str, head: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(head.as_bytes()).await?;
    let (mut reader, mut writer) = connection.split();
    let mut ticks = interval(Duration::from_secs(1));
    let mut response = [0; 1024];
    loop {
        tokio::select! {
            read = reader.read(&mut response) => {
                let line = String::from_utf8_lossy(&response[..read?]).into_owned();
                return Ok(line.split(' ').nth(1).unwrap_or_default().to_owned());
            }
            _ = ticks.tick() => writer.write_all(b" ").await?,
        }
    }
}

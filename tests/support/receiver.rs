//! A host's webhook receiver: a real HTTP server that records requests and answers by a rule.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{catalogue, check::eventually_within};

/// The answer to one request.
#[derive(Debug, Clone)]
pub struct Answering {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Delay before the answer.
    pub delay: Duration,
    /// The body.
    pub body: String,
}

impl Answering {
    /// Answers at once, with only a status.
    pub fn with(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            delay: Duration::ZERO,
            body: String::new(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// Sets the delay.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its path with the query.
    pub path: String,
    /// Its body as it came.
    pub body: Bytes,
    /// The event in it.
    pub event: Value,
    /// Time of arrival.
    pub at: Instant,
    /// HTTP status of the answer.
    pub status: u16,
}

impl Received {
    /// A header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The event's id.
    pub fn id(&self) -> &str {
        self.event["id"].as_str().unwrap_or_default()
    }

    /// The message's content, for `message.created`.
    pub fn content(&self) -> &str {
        self.event["data"]["content"].as_str().unwrap_or_default()
    }
}

type Rule = dyn Fn(&Value, usize) -> Answering + Send + Sync;

struct Shared {
    received: Mutex<Vec<Received>>,
    tries: Mutex<HashMap<String, usize>>,
    rule: Mutex<Arc<Rule>>,
}

/// The receiver. It stops when its handle is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts a receiver that accepts everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| Answering::with(204)).await
    }

    /// Starts a receiver that answers by a rule: from the event, and the number of times that it arrived before.
    pub async fn answering(
        rule: impl Fn(&Value, usize) -> Answering + Send + Sync + 'static,
    ) -> Self {
        Self::at(0, rule).await
    }

    async fn at(
        port: u16,
        rule: impl Fn(&Value, usize) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            tries: Mutex::default(),
            rule: Mutex::new(Arc::new(rule)),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    /// URL of the receiver.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers by another rule from now on.
    pub fn answer(&self, rule: impl Fn(&Value, usize) -> Answering + Send + Sync + 'static) {
        *self.shared.rule.lock() = Arc::new(rule);
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// The received events of one type.
    pub fn of(&self, kind: &str) -> Vec<Received> {
        let mut all = self.received();
        all.retain(|one| one.event["type"] == kind);
        all
    }

    /// Waits until `count` requests with events of `kind` came.
    pub async fn wait_for(&self, kind: &str, count: usize) -> Vec<Received> {
        eventually_within(
            Duration::from_secs(20),
            &format!("{count} requests with {kind} come"),
            || async {
                let found = self.of(kind);
                (found.len() >= count).then_some(found)
            },
        )
        .await
    }

    /// Waits until a request with this content was accepted.
    pub async fn wait_taken(&self, content: &str) -> Received {
        eventually_within(
            Duration::from_secs(20),
            &format!("the message {content} is taken"),
            || async {
                self.received()
                    .into_iter()
                    .find(|one| one.content() == content && one.status < 300)
            },
        )
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
        let received = self.shared.received.lock();
        let faults: Vec<String> = received
            .iter()
            // Other requests are no events, nor are pushes to a gateway and questions to a hook.
            .filter(|one| {
                let kind = one.header("x-webhook-event");
                !["", "push.send", "probe"].contains(&kind) && !kind.contains("before_")
            })
            .filter_map(|one| catalogue::fault(&one.event))
            .collect();
        catalogue::complain(&faults);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let before = {
        let mut tries = shared.tries.lock();
        let tries = tries
            .entry(event["id"].as_str().unwrap_or_default().to_owned())
            .or_default();
        *tries += 1;
        *tries - 1
    };
    let rule = Arc::clone(&shared.rule.lock());
    let how = rule(&event, before);
    shared.received.lock().push(Received {
        headers: parts.headers,
        path: parts.uri.to_string(),
        body,
        event,
        at,
        status: how.status,
    });
    if !how.delay.is_zero() {
        tokio::time::sleep(how.delay).await;
    }
    let mut response = Response::builder().status(how.status);
    for (name, value) in how.headers {
        response = response.header(name, value);
    }
    Ok(response
        .body(Full::new(Bytes::from(how.body)))
        .expect("a response"))
}

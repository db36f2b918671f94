//! Receivers of deliveries: one responds at once and records what arrives, one never responds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::run::Run;

/// An event that arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt {
    /// Number of the send that the event belongs to.
    pub number: u32,
    /// Time of arrival, on the clock of the run.
    pub at_us: u64,
    /// Delay since the time in the event; the service sets it when it writes the event.
    pub age_us: u64,
}

/// Arrivals of one run.
#[derive(Debug, Default)]
struct Book {
    run: Option<Arc<Run>>,
    receipts: Vec<Receipt>,
    /// Number of arrivals of each send.
    times: Vec<u32>,
}

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
    tests: AtomicU64,
}

/// Receiver in this process. It stops when its handle is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let (listener, address) = listen().await?;
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Returns the number of received test events.
    pub fn tests(&self) -> u64 {
        self.shared.tests.load(Relaxed)
    }

    /// Records the events of `run` from now on, and forgets those of the previous run. The arrival of its event completes a send.
    pub fn begin(&self, run: &Arc<Run>) {
        *self.shared.book.lock() = Book {
            run: Some(Arc::clone(run)),
            ..Book::default()
        };
    }

    /// Returns the arrivals of the run, in order.
    pub fn end(&self) -> Vec<Receipt> {
        std::mem::take(&mut *self.shared.book.lock()).receipts
    }
}

/// The parsed fields of an event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize, Default)]
struct Data {
    #[serde(default)]
    content: String,
}

impl Shared {
    fn note(&self, body: &[u8]) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let Ok(event) = serde_json::from_slice::<Event>(body) else {
            return;
        };
        if event.kind == "webhook.test" {
            self.tests.fetch_add(1, Relaxed);
            return;
        }
        let mut book = self.book.lock();
        let Some(run) = book.run.clone() else {
            return;
        };
        let Some(number) = run.number_in(&event.data.content) else {
            return;
        };
        let Ok(told) = OffsetDateTime::parse(&event.timestamp, &Rfc3339) else {
            return;
        };
        let age_us = (now.as_nanos() as i128 - told.unix_timestamp_nanos()) / 1000;
        book.receipts.push(Receipt {
            number,
            at_us: run.now_us(),
            age_us: u64::try_from(age_us).unwrap_or_default(),
        });
        let index = number as usize;
        if book.times.len() <= index {
            book.times.resize(index + 1, 0);
        }
        book.times[index] += 1;
        let is_first = book.times[index] == 1;
        drop(book);
        if is_first {
            run.settled(true);
        }
    }
}

async fn listen() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("no loopback port is free for the receiver")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Without it a response may wait for the next request; a failure costs only time.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            // A broken connection is the service's to report: it repeats the delivery.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = match request.into_body().collect().await {
        Ok(body) => {
            shared.note(&body.to_bytes());
            StatusCode::NO_CONTENT
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    Ok(response)
}

/// Receiver that accepts connections and never responds. It stops when its handle is dropped.
pub(super) struct Silent {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Silent {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let (listener, address) = listen().await?;
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Ok(Self { address, task })
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}/silence", self.address)
    }
}

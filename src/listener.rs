//! Accepts connections: one loop for the port of every role.
//!
//! poem's own server is not used: it has no time limit for heads, leaves Nagle's algorithm on, and spins if no more files can be opened.
//!
//! Every wait for a client has a limit: for the head of a request (10 s, then 408), its body (`body`, then 408 by the service), the next request
//! (75 s), a response that the client does not read (30 s), and the end of the connection (2 s). After the response to a request that was not read
//! completely, the connection is closed in a way that lets the client read the response.

mod body;
mod refusal;
mod stream;

use std::{convert::Infallible, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use body::{MIN_RATE as MIN_BODY_RATE, TOTAL as BODY_TIMEOUT, TimedBody};
pub use stream::ClientStream;
use stream::{Busy, BusyGuard};

use crate::{address::TrustedProxies, config::Origins};

/// Maximum size of the head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Maximum number of headers of a request.
const MAX_HEADERS: usize = 64;
/// Pause after a failed accept, for example if no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Extension of every request: closes its connection immediately, also if the client has stopped reading. Otherwise a response that the client does
/// not read would stay in memory as long as the client likes.
#[derive(Debug, Clone)]
pub struct HangUp(pub CancellationToken);

/// Settings of every port of a process.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Proxies whose forwarding headers are trusted.
    pub proxies: Arc<TrustedProxies>,
    /// Origins of the pages that may read responses.
    pub origins: Arc<Origins>,
    /// Token that stops the port.
    pub stop: CancellationToken,
    /// Time that open connections then have to finish.
    pub grace: Duration,
}

/// Serves `listener` with `answer`, which gets the address of the client of each request, until `terms.stop`. Then it accepts no more connections and
/// gives the open ones `terms.grace` to finish.
pub async fn serve<F, Fut, B>(listener: TcpListener, terms: Terms, answer: F)
where
    F: Fn(Request<TimedBody>, IpAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = Arc::new(answer);
    let connections = TaskTracker::new();
    let stop = terms.stop;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Nagle's algorithm would delay the small packets of a chat.
        let _ = stream.set_nodelay(true);
        let answer = Arc::clone(&answer);
        let proxies = Arc::clone(&terms.proxies);
        let hang_up = HangUp(CancellationToken::new());
        let hung_up = hang_up.0.clone();
        let busy = Busy::default();
        let stream = ClientStream::new(stream, busy.clone(), Arc::clone(&terms.origins));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let guard = busy.begin();
            request.extensions_mut().insert(hang_up.clone());
            let client = client(&proxies, peer.ip(), request.headers());
            let response = answer(request.map(TimedBody::new), client);
            async move {
                let response = response.await;
                Ok::<_, Infallible>(response.map(|body| Guarded {
                    body,
                    _guard: guard,
                }))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The stream has its own time limits; this one would include the time between two requests.
            .header_read_timeout(Option::<Duration>::None)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let mut is_stopping = false;
            let served = loop {
                tokio::select! {
                    served = connection.as_mut() => break served,
                    () = hung_up.cancelled() => return,
                    () = stop.cancelled(), if !is_stopping => {
                        connection.as_mut().graceful_shutdown();
                        is_stopping = true;
                    }
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended with an error");
            }
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(terms.grace, connections.wait()).await;
}

/// Body of a response. The request counts as in progress until the body is dropped.
struct Guarded<B> {
    body: B,
    _guard: BusyGuard,
}

impl<B: Body + Unpin> Body for Guarded<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns the address of the client. Each proxy appends the address that it saw to the list.
fn client(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let hops = headers
        .get_all("x-forwarded-for")
        .into_iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let real = headers.get("x-real-ip").map(|value| value.as_bytes());
    proxies.client(peer, hops, real)
}

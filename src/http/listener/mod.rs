//! Accepts connections: one loop for the port of every role.
//!
//! poem's own server is not used: it has no time limit for heads, leaves Nagle's algorithm on, and spins if no more files can be opened.
//!
//! Every wait for a client has a limit: for the head of a request (10 s, then 408), its body (`body`, then 408 by the service), the next request
//! (75 s), a response that the client does not read (30 s), and the end of the connection (2 s). The response to a request that was not read
//! completely says `Connection: close`, and the connection is closed in a way that lets the client read that response.

mod body;
mod refusal;
mod stream;

use std::{convert::Infallible, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request,
    body::{Body, Frame, Incoming, SizeHint},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use body::TimedBody;
pub use body::{MIN_RATE as MIN_BODY_RATE, TOTAL as BODY_TIMEOUT};
pub use stream::ClientStream;
use stream::{Busy, BusyGuard};

use super::{self as http, ApiError, Client, TrustedProxies, edge};
use crate::config::Origins;

/// Maximum size of the head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Maximum number of headers of a request.
const MAX_HEADERS: usize = 64;
/// Pause after a failed accept, for example if no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

/// Serves `listener` with `role` inside the edge, until `terms.stop`. Then it accepts no more connections and gives the open ones `terms.grace` to
/// finish.
pub async fn serve<Fut>(
    listener: TcpListener,
    terms: Terms,
    role: impl Fn(http::Request) -> Fut + Send + Sync + 'static,
) where
    Fut: Future<Output = Result<http::Response, ApiError>> + Send + 'static,
{
    let role = Arc::new(role);
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
        let (role, proxies) = (Arc::clone(&role), Arc::clone(&terms.proxies));
        let origins = Arc::clone(&terms.origins);
        let hang_up = CancellationToken::new();
        let hung_up = hang_up.clone();
        let busy = Busy::default();
        let stream = ClientStream::new(stream, busy.clone(), Arc::clone(&origins));
        let service = service_fn(move |request: Request<Incoming>| {
            let guard = busy.begin();
            let address = address(&proxies, peer.ip(), request.headers());
            let client = Client::new(address, hang_up.clone(), request.method().clone());
            let (head, body) = request.into_parts();
            let (body, rest) = TimedBody::new(&head.headers, body);
            let request = Request::from_parts(head, body.boxed());
            let (origins, role) = (Arc::clone(&origins), Arc::clone(&role));
            async move {
                let mut response =
                    edge::answer(&origins, request, client, |request| role(request)).await;
                if !rest.read().await {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
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
struct Guarded {
    body: http::Body,
    _guard: BusyGuard,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<Frame<Bytes>>>> {
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
fn address(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let hops = headers
        .get_all("x-forwarded-for")
        .into_iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let real = headers.get("x-real-ip").map(|value| value.as_bytes());
    proxies.client(peer, hops, real)
}

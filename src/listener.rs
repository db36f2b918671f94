//! Accepting connections: one loop for every role's port.
//!
//! Not poem's own server: that has no time limit for heads, leaves Nagle's algorithm on, and spins when no more files can be opened.
//!
//! Every wait for a client ends: for the head of a request (10 s, answered 408), its body ([`body`], answered 408 by the service), the next request (75 s),
//! an answer that is not taken (30 s), and the end of the connection (2 s). After an answer to a request that was not read to its end, the connection is
//! closed so that the client can read the answer.

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

/// The most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// The pause after a failed accept, for example without a free file.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// In the extensions of every request: ends its connection at once, also one whose client has stopped reading. Otherwise an answer that nobody
/// takes would be kept as long as the client likes.
#[derive(Debug, Clone)]
pub struct HangUp(pub CancellationToken);

/// What every port of a process serves by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whose forwarding headers are believed.
    pub proxies: Arc<TrustedProxies>,
    /// Which pages may read answers.
    pub origins: Arc<Origins>,
    /// Ends the port.
    pub stop: CancellationToken,
    /// How long open connections then may take to finish.
    pub grace: Duration,
}

/// Serves `listener` with `answer`, which gets the address of each request's client, until the terms' `stop`. Then it takes no more connections and gives
/// those that are open the terms' `grace` to finish.
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
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A chat sends small packets; each must leave at once.
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
            // The stream has time limits of its own: this one would count the time between two requests too.
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
                tracing::debug!(%error, "a connection ended with an error");
            }
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(terms.grace, connections.wait()).await;
}

/// The body of an answer. The request counts as being answered until it is dropped.
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

/// From whom a request comes. Each proxy adds the address that it saw at the end of the list.
fn client(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let hops = headers
        .get_all("x-forwarded-for")
        .into_iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let real = headers.get("x-real-ip").map(|value| value.as_bytes());
    proxies.client(peer, hops, real)
}

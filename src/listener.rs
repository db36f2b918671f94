//! Accepting connections: one loop for every role's port.
//!
//! Not poem's own server: that has no time limit for headers, leaves Nagle's algorithm on, and spins when no more files can be opened.

use std::{convert::Infallible, future::Future, net::IpAddr, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Request, Response, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::address::TrustedProxies;

/// How long a client may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Serves `listener` with `answer`, which hears the address of each request's client, until `stop`; then takes no more connections and gives those
/// that are open `grace` to finish.
pub async fn serve<F, Fut, B>(
    listener: TcpListener,
    proxies: Arc<TrustedProxies>,
    answer: F,
    stop: CancellationToken,
    grace: Duration,
) where
    F: Fn(Request<Incoming>, IpAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = Arc::new(answer);
    let connections = TaskTracker::new();
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
        let proxies = Arc::clone(&proxies);
        let hang_up = HangUp(CancellationToken::new());
        let hung_up = hang_up.0.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(hang_up.clone());
            let client = client(&proxies, peer.ip(), request.headers());
            let response = answer(request, client);
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
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
    let _ = tokio::time::timeout(grace, connections.wait()).await;
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

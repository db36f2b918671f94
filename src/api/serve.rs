//! From hyper's requests to poem's, on our own listener.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{Request, Response, body::Incoming};
use poem::{
    Addr, Endpoint,
    endpoint::BoxEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};

/// Answers one request of the client at that address.
pub async fn answer(
    endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    request: Request<Incoming>,
    client: IpAddr,
) -> Response<BoxBody<Bytes, std::io::Error>> {
    // The port is that of a connection, which may be a proxy's.
    let from = RemoteAddr(Addr::from(SocketAddr::new(client, 0)));
    let request: poem::Request = (request, LocalAddr::default(), from, Scheme::HTTP).into();
    endpoint.get_response(request).await.into()
}

//! From hyper's requests to poem's, on our own listener.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{Request, Response, body::Incoming};
use poem::{
    Addr, Endpoint,
    endpoint::BoxEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};

/// Answers one request.
pub async fn answer(
    endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<BoxBody<Bytes, std::io::Error>> {
    let from = RemoteAddr(Addr::from(peer));
    let request: poem::Request = (request, LocalAddr::default(), from, Scheme::HTTP).into();
    endpoint.get_response(request).await.into()
}

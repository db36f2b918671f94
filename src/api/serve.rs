//! From hyper's requests to poem's, on our own listener.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{Request, Response};
use poem::{
    Addr, Body, Endpoint, RequestParts,
    endpoint::BoxEndpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};

use crate::listener::TimedBody;

/// Answers one request of the client at that address.
pub async fn answer(
    endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    request: Request<TimedBody>,
    client: IpAddr,
) -> Response<BoxBody<Bytes, std::io::Error>> {
    // The port is that of a connection, which may be a proxy's.
    let from = RemoteAddr(Addr::from(SocketAddr::new(client, 0)));
    let (parts, body) = request.into_parts();
    let parts: RequestParts = (parts, LocalAddr::default(), from, Scheme::HTTP).into();
    let request = poem::Request::from_parts(parts, Body::from(body.boxed()));
    endpoint.get_response(request).await.into()
}

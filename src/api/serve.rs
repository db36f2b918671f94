//! Converts requests of hyper to those of poem, for the listener of this service.

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

/// Answers one request of the client with the address `client`.
pub async fn answer(
    endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    request: Request<TimedBody>,
    client: IpAddr,
) -> Response<BoxBody<Bytes, std::io::Error>> {
    // Port 0: the real port belongs to the connection, which may be that of a proxy.
    let from = RemoteAddr(Addr::from(SocketAddr::new(client, 0)));
    let (parts, body) = request.into_parts();
    let parts: RequestParts = (parts, LocalAddr::default(), from, Scheme::HTTP).into();
    let request = poem::Request::from_parts(parts, Body::from(body.boxed()));
    endpoint.get_response(request).await.into()
}
